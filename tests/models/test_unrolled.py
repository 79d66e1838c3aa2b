"""The unrolled GAN: what the lookahead leaves unchanged, training with a Trainer, and refusals."""

from functools import partial

import pytest
import torch
from helpers import named
from lightning.pytorch import Trainer
from smooth_gans import RULES, inputs, make, optimizers, resuming, slope, warmed_up
from torch import nn
from torch.utils.data import DataLoader

from lightning_gans import GAN, Stabilizer, UnrolledGAN
from lightning_gans.networks import DCGANDiscriminator, DCGANGenerator, Discriminator, MLPDiscriminator, MLPGenerator
from lightning_gans.objectives import Minimax, NonSaturating, ZeroSum
from lightning_gans.optimizers import SGD, Adam
from lightning_gans.randomness import mix
from lightning_gans.stabilizers import GradientPenalty, WeightClipping

# ---------------------------------------------------------------- what stays unchanged


@pytest.mark.parametrize("detached", [False, True])
def test_the_lookahead_leaves_the_discriminator_unchanged(weights, detached):
    torch.manual_seed(0)
    gan = UnrolledGAN(
        DCGANGenerator((1, 16, 16), 3, width=2),
        DCGANDiscriminator((1, 16, 16), width=2, dropout=0.2),
        detached=detached,
    )
    pair, x = optimizers(gan), torch.rand(6, 1, 16, 16) * 2 - 1
    gan.train_batch(x, *pair)
    assert any(isinstance(module, nn.BatchNorm2d) for module in gan.discriminator.modules())
    before = weights(gan.discriminator)
    pair[1].zero_grad()
    moments = [value.clone() for state in pair[1].state.values() for value in state.values()]
    resuming(gan, pair).generator_step(x).loss.backward()
    assert torch.equal(weights(gan.discriminator), before)
    after = [value for state in pair[1].state.values() for value in state.values()]
    assert all(torch.equal(*both) for both in zip(moments, after, strict=True))
    assert all(weight.grad is None or not weight.grad.any() for weight in gan.discriminator.parameters())
    assert all(weight.requires_grad and weight.is_leaf for weight in gan.discriminator.parameters())
    assert all(weight.grad.isfinite().all() for weight in gan.generator.parameters())


def trained(gan, batches=5):
    torch.manual_seed(3)
    pair = optimizers(gan)
    for _ in range(batches):
        gan.train_batch(inputs()[0], *pair)
    return gan


def test_no_step_is_the_plain_gan(weights):
    for objective in (NonSaturating(), ZeroSum()):
        plain = trained(make(kind=GAN, objective=objective))
        assert torch.equal(weights(trained(make(steps=0, objective=objective))), weights(plain))
        assert not torch.allclose(weights(trained(make(steps=1, objective=objective))), weights(plain))


def test_without_a_lookahead_the_saddle_is_minimax(weights):
    torch.testing.assert_close(
        weights(trained(make(steps=0, objective=ZeroSum()))), weights(trained(make(steps=0, objective=Minimax())))
    )
    assert not torch.allclose(weights(trained(make(objective=ZeroSum()))), weights(trained(make(objective=Minimax()))))


@pytest.mark.parametrize(
    "change",
    [{"steps": 4}, {"detached": True}, {"inner_optimizer": RULES["momentum"]}, {"objective": NonSaturating()}],
    ids=named,
)
def test_every_argument_changes_the_run(weights, change):
    assert not torch.allclose(weights(trained(make(**change))), weights(trained(make())))


def test_the_defaults_are_those_of_the_authors():
    gan = UnrolledGAN(MLPGenerator((2,), 3, width=4), MLPDiscriminator((2,), width=4))
    assert (gan.unroll_steps, gan.detached, repr(gan.objective)) == (5, False, "ZeroSum(NonSaturating())")
    generator_optimizer, discriminator_optimizer = optimizers(gan)
    assert generator_optimizer.defaults["lr"] == 1e-3 and discriminator_optimizer.defaults["lr"] == 1e-4
    assert generator_optimizer.defaults["betas"] == discriminator_optimizer.defaults["betas"] == (0.5, 0.999)


def test_outside_a_batch_the_moments_start_from_nothing():
    gan, pair = warmed_up(make())
    batch, z, _ = inputs()
    twin = make()
    twin.load_state_dict(gan.state_dict())
    fresh = slope(twin, batch, z)
    assert torch.equal(slope(gan, batch, z), fresh), "the optimizer is known while a batch is trained on, and not kept"
    assert not torch.allclose(slope(resuming(gan, pair), batch, z), fresh)


# ---------------------------------------------------------------- in a Trainer


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("norm", [nn.BatchNorm2d, None])
def test_it_fits_points_and_images(fit, weights, precision, norm):
    torch.manual_seed(0)
    image = (1, 16, 16)
    for gan in (
        make(num_classes=2, double=False, generator_accumulation=2),
        UnrolledGAN(DCGANGenerator(image, 3, width=2), DCGANDiscriminator(image, width=2, norm=norm), unroll_steps=2),
    ):
        before = weights(gan)
        fit(gan, 3, callbacks=[] if norm else [GradientPenalty(weight=0.1)], precision=precision)
        assert weights(gan).isfinite().all() and not torch.equal(weights(gan), before)


def test_the_lookahead_is_in_full_precision_and_the_generators_step_is_not():
    gan, seen = make(steps=2, double=False), []

    class Notes(Stabilizer):
        def on_discriminator_loss(self, gan, step, loss):
            seen.append(torch.is_autocast_enabled("cpu"))
            return loss

        def on_generator_loss(self, gan, step, loss):
            seen.append(torch.is_autocast_enabled("cpu"))
            return loss

    gan.stabilizers.append(Notes())
    with torch.autocast("cpu", torch.bfloat16):
        gan.generator_step(inputs()[0].float()).loss.backward()
    assert seen == [False, False, True]


def test_in_a_trainer_it_trains_as_without_one(fit, weights, batches):
    gan, other = make(double=False), make(double=False)
    fit(gan, 4)
    assert (gan.discriminator_updates, gan.generator_updates) == (4, 4)
    fit(other, 4)
    assert torch.equal(weights(gan), weights(other))
    third = make(double=False)
    pair = optimizers(third)
    torch.manual_seed(0)
    for index, x in enumerate(batches(4)):
        torch.default_generator.manual_seed(mix(gan.run_seed, 0, index))
        third.train_batch(x, *pair)
    torch.testing.assert_close(weights(gan), weights(third))


def test_a_resumed_run_equals_an_uninterrupted_one(fit, weights, tmp_path, batches):
    data = batches(6)
    whole = make(double=False)
    fit(whole, data)
    first = make(double=False)
    trainer = fit(first, data[:3])
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    second = make(seed=5, double=False)
    fit(second, data[3:], ckpt_path=tmp_path / "half.ckpt", max_epochs=2, seed=9)
    torch.testing.assert_close(weights(second), weights(whole), rtol=0, atol=0)


def test_the_step_that_callbacks_get_has_no_graph(make_gan):
    gan = make(double=False)
    steps = gan.train_batch(inputs()[0].float(), *optimizers(gan))
    assert steps["generator"].discriminator is None and steps["discriminator"].discriminator is gan.discriminator


# ---------------------------------------------------------------- several processes


class FixedLatents(UnrolledGAN):
    """Every batch has the same latents, of which each process has its share."""

    def generate(self, num, labels=None):
        z = torch.randn(8, 3, generator=torch.Generator().manual_seed(2))
        return self(z[self.global_rank :: self.trainer.world_size])


@pytest.mark.slow
def test_two_processes_of_a_trainer_learn_what_one_learns(quiet, weights):
    x = torch.randn(24, 2, generator=torch.Generator().manual_seed(1))
    learned = []
    for devices, strategy in ((1, "auto"), (2, "ddp_spawn_find_unused_parameters_true")):
        torch.manual_seed(0)
        gan = FixedLatents(
            MLPGenerator((2,), 3, width=6, depth=1),
            MLPDiscriminator((2,), width=5, depth=1),
            generator_optimizer=partial(SGD, lr=0.1),  # a lambda cannot be sent to a process
            discriminator_optimizer=partial(Adam, lr=0.01),
        )
        loader = DataLoader(x, batch_size=8 // devices)
        settings = {**quiet, "devices": devices, "strategy": strategy, "use_distributed_sampler": False}
        if devices == 2:
            loader = DataLoader(x, batch_sampler=Shares(len(x), 8))
        Trainer(**settings).fit(gan, loader)
        learned.append(weights(gan.generator))
    torch.testing.assert_close(*learned, rtol=1e-4, atol=1e-6)


class Shares:
    """Each process's half of every batch."""

    def __init__(self, count, size):
        self.count, self.size = count, size

    def __len__(self):
        return self.count // self.size

    def __iter__(self):
        rank = torch.distributed.get_rank()
        for start in range(0, self.count, self.size):
            yield list(range(start + rank, start + self.size, 2))


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize("steps", [-1, 1.5, True])
def test_a_number_of_steps_out_of_range_is_refused(steps):
    with pytest.raises(
        ValueError, match=rf"UnrolledGAN\(unroll_steps={steps}\): expected a whole number of at least 0, such as 5"
    ):
        make(steps=steps)


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (lambda params: torch.optim.Adagrad(params), "Adagrad cannot be unrolled: its derivative is not implemented"),
        (lambda params: torch.optim.Adam(params, amsgrad=True), "Adam cannot be unrolled with amsgrad=True"),
        (lambda params: torch.optim.RMSprop(params, centered=True), "RMSprop cannot be unrolled with centered=True"),
        (lambda params: torch.optim.RMSprop(params, momentum=0.5), "RMSprop cannot be unrolled with momentum=0.5"),
        (lambda params: SGD([{"params": [one]} for one in params]), "SGD cannot be unrolled with 4 groups"),
    ],
)
def test_an_optimizer_without_a_derivative_is_refused_before_training(fit, rule, reason):
    for settings in ({"rule": rule}, {"inner_optimizer": rule}):
        with pytest.raises(ValueError, match=reason) as caught:
            fit(make(double=False, **settings))
        assert "inner_optimizer" in str(caught.value) and "\n" not in str(caught.value)
        fit(make(double=False, steps=0, **settings))


class Remembers(Discriminator):
    """Keeps a running mean of its input, in a buffer or where a lookahead cannot copy it."""

    def __init__(self, where):
        super().__init__((2,), 2)
        self.features = self.centre
        self.where, self.calls = where, 0
        if where == "buffer":
            self.register_buffer("mean", torch.zeros(2))
        else:
            self.mean = torch.zeros(2)

    def centre(self, x):
        if self.where == "number":
            self.calls += 1
        elif self.where == "inplace":
            self.mean.lerp_(x.detach().mean(0), 0.1)
        else:
            self.mean = torch.lerp(self.mean, x.detach().mean(0), 0.1)
        return x - self.mean


@pytest.mark.parametrize(("where", "name"), [("number", "calls"), ("inplace", "mean"), ("attribute", "mean")])
def test_a_discriminator_with_state_that_cannot_be_copied_is_refused(batches, where, name):
    gan = UnrolledGAN(MLPGenerator((2,), 3, width=4), Remembers(where))
    with pytest.raises(ValueError, match=f"Remembers cannot be unrolled: a lookahead changed its `{name}`"):
        gan.train_batch(batches(1)[0], *optimizers(gan))
    gan = UnrolledGAN(MLPGenerator((2,), 3, width=4), Remembers(where), unroll_steps=0)
    gan.train_batch(batches(1)[0], *optimizers(gan))


def test_a_third_derivative_that_torch_lacks_is_named():
    image = (1, 16, 16)
    gan = UnrolledGAN(DCGANGenerator(image, 3, width=2), DCGANDiscriminator(image, width=2))
    gan.stabilizers.append(GradientPenalty())
    if torch.__version__ < "2.7":
        pytest.skip("this version of torch has it")
    with pytest.raises(ValueError, match=r"lookahead cannot be differentiated: batch_norm.*norm: null"):
        gan.train_batch(torch.rand(4, *image), *optimizers(gan))


def test_a_discriminator_with_buffers_keeps_them(batches):
    gan = UnrolledGAN(MLPGenerator((2,), 3, width=4), Remembers("buffer"))
    gan.discriminator_step(batches(1)[0])
    before = gan.discriminator.mean.clone()
    gan.generator_step(batches(1)[0])
    assert before.any() and torch.equal(gan.discriminator.mean, before)


def test_an_unused_weight_changes_nothing(batches):
    gan = make()
    gan.discriminator.idle = nn.Parameter(torch.ones(3, dtype=torch.float64))
    batch, z, _ = inputs()
    torch.testing.assert_close(slope(gan, batch, z), slope(make(), batch, z))


def test_spectral_norm_is_unrolled_without_a_trace(batches, weights):
    gan = make(double=False)
    for module in gan.discriminator.layers:
        if isinstance(module, nn.Linear):
            nn.utils.parametrizations.spectral_norm(module)
    before = weights(gan.discriminator)
    gan.generator_step(batches(1)[0]).loss.backward()
    assert torch.equal(weights(gan.discriminator), before)


def test_a_stabilizer_that_acts_after_a_step_is_warned_of(fit):
    with pytest.warns(UserWarning, match="WeightClipping.* acts after the discriminator's real steps only"):
        fit(make(double=False), callbacks=[WeightClipping()])
