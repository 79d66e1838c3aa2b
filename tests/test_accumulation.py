"""Batches in parts: the gradient of the whole batch, or one line before anything is trained."""

import pytest
import torch
from helpers import sgds, small_gan, small_image_gan, with_fixed_latents
from torch import nn
from torch.utils.data import DataLoader

from lightning_gans import GAN, SEPGAN, UnrolledGAN
from lightning_gans.networks import DCGANGenerator, DigitClassifier, StochasticEnsembleGenerator
from lightning_gans.objectives import Hinge, LeastSquares, Minimax, Relativistic, RelativisticAverage, ZeroSum
from lightning_gans.stabilizers import (
    DRAGANPenalty,
    FeatureMatching,
    GradientPenalty,
    HistoricalAveraging,
    JSRegularizer,
    LabelSmoothing,
    MinibatchDiscrimination,
    MinibatchStdDev,
    Packing,
    R1Penalty,
    R2Penalty,
    WeightDecay,
)
from lightning_gans.targets import Classes, Labels, MarginalEntropy, OwnGuess, PerRoute

AVERAGES = [RelativisticAverage(), RelativisticAverage(LeastSquares()), ZeroSum(RelativisticAverage(Hinge()))]
PLAYERS = ("discriminator", "generator")
both_players = pytest.mark.parametrize("player", PLAYERS)


def in_parts(number):
    return {f"{player}_accumulation": number for player in PLAYERS}


# ---------------------------------------------------------------- what may be taken in parts


def loss_in_parts(loss, x, number):
    """The mean of a loss over parts, weighted by their sizes."""
    return sum(loss(part) * len(part) / len(x) for part in x.tensor_split(number))


@pytest.mark.parametrize("number", [2, 4, 8])
def test_an_objective_says_whether_its_loss_is_a_mean_over_samples(objective, number):
    """Any other loss of the whole batch differs from the mean of the losses of its parts."""
    pairs = 3 * torch.randn(12, 2, dtype=torch.float64)

    def of_discriminator(pairs):
        return objective.discriminator_loss(*pairs.unbind(1))

    def of_generator(pairs):
        return objective.generator_loss(*pairs.unbind(1))

    for player, loss in (("discriminator", of_discriminator), ("generator", of_generator)):
        same = torch.allclose(loss_in_parts(loss, pairs, number), loss(pairs), rtol=1e-10)
        assert same == (player not in objective.needs_whole_batch)


def test_every_composition_of_an_average_needs_the_whole_batch():
    assert all(objective.needs_whole_batch == PLAYERS for objective in AVERAGES)
    assert not any(one.needs_whole_batch for one in (Minimax(), ZeroSum(), Relativistic(LeastSquares())))


@pytest.mark.parametrize("number", [2, 4, 8])
@pytest.mark.parametrize(
    "target", [Classes([1]), Labels(), PerRoute(), OwnGuess(), MarginalEntropy(weight=0.0), MarginalEntropy()], ids=repr
)
def test_a_target_says_whether_its_loss_is_a_mean_over_samples(target, number):
    rows = torch.randn(12, 5, dtype=torch.float64)
    joined = torch.cat([rows, torch.arange(12)[:, None] % 5], dim=1)

    def loss(rows):
        return target.loss(rows[:, :5], rows[:, 5].long())

    same = torch.allclose(loss_in_parts(loss, joined, number), loss(joined), rtol=1e-10)
    assert same == (target.needs_whole_batch == ())


# ---------------------------------------------------------------- the gradient of the whole batch

EXACT = {  # without random numbers of their own, which would differ between parts
    "R1Penalty": lambda: [R1Penalty(2.0)],
    "R2Penalty": lambda: [R2Penalty(2.0)],
    "JSRegularizer": lambda: [JSRegularizer(2.0)],
    "GradientPenalty": lambda: [GradientPenalty(2.0)],
    "LabelSmoothing": lambda: [LabelSmoothing(0.9, 0.1)],
    "HistoricalAveraging": lambda: [HistoricalAveraging(0.5, 0.5)],
    "WeightDecay": lambda: [WeightDecay(0.5)],
    "Packing": lambda: [Packing(2)],
    "Packing and R1Penalty": lambda: [Packing(2), R1Penalty(2.0)],
    "FeatureMatching without weight": lambda: [FeatureMatching(0.0, replace=False)],
}


@pytest.mark.parametrize("name", EXACT)
def test_stabilizers_give_the_update_and_the_record_of_the_whole_batch(name, batches, weights, monkeypatch):
    real_uniform = torch.rand
    monkeypatch.setattr(torch, "rand", lambda *args, **kwargs: real_uniform(*args, **kwargs).fill_(0.3))
    ends, records = [], []
    for number in (1, 2, 4, 8) if "Packing" not in name else (1, 2, 4):
        torch.manual_seed(0)
        gan = with_fixed_latents(small_gan(**in_parts(number)).double(), 16)
        for stabilizer in EXACT[name]():
            gan.stabilizers.append(stabilizer)
            stabilizer.apply_to(gan)
        gan = gan.double()
        for x in batches(3, size=16):
            steps = gan.train_batch(x.double(), *sgds(gan, lr=0.1))
        ends.append(weights(gan))
        records.append([step.loss for step in steps.values()] + [x for s in steps.values() for x in s.terms.values()])
    for end, record in zip(ends[1:], records[1:], strict=True):
        torch.testing.assert_close(end, ends[0], atol=1e-10, rtol=0)
        torch.testing.assert_close(record, records[0], atol=1e-10, rtol=0)


def test_the_step_of_a_batch_in_parts_has_all_its_samples(make_gan, batches):
    steps = []
    for number in (1, 3):
        gan = with_fixed_latents(make_gan(2, objective=Relativistic(), **in_parts(number)), 8)
        gan.stabilizers.append(R1Penalty())
        batch = batches(1, num_classes=2)[0]
        steps.append(gan.train_batch(list(batch), *sgds(gan, lr=0.0)))
    for player in PLAYERS:
        whole, parts = steps[0][player], steps[1][player]
        for name in ("loss", "fake", "fake_logits", "real", "real_logits", "labels", "terms"):
            torch.testing.assert_close(getattr(parts, name), getattr(whole, name), atol=1e-6, rtol=1e-5)
        assert parts.discriminator is whole.discriminator or isinstance(parts.discriminator, nn.Module)


# ---------------------------------------------------------------- refused


@both_players
@pytest.mark.parametrize("objective", AVERAGES, ids=repr)
def test_an_average_in_parts_is_refused_before_anything_is_trained(make_gan, fit, batches, weights, objective, player):
    gan = make_gan(objective=objective, **{f"{player}_accumulation": 4})
    before = weights(gan)
    says = rf"{player}_accumulation=4 beside .*RelativisticAverage.*; set {player}_accumulation to 1"
    with pytest.raises(ValueError, match=says) as raised:
        fit(gan)
    assert "\n" not in str(raised.value)
    with pytest.raises(ValueError, match=says):
        gan.train_batch(batches(1)[0], *sgds(gan))
    assert torch.equal(weights(gan), before) and gan.discriminator_updates == 0
    setattr(gan, f"{player}_accumulation", 1)
    fit(gan)
    assert gan.generator_updates == 2


def test_feature_matching_in_parts_is_refused_for_the_generator_alone(make_gan, fit):
    gan = make_gan(generator_accumulation=2)
    with pytest.raises(
        ValueError, match=r"generator_accumulation=2 beside FeatureMatching\(weight=1.0, replace=True\)"
    ):
        fit(gan, callbacks=[FeatureMatching()])
    assert gan.discriminator_updates == 0
    fit(make_gan(discriminator_accumulation=2), callbacks=[FeatureMatching()])


def sepgan(**kwargs):
    return SEPGAN(StochasticEnsembleGenerator((1, 28, 28), width=2, groups=3), DigitClassifier(), **kwargs)


def test_sepgan_in_parts_is_refused_where_its_loss_needs_the_batch(fit):
    with pytest.raises(
        ValueError, match=r"generator_accumulation=2 beside MarginalEntropy\(weight=2.0, temperature=4.0"
    ):
        fit(sepgan(generator_accumulation=2))
    prior = {"target": OwnGuess(), "batch_norm_statistics": 0.5}
    with pytest.raises(ValueError, match=r"generator_accumulation=2 beside SEPGAN\(batch_norm_statistics=0.5\)"):
        fit(sepgan(generator_accumulation=2, **prior))
    fit(sepgan(generator_accumulation=2, target=OwnGuess()), 1)


def test_a_trained_model_is_scored_all_the_same(make_gan, fit, batches):
    gan = make_gan(objective=RelativisticAverage())
    trainer = fit(gan)
    gan.generator_accumulation = 2
    assert trainer.validate(gan, DataLoader(batches(1), batch_size=None), verbose=False)


# ---------------------------------------------------------------- warned of


@both_players
@pytest.mark.parametrize("layer", [MinibatchStdDev, MinibatchDiscrimination])
def test_layers_that_see_the_parts_are_warned_of(make_gan, fit, layer, player):
    with pytest.warns(UserWarning, match=rf"^{player}_accumulation=2: Minibatch\w+ will see 2 parts of each batch"):
        fit(make_gan(**{f"{player}_accumulation": 2}), 1, callbacks=[layer()])


def test_batch_norm_and_a_lookahead_in_parts_are_warned_of(fit):
    plain = small_image_gan(size=16)
    with pytest.warns(UserWarning, match=r"^generator_accumulation=2: BatchNorm and UnrolledGAN will see 2 parts"):
        fit(UnrolledGAN(plain.generator, plain.discriminator, unroll_steps=1, generator_accumulation=2), 1)


def test_the_spread_of_dragan_in_parts_is_warned_of(make_gan, fit):
    with pytest.warns(UserWarning, match=r"^DRAGANPenalty with discriminator_accumulation=2: the noise has the spread"):
        fit(make_gan(discriminator_accumulation=2), 1, callbacks=[DRAGANPenalty()])


def test_nothing_is_said_where_parts_make_no_difference(make_gan, fit, recwarn):
    fit(make_gan(**in_parts(2)), 1, callbacks=[R1Penalty(), DRAGANPenalty(sigma=0.0)])
    fit(GAN(DCGANGenerator((1, 8, 8), 3, width=2), small_image_gan().discriminator), 1)
    assert not [w for w in recwarn if "accumulation" in str(w.message)]
