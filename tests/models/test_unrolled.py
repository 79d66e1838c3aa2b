"""The unrolled GAN: the gradient through the look-ahead, and what the look-ahead leaves alone."""

from functools import partial

import pytest
import torch
import torch.multiprocessing as mp
from helpers import named
from lightning.pytorch import Trainer
from torch import nn
from torch.autograd import grad
from torch.func import functional_call
from torch.utils.data import DataLoader

from lightning_gans import GAN, Stabilizer, UnrolledGAN
from lightning_gans.networks import DCGANDiscriminator, DCGANGenerator, Discriminator, MLPDiscriminator, MLPGenerator
from lightning_gans.objectives import Minimax, NonSaturating, RelativisticAverage, Wasserstein, ZeroSum
from lightning_gans.optimizers import SGD, Adam, RMSProp
from lightning_gans.stabilizers import GradientPenalty, WeightClipping

RULES = {
    "adam": lambda params: Adam(params, lr=0.05),
    "adam with decay": lambda params: Adam(params, lr=0.05, weight_decay=0.1),
    "adamw": lambda params: torch.optim.AdamW(params, lr=0.05, weight_decay=0.5),
    "rmsprop": lambda params: RMSProp(params, lr=0.02),
    "rmsprop with decay": lambda params: torch.optim.RMSprop(params, lr=0.02, weight_decay=0.1),
    "sgd": lambda params: SGD(params, lr=0.3, momentum=0.0),
    "momentum": lambda params: SGD(params, lr=0.3, momentum=0.7),
    "dampened": lambda params: torch.optim.SGD(params, lr=0.3, momentum=0.7, dampening=0.4, weight_decay=0.1),
    "nesterov": lambda params: torch.optim.SGD(params, lr=0.3, momentum=0.7, nesterov=True),
}
every_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


def make(steps=3, seed=0, num_classes=0, rule=RULES["adam"], double=True, kind=UnrolledGAN, **kwargs):
    """A game of smooth perceptrons; finite differences need smooth ones."""
    torch.manual_seed(seed)
    if kind is UnrolledGAN:
        kwargs["unroll_steps"] = steps
    gan = kind(
        MLPGenerator((2,), 3, width=6, depth=1, activation=nn.Tanh, num_classes=num_classes),
        MLPDiscriminator((2,), width=5, depth=1, activation=nn.Tanh, num_classes=num_classes),
        discriminator_optimizer=rule,
        generator_optimizer=lambda params: SGD(params, lr=0.1),
        **kwargs,
    )
    return gan.double() if double else gan


def optimizers(gan):
    return gan.configure_optimizers()[0]


def inputs(num_classes=0, size=6):
    source = torch.Generator().manual_seed(1)
    x, z = (torch.randn(size, width, generator=source, dtype=torch.float64) for width in (2, 3))
    labels = torch.arange(size) % num_classes if num_classes else None
    return (x if labels is None else (x, labels)), z, labels


def slope(gan, batch, z, labels=None):
    """The gradient of the generator's loss with respect to all its weights."""
    loss = gan.generator_step(batch, gan(z, labels)).loss
    return torch.cat([part.flatten() for part in grad(loss, list(gan.generator.parameters()))])


def by_differences(gan, batch, z, labels=None, epsilon=1e-6):
    """The same by central differences, which know nothing of autograd."""
    found = []
    for weight in gan.generator.parameters():
        for place in range(weight.numel()):
            values = []
            for sign in (1, -1):
                with torch.no_grad():
                    weight.view(-1)[place] += sign * epsilon
                    values.append(gan.generator_step(batch, gan(z, labels)).loss.item())
                    weight.view(-1)[place] -= sign * epsilon
            found.append((values[0] - values[1]) / (2 * epsilon))
    return torch.tensor(found, dtype=torch.float64)


def warmed_up(gan, num_classes=0, steps=4):
    """The game and its optimizers after a few batches, so that there are moments to start from."""
    pair = optimizers(gan)
    for _ in range(steps):
        gan.train_batch(inputs(num_classes)[0], *pair)
    return gan, pair


def at_work(gan, pair):
    """Whatever `act` returns, while the game's own optimizer of the discriminator is known to it."""
    gan._optimizer_at_work = pair[1]
    return gan


# ---------------------------------------------------------------- the gradient


@every_rule
@pytest.mark.parametrize("warm", [False, True], ids=["fresh", "moments"])
def test_gradient_equals_finite_differences(rule, warm):
    gan = make(rule=rule)
    if warm:
        gan = at_work(*warmed_up(gan))
    batch, z, _ = inputs()
    found = slope(gan, batch, z)
    expected = by_differences(gan, batch, z)
    assert (found - expected).abs().max() < 1e-6 * max(1.0, expected.abs().max())
    gan.detached = True
    assert (slope(gan, batch, z) - found).norm() > 1e-3 * found.norm(), "detached leaves the look-ahead out"


@pytest.mark.parametrize(
    "settings",
    [
        {"objective": NonSaturating()},
        {"objective": Wasserstein()},
        {"objective": RelativisticAverage()},
        {"objective": ZeroSum(Wasserstein()), "discriminator_clip": 0.3},
        {"discriminator_clip": 0.05},
        {"num_classes": 3},
        {"steps": 1},
        {"steps": 8},
        {"inner_optimizer": lambda params: SGD(params, lr=0.5, momentum=0.0)},
    ],
    ids=named,
)
def test_gradient_equals_finite_differences_in_every_game(settings):
    classes = settings.get("num_classes", 0)
    gan = at_work(*warmed_up(make(**settings), classes))
    batch, z, labels = inputs(classes)
    expected = by_differences(gan, batch, z, labels)
    assert (slope(gan, batch, z, labels) - expected).abs().max() < 1e-6 * max(1.0, expected.abs().max())


def test_gradient_equals_finite_differences_through_a_penalty():
    gan = make(steps=2, objective=NonSaturating())
    gan.stabilizers.append(Centred())
    batch, z, _ = inputs()
    found, expected = slope(gan, batch, z), by_differences(gan, batch, z)
    assert (found - expected).abs().max() < 1e-6
    gan.stabilizers.clear()
    assert (slope(gan, batch, z) - found).norm() > 1e-3, "the penalty counts inside the look-ahead"


class Centred(Stabilizer):
    """A penalty on the slope of D at the fakes, without random numbers; it reads D both ways."""

    def on_discriminator_loss(self, gan, step, loss):
        x = step.fake if step.fake.requires_grad else step.fake.clone().requires_grad_()
        (slope,) = torch.autograd.grad(step.discriminator(x).sum(), x, create_graph=True)
        return loss + slope.square().sum(1).mean() + gan.discriminator.head[0].weight.square().sum()


def test_gradient_equals_that_of_autograd_alone():
    """K steps of SGD written with nothing but functional_call, as anyone would check it."""
    gan = make(rule=lambda params: SGD(params, lr=0.4, momentum=0.0), objective=NonSaturating())
    batch, z, _ = inputs()
    fake = gan(z)
    state = {name: weight.detach().requires_grad_() for name, weight in gan.discriminator.named_parameters()}
    for _ in range(3):
        real, made = (functional_call(gan.discriminator, state, (x,)) for x in (batch, fake))
        loss = nn.functional.softplus(-real).mean() + nn.functional.softplus(made).mean()
        slopes = grad(loss, list(state.values()), create_graph=True)
        state = {name: weight - 0.4 * part for (name, weight), part in zip(state.items(), slopes, strict=True)}
    loss = nn.functional.softplus(-functional_call(gan.discriminator, state, (fake,))).mean()
    expected = torch.cat([part.flatten() for part in grad(loss, list(gan.generator.parameters()))])
    torch.testing.assert_close(slope(gan, batch, z), expected, rtol=1e-10, atol=1e-12)


@every_rule
def test_the_look_ahead_goes_where_the_real_optimizer_goes(rule, weights):
    """θᴷ is what K real steps on the same batch and fakes would make of the discriminator."""
    gan, (_, own) = warmed_up(make(steps=4, rule=rule, discriminator_clip=0.3))
    batch, z, _ = inputs()
    fake = gan(z).detach()
    ahead = at_work(gan, (None, own)).opponent(batch, fake)(batch)
    for _ in range(4):
        gan.update(own, gan.discriminator_step, batch, fake)
    torch.testing.assert_close(ahead, gan.discriminator(batch), rtol=1e-9, atol=1e-12)


def test_a_dead_unit_has_no_slope_in_place_of_nan():
    gan = make()
    with torch.no_grad():
        gan.discriminator.head[0].weight.zero_()  # nothing below the head has a gradient at first
    batch, z, _ = inputs()
    assert slope(gan, batch, z).isfinite().all()


# ---------------------------------------------------------------- what stays as it is


@pytest.mark.parametrize("detached", [False, True])
def test_the_discriminator_does_not_notice_the_look_ahead(weights, detached):
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
    at_work(gan, pair).generator_step(x).loss.backward()
    assert torch.equal(weights(gan.discriminator), before)
    after = [value for state in pair[1].state.values() for value in state.values()]
    assert all(torch.equal(*both) for both in zip(moments, after, strict=True))
    assert all(weight.grad is None or not weight.grad.any() for weight in gan.discriminator.parameters())
    assert all(weight.requires_grad and weight.is_leaf for weight in gan.discriminator.parameters())
    assert all(weight.grad.isfinite().all() for weight in gan.generator.parameters())


def play(gan, batches=5):
    torch.manual_seed(3)
    pair = optimizers(gan)
    for _ in range(batches):
        gan.train_batch(inputs()[0], *pair)
    return gan


def test_no_step_is_the_plain_game(weights):
    for objective in (NonSaturating(), ZeroSum()):
        plain = play(make(kind=GAN, objective=objective))
        assert torch.equal(weights(play(make(steps=0, objective=objective))), weights(plain))
        assert not torch.allclose(weights(play(make(steps=1, objective=objective))), weights(plain))


def test_without_a_look_ahead_the_saddle_is_the_minimax_game(weights):
    torch.testing.assert_close(
        weights(play(make(steps=0, objective=ZeroSum()))), weights(play(make(steps=0, objective=Minimax())))
    )
    assert not torch.allclose(weights(play(make(objective=ZeroSum()))), weights(play(make(objective=Minimax()))))


@pytest.mark.parametrize(
    "change",
    [{"steps": 4}, {"detached": True}, {"inner_optimizer": RULES["momentum"]}, {"objective": NonSaturating()}],
    ids=named,
)
def test_every_argument_changes_the_run(weights, change):
    assert not torch.allclose(weights(play(make(**change))), weights(play(make())))


def test_the_defaults_are_those_of_the_authors():
    gan = UnrolledGAN(MLPGenerator((2,), 3, width=4), MLPDiscriminator((2,), width=4))
    assert (gan.unroll_steps, gan.detached, repr(gan.objective)) == (5, False, "ZeroSum(NonSaturating())")
    generator_optimizer, discriminator_optimizer = optimizers(gan)
    assert generator_optimizer.defaults["lr"] == 1e-3 and discriminator_optimizer.defaults["lr"] == 1e-4
    assert generator_optimizer.defaults["betas"] == discriminator_optimizer.defaults["betas"] == (0.5, 0.999)


def test_without_a_known_optimizer_the_moments_start_from_nothing():
    gan, pair = warmed_up(make())
    batch, z, _ = inputs()
    assert gan._optimizer_at_work is None, "it is known while a batch is played, and not kept"
    fresh = slope(gan, batch, z)
    assert not torch.allclose(slope(at_work(gan, pair), batch, z), fresh)


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


def test_the_look_ahead_is_in_full_precision_and_the_judgement_is_not():
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


def test_in_a_trainer_it_plays_as_without_one(fit, weights, batches):
    gan, other = make(double=False), make(double=False)
    fit(gan, 4)
    assert (gan.discriminator_updates, gan.generator_updates) == (4, 4)
    fit(other, 4)
    assert torch.equal(weights(gan), weights(other))
    third = make(double=False)
    pair = optimizers(third)
    torch.manual_seed(0)
    for index, x in enumerate(batches(4)):
        torch.default_generator.manual_seed(hash((gan._seed, 0, index)) % 2**63)
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


def test_the_step_that_an_observer_gets_holds_no_graph(make_gan):
    gan = make(double=False)
    steps = gan.train_batch(inputs()[0].float(), *optimizers(gan))
    assert steps["generator"].discriminator is None and steps["discriminator"].discriminator is gan.discriminator


# ---------------------------------------------------------------- several processes


def follow(rank, world, port, batch, z, result):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    gan = make(discriminator_clip=0.3)
    share = slice(rank * len(z) // world, (rank + 1) * len(z) // world)
    found = slope(gan, batch[share], z[share])
    torch.distributed.all_reduce(found)
    if rank == 0:
        torch.save(found / world, result)
    torch.distributed.barrier()  # gloo of torch 2.6 may wait for ever for one that has left
    torch.distributed.destroy_process_group()


def test_two_processes_follow_the_whole_batch(tmp_path):
    batch, z, _ = inputs()
    expected = slope(make(discriminator_clip=0.3), batch, z)
    port = (
        20000 + torch.randint(20000, (1,), generator=torch.Generator().manual_seed(hash(str(tmp_path)) % 2**31)).item()
    )
    mp.spawn(follow, (2, port, batch, z, tmp_path / "slope.pt"), nprocs=2)
    found = torch.load(tmp_path / "slope.pt")
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


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
def test_a_number_of_steps_that_is_none(steps):
    with pytest.raises(ValueError, match=f"unroll_steps is {steps}, expected an integer; set it to 0 or more"):
        make(steps=steps)


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (lambda params: torch.optim.Adagrad(params), "Adagrad cannot be unrolled: its derivative is not written"),
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
    """Keeps a running mean of its input where a look-ahead cannot copy it, or can."""

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
    with pytest.raises(ValueError, match=f"Remembers cannot be unrolled: a look-ahead changed its `{name}`"):
        gan.train_batch(batches(1)[0], *optimizers(gan))
    gan = UnrolledGAN(MLPGenerator((2,), 3, width=4), Remembers(where), unroll_steps=0)
    gan.train_batch(batches(1)[0], *optimizers(gan))


def test_a_third_derivative_that_torch_lacks_is_named():
    image = (1, 16, 16)
    gan = UnrolledGAN(DCGANGenerator(image, 3, width=2), DCGANDiscriminator(image, width=2))
    gan.stabilizers.append(GradientPenalty())
    if torch.__version__ < "2.7":
        pytest.skip("this version of torch has it")
    with pytest.raises(ValueError, match=r"look-ahead cannot be differentiated: batch_norm.*norm: null"):
        gan.train_batch(torch.rand(4, *image), *optimizers(gan))


def test_a_discriminator_with_buffers_keeps_them(batches):
    gan = UnrolledGAN(MLPGenerator((2,), 3, width=4), Remembers("buffer"))
    gan.discriminator_step(batches(1)[0])
    before = gan.discriminator.mean.clone()
    gan.generator_step(batches(1)[0])
    assert before.any() and torch.equal(gan.discriminator.mean, before)


def test_a_weight_that_is_not_used_stays_as_it_is(batches):
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


def test_what_acts_after_a_step_is_said_to_be_left_out(fit):
    with pytest.warns(UserWarning, match="WeightClipping.* acts after the discriminator's real steps only"):
        fit(make(double=False), callbacks=[WeightClipping()])
