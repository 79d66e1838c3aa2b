"""Differentiable augmentation: each transformation against plain loops, its range, and gradients."""

import math

import pytest
import torch
from helpers import Recorder

from lightning_gans import GAN
from lightning_gans.networks import MLPDiscriminator, MLPGenerator
from lightning_gans.stabilizers import DifferentiableAugmentation

OFF = {"color": 0.0, "translation": 0.0, "cutout": 0.0}


def augmented(x, **arguments):
    return DifferentiableAugmentation(**{**OFF, **arguments}).on_discriminator_input(None, x)


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def recolored_by_loops(image, brightness, saturation, contrast):
    channels, height, width = image.shape
    y = (image + brightness).tolist()
    for i in range(height):
        for j in range(width):
            grey = mean(y[c][i][j] for c in range(channels))
            for c in range(channels):
                y[c][i][j] = grey + saturation * (y[c][i][j] - grey)
    middle = mean(value for channel in y for row in channel for value in row)
    return torch.tensor([[[middle + contrast * (value - middle) for value in row] for row in c] for c in y])


def moved_by_slices(image, down, right):
    y, (height, width) = torch.zeros_like(image), image.shape[1:]
    y[:, max(down, 0) : height + down, max(right, 0) : width + right] = image[
        :, max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)
    ]
    return y


def numbers(images, y):
    """What brightness, saturation and contrast made y of coloured images, by their moments."""
    found = []
    for before, after in zip(images, y, strict=True):
        grey, grey_after = before.mean(0), after.mean(0)
        contrast = ((grey_after - grey_after.mean()) / (grey - grey.mean())).median()
        saturation = ((after - grey_after) / (before - grey)).median() / contrast
        found.append([(after.mean() - before.mean()).item(), saturation.item(), contrast.item()])
    return found


@pytest.mark.parametrize("color", [1.0, 0.5])
def test_colours_change_as_plain_loops_change_them(color):
    images = torch.rand(20, 3, 5, 4, dtype=torch.float64) * 2 - 1
    y = augmented(images, color=color)
    for image, after, found in zip(images, y, numbers(images, y), strict=True):
        torch.testing.assert_close(after, recolored_by_loops(image, *found).double(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("color", [1.0, 0.5])
def test_the_ranges_of_the_colours_scale_with_the_strength(color):
    images = torch.rand(500, 3, 4, 4, dtype=torch.float64) * 2 - 1
    brightness, saturation, contrast = torch.tensor(numbers(images, augmented(images, color=color))).T
    for drawn, middle, width in ((brightness, 0, 0.5), (saturation, 1, 1), (contrast, 1, 0.5)):
        assert drawn.min() >= middle - width * color - 1e-4 and drawn.max() <= middle + width * color + 1e-4
        assert drawn.mean().item() == pytest.approx(middle, abs=0.1 * width)
        assert drawn.std().item() == pytest.approx(width * color / math.sqrt(3), rel=0.1), "uniform"
    assert abs(torch.corrcoef(torch.stack([brightness, saturation, contrast])).triu(1)).max() < 0.15


@pytest.mark.parametrize(("drawn", "ends"), [(0.0, (-0.5, 0.0, 0.5)), (0.5, (0, 1, 1)), (1.0, (0.5, 2.0, 1.5))])
def test_the_colours_at_the_ends_of_their_ranges(monkeypatch, drawn, ends):
    images = torch.rand(2, 3, 4, 4)
    monkeypatch.setattr("torch.rand", lambda *size, **_: torch.full(size, drawn))
    y = augmented(images, color=1.0)
    torch.testing.assert_close(y, torch.stack([recolored_by_loops(image, *ends) for image in images]))
    grey = torch.allclose(y[:, 0], y[:, 1]) and torch.allclose(y[:, 0], y[:, 2])
    assert grey == (ends[1] == 0), "without saturation"


def test_grey_images_keep_their_pattern():
    images = torch.rand(10, 1, 6, 6, dtype=torch.float64)
    y = augmented(images, color=1.0)
    pattern, before = (x - x.mean((1, 2, 3), keepdim=True) for x in (y, images))
    ratio = (pattern / before).flatten(1)
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio), atol=1e-6, rtol=1e-6)
    assert ratio.min() >= 0.5 and ratio.max() <= 1.5 and len(ratio[:, 0].unique()) == 10


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("shape", "share"), [((16, 16), 0.125), ((8, 12), 0.25), ((9, 9), 0.3)])
def test_images_are_shifted_by_whole_pixels_like_slices(channels, shape, share):
    images = torch.rand(200, channels, *shape) + 1
    most = [int(side * share) for side in shape]
    moves = [(d, r) for d in range(-most[0], most[0] + 1) for r in range(-most[1], most[1] + 1)]
    seen = []
    for image, after in zip(images, augmented(images, translation=share), strict=True):
        fits = [move for move in moves if torch.equal(moved_by_slices(image, *move), after)]
        assert len(fits) == 1
        seen += fits
    for axis in (0, 1):
        assert {move[axis] for move in seen} == set(range(-most[axis], most[axis] + 1)), "every shift occurs"


@pytest.mark.parametrize("shape", [(8, 8), (9, 7), (16, 10)])
@pytest.mark.parametrize("share", [0.5, 0.3])
def test_a_square_of_zeros_of_the_right_size_is_cut_out(shape, share):
    height, width = (int(side * share) for side in shape)
    places = set()
    for after in augmented(torch.ones(500, 3, *shape), cutout=share):
        assert torch.equal(after[0], after[1]) and torch.equal(after[0], after[2])
        zeros = (after[0] == 0).nonzero()
        top, left = zeros.min(0).values.tolist()
        bottom, right = (zeros.max(0).values + 1).tolist()
        assert len(zeros) == (bottom - top) * (right - left), "a rectangle"
        for first, last, size, side in ((top, bottom, height, shape[0]), (left, right, width, shape[1])):
            assert last - first == size or ((first == 0 or last == side) and size // 2 <= last - first < size)
        places.add((top, left, bottom, right))
    assert len(places) > 20, "elsewhere in each image"
    assert any(bottom - top == height and right - left == width for top, left, bottom, right in places)


def test_the_middle_of_the_square_is_uniform_over_the_image():
    """The pixel in a corner is hidden a quarter as often as one in the middle."""
    hidden = (augmented(torch.ones(4000, 1, 8, 8), cutout=0.5) == 0).float().mean((0, 1))
    middle = (4 / 9) ** 2  # 4 of the 9 places in either direction hide it
    assert hidden[3:5, 3:5].mean().item() == pytest.approx(middle, abs=0.02)
    assert hidden[0, 0].item() == pytest.approx(middle * (3 / 4) ** 2, abs=0.02)
    torch.testing.assert_close(hidden, hidden.flip(0), atol=0.04, rtol=0)
    torch.testing.assert_close(hidden, hidden.T, atol=0.04, rtol=0)


@pytest.mark.parametrize("name", [{"color": 1.0}, {"translation": 0.25}, {"cutout": 0.5}], ids=str)
def test_each_strength_acts_alone_and_differs_from_image_to_image(name):
    image = torch.rand(1, 3, 8, 8)
    y = augmented(image.expand(50, 3, 8, 8), **name)
    assert len({tuple(after.flatten().tolist()) for after in y}) > 10
    assert torch.equal(augmented(image), image)


def test_without_strengths_images_are_handed_back_and_nothing_is_drawn():
    x, state = torch.rand(2, 1, 8, 8), torch.get_rng_state()
    assert augmented(x) is x and torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("channels", [1, 3])
def test_its_gradient_equals_finite_differences(channels):
    x = torch.rand(2, channels, 4, 4, dtype=torch.float64, requires_grad=True)

    def transform(x):
        torch.manual_seed(0)
        return DifferentiableAugmentation(translation=0.25, cutout=0.25).on_discriminator_input(None, x)

    assert torch.autograd.gradcheck(transform, x) and torch.autograd.gradgradcheck(transform, x)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize("channels", [1, 3])
def test_precision_shape_and_batches_of_one_are_kept(dtype, channels):
    x = torch.rand(1, channels, 8, 8).to(dtype)
    y = DifferentiableAugmentation().on_discriminator_input(None, x)
    assert y.dtype == dtype and y.shape == x.shape and y.isfinite().all()


def test_the_steps_of_both_players_use_augmented_images_and_pass_the_gradient(make_image_gan, batches):
    gan, x = make_image_gan(norm=None), batches(1, (1, 8, 8))[0]
    gan.stabilizers += [recorder := Recorder(), DifferentiableAugmentation()]
    step = gan.discriminator_step(x)
    raw = [call[1] for call in recorder.calls if call[0] == "input"]
    assert not torch.equal(step.real, raw[0]) and not torch.equal(step.fake, raw[1])
    step = gan.generator_step(x)
    assert not torch.equal(step.fake, recorder.calls[-2][1])
    step.loss.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in gan.generator.parameters())


def test_points_are_refused(make_gan):
    with pytest.raises(ValueError, match=r"DifferentiableAugmentation changes images .* the samples are \(2,\)"):
        DifferentiableAugmentation().apply_to(make_gan())


@pytest.mark.parametrize("arguments", [{"translation": 0.1}, {"cutout": 0.12}], ids=str)
def test_less_than_a_pixel_is_refused(make_image_gan, arguments):
    with pytest.raises(ValueError, match=r"less than a pixel of images of 8 × 8; expected a larger share"):
        DifferentiableAugmentation(**{**OFF, **arguments}).apply_to(make_image_gan())


def test_oblong_images_may_shift_along_the_longer_side_and_are_cut_by_the_shorter():
    gan = GAN(MLPGenerator((1, 8, 16), 3, width=4), MLPDiscriminator((1, 8, 16), width=4))
    DifferentiableAugmentation(translation=0.1).apply_to(gan)
    with pytest.raises(ValueError, match=r"cutout=0\.1"):
        DifferentiableAugmentation(cutout=0.1).apply_to(gan)
    x = torch.rand(20, 1, 8, 16)
    moved = augmented(x, translation=0.1)
    moves = [[r for r in (-1, 0, 1) if torch.equal(moved_by_slices(a, 0, r), b)] for a, b in zip(x, moved, strict=True)]
    assert all(len(fits) == 1 for fits in moves) and len({r for (r,) in moves}) == 3


@pytest.mark.parametrize("name", ["color", "translation", "cutout"])
@pytest.mark.parametrize("value", [-0.1, 1.5, math.nan])
def test_strengths_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"DifferentiableAugmentation\({name}={value}\): expected a number in \[0, 1"):
        DifferentiableAugmentation(**{name: value})
