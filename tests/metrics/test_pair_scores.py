"""Similarity of pairs of images: structural, over several scales, and perceptual."""

import math
from types import SimpleNamespace
from urllib.error import URLError

import pytest
import torch
from torch import nn

from lightning_gans.metrics import LPIPSDiversity, MultiScaleSSIM

TWO = (0.5, 0.5)


def images(size=2, channels=1, side=12, seed=0):
    source = torch.Generator().manual_seed(seed)
    return torch.rand(size, channels, side, side, generator=source).mul(255).round() / 127.5 - 1


def figures(score, fake, real=None):
    score.update(fake, real=False)
    if real is not None:
        score.update(real, real=True)
    return {name: float(value) for name, value in score.figures().items()}


class Brightness(nn.Module):
    """Records its inputs, and returns the difference of two images in brightness."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x, y):
        self.seen.append(x)
        return (x - y).mean((1, 2, 3), keepdim=True).abs()


def picture(side=176, channels=1, shift=0, phase=0.0):
    """A picture of bytes, the same on every machine, in [−1, 1]."""
    i = torch.arange(side, dtype=torch.float64)
    c = torch.arange(channels, dtype=torch.float64)[:, None, None]
    x = 60 * torch.sin(i[:, None] / 7 + phase + c) + 40 * torch.cos(i / 5 - c)
    x = x + 20 * torch.sin(i[:, None] * i / 900 + phase) + 127.5
    return (x + shift).round().clamp(0, 255).float()[None] / 127.5 - 1


# pytorch-msssim 1.0.0: ms_ssim(a, b, data_range=1.0), and with weights=[0.0448, 0.2856, 0.3001], of the pictures
# as float64 in [0, 1]
PAIRS = {
    "brightness": (lambda: (picture(shift=-13), picture(shift=13)), 0.9972056840800367, 0.992253512467169),
    "phase": (lambda: (picture(), picture(phase=0.5)), 0.9041836800796933, 0.9376777771632023),
    "colour": (lambda: (picture(192, 3), picture(192, 3, phase=1.0)), *(0.680120462699847, 0.7877617246008574)),
    "black": (lambda: (picture() * 0 - 1, picture()), 0.01878202628331702, 0.019769960639605188),
}


@pytest.mark.parametrize("name", PAIRS)
def test_ms_ssim_of_two_images_is_that_of_pytorch_msssim(name):
    make, five, three = PAIRS[name]
    fake = torch.cat(make())
    assert figures(MultiScaleSSIM(2), fake)["ms_ssim"] == pytest.approx(five, rel=1e-5)
    assert figures(MultiScaleSSIM(2, (0.0448, 0.2856, 0.3001)), fake)["ms_ssim"] == pytest.approx(three, rel=1e-5)


def test_a_scale_of_ms_ssim_is_its_formula_by_loops():
    """On 14 × 14 pixels, at every place of a window of 11."""
    fake = images(side=14)
    x, y = ((fake.double() + 1) / 2)[:, 0]
    window = torch.tensor([[math.exp(-((i - 5) ** 2 + (j - 5) ** 2) / 4.5) for j in range(11)] for i in range(11)])
    window = (window / window.sum()).double()
    found = []
    for i in range(4):
        for j in range(4):
            a, b = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            variances = (window * (a - mean_a) ** 2).sum() + (window * (b - mean_b) ** 2).sum()
            covariance = (window * (a - mean_a) * (b - mean_b)).sum()
            luminance = (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
            found.append(luminance * (2 * covariance + 9e-4) / (variances + 9e-4))
    expected = torch.stack(found).mean().clamp(min=0) ** 0.7
    assert figures(MultiScaleSSIM(1, (0.7,)), fake)["ms_ssim"] == pytest.approx(expected.item(), rel=1e-4, abs=1e-5)


def test_a_generator_of_one_picture_in_several_brightnesses_has_no_variety():
    brightness = torch.linspace(-0.1, 0.1, 9).view(-1, 1, 1, 1)
    score = MultiScaleSSIM(30, (0.0448, 0.2856, 0.3001))
    assert figures(score, 0.8 * picture(side=64) + brightness)["ms_ssim"] > 0.99


def test_ms_ssim_is_reported_for_fakes_and_reals():
    real = images(9)
    found = figures(MultiScaleSSIM(30, TWO), real[:1].expand(9, -1, -1, -1), real)
    assert found["ms_ssim"] == pytest.approx(1) and found["ms_ssim_real"] < 0.3


def test_pairs_are_of_different_images_and_depend_on_number_and_seed():
    fake = torch.linspace(-1, 1, 5).view(-1, 1, 1, 1).expand(-1, 3, 64, 64)
    distance = Brightness()
    plain = figures(LPIPSDiversity(200, distance), fake)["lpips"]
    assert plain == pytest.approx(1.0, abs=0.1)  # mean distance of two of five levels that are 1/2 apart
    assert [len(x) for x in distance.seen] == [64, 64, 64, 8]
    assert figures(LPIPSDiversity(201, distance), fake)["lpips"] != plain
    assert figures(LPIPSDiversity(200, distance, seed=1), fake)["lpips"] != plain
    for seed in range(9):
        assert figures(LPIPSDiversity(1, Brightness(), seed=seed), fake[:2])["lpips"] == pytest.approx(0.502, abs=0.01)


def test_ms_ssim_depends_on_the_betas():
    fake = images() / 9 + images(1, seed=1) / 2
    assert (
        0 < figures(MultiScaleSSIM(5, (0.9, 0.5)), fake)["ms_ssim"] < figures(MultiScaleSSIM(5, TWO), fake)["ms_ssim"]
    )


def test_the_network_of_lpips_gets_three_channels_and_at_least_64_pixels():
    for channels, side, shown in (1, 28, 64), (3, 70, 70):
        distance = Brightness()
        figures(LPIPSDiversity(3, distance), images(4, channels, side))
        assert distance.seen[0].shape == (3, 3, shown, shown)
        assert not distance.training and distance.seen[0].min() >= -1


def test_lpips_is_that_of_torchmetrics_on_alexnet(monkeypatch):
    import torchvision

    layers = nn.Sequential(
        *[nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)],
        *[nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)],
        *[nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()],
        *[nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)],
    )
    monkeypatch.setattr(torchvision.models, "alexnet", lambda weights: SimpleNamespace(features=layers))
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    fake = images(2, 3, 64)
    expected = float(LearnedPerceptualImagePatchSimilarity("alex")(fake[:1], fake[1:]))
    assert expected > 1e-5
    assert figures(LPIPSDiversity(3), fake)["lpips"] == pytest.approx(expected, rel=1e-4)


def test_weights_that_cannot_be_downloaded_are_refused_in_one_line(monkeypatch):
    import torchvision

    def download(weights):
        raise URLError("no route\nto host")

    monkeypatch.setattr(torchvision.models, "alexnet", download)
    with pytest.raises(
        ValueError, match=r"LPIPSDiversity: AlexNet's weights cannot be loaded .*; or give a distance"
    ) as found:
        LPIPSDiversity()
    assert "\n" not in str(found.value)


def test_images_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="images are 28 × 28, expected at least 176 × 176; use fewer betas"):
        MultiScaleSSIM().update(images(side=28), real=False)
    for scales, side in (4, 99), (3, 44), (2, 12), (1, 11):
        score = MultiScaleSSIM(3, (0.5,) * scales)
        figures(score, images(side=side))
        with pytest.raises(ValueError, match=f"expected at least {side} × {side}"):
            score.update(images(side=side - 1), real=False)
    with pytest.raises(ValueError, match=r"MultiScaleSSIM: samples of shape \(2,\); expected images"):
        MultiScaleSSIM().update(torch.zeros(3, 2), real=False)
    with pytest.raises(ValueError, match="LPIPSDiversity: images of 2 channels; expected 1 or 3"):
        LPIPSDiversity(3, Brightness()).update(images(channels=2), real=False)


@pytest.mark.parametrize("settings", [{"num_pairs": 0}, {"seed": -1}])
def test_arguments_out_of_range_are_refused(settings):
    name, value = next(iter(settings.items()))
    with pytest.raises(ValueError, match=rf"MultiScaleSSIM\({name}={value}\): expected a whole number of at least"):
        MultiScaleSSIM(**settings)
    for betas in ((), (0.5, 0.0), (math.nan,)):
        with pytest.raises(ValueError, match=r"expected a finite number above 0 for each scale"):
            MultiScaleSSIM(betas=betas)
