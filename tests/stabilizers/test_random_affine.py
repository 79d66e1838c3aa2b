"""Random turns, sizes, shifts and mirror images: each against plain loops, its range, and gradients."""

import math

import pytest
import torch
from helpers import Recorder

from lightning_gans import GAN
from lightning_gans.networks import MLPDiscriminator, MLPGenerator
from lightning_gans.stabilizers import RandomAffine

OFF = {"rotation": 0.0, "zoom": 0.0, "shift": 0.0, "flip": 0.0, "quarter_turns": 0.0, "stretch": 0.0}
SHAPE = (20, 1, 12, 8)


def changed(x, **arguments):
    return RandomAffine(**{**OFF, **arguments}).on_discriminator_input(None, x)


def slopes(height, width):
    """Two images whose values are the position, in pixels from the middle, to the right and down."""
    right = torch.arange(width, dtype=torch.float64) - (width - 1) / 2
    down = torch.arange(height, dtype=torch.float64) - (height - 1) / 2
    return right.expand(1, height, width), down[:, None].expand(1, height, width)


def read(**arguments):
    """Of each of 20 images, where the pixels of a square of four in the middle are read, (20, 4, 2)."""
    torch.manual_seed(0)
    images = [one.expand(SHAPE) for one in slopes(*SHAPE[2:])]
    places = []
    for one in images:
        torch.manual_seed(3)
        places.append(changed(one.contiguous(), **arguments)[:, 0, 5:7, 3:5].flatten(1))
    return torch.stack(places, -1)


CORNERS = torch.tensor([[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]], dtype=torch.float64)


def test_a_turn_keeps_distances_and_the_middle_of_any_image_and_has_its_range():
    places = read(rotation=30.0)
    assert torch.allclose(places.mean(1), torch.zeros(20, 2, dtype=torch.float64), atol=1e-12)
    across = places[:, 1] - places[:, 0]
    angles = torch.rad2deg(torch.atan2(across[:, 1], across[:, 0]))
    assert torch.allclose(across.norm(dim=1), torch.ones(20, dtype=torch.float64))
    assert (angles.abs() <= 30).all() and angles.max() > 15 and angles.min() < -15
    for place, angle in zip(places, torch.deg2rad(angles).tolist(), strict=True):
        turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]).double()
        assert torch.allclose(place, CORNERS @ turn.T, atol=1e-6)


def test_a_size_is_a_factor_around_the_middle():
    sizes = (read(zoom=0.4) / CORNERS).flatten(1)
    assert torch.allclose(sizes, sizes[:, :1].expand(-1, 8))
    assert (sizes - 1).abs().max() <= 0.4 and sizes.max() > 1.2 and sizes.min() < 0.8


def test_a_shift_is_a_share_of_each_side():
    moved = read(shift=0.25) - CORNERS
    assert torch.allclose(moved, moved[:, :1].expand(-1, 4, -1), atol=1e-12)
    for side, along in zip((8, 12), moved[:, 0].unbind(1), strict=True):
        assert along.abs().max() <= side / 4 and along.max() - along.min() > side / 4


def test_a_stretch_changes_the_ratio_of_the_sides_and_keeps_the_area():
    across, along = (read(stretch=0.5) / CORNERS).unbind(2)
    assert torch.allclose(across, across[:, :1].expand(-1, 4)) and torch.allclose(along, along[:, :1].expand(-1, 4))
    assert torch.allclose(across * along, torch.ones(20, 4, dtype=torch.float64))
    ratios = (across / along)[:, 0]
    assert (ratios - 1).abs().max() <= 0.5 and ratios.max() > 1.25 and ratios.min() < 0.75


def test_a_stretch_is_along_the_sides_of_the_changed_image():
    places = read(rotation=90.0, stretch=0.5)
    across, down = places[:, 1] - places[:, 0], places[:, 2] - places[:, 0]
    assert torch.allclose((across * down).sum(1), torch.zeros(20, dtype=torch.float64), atol=1e-6)
    assert torch.allclose(across.norm(dim=1) * down.norm(dim=1), torch.ones(20, dtype=torch.float64))


def mirrored(image):
    return [row[::-1] for row in image]


def turned(image):
    """A quarter turn, counter-clockwise: the last column is the first row."""
    return [list(column) for column in zip(*image, strict=True)][::-1]


def test_a_flip_mirrors_a_share_of_the_images_left_to_right_and_changes_no_value():
    torch.manual_seed(0)
    x = torch.rand(400, 2, 3, 5)
    y = changed(x, flip=0.25)
    flipped = [image.tolist() == [mirrored(one) for one in old.tolist()] for image, old in zip(y, x, strict=True)]
    assert all(flip or torch.equal(image, old) for flip, image, old in zip(flipped, y, x, strict=True))
    assert 70 < sum(flipped) < 130
    assert torch.equal(changed(x, flip=1.0), x.flip(3))


def test_quarter_turns_are_of_three_kinds_each_as_likely_and_change_no_value():
    torch.manual_seed(0)
    x = torch.rand(600, 1, 3, 3)
    counts = [0] * 4
    for image, old in zip(changed(x, quarter_turns=0.75)[:, 0].tolist(), x[:, 0].tolist(), strict=True):
        kinds = [old, turned(old), turned(turned(old)), turned(turned(turned(old)))]
        counts[kinds.index(image)] += 1
    assert all(110 < count < 190 for count in counts), counts


def test_beyond_the_edge_its_values_are_repeated():
    torch.manual_seed(0)
    black = torch.full(SHAPE, -1.0)
    assert torch.allclose(changed(black, rotation=180.0, zoom=0.5, shift=0.5), black)


def test_every_image_has_its_own_numbers_and_the_channels_of_one_share_them():
    x = torch.rand(1, 1, 8, 8).expand(6, 3, -1, -1)
    y = changed(x, rotation=20.0)
    assert torch.equal(y[:, 0], y[:, 2]) and len({tuple(one.flatten().tolist()) for one in y}) == 6


@pytest.mark.parametrize("name", list(OFF))
def test_each_number_changes_what_it_names_and_0_draws_nothing(name):
    x = torch.rand(4, 1, 8, 8)
    assert not torch.equal(changed(x, **{name: 0.8 if name != "rotation" else 30.0}), x)
    state = torch.get_rng_state()
    assert changed(x) is x and torch.equal(torch.get_rng_state(), state)


def test_its_gradient_equals_finite_differences():
    x = torch.rand(2, 1, 4, 5, dtype=torch.float64, requires_grad=True)

    def transform(x):
        torch.manual_seed(0)
        return RandomAffine(flip=0.5, stretch=0.2).on_discriminator_input(None, x)

    assert torch.autograd.gradcheck(transform, x)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_precision_shape_and_batches_of_one_are_kept(dtype):
    x = torch.rand(1, 3, 8, 8).to(dtype)
    y = RandomAffine(flip=0.5, quarter_turns=0.5, stretch=0.2).on_discriminator_input(None, x)
    assert y.dtype == dtype and y.shape == x.shape and y.isfinite().all()


def test_the_steps_of_both_players_use_changed_images_and_pass_the_gradient(make_image_gan, batches):
    gan, x = make_image_gan(norm=None), batches(1, (1, 8, 8))[0]
    gan.stabilizers += [recorder := Recorder(), RandomAffine()]
    step = gan.discriminator_step(x)
    raw = [call[1] for call in recorder.calls if call[0] == "input"]
    assert not torch.equal(step.real, raw[0]) and not torch.equal(step.fake, raw[1])
    gan.generator_step(x).loss.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in gan.generator.parameters())


def test_quarter_turns_of_other_than_square_images_are_refused():
    gan = GAN(MLPGenerator((1, 4, 6), 3, width=4), MLPDiscriminator((1, 4, 6), width=4))
    with pytest.raises(ValueError, match=r"RandomAffine\(quarter_turns=0.5\): images of 4 × 6 are not square; use 0"):
        RandomAffine(quarter_turns=0.5).apply_to(gan)
    RandomAffine().apply_to(gan)


def test_points_are_refused(make_gan):
    with pytest.raises(ValueError, match=r"RandomAffine turns images \(C, H, W\), but the samples are \(2,\)"):
        RandomAffine().apply_to(make_gan())


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("rotation", -1.0, "from 0 to 180"),
        ("rotation", math.nan, "from 0 to 180"),
        ("rotation", 181.0, "from 0 to 180"),
        ("zoom", 1.0, r"in \[0, 1\)"),
        ("shift", -0.1, r"in \[0, 1\)"),
        ("stretch", 1.0, r"in \[0, 1\)"),
        ("flip", 1.5, r"in \[0, 1\]"),
        ("quarter_turns", math.nan, r"in \[0, 1\]"),
    ],
)
def test_numbers_out_of_range_are_refused(name, value, expected):
    with pytest.raises(ValueError, match=rf"RandomAffine\({name}={value}\): expected a number {expected}, such as"):
        RandomAffine(**{name: value})
