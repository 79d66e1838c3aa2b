"""Similarity of pairs of images: structural, over several scales, and perceptual."""

import math
from types import SimpleNamespace
from urllib.error import URLError

import pytest
import torch
from torch import nn
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as ms_ssim

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


@pytest.mark.parametrize(("betas", "side"), [(TWO, 12), ((0.0448, 0.2856, 0.3001, 0.2363, 0.1333), 176)])
def test_ms_ssim_of_two_images_is_that_of_torchmetrics(betas, side):
    fake = images(side=side)
    fake[1] = (fake[0] + fake[1] / 5).clamp(-1, 1).add(1).mul(127.5).round() / 127.5 - 1
    expected = float(ms_ssim(fake[:1], fake[1:], data_range=2.0, betas=betas))
    assert 0.01 < expected < 0.999
    score = MultiScaleSSIM(4, betas) if betas == TWO else MultiScaleSSIM(4)
    assert figures(score, fake)["ms_ssim"] == pytest.approx(expected, rel=1e-4)


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
