"""Discriminators of patches, whose logits are (N, 1, H, W): the same numbers as one logit that is repeated."""

import copy
import re

import pytest
import torch
from helpers import sgds
from test_contract import EVERY, SMALL
from torch import nn

from lightning_gans import GAN, UnrolledGAN
from lightning_gans.callbacks.health.health_probe import HealthProbe
from lightning_gans.networks import DCGANDiscriminator, DCGANGenerator, Discriminator
from lightning_gans.objectives import Hinge, NonSaturating, Relativistic, RelativisticAverage
from lightning_gans.schedules import Linear
from lightning_gans.stabilizers import (
    BalancedUpdates,
    DRAGANPenalty,
    GradientPenalty,
    JSRegularizer,
    LabelFlipping,
    LabelSmoothing,
    Packing,
    R1Penalty,
    R2Penalty,
)
from lightning_gans.stabilizers.rules import ByAccuracy, ByLossRatio

IMAGE = (1, 8, 8)
PENALTIES = [DRAGANPenalty(), GradientPenalty(), JSRegularizer(), R1Penalty(), R2Penalty()]


class Spread(nn.Module):
    def forward(self, logits):
        return logits.view(-1, 1, 1, 1).expand(-1, 1, 4, 4)


class Plain(Discriminator):
    """One logit of an image."""

    def __init__(self, num_classes=0):
        super().__init__(IMAGE, 6, num_classes)
        self.features = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.Tanh())


class Repeated(Plain):
    """The same logit of an image at 4 × 4 places."""

    def __init__(self, num_classes=0):
        super().__init__(num_classes)
        self.head.append(Spread())


class Patches(Discriminator):
    """PatchGAN: a logit for each of 2 × 2 patches, from maps of features."""

    def __init__(self, num_classes=0):
        super().__init__(IMAGE, 6, num_classes)
        self.features = nn.Sequential(nn.Conv2d(1, 6, 4, 2, 1), nn.LeakyReLU(0.2))
        self.head = nn.Conv2d(6, 1, 3, stride=2, padding=1)


def gan_of(kind, *stabilizers, num_classes=0, of=GAN, **kwargs):
    torch.manual_seed(0)
    gan = of(DCGANGenerator(IMAGE, 3, width=2, num_classes=num_classes), kind(num_classes), **kwargs).double()
    for stabilizer in copy.deepcopy(stabilizers):
        gan.stabilizers.append(stabilizer)
        stabilizer.apply_to(gan)
    return gan


def both(*stabilizers, **kwargs):
    return gan_of(Plain, *stabilizers, **kwargs), gan_of(Repeated, *stabilizers, **kwargs)


def batch(num_classes=0, size=8):
    x = torch.rand(size, *IMAGE, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 - 1
    return (x, torch.arange(size) % num_classes) if num_classes else x


def trained(gan, batches=3, num_classes=0):
    torch.manual_seed(2)
    for _ in range(batches):
        steps = gan.train_batch(batch(num_classes), *sgds(gan, lr=0.05))
    return steps


def assert_same_training(gans, weights, num_classes=0):
    steps = [trained(gan, num_classes=num_classes) for gan in gans]
    torch.testing.assert_close(weights(gans[1]), weights(gans[0]), atol=1e-10, rtol=1e-8)
    for player, step in steps[0].items():
        torch.testing.assert_close(steps[1][player].loss, step.loss, atol=1e-10, rtol=1e-8)
        torch.testing.assert_close(steps[1][player].terms, step.terms, atol=1e-10, rtol=1e-8)
        torch.testing.assert_close(steps[1][player].logit_metrics(), step.logit_metrics(), atol=1e-10, rtol=1e-8)


# ---------------------------------------------------------------- one logit, repeated


@pytest.mark.parametrize("num_classes", [0, 3])
def test_a_repeated_logit_trains_as_one_under_every_objective(objective, weights, num_classes):
    assert_same_training(both(objective=objective, num_classes=num_classes), weights, num_classes)


@pytest.mark.parametrize("penalty", PENALTIES, ids=repr)
def test_a_repeated_logit_pays_the_penalty_of_one(penalty, weights):
    assert_same_training(both(penalty), weights)


@pytest.mark.parametrize("penalty", PENALTIES, ids=repr)
def test_so_does_that_of_a_pack(penalty, weights):
    assert_same_training(both(Packing(2), penalty, num_classes=3), weights, 3)


@pytest.mark.parametrize("objective", [NonSaturating(), Hinge(), Relativistic(), RelativisticAverage()], ids=repr)
@pytest.mark.parametrize(
    "stabilizer", [LabelSmoothing([0.7, 1.1], 0.1), LabelFlipping(0.4), LabelFlipping(Linear(0.5, 0.1, 4))], ids=repr
)
def test_a_sample_has_one_target_for_all_its_patches(objective, stabilizer, weights):
    """Drawn once for a sample: with one for each patch the two runs would differ."""
    assert_same_training(both(stabilizer, objective=objective), weights)


@pytest.mark.parametrize("rule", [ByAccuracy(0.3, 0.6), ByLossRatio(0.8, 2.0)], ids=repr)
def test_balanced_updates_decide_as_for_one_logit(rule, weights):
    assert_same_training(both(BalancedUpdates(rule, smoothing=0.5)), weights)


def test_a_lookahead_is_that_of_one_logit(weights):
    assert_same_training(both(R1Penalty(0.5), of=UnrolledGAN, unroll_steps=2), weights)


def test_evaluation_and_health_are_those_of_one_logit():
    figures = []
    for gan in both():
        probe = HealthProbe(num_samples=8)
        probe.note_real(gan, batch())
        probe.note_steps(trained(gan))
        torch.manual_seed(3)
        with torch.no_grad():
            metrics = gan.evaluation_metrics(batch())
        figures.append({**probe.measure(gan, 3).figures(), **{name: float(x) for name, x in metrics.items()}})
    assert figures[1] == pytest.approx(figures[0], rel=1e-5, abs=1e-7, nan_ok=True)


# ---------------------------------------------------------------- patches


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("num_classes", [0, 3])
def test_a_discriminator_of_patches_trains_with_every_stabilizer_or_it_is_refused_by_name(
    kind, num_classes, weights, recwarn
):
    stabilizer = kind(**SMALL.get(kind, {}))
    try:
        gan = gan_of(Patches, stabilizer, num_classes=num_classes)
    except ValueError as error:
        assert kind.__name__ in str(error) and "\n" not in str(error)
        unfit = ("MinibatchDiscrimination", "MinibatchStdDev", "InstanceNorm")
        assert kind.__name__ in unfit or re.search("has no (labels|code)", str(error))
        return
    before = weights(gan)
    step = trained(gan, num_classes=num_classes).get("discriminator")
    after = weights(gan)
    assert after.isfinite().all() and not (after.shape == before.shape and torch.equal(after, before))
    assert step is None or step.fake_logits.shape[1:] == (1, 2, 2)


def test_the_loss_is_the_mean_over_patches_and_the_penalty_of_their_mean(weights):
    gan = gan_of(Patches, R1Penalty(2.0))
    x = batch()
    torch.manual_seed(0)
    step = gan.discriminator_step(x)
    x = x.clone().requires_grad_()
    real = gan.discriminator(x)
    cost = nn.functional.softplus(-real).mean() + nn.functional.softplus(step.fake_logits).mean()
    slopes = [torch.autograd.grad(real[i].mean(), x, retain_graph=True)[0][i] for i in range(8)]
    penalty = sum(slope.square().sum() for slope in slopes) / 8
    torch.testing.assert_close(step.terms["r1_penalty"], penalty)
    torch.testing.assert_close(step.loss, cost + penalty)


def test_a_label_is_projected_on_the_mean_features_of_an_image():
    discriminator, (x, labels) = Patches(num_classes=3).double(), batch(3)
    features, logits = discriminator.features(x), discriminator(x, labels)
    for i in range(8):
        projected = sum(
            discriminator.embedding.weight[labels[i], k] * features[i, k].mean() for k in range(features.shape[1])
        )
        torch.testing.assert_close(logits[i], discriminator.head(features)[i] + projected)


def test_a_patch_discriminator_fits_validates_and_is_scored(fit, recwarn):
    gan = gan_of(Patches, GradientPenalty()).float()
    data = [batch().float()] * 2
    trainer = fit(gan, data, val=data, log_every_n_steps=1)
    metrics = trainer.callback_metrics
    assert {"val/discriminator_loss", "val/real_logit", "discriminator/separation"} <= set(metrics)
    assert all(value.isfinite() and value.dim() == 0 for value in metrics.values())


# ---------------------------------------------------------------- logits that are none


class Odd(Plain):
    def __init__(self, returned):
        super().__init__()
        self.returned = returned

    def forward(self, x, labels=None):
        return self.returned(super().forward(x))


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        (lambda logits: logits.repeat(4), r"of shape \(32,\) for 8 samples"),
        (lambda logits: logits.mean(), r"of shape \(\) for 8 samples"),
        (lambda logits: logits.mean(0, keepdim=True), r"of shape \(1,\) for 8 samples"),
        (lambda logits: logits.mean().reshape(1, 1), r"of shape \(1, 1\) for 8 samples"),
        (lambda logits: logits[None], r"of shape \(1, 8\) for 8 samples"),
        (lambda logits: logits.view(-1, 2).mean(1), r"of shape \(4,\) for 8 samples"),
        (lambda logits: logits[:3], r"of shape \(3,\) for 8 samples"),
        (lambda logits: [logits, logits], "in a list for 8 samples"),
    ],
)
def test_logits_without_a_row_for_each_sample_are_refused(returned, says, fit):
    gan = GAN(DCGANGenerator(IMAGE, 3, width=2), Odd(returned))
    with pytest.raises(ValueError, match=rf"the discriminator returns logits {says}; expected a tensor with") as raised:
        fit(gan)
    assert "\n" not in str(raised.value) and gan.discriminator_updates == 0
    assert "a row for each: (8,), (8, 1), or (8, 1, H, W) of patches" in str(raised.value)


@pytest.mark.parametrize("returned", [lambda logits: logits, lambda logits: logits[:, None]])
def test_logits_of_one_sample_have_one_row(returned, fit):
    gan = GAN(DCGANGenerator(IMAGE, 3, width=2), Odd(returned))
    fit(gan, [torch.rand(1, *IMAGE) * 2 - 1] * 2)
    assert gan.discriminator_updates == 2


@pytest.mark.parametrize("samples", [2, 4, 8])
def test_packs_have_a_row_for_each_of_them(samples, fit, batches):
    gan = GAN(DCGANGenerator(IMAGE, 3, width=2), DCGANDiscriminator(IMAGE, width=2))
    fit(gan, batches(2, IMAGE), val=[batches(1, IMAGE)[0][:3]], callbacks=[Packing(samples)])
    assert gan.last_steps["discriminator"].fake_logits.shape == (8 // samples,)


def test_packs_that_are_averaged_are_refused(fit, batches):
    gan = GAN(DCGANGenerator(IMAGE, 3, width=2), DCGANDiscriminator(IMAGE, width=2))
    gan.discriminator.head.register_forward_hook(lambda module, given, made: made.mean(0, keepdim=True))
    with pytest.raises(
        ValueError, match=r"shape \(1,\) for 8 samples in packs of 2; expected .* each: \(4,\), \(4, 1\)"
    ):
        fit(gan, callbacks=[Packing(2)])


@pytest.mark.parametrize("stabilizer", [LabelSmoothing(), R1Penalty(), LabelFlipping(0.4)], ids=repr)
def test_a_column_of_logits_is_a_row_of_logits(stabilizer, weights):
    gans = both(stabilizer)
    gans[1].discriminator.forward = lambda x, labels=None: Plain.forward(gans[1].discriminator, x, labels)[:, None]
    assert_same_training(gans, weights)
