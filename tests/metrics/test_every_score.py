"""Properties of every score: order, processes, kept statistics, samples that are refused, feature networks."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from all_scores import EVERY, add_fakes, filled, samples, shape_for
from torch import nn

from lightning_gans import metrics
from lightning_gans.data.base import GANData
from lightning_gans.metrics import FrechetDistance, Score

every_score = pytest.mark.parametrize("name", EVERY)


class Shaped(GANData):
    """A data module that has a shape and no data."""

    def __init__(self, *shape):
        super().__init__()
        self.shape = shape

    @property
    def sample_shape(self):
        return self.shape

    def load(self, split):
        raise NotImplementedError


def figures_of(name, real, fake, **kwargs):
    return filled(EVERY[name](), real, fake, **kwargs).figures()


def close(figures, expected, **tolerance):
    assert figures.keys() == expected.keys()
    for figure, value in expected.items():
        torch.testing.assert_close(figures[figure], value, **tolerance, msg=figure)


def test_every_score_is_tested_here():
    tested = {type(make()) for make in EVERY.values()}
    shared = {metrics.FeatureScore, metrics.KeptFeatures, metrics.PairScore, Score}
    assert {getattr(metrics, name) for name in metrics.__all__} == tested | shared


@every_score
def test_every_score_declares_the_names_of_its_figures(name):
    """A checkpoint that monitors another name is refused before training."""
    score = EVERY[name]()
    declared = score.figure_names or (score.name,)
    assert set(declared) == set(filled(score, *samples(name)).figures())


@every_score
def test_figures_are_finite_scalars_with_names_and_change_with_the_fakes(name):
    real, fake = samples(name)
    figures = figures_of(name, real, fake)
    assert all(value.dim() == 0 and value.isfinite() for value in figures.values())
    other = figures_of(name, real, fake[:1].expand_as(fake))
    floors = [figure for figure in figures if figure.endswith("_floor")]
    assert all(figure.removesuffix("_floor") in figures for figure in floors)
    assert any(other[figure] != value for figure, value in figures.items())


@every_score
def test_figures_do_not_depend_on_order_batches_or_random_numbers(name):
    real, fake = samples(name)
    expected = figures_of(name, real, fake)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    turned = figures_of(name, real.flip(0), fake.roll(7, 0), parts=1)
    assert torch.equal(torch.get_rng_state(), before)
    close(turned, expected, rtol=1e-4, atol=1e-6)


@every_score
def test_real_statistics_can_be_kept_and_restored(name):
    real, fake = samples(name)
    score = filled(EVERY[name](), real, fake)
    state = {key: value.clone() for key, value in score.real_state().items()}
    assert bool(state) is score.uses_real
    again = EVERY[name]()
    again.load_real_state(state)
    add_fakes(again, fake)
    close(again.figures(), score.figures(), rtol=1e-4, atol=1e-6)
    again.reset()
    filled(again, fake, real)
    swapped = again.figures()
    close(swapped, figures_of(name, fake, real), rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_two_processes_have_the_figures_of_one(tmp_path):
    program = Path(__file__).with_name("all_scores.py")
    done = subprocess.run(
        [sys.executable, program, tmp_path / "store"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines() == [f"{name}: equal" for name in EVERY]


@every_score
def test_samples_with_nan_are_refused(name):
    real, _ = samples(name)
    real[3] = torch.nan
    real[5].view(-1)[0] = torch.inf
    score = EVERY[name]()
    with pytest.raises(ValueError, match="2 of 40 samples hold NaN or infinity; the generator has diverged"):
        score.update(real, real=False)


@every_score
def test_one_sample_is_too_few_where_a_figure_needs_more(name):
    real, fake = samples(name)
    score = filled(EVERY[name](), real, fake[:1], parts=1)
    if score.least_samples == 1:
        assert score.figures()
    else:
        with pytest.raises(ValueError, match=f"1 fake samples; expected at least {score.least_samples}; give more"):
            score.compute()
    if score.least_samples > 1 and name not in ("is", "ms-ssim", "lpips"):
        score = filled(EVERY[name](), real[:0], fake, parts=1)
        with pytest.raises(ValueError, match="0 real samples; expected at least"):
            score.compute()


def test_figures_of_real_samples_are_left_out_without_real_samples():
    for name, left_out in ("classes", "kl_real"), ("is", "is_real"), ("ms-ssim", "ms_ssim_real"):
        real, fake = samples(name)
        score = EVERY[name]()
        score.update(fake, real=False)
        figures, whole = score.figures(), figures_of(name, real, fake)
        assert left_out in whole and left_out not in figures
        rest = {key: value for key, value in whole.items() if not key.startswith(left_out)}
        close(figures, rest, rtol=1e-4, atol=1e-6)


@every_score
def test_a_data_module_of_another_shape_is_refused_before_the_run(name):
    score = EVERY[name]()
    score.fit_data(Shaped(*shape_for(name)))
    score.fit_data(object())  # a data module without a shape
    filled(score, *samples(name))
    if name in ("modes", "classes", "stacked classes", "is", "ms-ssim", "lpips", "digits"):
        other = (1, 5, 5, 5) if name != "modes" else (3,)
        with pytest.raises(ValueError, match="shape") as raised:
            EVERY[name]().fit_data(Shaped(*other))
        assert "\n" not in str(raised.value)


@every_score
def test_a_score_is_not_in_a_state_dict_and_copies_are_independent(name):
    real, fake = samples(name)
    score = filled(EVERY[name](), real, fake)
    holder = nn.ModuleList([score])
    assert not holder.state_dict()
    assert not list(holder.parameters())
    other = copy.deepcopy(score)
    other.reset()
    close(score.figures(), figures_of(name, real, fake), rtol=1e-6, atol=0)


def constant(name):
    real, _ = samples(name)
    return real, torch.zeros_like(real)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("modes", {"modes": 1, "high_quality": 1, "sigma_ratio": 0}),
        ("classes", {"classes": 1}),
        ("is", {"is": 1, "is_std": 0}),
        ("precision and recall", {"recall": 0}),
        ("diversity", {"diversity": 0}),
        ("ms-ssim", {"ms_ssim": 1}),
        ("lpips", {"lpips": 0}),
    ],
)
def test_constant_fakes_have_the_expected_figures(name, expected):
    real, fake = constant(name)
    figures = figures_of(name, real, fake)
    assert all(value.isfinite() for value in figures.values())
    for figure, value in expected.items():
        assert figures[figure].item() == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("name", ["density and coverage", "diversity", "neighbour", "bins"])
def test_constant_reals_are_refused_where_figures_are_undefined(name):
    real, fake = constant(name)
    with pytest.raises(
        ValueError, match=r"undefined; give real samples that differ|only 1 real samples? differ"
    ) as found:
        figures_of(name, fake, real)
    assert "\n" not in str(found.value)


def test_constant_reals_have_figures_where_these_are_defined():
    real, fake = constant("fd")
    spread = figures_of("fd", fake, real)["fd"]
    features = EVERY["fd"]().extract(real).double()
    torch.testing.assert_close(spread.double(), features.mean(0).square().sum() + features.var(0).sum())
    assert figures_of("precision and recall", fake, fake) == {"precision": 1, "recall": 1}


# ---------------------------------------------------------------- feature networks


class Wrong(nn.Module):
    num_features = 4

    def forward(self, x):
        return x.flatten(1)


def test_a_feature_network_must_declare_the_width_of_its_features():
    with pytest.raises(ValueError, match=r"FrechetDistance\(features=Linear\): expected a network with num_features"):
        FrechetDistance(nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"Wrong returned shape \(1, 2\), expected \(1, 4\); correct its num_features"):
        FrechetDistance(Wrong()).fit_data(Shaped(2))


def test_a_feature_network_is_frozen_and_in_evaluation_mode():
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(2), nn.Linear(2, 2))
    network.num_features = 2
    score = metrics.PrecisionRecall(network)
    assert score.network is network and not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    holder = nn.ModuleList([score])
    assert not holder.state_dict() and not list(holder.parameters()) and network not in set(holder.modules())
    running = network[1].running_mean.clone()
    filled(score, *samples("neighbour"))
    assert torch.equal(network[1].running_mean, running)
    assert metrics.PrecisionRecall().network is None
    score.to("meta")
    assert network[2].weight.device.type == score.device.type == "meta"


def test_half_precision_fakes_are_accepted():
    real, fake = samples("fd")
    half = figures_of("fd", real, fake.bfloat16())["fd"]
    torch.testing.assert_close(half, figures_of("fd", real, fake.bfloat16().float())["fd"])
