"""Mixed precision: every model and stabilizer in every precision, and a gradient scaler that two players share."""

import math
from contextlib import nullcontext
from functools import partial
from itertools import pairwise

import pytest
import torch
from helpers import Recorder, both
from lightning.pytorch.plugins import MixedPrecision
from test_contract import EVERY, NETWORKS, ON_IMAGES, small
from torch.optim import Adam as TorchAdam
from torch.optim.lr_scheduler import ExponentialLR

from lightning_gans import DCGAN, GAN, SEPGAN, WGAN, WGANGP, Stabilizer, UnrolledGAN, VanillaGAN
from lightning_gans.__main__ import main
from lightning_gans.networks import (
    DCGANDiscriminator,
    DigitClassifier,
    MLPDiscriminator,
    MLPGenerator,
    R3GANDiscriminator,
    R3GANGenerator,
    ResNetDiscriminator,
    ResNetGenerator,
    StochasticEnsembleGenerator,
    StochasticEnsembleMLPGenerator,
)
from lightning_gans.optimizers import SGD, Adam
from lightning_gans.stabilizers import GeneratorEMA, HistoricalAveraging, WeightDecay
from lightning_gans.stabilizers.penalty import Penalty
from lightning_gans.training.non_finite import NonFiniteError

PRECISIONS = {"32-true": torch.float32, "bf16-mixed": torch.float32, "16-mixed": torch.float32} | {
    "bf16-true": torch.bfloat16,
    "64-true": torch.float64,
}
GRAY = (1, 16, 16)
VANILLA = {"latent_dim": 3, "generator_width": 8, "discriminator_width": 4, "maxout_pieces": 2}


def quick(params):
    return Adam(params, lr=0.01)


def ensemble(num_classes=0):
    generator = StochasticEnsembleGenerator((1, 13, 13), width=2, groups=3, num_classes=num_classes)
    return GAN(generator, DCGANDiscriminator((1, 13, 13), width=2, num_classes=num_classes))


def unrolled(num_classes=0):
    networks = MLPGenerator((2,), 3, width=8, num_classes=num_classes), MLPDiscriminator((2,), width=8)
    if num_classes:
        networks = networks[0], MLPDiscriminator((2,), width=8, num_classes=num_classes)
    return UnrolledGAN(*networks, unroll_steps=2)


MODELS = {
    "VanillaGAN": lambda: VanillaGAN((2,), **VANILLA),
    "VanillaGAN, conditional": lambda: VanillaGAN((2,), num_classes=2, **VANILLA),
    "DCGAN": lambda: DCGAN(GRAY, latent_dim=3, width=2),
    "DCGAN, conditional": lambda: DCGAN(GRAY, latent_dim=3, width=2, num_classes=2),
    "WGAN": lambda: WGAN(GRAY, latent_dim=3, width=2, n_critic=2),
    "WGAN, conditional": lambda: WGAN((2,), latent_dim=3, width=8, n_critic=2, num_classes=2),
    "WGANGP": lambda: WGANGP(GRAY, latent_dim=3, width=2, n_critic=2),
    "WGANGP, conditional": lambda: WGANGP((2,), latent_dim=3, width=8, n_critic=2, num_classes=2),
    "UnrolledGAN": unrolled,
    "UnrolledGAN, conditional": lambda: unrolled(2),
    "SEPGAN": lambda: SEPGAN(StochasticEnsembleGenerator((1, 28, 28), width=2, groups=3), DigitClassifier()),
    "residual networks, conditional": lambda: GAN(
        ResNetGenerator((1, 8, 8), 3, width=4, attention=8, num_classes=2),
        ResNetDiscriminator((1, 8, 8), width=4, attention=4, num_classes=2),
    ),
    "networks of R3GAN": lambda: GAN(
        R3GANGenerator((1, 8, 8), 3, width=4, blocks=1), R3GANDiscriminator((1, 8, 8), width=4, blocks=1)
    ),
    "stochastic ensemble": ensemble,
    "stochastic ensemble, conditional": lambda: ensemble(2),
    "stochastic ensemble of MLPs": lambda: GAN(
        StochasticEnsembleMLPGenerator((2,), 3, width=4, groups=8), MLPDiscriminator((2,), width=4)
    ),
}


def scaled(scale=2.0**16, autocast=True, **settings):
    """Return a Trainer's settings for 16-mixed on the CPU with a gradient scaler, which Lightning uses on GPUs only."""
    plugin = MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu", init_scale=scale, **settings))
    if not autocast:  # only the scaler acts, and scaling by powers of two is exact
        plugin.autocast_context_manager = nullcontext
    return {"plugins": [plugin]}


def settings_of(precision):
    return scaled(2.0**10) if precision == "16-mixed" else {"precision": precision}


def scale_of(trainer):
    return trainer.precision_plugin.scaler.get_scale()


def parameters_of(player):
    return torch.cat([parameter.detach().flatten().double() for parameter in player.parameters()])


def trains_in(precision, fit, gan, **settings):
    """Whether all players change in a few batches, everything stays finite, and parameters have the right dtype."""
    players = [
        player for player in (gan.generator, gan.discriminator) if any(p.requires_grad for p in player.parameters())
    ]
    before = [parameters_of(player) for player in players]
    labels = torch.zeros(4, dtype=torch.int64) if gan.generator.num_classes else None
    gan.generator_optimizer = gan.discriminator_optimizer = quick  # smaller steps would be rounded away in bf16-true
    fit(gan, 5, **settings_of(precision), **settings)
    changed = not any(torch.equal(parameters_of(player), old) for player, old in zip(players, before, strict=True))
    finite = all(value.isfinite().all() for value in gan.state_dict().values() if isinstance(value, torch.Tensor))
    right_dtype = all(p.dtype == PRECISIONS[precision] for player in players for p in player.parameters())
    return changed and finite and right_dtype and bool(gan.generate(4, labels).isfinite().all())


# ---------------------------------------------------------------- every model and stabilizer in every precision


DEFAULT = ("bf16-mixed", "16-mixed", "bf16-true")


@pytest.mark.parametrize(
    "precision", [one if one in DEFAULT else pytest.param(one, marks=pytest.mark.slow) for one in PRECISIONS]
)
@pytest.mark.parametrize("model", MODELS)
def test_every_model_trains_in_every_precision(fit, model, precision):
    torch.manual_seed(0)
    assert trains_in(precision, fit, MODELS[model]())


@pytest.mark.parametrize("precision", ["16-mixed", pytest.param("64-true", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_every_stabilizer_trains_in_every_precision(make_gan, make_image_gan, fit, recwarn, kind, precision):
    """Other precisions are in test_contract.py."""
    networks = NETWORKS.get(kind, {})
    gan = make_image_gan(size=16, **networks) if kind in ON_IMAGES else make_gan(**{**networks, "num_classes": 2})
    fit(gan, 4, callbacks=[small(kind)], **settings_of(precision))
    assert parameters_of(gan).isfinite().all() and gan.generator_updates > 0


TERMS = [kind for kind in EVERY if issubclass(kind, Penalty | WeightDecay | HistoricalAveraging)]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", TERMS, ids=lambda kind: kind.__name__)
def test_penalties_are_computed_in_single_precision(make_gan, batches, recwarn, kind, dtype):
    """For a step in single precision, the value and the gradient under autocast equal those without autocast."""
    gan, penalty, x = make_gan(), small(kind), batches(1)[0]
    penalty.on_discriminator_step_end(gan)  # starts the mean of HistoricalAveraging
    for parameter in gan.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    results = []
    for autocast in (nullcontext(), torch.autocast("cpu", dtype)):
        step = gan.discriminator_step(x, torch.ones(8, 2))
        with autocast:
            torch.manual_seed(0)
            loss = penalty.on_discriminator_loss(gan, step, torch.zeros(()))
        gradients = torch.autograd.grad(loss, list(gan.discriminator.parameters()), allow_unused=True)
        results.append([loss, *(gradient for gradient in gradients if gradient is not None)])
    assert len(TERMS) >= 7 and results[0][0] > 0
    torch.testing.assert_close(results[1], results[0], atol=0, rtol=0)


# ---------------------------------------------------------------- gradient scaler


@pytest.mark.parametrize("growth", [1, 2000])
def test_two_players_share_a_scaler_whose_scale_changes_between_their_steps(make_gan, fit, weights, growth):
    """Scaling by powers of two is exact, but not where a gradient is unscaled by another scale than its own."""
    plain, shared = (make_gan(n_critic=2, **both(partial(SGD, lr=0.01))) for _ in range(2))
    fit(plain, 6)
    trainer = fit(shared, 6, **scaled(2.0**8, autocast=False, growth_interval=growth))
    assert torch.equal(weights(shared), weights(plain))
    assert scale_of(trainer) == (2.0**17 if growth == 1 else 2.0**8), "nine steps of both players together"


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_clipping_sees_unscaled_gradients(make_gan, fit, weights, norms, player):
    recording, seen = norms
    ends = []
    for scale in (1.0, 2.0**16):
        gan = make_gan(**both(recording), **{f"{player}_clip": 1e-3})
        fit(gan, 3, **scaled(scale, autocast=False))
        ends.append(weights(gan))
    assert torch.equal(*ends)
    first = 1 if player == "generator" else 0
    assert seen[first::2] == [pytest.approx(1e-3, rel=1e-3)] * 6
    assert min(seen[1 - first :: 2]) > 1e-2


def test_clipping_with_a_fused_optimizer_and_a_scaler_is_refused(make_gan, fit):
    fused = lambda params: TorchAdam(params, lr=1e-3, fused=True)  # noqa: E731
    with pytest.raises(
        ValueError, match=r"generator_clip=1.0 with a fused Adam and precision 16-mixed .* leave out fused"
    ):
        fit(make_gan(generator_optimizer=fused, generator_clip=1.0), **scaled())
    fit(make_gan(generator_optimizer=fused, discriminator_clip=1.0), **scaled())
    fit(make_gan(generator_optimizer=fused, generator_clip=1.0))


class Overflow(Stabilizer):
    """Makes one player's gradient overflow at some of its updates, and keeps the parameters after each step."""

    def __init__(self, player, *updates):
        self.player, self.updates, self.kept = player, updates, {"generator": [], "discriminator": []}

    def overflow(self, player, updates, loss):
        loss = loss * 1
        if player == self.player and updates in self.updates:
            loss.register_hook(lambda gradient: gradient * math.inf)
        return loss

    def on_discriminator_loss(self, gan, step, loss):
        return self.overflow("discriminator", gan.discriminator_updates, loss)

    def on_generator_loss(self, gan, step, loss):
        return self.overflow("generator", gan.generator_updates, loss)

    def on_discriminator_step_end(self, gan):
        self.kept["discriminator"].append(parameters_of(gan.discriminator))

    def on_generator_step_end(self, gan):
        self.kept["generator"].append(parameters_of(gan.generator))


@pytest.mark.parametrize("at", [0, 2])
@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_an_overflow_skips_one_step_of_that_player_only(make_gan, fit, recwarn, player, at):
    rates = {f"{name}_scheduler": partial(ExponentialLR, gamma=0.5) for name in ("generator", "discriminator")}
    gan, overflow = make_gan(**both(partial(SGD, lr=0.1)), **rates), Overflow(player, at)
    initial = {name: parameters_of(getattr(gan, name)) for name in overflow.kept}
    trainer = fit(gan, 5, callbacks=[overflow], **scaled(2.0**8, autocast=False))
    for name, kept in overflow.kept.items():
        ends = [initial[name], *kept]
        skipped = [torch.equal(ends[i], ends[i + 1]) for i in range(5)]
        assert skipped == [name == player and i == at for i in range(5)]
        assert ends[-1].isfinite().all()
    assert scale_of(trainer) == 2.0**7, "halved once"
    assert (gan.generator_updates, gan.discriminator_updates, trainer.global_step) == (5, 5, 5), "a skipped step counts"
    assert [one.param_groups[0]["lr"] for one in trainer.optimizers] == [pytest.approx(0.1 / 2**5)] * 2
    assert not [warning for warning in recwarn if "lr_scheduler.step()" in str(warning.message)]


@pytest.mark.parametrize("at", [0, 2])
def test_the_moving_average_of_weights_continues_after_a_skipped_step(make_gan, fit, at):
    """In the skipped step the average moves towards the unchanged weights."""
    gan, overflow, average = (
        make_gan(**both(partial(SGD, lr=0.1))),
        Overflow("generator", at),
        GeneratorEMA(1.0, ramp_up=None),
    )
    fit(gan, 4, callbacks=[overflow, average], **scaled(autocast=False))
    expected = overflow.kept["generator"][0]
    for weights in overflow.kept["generator"][1:]:
        expected = (expected + weights) / 2
    with gan.evaluation_weights():
        torch.testing.assert_close(parameters_of(gan.generator), expected, atol=1e-6, rtol=0)


def test_both_players_overflow_in_one_batch(make_gan, fit):
    class OverflowOfBoth(Overflow):
        def overflow(self, player, updates, loss):
            self.player = player
            return super().overflow(player, updates, loss)

    gan, overflow = make_gan(**both(partial(SGD, lr=0.1))), OverflowOfBoth("both", 1)
    trainer = fit(gan, 3, callbacks=[overflow], **scaled(2.0**8, autocast=False))
    for kept in overflow.kept.values():
        assert [torch.equal(a, b) for a, b in pairwise(kept)] == [True, False]
    assert scale_of(trainer) == 2.0**6


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "32-true", "64-true"])
def test_without_a_scaler_an_overflow_ends_the_run(make_gan, fit, precision):
    with pytest.raises(
        NonFiniteError, match=r"batch 3: the generator's gradient of \S+ and of \d more parameters is nan"
    ):
        fit(make_gan(), 5, callbacks=[Overflow("generator", 2)], precision=precision)


def test_overflow_at_a_scale_below_1_ends_the_run(make_gan, fit):
    gan, overflow = make_gan(**both(partial(SGD, lr=0.1))), Overflow("discriminator", *range(2, 20))
    before = r"batch 6: the scale of 16-bit gradients has fallen to 0\.5, and they still overflow: the discriminator's "
    with pytest.raises(NonFiniteError, match=before + r"gradient .*train in bf16-mixed or 32-true"):
        fit(gan, 20, callbacks=[overflow], log_every_n_steps=1, **scaled(8.0, autocast=False))
    assert parameters_of(gan).isfinite().all(), "non-finite gradients were not applied"


def test_a_scale_below_1_without_overflow_is_accepted(make_gan, fit):
    trainer = fit(make_gan(), 3, **scaled(0.25, autocast=False))
    assert scale_of(trainer) == 0.25


def test_stabilizers_get_unscaled_losses(make_gan, fit):
    recorder = Recorder()
    fit(make_gan(), 1, callbacks=[recorder], **scaled(autocast=False))
    assert all(call[2] < 10 for call in recorder.calls if call[0] in ("d_loss", "g_loss"))


def test_training_continues_after_repeated_overflows(make_gan, fit):
    gan, overflow = make_gan(**both(lambda params: Adam(params, lr=1e-3))), Overflow("generator", *range(10))
    trainer = fit(gan, 20, callbacks=[overflow], **scaled())
    kept = overflow.kept["generator"]
    assert torch.equal(kept[0], kept[9]) and not torch.equal(kept[-2], kept[-1]) and kept[-1].isfinite().all()
    assert 1 <= scale_of(trainer) < 2.0**7


# ---------------------------------------------------------------- the command line


def test_16_mixed_on_a_cpu_becomes_bf16_mixed_with_a_warning(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning, match=r"not supported on CPU\. Using `precision='bf16-mixed'` instead"):
        arguments = "--trainer.accelerator=cpu --trainer.precision=16-mixed --trainer.fast_dev_run=true"
        networks = "--model=VanillaGAN --model.generator_width=8 --model.discriminator_width=4"
        main(["fit", "--data=GaussianRing", *networks.split(), *arguments.split()])
