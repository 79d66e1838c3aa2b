"""Virtual batch normalisation in training; its layer and its networks are tested with the networks."""

import math

import pytest
import torch
from torch import nn

from lightning_gans import GAN, Stabilizer, UnrolledGAN
from lightning_gans.networks import (
    MLPDiscriminator,
    MLPGenerator,
    ReferencedDiscriminator,
    ReferencedGenerator,
    VirtualBatchNormLayer,
)
from lightning_gans.objectives import Relativistic
from lightning_gans.optimizers import SGD
from lightning_gans.schedules import Linear
from lightning_gans.stabilizers import (
    CheckpointSwap,
    DifferentiableAugmentation,
    GradientPenalty,
    InstanceNoise,
    Packing,
    VirtualBatchNorm,
)


def norms(network, kind):
    return [module for module in network.modules() if isinstance(module, kind)]


def players(gan):
    return [SGD(player.parameters(), 0.01) for player in (gan.generator, gan.discriminator)]


def test_every_norm_is_replaced_and_its_weights_carry_over(make_image_gan):
    gan = make_image_gan(size=16)
    old = norms(gan.discriminator, nn.BatchNorm2d) + norms(gan.generator, nn.BatchNorm2d)
    before = {id(parameter) for parameter in gan.parameters()}
    VirtualBatchNorm(size=4).apply_to(gan)
    new = norms(gan.discriminator, VirtualBatchNormLayer) + norms(gan.generator, VirtualBatchNormLayer)
    assert [id(norm.weight) for norm in new] == [id(norm.weight) for norm in old]
    assert not norms(gan, nn.BatchNorm2d) and {id(parameter) for parameter in gan.parameters()} == before


def test_the_reference_is_the_first_of_the_first_real_batch(make_image_gan, batches):
    gan = make_image_gan(size=16)
    VirtualBatchNorm(size=4).apply_to(gan)
    first, second = batches(2, (1, 16, 16))
    optimizers, latents = players(gan), gan.generator.reference.clone()
    for batch in (first, second):
        gan.train_batch(batch, *optimizers)
    assert torch.equal(gan.discriminator.reference, first[:4]) and torch.equal(gan.generator.reference, latents)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("packed", [False, True])
def test_the_reference_is_clean_and_noised_as_the_batch_is(make_image_gan, fit, place, packed):
    """Data of zeros and noise that falls from σ = ½ to 0: what a fixed, noisy reference would keep for ever."""
    gan, deviations = make_image_gan(size=16), []

    class Seen(Stabilizer):
        def on_discriminator_loss(self, gan, step, loss):
            network = gan.discriminator.inner if packed else gan.discriminator
            deviations.append(
                (network.shown.std().item(), step.real.std().item(), network.reference.abs().max().item())
            )
            return loss

    stack = [InstanceNoise(Linear(0.5, 0.0, updates=3))]
    stack.insert(place, VirtualBatchNorm(size=4))
    fit(gan, [torch.zeros(8, 1, 16, 16)] * 5, callbacks=[Packing(2)] * packed + stack + [Seen()])
    for sigma, (reference, batch, clean) in zip([1 / 2, 1 / 3, 1 / 6, 0, 0], deviations, strict=True):
        assert reference == pytest.approx(sigma, rel=0.1) and batch == pytest.approx(sigma, rel=0.1) and clean == 0


def relativistic(make_image_gan, *stabilizers):
    """Return a GAN whose generator's step shows D fakes and then real samples, and what D's layers are then given."""
    gan, given = make_image_gan(size=16, objective=Relativistic()), []
    gan.stabilizers += [VirtualBatchNorm(size=4), *stabilizers]
    for stabilizer in gan.stabilizers:
        stabilizer.apply_to(gan)
    gan.discriminator.inner.features.register_forward_pre_hook(lambda module, x: given.append(x[0].detach()))
    return gan, given


CHANGES = [InstanceNoise(0.5), DifferentiableAugmentation()]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: type(change).__name__)
def test_the_reference_is_the_same_in_every_forward_of_both_players(make_image_gan, batches, change):
    gan, given = relativistic(make_image_gan, change)
    for batch in batches(3, (1, 16, 16)):
        gan.train_batch(batch, *players(gan))
    assert len(given) == 12, "real samples and fakes in each player's step on three batches"
    assert all(torch.equal(x[:4], given[0][:4]) for x in given)
    assert not torch.equal(given[0][:4], gan.discriminator.reference), "changed as the samples are"
    assert not any(torch.equal(x[4:], given[0][4:]) for x in given[1:])


def test_a_schedule_scales_the_noise_of_the_reference_which_stays_the_same(make_image_gan, batches):
    gan, given = relativistic(make_image_gan, InstanceNoise(Linear(0.4, 0.0, updates=4)))
    for batch in batches(3, (1, 16, 16)):
        gan.train_batch(batch, *players(gan))
    noise = [x[:4] - gan.discriminator.reference for x in given]
    for sigma, part in zip([0.4] * 4 + [0.3] * 4 + [0.2] * 4, noise, strict=True):
        torch.testing.assert_close(part / sigma, noise[0] / 0.4, rtol=0, atol=1e-5)


def test_a_relativistic_loss_compares_logits_by_one_reference(make_image_gan, batches):
    """Against the loss of logits that are computed one sample at a time, by normalising with one fixed reference."""
    gan, given = relativistic(make_image_gan, InstanceNoise(0.5))
    first, second = (x.double() for x in batches(2, (1, 16, 16)))
    gan.double().discriminator_step(first)
    step = gan.generator_step(second)
    reference = given[0][:4]

    def logit(x):
        rows = torch.cat([reference, x[None]])
        for layer in gan.discriminator.inner.features:
            rows = by_reference(layer, rows) if isinstance(layer, VirtualBatchNormLayer) else layer(rows)
        return gan.discriminator.head(rows[4:]).squeeze()

    differences = [logit(fake) - logit(real) for fake, real in zip(step.fake, step.real, strict=True)]
    expected = torch.stack([torch.log1p(torch.exp(-one)) for one in differences]).mean()
    torch.testing.assert_close(step.loss, expected, rtol=1e-6, atol=1e-9)


def by_reference(layer, rows):
    """Normalise four rows by their own moments, and the fifth by those of all: the paper's virtual batch."""
    normed = []
    for part in (rows[:4], rows):
        # the formula weighs the reference by n / (n + 1) and the sample by 1 / (n + 1): moments over n + 1 rows
        mean, variance = part.mean((0, 2, 3), keepdim=True), part.var((0, 2, 3), keepdim=True, correction=0)
        normed.append((part - mean) / (variance + layer.eps).sqrt())
    y = torch.cat([normed[0], normed[1][4:]])
    return y * layer.weight[:, None, None] + layer.bias[:, None, None]


def test_the_noise_of_the_reference_takes_no_random_number_of_the_run(make_image_gan, batches):
    gan, _ = relativistic(make_image_gan, InstanceNoise(0.5))
    x = batches(1, (1, 16, 16))[0]
    gan.discriminator_step(x)
    state = torch.get_rng_state()
    gan.stabilizers[0].on_discriminator_input(gan, x)
    assert torch.equal(torch.get_rng_state(), state)


def test_packs_of_the_reference_are_augmented_sample_by_sample(make_image_gan, batches):
    class Doubled(Stabilizer):
        def on_discriminator_input(self, gan, x):
            assert x.shape[1:] == (1, 16, 16), "a sample, not a pack"
            return 2 * x

    gan, x = make_image_gan(size=16), batches(1, (1, 16, 16))[0]
    gan.stabilizers += [Packing(2), VirtualBatchNorm(size=3), Doubled()]
    for stabilizer in gan.stabilizers:
        stabilizer.apply_to(gan)
    gan.discriminator_step(x)
    assert torch.equal(gan.discriminator.inner.reference, x[:6].view(3, 2, 16, 16))
    assert torch.equal(gan.discriminator.inner.shown, 2 * gan.discriminator.inner.reference)


def test_a_checkpoint_has_the_clean_reference_alone(make_image_gan, fit, batches, tmp_path):
    gan, data = make_image_gan(size=16), batches(2, (1, 16, 16))
    trainer = fit(gan, data, callbacks=[VirtualBatchNorm(size=4), InstanceNoise(0.5)])
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    state = torch.load(tmp_path / "run.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(state["discriminator.reference"], data[0][:4]) and "discriminator.shown" not in state
    fresh = make_image_gan(size=16)
    players = {"generator": fresh.generator, "discriminator": fresh.discriminator}
    loaded = GAN.load_from_checkpoint(tmp_path / "run.ckpt", **players)
    assert torch.equal(loaded.discriminator.shown, data[0][:4])


def test_a_past_discriminator_sees_the_reference_with_the_noise_of_the_moment(make_image_gan, batches):
    gan, used = make_image_gan(size=16), []

    class Past(Stabilizer):
        def on_opponent(self, gan, discriminator):
            used.append((discriminator, gan.discriminator))
            return discriminator

    swap = CheckpointSwap(every=1, keep=2, probability=1.0, updates=1)
    gan.stabilizers += [VirtualBatchNorm(size=4), InstanceNoise(0.5), swap, Past()]
    gan.stabilizers[0].apply_to(gan)
    for batch in batches(4, (1, 16, 16)):
        gan.train_batch(batch, *players(gan))
    swapped = [(past.shown, now.shown) for past, now in used if past is not now]
    assert swapped and all(torch.equal(past, now) for past, now in swapped)
    assert all((now - gan.discriminator.reference).std() > 0.3 for _, now in swapped)


@pytest.mark.parametrize("who", ["discriminator", "generator"])
def test_each_argument_chooses_a_network(make_image_gan, who):
    gan = make_image_gan(size=16)
    VirtualBatchNorm(**{"discriminator": False, "generator": False, who: True}, size=4).apply_to(gan)
    assert isinstance(gan.discriminator, ReferencedDiscriminator) is (who == "discriminator")
    assert isinstance(gan.generator, ReferencedGenerator) is (who == "generator")
    assert bool(norms(gan.generator, nn.BatchNorm2d)) is (who == "discriminator")


def test_samples_do_not_see_each_other_and_evaluation_equals_training(make_image_gan, batches):
    gan, x = make_image_gan(size=16, num_classes=2), batches(1, (1, 16, 16), num_classes=2)[0]
    VirtualBatchNorm(size=4).apply_to(gan)
    gan.discriminator_step(x)
    x, labels = x
    torch.testing.assert_close(gan.discriminator(x, labels)[1:2], gan.discriminator(x[1:2], labels[1:2]))
    z = torch.randn(3, 3)
    made = gan(z, labels[:3])
    gan.eval()
    torch.testing.assert_close(gan(z, labels[:3]), made)


def test_points_and_batch_norm_1d_as_well(batches):
    gan = GAN(MLPGenerator((2,), 3, width=8, norm=nn.BatchNorm1d), MLPDiscriminator((2,), width=8, norm=nn.BatchNorm1d))
    VirtualBatchNorm(size=8).apply_to(gan)
    gan.train_batch(batches(1)[0], *players(gan))
    assert gan.discriminator.filled and len(norms(gan, VirtualBatchNormLayer)) == 4


def test_a_sanity_check_comes_before_there_is_a_reference(make_image_gan, fit, batches):
    gan, data = make_image_gan(size=16), batches(2, (1, 16, 16))
    trainer = fit(gan, data, val=[batch[:3] for batch in data], callbacks=[VirtualBatchNorm(size=4)])
    assert torch.equal(gan.discriminator.reference, data[0][:4])
    assert trainer.callback_metrics["val/discriminator_loss"].isfinite()


def test_a_resumed_run_keeps_the_reference(make_image_gan, fit, batches, tmp_path):
    data = batches(4, (1, 16, 16))
    first = make_image_gan(size=16)
    fit(first, data[:2], callbacks=[VirtualBatchNorm(size=4)]).save_checkpoint(tmp_path / "half.ckpt")
    second = make_image_gan(size=16, seed=1)
    settings = {"ckpt_path": tmp_path / "half.ckpt", "max_epochs": 2}
    fit(second, data[2:], callbacks=[VirtualBatchNorm(size=4)], **settings)
    assert torch.equal(second.discriminator.reference, data[0][:4])
    assert torch.equal(second.generator.reference, first.generator.reference)


def test_a_lookahead_changes_nothing(make_image_gan, batches, weights):
    plain, (x,) = make_image_gan(size=16), batches(1, (1, 16, 16))
    gan = UnrolledGAN(plain.generator, plain.discriminator, unroll_steps=2)
    VirtualBatchNorm(size=4).apply_to(gan)
    before = weights(gan.discriminator)
    gan.generator_step(x)
    assert torch.equal(weights(gan.discriminator), before) and not gan.discriminator.filled, "nor is it filled there"
    gan.discriminator_step(x)
    before = weights(gan.discriminator)
    gan.generator_step(x).loss.backward()
    assert torch.equal(weights(gan.discriminator), before)
    assert all(weight.grad.isfinite().all() for weight in gan.generator.parameters() if weight.grad is not None)


def test_a_gradient_penalty_does_not_warn_after_it(make_image_gan, fit, recwarn):
    fit(make_image_gan(size=16), callbacks=[VirtualBatchNorm(size=4), GradientPenalty()])
    assert not [w for w in recwarn if "BatchNorm in the discriminator" in str(w.message)]


def test_a_norm_in_the_head_is_not_replaced(make_image_gan, batches):
    gan = make_image_gan(size=16)
    gan.discriminator.head.insert(0, nn.BatchNorm1d(gan.discriminator.num_features))
    VirtualBatchNorm(generator=False, size=4).apply_to(gan)
    assert norms(gan.discriminator.head, nn.BatchNorm1d) and not norms(gan.discriminator.inner, nn.BatchNorm2d)
    gan.discriminator_step(batches(1, (1, 16, 16))[0])


def test_a_first_batch_that_is_too_small_is_refused(make_image_gan, fit):
    with pytest.raises(ValueError, match=r"VirtualBatchNorm\(size=64\): the first batch has 8 samples .*lower size"):
        fit(make_image_gan(size=16), callbacks=[VirtualBatchNorm()])


@pytest.mark.parametrize("size", [0, -1, 2.5, math.nan])
def test_a_size_out_of_range_is_refused(size):
    with pytest.raises(ValueError, match=rf"VirtualBatchNorm\(size={size}\): expected a whole number of at least 1"):
        VirtualBatchNorm(size=size)


def test_networks_that_it_cannot_change_are_refused(make_gan, make_image_gan):
    with pytest.raises(ValueError, match=r"VirtualBatchNorm\(.*\): no BatchNorm in what it is to change"):
        VirtualBatchNorm().apply_to(make_gan())

    class Own(MLPDiscriminator):
        def forward(self, x, labels=None):
            return super().forward(x, labels)

    gan = GAN(MLPGenerator((2,), 3), Own((2,), norm=nn.BatchNorm1d))
    with pytest.raises(ValueError, match=r"VirtualBatchNorm\(.*\): Own is not a Discriminator of features and head"):
        VirtualBatchNorm().apply_to(gan)


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_it_trains_in_half_precision(make_image_gan, fit, weights, precision):
    gan = make_image_gan(size=16)
    fit(gan, callbacks=[VirtualBatchNorm(size=4)], precision=precision)
    assert weights(gan).isfinite().all() and gan.discriminator.filled
