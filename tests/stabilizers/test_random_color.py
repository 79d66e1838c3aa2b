"""Random colours: against the product of the paper's 4 × 4 matrices, what each part keeps, ranges, and gradients."""

import math

import pytest
import torch
from helpers import Recorder, small_image_gan
from torch import nn

from lightning_gans import GAN
from lightning_gans.networks import MLPDiscriminator, MLPGenerator
from lightning_gans.stabilizers import RandomColor

OFF = {"brightness": 0.0, "contrast": 0.0, "luma_flip": 0.0, "hue": 0.0, "saturation": 0.0}
RED, GREEN, BLUE = torch.eye(3, dtype=torch.float64)


def changed(x, seed=0, **arguments):
    torch.manual_seed(seed)
    return RandomColor(**{**OFF, **arguments}).on_discriminator_input(None, x)


def colors(num=500):
    """Images of one pixel whose colours are random."""
    return torch.rand(num, 3, 1, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 2 - 1


def matrices_of(**arguments):
    """The affine map of each of 500 images, read from what becomes of black, red, green and blue: (500, 4, 4)."""
    ends = [
        changed(color.view(1, 3, 1, 1).expand(500, -1, 1, 1).contiguous(), **arguments).flatten(1)
        for color in (0 * RED, RED, GREEN, BLUE)
    ]
    matrix = torch.eye(4, dtype=torch.float64).repeat(500, 1, 1)
    matrix[:, :3, 3] = ends[0]
    matrix[:, :3, :3] = torch.stack([end - ends[0] for end in ends[1:]], 2)
    return matrix


def only(**arguments):
    return matrices_of(**arguments)


def test_all_together_are_the_product_of_the_papers_matrices_in_its_order():
    """With the same random numbers, each part alone gives its factor."""
    numbers = {"brightness": 0.4, "contrast": 0.7, "luma_flip": 0.5, "hue": 120.0, "saturation": 0.8}
    product = torch.eye(4, dtype=torch.float64).expand(500, 4, 4)
    for name, number in numbers.items():
        product = only(**{name: number}) @ product
    torch.testing.assert_close(matrices_of(**numbers), product)


def test_brightness_is_added_to_all_values():
    matrix = only(brightness=0.3)
    shift = matrix[:, 0, 3]
    assert torch.allclose(matrix[:, :3, 3], shift[:, None].expand(-1, 3))
    torch.testing.assert_close(matrix[:, :3, :3], torch.eye(3, dtype=torch.float64).expand(500, 3, 3))
    assert shift.mean().abs() < 0.05 and abs(shift.std() - 0.3) < 0.03


def test_contrast_is_a_factor_whose_logarithm_is_normal():
    matrix = only(contrast=0.5)
    factor = matrix[:, 0, 0].clone()
    torch.testing.assert_close(matrix[:, :3, :3], torch.eye(3, dtype=torch.float64) * factor[:, None, None])
    assert matrix[:, :3, 3].abs().max() < 1e-12
    assert factor.log2().mean().abs() < 0.08 and abs(factor.log2().std() - 0.5) < 0.05


def test_a_luma_flip_reflects_a_share_of_the_images_at_the_plane_of_no_luma():
    grey = torch.ones(3, dtype=torch.float64) / math.sqrt(3)
    reflection = torch.eye(3, dtype=torch.float64) - 2 * torch.outer(grey, grey)
    matrix = only(luma_flip=0.25)[:, :3, :3]
    flipped = (matrix - reflection).abs().amax((1, 2)) < 1e-12
    assert ((matrix - torch.eye(3)).abs().amax((1, 2))[~flipped] < 1e-12).all()
    assert 90 < flipped.sum() < 160


def test_hue_is_a_rotation_around_the_grey_axis_within_its_range():
    matrix = only(hue=60.0)[:, :3, :3]
    torch.testing.assert_close(matrix @ matrix.mT, torch.eye(3, dtype=torch.float64).expand(500, 3, 3))
    torch.testing.assert_close(matrix.det(), torch.ones(500, dtype=torch.float64))
    torch.testing.assert_close(matrix.sum(2), torch.ones(500, 3, dtype=torch.float64))
    angle = torch.rad2deg(((matrix.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1).acos())
    assert 55 < angle.max() <= 60 + 1e-6 and abs(angle.mean() - 30) < 3
    assert 200 < (matrix[:, 1, 0] > matrix[:, 0, 1]).sum() < 300, "both directions"


def test_saturation_scales_the_distance_from_grey_and_keeps_the_luma():
    x, y = colors(), changed(colors(), saturation=1.0)
    torch.testing.assert_close(y.mean(1), x.mean(1))
    ratios = ((y - y.mean(1, keepdim=True)) / (x - x.mean(1, keepdim=True))).flatten(1)
    assert torch.allclose(ratios, ratios[:, :1].expand(-1, 3))
    assert ratios[:, 0].log2().mean().abs() < 0.15 and abs(ratios[:, 0].log2().std() - 1) < 0.1


def test_an_image_of_one_channel_is_shifted_scaled_and_inverted():
    x = torch.tensor([-0.5, 0.0, 0.75], dtype=torch.float64).view(1, 1, 1, 3).expand(200, -1, -1, -1)
    numbers = {"brightness": 0.4, "contrast": 0.7, "luma_flip": 0.5}
    y = changed(x, **numbers, hue=90.0, saturation=1.0)
    grey = changed(x.expand(-1, 3, -1, -1), **numbers)
    torch.testing.assert_close(y, grey[:, :1])
    assert changed(x, hue=90.0, saturation=1.0) is x


@pytest.mark.parametrize("name", list(OFF))
def test_each_number_changes_what_it_names_and_0_draws_nothing(name):
    x = torch.rand(4, 3, 8, 8)
    assert not torch.allclose(changed(x, **{name: 0.9}), x)
    state = torch.get_rng_state()
    assert RandomColor(**OFF).on_discriminator_input(None, x) is x and torch.equal(torch.get_rng_state(), state)


def test_every_image_has_its_own_numbers_and_its_pixels_share_them():
    x = torch.rand(1, 3, 1, 1).expand(6, -1, 4, 4)
    y = changed(x, hue=180.0, brightness=0.2)
    assert torch.equal(y[..., 0, 0], y[..., 2, 3]) and len({tuple(one.flatten().tolist()) for one in y}) == 6


def test_its_gradient_equals_finite_differences():
    x = torch.rand(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)

    def transform(x):
        torch.manual_seed(0)
        return RandomColor().on_discriminator_input(None, x)

    assert torch.autograd.gradcheck(transform, x)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize("channels", [1, 3])
def test_precision_shape_and_batches_of_one_are_kept(dtype, channels):
    x = torch.rand(1, channels, 8, 8).to(dtype)
    y = RandomColor().on_discriminator_input(None, x)
    assert y.dtype == dtype and y.shape == x.shape and y.isfinite().all()


def test_the_steps_of_both_players_use_changed_images_and_pass_the_gradient(batches):
    gan, x = small_image_gan(norm=None), batches(1, (1, 8, 8))[0]
    gan.stabilizers += [recorder := Recorder(), RandomColor()]
    step = gan.discriminator_step(x)
    raw = [call[1] for call in recorder.calls if call[0] == "input"]
    assert not torch.equal(step.real, raw[0]) and not torch.equal(step.fake, raw[1])
    gan.generator_step(x).loss.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in gan.generator.parameters())


@pytest.mark.parametrize("shape", [(2,), (2, 4, 4)])
def test_samples_without_colours_are_refused(shape):
    gan = GAN(MLPGenerator(shape, 3, width=4), MLPDiscriminator(shape, width=4, activation=nn.ReLU))
    with pytest.raises(ValueError, match=r"RandomColor changes images of 1 or 3 channels \(C, H, W\), but the samples"):
        RandomColor().apply_to(gan)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("brightness", -0.1, "of at least 0"),
        ("contrast", math.inf, "of at least 0"),
        ("saturation", math.nan, "of at least 0"),
        ("luma_flip", 1.1, r"in \[0, 1\]"),
        ("hue", 181.0, "from 0 to 180"),
    ],
)
def test_numbers_out_of_range_are_refused(name, value, expected):
    with pytest.raises(ValueError, match=rf"RandomColor\({name}={value}\): expected a number {expected}, such as"):
        RandomColor(**{name: value})
