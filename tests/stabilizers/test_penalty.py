"""What all penalties on the slope share: derivatives, laziness, precision, labels, packs, warnings, refusals."""

import math

import pytest
import torch
from helpers import gradients, sgds, with_fixed_latents
from penalties import LinearDiscriminator, QuadraticDiscriminator, assert_derivative, gan_with, smooth
from torch import nn

from lightning_gans import GAN
from lightning_gans.networks import MLPGenerator
from lightning_gans.schedules import Linear
from lightning_gans.stabilizers import (
    DRAGANPenalty,
    GradientPenalty,
    JSRegularizer,
    MinibatchStdDev,
    R1Penalty,
    R2Penalty,
)
from lightning_gans.stabilizers.penalty import Penalty

NAMES = {
    DRAGANPenalty: "dragan_penalty",
    GradientPenalty: "gradient_penalty",
    JSRegularizer: "js_regularizer",
    R1Penalty: "r1_penalty",
    R2Penalty: "r2_penalty",
}
every_penalty = pytest.mark.parametrize("kind", NAMES, ids=lambda kind: kind.__name__)
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


# ---------------------------------------------------------------- derivatives


@every_penalty
@pytest.mark.parametrize("num_classes", [0, 3])
def test_its_gradient_equals_finite_differences(kind, num_classes):
    gan = smooth(kind(3.0), num_classes=num_classes)
    x, fake = torch.randn(2, 6, 2, dtype=torch.float64)

    def loss():
        torch.manual_seed(1)
        return gan.discriminator_step((x, LABELS) if num_classes else x, fake).loss

    assert_derivative(loss, list(gan.discriminator.parameters()))


@pytest.mark.slow
@every_penalty
def test_fakes_that_carry_a_gradient_keep_it(kind):
    x, fake = torch.randn(2, 6, 2, dtype=torch.float64)
    fake.requires_grad_()

    def loss(*penalties):
        torch.manual_seed(1)
        return smooth(*penalties).discriminator_step(x, fake).loss

    assert_derivative(lambda: loss(kind(3.0)), [fake], every=1)
    (with_it,), (without,) = torch.autograd.grad(loss(kind(3.0)), fake), torch.autograd.grad(loss(), fake)
    assert torch.equal(with_it, without) == (kind in (R1Penalty, DRAGANPenalty)), "those look at real samples alone"


@pytest.mark.slow
@every_penalty
def test_the_generators_gradient_through_a_lookahead_equals_finite_differences(kind):
    gan = smooth(kind(0.5), unroll_steps=2)
    x, z = torch.randn(6, 2, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)

    def loss():
        torch.manual_seed(1)
        return gan.generator_step(x, gan(z)).loss

    assert_derivative(loss, list(gan.generator.parameters()), every=3, rel=1e-5)


@every_penalty
def test_it_leaves_the_generator_and_the_samples_alone(kind, make_gan, batches):
    gan, x, fake = make_gan(), batches(1)[0], torch.rand(8, 2)
    gan.stabilizers.append(kind(1.0))
    before = x.clone(), fake.clone()
    gan.discriminator_step(x, fake).loss.backward()
    assert all(gradient is None for gradient in gradients(gan.generator))
    assert not x.requires_grad and not fake.requires_grad and torch.equal(x, before[0]) and torch.equal(fake, before[1])


@every_penalty
def test_it_is_added_and_noted_under_its_name(kind, make_gan, batches):
    losses, x, fake = [], batches(1)[0], torch.rand(8, 2)
    for penalties in ([], [kind(2.0)]):
        gan = make_gan()
        gan.stabilizers += penalties
        step = gan.discriminator_step(x, fake)
        losses.append(step.loss)
    assert list(step.terms) == [NAMES[kind]] and not step.terms[NAMES[kind]].requires_grad
    torch.testing.assert_close(losses[1], losses[0] + step.terms[NAMES[kind]])


def test_the_example_of_the_documentation_works():
    class SlopeOnFakes(Penalty):
        def penalty(self, gan, step):
            return self.slopes(gan, step, step.fake).abs().sum(1).mean()

    step = gan_with(LinearDiscriminator(torch.tensor([3.0, -4.0])), SlopeOnFakes(0.5)).discriminator_step(
        torch.rand(5, 2)
    )
    assert step.terms["slope_on_fakes"].item() == pytest.approx(3.5)


def test_the_base_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        Penalty(1.0)


# ---------------------------------------------------------------- when


def terms(gan, name, steps, x):
    """The penalty at each of some updates of D."""
    optimizers, seen = sgds(gan), []
    for _ in range(steps):
        seen.append(gan.train_batch(x, *optimizers)["discriminator"].terms.get(name))
    return seen


@pytest.mark.parametrize("n_critic", [1, 4])
def test_lazy_regularisation_acts_on_every_nth_update_with_n_times_the_weight(batches, n_critic):
    gan = gan_with(LinearDiscriminator(torch.tensor([3.0, 4.0])), R1Penalty(0.2, every=3), n_critic=n_critic)
    seen = terms(gan, "r1_penalty", 7, batches(1)[0])
    assert [term is not None for term in seen] == [False, False, True, False, False, True, False]
    gan = gan_with(LinearDiscriminator(torch.tensor([3.0, 4.0])), R1Penalty(0.2, every=3))
    gan.discriminator_updates = 2
    assert gan.discriminator_step(batches(1)[0]).terms["r1_penalty"].item() == pytest.approx(3 * 0.1 * 25)


@every_penalty
@pytest.mark.parametrize("arguments", [{"weight": 0.0}, {"every": 2}], ids=str)
def test_a_step_without_the_penalty_is_an_ordinary_step(kind, arguments, make_gan, batches):
    results, x, fake = [], batches(1)[0], torch.rand(8, 2)
    for penalties in ([], [kind(**arguments)]):
        gan, calls = make_gan(), []
        gan.discriminator.register_forward_hook(lambda *args, calls=calls: calls.append(1))
        gan.stabilizers += penalties
        torch.manual_seed(5)
        step = gan.discriminator_step(x, fake)
        results.append((step.loss.item(), len(calls), torch.rand(()).item()))
        assert not step.terms
    assert results[0] == results[1] and results[0][1] == 2


@pytest.mark.parametrize("every", [1, 3, 100])
def test_imagined_steps_all_pay_the_weight_once(every):
    gan = smooth(R1Penalty(0.5, every), unroll_steps=2)
    seen, step_of = [], gan.discriminator_step
    gan.discriminator_step = lambda *args: seen.append(step_of(*args)) or seen[-1]
    x = torch.randn(6, 2, dtype=torch.float64)
    gan.generator_step(x)
    twin = smooth(R1Penalty(0.5))
    expected = twin.discriminator_step(x).terms["r1_penalty"]
    assert [list(step.terms) for step in seen] == [["r1_penalty"]] * 2
    torch.testing.assert_close(seen[0].terms["r1_penalty"], expected)


def test_its_weight_may_follow_a_schedule_of_generator_updates():
    gan = gan_with(LinearDiscriminator(torch.tensor([3.0, 4.0])), R1Penalty(Linear(2.0, 0.0, updates=10)))
    for updates, expected in ((0, 25.0), (5, 12.5)):
        gan.generator_updates = updates
        assert gan.discriminator_step(torch.rand(4, 2)).terms["r1_penalty"].item() == pytest.approx(expected)
    gan.generator_updates = 10
    assert not gan.discriminator_step(torch.rand(4, 2)).terms


@pytest.mark.parametrize("kind", [R1Penalty, R2Penalty, JSRegularizer], ids=lambda kind: kind.__name__)
def test_a_batch_in_parts_is_a_batch(kind, make_gan, batches, weights):
    ends = []
    for accumulation in (1, 2):
        settings = {"discriminator_accumulation": accumulation, "generator_accumulation": accumulation}
        gan = with_fixed_latents(make_gan(**settings), 8)
        gan.stabilizers.append(kind(5.0))
        gan.train_batch(batches(1)[0], *sgds(gan))
        ends.append(weights(gan.discriminator))
    torch.testing.assert_close(*ends, atol=1e-6, rtol=1e-5)


# ---------------------------------------------------------------- how


@every_penalty
def test_it_is_in_single_precision_under_autocast(kind, make_gan, batches):
    gan, x, fake = make_gan(), batches(1)[0], torch.rand(8, 2).bfloat16().float()
    gan.stabilizers.append(kind(1.0))
    dtypes, terms = [], []
    gan.discriminator.layers[0].register_forward_hook(lambda module, args, out: dtypes.append(out.dtype))
    for enabled in (True, False):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            terms.append(gan.discriminator_step(x, fake).terms[NAMES[kind]])
    assert dtypes[:3] == [torch.bfloat16, torch.bfloat16, torch.float32]
    assert torch.equal(*terms), "bitwise identical to the penalty without autocast"


@every_penalty
def test_weights_of_half_the_width_are_fine(kind, make_gan, batches):
    gan = make_gan().to(torch.bfloat16)
    gan.stabilizers.append(kind(1.0))
    step = gan.discriminator_step(batches(1)[0].bfloat16())
    step.loss.backward()
    assert step.terms[NAMES[kind]].dtype == torch.float32, "squares are summed in single precision"
    assert all(gradient.isfinite().all() for gradient in gradients(gan.discriminator))


@every_penalty
def test_a_conditional_discriminator_gets_its_labels(kind):
    gan, seen = smooth(kind(1.0), num_classes=3), []
    gan.discriminator.register_forward_pre_hook(lambda module, args: seen.append(args[1:]))
    gan.discriminator_step((torch.randn(6, 2, dtype=torch.float64), LABELS))
    assert len(seen) > 2 and all(torch.equal(given, LABELS) for (given,) in seen)


@every_penalty
@pytest.mark.parametrize("n", [1, 2, 5])
def test_a_flat_discriminator_pays_its_distance_from_the_target_whatever_the_batch(kind, n):
    gan = gan_with(LinearDiscriminator(torch.zeros(3, 4, 4)), kind(2.0))
    step = gan.discriminator_step(torch.rand(n, 3, 4, 4))
    step.loss.backward()
    assert gan.discriminator.head[0].weight.grad.isfinite().all()
    assert step.terms[NAMES[kind]].item() == (2.0 if kind in (GradientPenalty, DRAGANPenalty) else 0.0)


class Packs(GAN):
    """A discriminator of pairs, sample i with sample i + N/2."""

    def discriminate(self, discriminator, x, labels):
        return super().discriminate(discriminator, torch.cat(x.chunk(2), dim=1), labels)

    def check_networks(self, generator, discriminator):
        pass


@pytest.mark.parametrize("kind", [R1Penalty, R2Penalty, JSRegularizer], ids=lambda kind: kind.__name__)
def test_in_packs_the_slope_is_that_of_the_pack(kind):
    gan = Packs(MLPGenerator((2,), 3, width=4), QuadraticDiscriminator((4,)))
    gan.stabilizers.append(kind(2.0))
    real, fake = torch.randn(2, 6, 2)
    expected = 0.0
    for x, sign in ((real, -1), (fake, 1)):
        for i in range(6):
            pair = x[i].square().sum() + x[(i + 3) % 6].square().sum()
            sure = torch.sigmoid(sign * pair / 2) if kind is JSRegularizer else torch.ones(())
            counts = kind is JSRegularizer or (kind is R1Penalty) == (sign < 0)
            expected += float(counts) * (sure**2 * x[i].square().sum()).item() / 3  # packs
    assert gan.discriminator_step(real, fake).terms[NAMES[kind]].item() == pytest.approx(expected, rel=1e-5)


# ---------------------------------------------------------------- warnings and refusals


@every_penalty
@pytest.mark.parametrize("norm", [nn.BatchNorm2d, nn.SyncBatchNorm, nn.InstanceNorm2d, None])
def test_batch_norm_in_the_discriminator_is_warned_of(kind, make_image_gan, norm, recwarn):
    kind().apply_to(make_image_gan(size=16, norm=norm))
    warned = [str(w.message) for w in recwarn if f"{kind.__name__} with BatchNorm in the" in str(w.message)]
    assert len(warned) == (norm in (nn.BatchNorm2d, nn.SyncBatchNorm))
    assert all("Use norm: null" in message for message in warned)


def test_any_layer_that_mixes_a_batch_is_warned_of(make_gan):
    class Mixer(nn.Identity):
        mixes_batch = True

    gan = make_gan()
    gan.discriminator.head.insert(0, Mixer())
    with pytest.warns(UserWarning, match=r"R1Penalty with Mixer in the discriminator: .*depends on its whole batch"):
        R1Penalty().apply_to(gan)


@every_penalty
@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf, Linear(1.0, -1.0)], ids=str)
def test_weights_out_of_range_are_refused(kind, weight):
    with pytest.raises(ValueError, match=rf"{kind.__name__}\(weight=.*\): expected a number of at least 0"):
        kind(weight=weight)


@every_penalty
@pytest.mark.parametrize("every", [0, -1, 1.5, math.nan, True])
def test_an_every_that_counts_no_steps_is_refused(kind, every):
    with pytest.raises(ValueError, match=rf"{kind.__name__}\(every={every}\): expected a whole number of at least 1"):
        kind(every=every)


@pytest.mark.parametrize("place", [0, 1])
def test_a_layer_that_mixes_a_batch_is_warned_of_once_in_either_order(make_gan, fit, recwarn, place):
    callbacks = [MinibatchStdDev()]
    callbacks.insert(place, R1Penalty())
    fit(make_gan(), callbacks=callbacks)
    assert sum("R1Penalty with MinibatchStdDevLayer" in str(w.message) for w in recwarn) == 1
