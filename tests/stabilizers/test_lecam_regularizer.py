"""LeCam: the term against its formula, and what the averages are of."""

import math

import pytest
import torch
from helpers import sgds, small_gan, with_fixed_latents
from lightning.pytorch import Trainer
from penalties import assert_derivative
from torch.utils.data import DataLoader

from lightning_gans import GAN, UnrolledGAN
from lightning_gans.networks import MLPDiscriminator, MLPGenerator
from lightning_gans.objectives import Wasserstein
from lightning_gans.schedules import Linear
from lightning_gans.stabilizers import LeCamRegularizer

NAME = "lecam_regularizer"


def gan_with(*stabilizers, **kwargs):
    torch.manual_seed(0)
    gan = GAN(MLPGenerator((2,), 3, 4), MLPDiscriminator((2,), 4), **kwargs).double()
    gan.stabilizers += stabilizers
    return gan


def trained(gan, batches):
    """The discriminator's steps on some batches, whose rates are 0.1."""
    torch.manual_seed(1)
    return [gan.train_batch(x.double(), *sgds(gan, lr=0.1))["discriminator"] for x in batches]


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_it_is_the_formula_with_averages_without_bias(batches, decay):
    steps = trained(gan_with(LeCamRegularizer(0.7, decay)), batches(5))
    assert not steps[0].terms, "there is no average yet"
    for t in range(1, 5):
        weights = [(1 - decay) * decay**age / (1 - decay**t) for age in range(t)]
        assert sum(weights) == pytest.approx(1)
        past = steps[:t][::-1]
        of_real, of_fake = (
            sum(w * getattr(step, name).mean() for w, step in zip(weights, past, strict=True))
            for name in ("real_logits", "fake_logits")
        )
        now = steps[t]
        expected = (now.real_logits - of_fake).square().mean() + (now.fake_logits - of_real).square().mean()
        torch.testing.assert_close(now.terms[NAME], 0.7 * expected)


def test_its_gradient_equals_finite_differences_with_constant_averages(batches):
    gan = gan_with(LeCamRegularizer(0.7))
    trained(gan, batches(2))
    x, fake = torch.rand(2, 6, 2, dtype=torch.float64)
    assert_derivative(lambda: gan.discriminator_step(x, fake).loss, list(gan.discriminator.parameters()))


def test_the_two_kinds_of_logits_stay_together(batches):
    distances = []
    for weight in (0.0, 1.0):
        gan = gan_with(LeCamRegularizer(weight, decay=0.5), objective=Wasserstein())
        optimizers = sgds(gan, lr=0.02)
        for _ in range(20):
            gan.update("discriminator", optimizers[1], 3 + batches(1)[0].double())
        last = gan.last_steps["discriminator"]
        distances.append((last.real_logits.mean() - last.fake_logits.mean()).item())
    assert distances[0] > 5 * abs(distances[1])


def test_averages_are_kept_while_the_weight_is_still_0(batches):
    later = Linear(start=0.0, end=0.3, updates=1, begin=2)
    seen = trained(gan_with(LeCamRegularizer(later, 0.5)), batches(4))
    assert [NAME in step.terms for step in seen] == [False, False, False, True]
    always = LeCamRegularizer(0.3, 0.5)
    gan = gan_with(LeCamRegularizer(later, 0.5))
    trained(gan, batches(3))
    always.load_state_dict(gan.stabilizers[0].state_dict())
    assert always.state_dict()["sums"][2] == pytest.approx(1 - 0.5**3)


def test_it_is_a_mean_over_patches(batches):
    steps = []
    for repeats in (1, 4):
        gan = gan_with(LeCamRegularizer(0.7))
        if repeats > 1:
            gan.discriminator.head.append(torch.nn.Unflatten(0, (-1, 1)))
            plain = gan.discriminate
            gan.discriminate = lambda *args, plain=plain: plain(*args).expand(-1, 4)
        steps.append(trained(gan, batches(3))[-1].terms[NAME])
    torch.testing.assert_close(*steps)


def test_a_batch_in_parts_has_the_averages_of_the_batch(batches, weights):
    ends, sums = [], []
    for number in (1, 2):
        gan = with_fixed_latents(
            small_gan(generator_accumulation=number, discriminator_accumulation=number).double(), 8
        )
        gan.stabilizers.append(LeCamRegularizer(0.7))
        gan = gan.double()
        trained(gan, batches(3))
        ends.append(weights(gan))
        sums.append(gan.stabilizers[0].state_dict()["sums"])
    torch.testing.assert_close(*ends)
    torch.testing.assert_close(*sums)


def test_a_lookahead_and_a_validation_leave_the_averages_alone(batches):
    torch.manual_seed(0)
    gan = UnrolledGAN(MLPGenerator((2,), 3, 4), MLPDiscriminator((2,), 4), unroll_steps=2)
    gan.stabilizers.append(LeCamRegularizer())
    x = batches(1)[0]
    gan.generator_step(x)
    gan.discriminator_step(x)
    assert gan.stabilizers[0].state_dict() == {}
    gan.train_batch(x, *sgds(gan))
    before = gan.stabilizers[0].state_dict()["sums"]
    assert before[2].item() == pytest.approx(0.01)
    gan.generator_step(x)
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    trainer.validate(gan, DataLoader([x], batch_size=None), verbose=False)
    assert torch.equal(gan.stabilizers[0].state_dict()["sums"], before)


def test_a_weight_of_0_keeps_nothing(batches):
    gan = gan_with(LeCamRegularizer(0.0))
    assert not trained(gan, batches(2))[-1].terms
    assert gan.stabilizers[0].state_dict() == {}


def test_the_averages_come_back_from_a_checkpoint(batches):
    gan, other = gan_with(LeCamRegularizer()), LeCamRegularizer()
    trained(gan, batches(2))
    other.load_state_dict(gan.stabilizers[0].state_dict())
    assert torch.equal(other.state_dict()["sums"], gan.stabilizers[0].state_dict()["sums"])
    fresh = LeCamRegularizer()
    fresh.load_state_dict({})
    assert fresh.state_dict() == {}


@pytest.mark.parametrize("given", [{"weight": -0.1}, {"weight": math.nan}, {"decay": 1.0}, {"decay": -0.1}], ids=str)
def test_numbers_out_of_range_are_refused(given):
    with pytest.raises(ValueError, match=rf"LeCamRegularizer\({next(iter(given))}=.*\): expected a number"):
        LeCamRegularizer(**given)


def test_a_step_that_overflows_leaves_the_averages(batches):
    gan = gan_with(LeCamRegularizer(0.7))
    (lecam,) = gan.stabilizers
    for before in (False, True):  # without and with an average
        if before:
            trained(gan, batches(2))
        kept = lecam.state_dict()
        step = gan.discriminator_step(torch.rand(6, 2, dtype=torch.float64)).detached()
        step.fake_logits = torch.full_like(step.fake_logits, math.inf)
        gan.last_steps["discriminator"] = step
        lecam.on_discriminator_step_end(gan)
        torch.testing.assert_close(lecam.state_dict(), kept)
