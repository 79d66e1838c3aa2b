"""The game: who learns from what, in which order, how often, and that a run can be interrupted."""

import copy
import math
import pickle
from functools import partial

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import nn
from torch.func import functional_call
from torch.optim.lr_scheduler import ExponentialLR, ReduceLROnPlateau
from torch.utils.data import DataLoader

from lightning_gans import DCGAN, GAN, WGAN, Stabilizer, Step
from lightning_gans.networks import MLPDiscriminator, MLPGenerator
from lightning_gans.objectives import NonSaturating, Relativistic
from lightning_gans.optimizers import SGD, Adam
from lightning_gans.stabilizers import GradientPenalty, WeightClipping

slow_sgd = partial(SGD, lr=1e-3, momentum=0)


def sgds(gan, lr=0.01):
    return [SGD(player.parameters(), lr, momentum=0) for player in (gan.generator, gan.discriminator)]


def both(optimizer):
    return {"generator_optimizer": optimizer, "discriminator_optimizer": optimizer}


def with_fixed_latents(gan, size):
    """The gan, with one bank of latents from which it draws in turn, however many at a time."""
    bank, place = torch.randn(size, 3, generator=torch.Generator().manual_seed(0)), [0]

    def generate(num, labels=None):
        chosen = bank[place[0] : place[0] + num]
        place[0] = (place[0] + num) % size
        return gan(chosen, labels)

    gan.generate = generate
    return gan


def gradients(player):
    return [parameter.grad for parameter in player.parameters()]


class Recorder(Stabilizer):
    """Notes which hook was called with what."""

    def __init__(self):
        self.calls = []

    def on_fake_samples(self, gan, fake):
        self.calls.append(("fake_samples", fake))
        return fake

    def on_discriminator_input(self, gan, x):
        self.calls.append(("input", x))
        return x

    def on_targets(self, gan, real, fake):
        self.calls.append(("targets", real, fake))
        return real, fake

    def on_discriminator_loss(self, gan, step, loss):
        self.calls.append(("d_loss", step, loss))
        return loss

    def on_generator_loss(self, gan, step, loss):
        self.calls.append(("g_loss", step, loss))
        return loss

    def on_discriminator_step_end(self, gan):
        self.calls.append(("d_end", gan.discriminator_updates, gan.generator_updates))

    def on_generator_step_end(self, gan):
        self.calls.append(("g_end", gan.discriminator_updates, gan.generator_updates))

    @property
    def names(self):
        return [call[0] for call in self.calls]


class Scale(Stabilizer):
    """A stabilizer with state, and with an effect on D's loss that depends on its place."""

    def __init__(self, factor=1.0, shift=0.0):
        self.factor, self.shift, self.seen = factor, shift, torch.zeros(())

    def on_discriminator_loss(self, gan, step, loss):
        self.seen = self.seen + 1
        step.terms["shift"] = torch.tensor(self.shift)
        return loss * self.factor + self.shift

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state_dict):
        self.seen = state_dict["seen"]


class Steps(Callback):
    """Keeps what observers are given."""

    def __init__(self):
        self.steps = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.steps.append(outputs)


# ---------------------------------------------------------------- one player's step


def test_the_discriminator_step_gives_gradient_to_the_discriminator_only(make_gan, batches, objective):
    gan = make_gan(objective=objective)
    gan.discriminator_step(batches(1)[0]).loss.backward()
    assert sum(g.abs().sum() for g in gradients(gan.discriminator)) > 0
    assert all(g is None for g in gradients(gan.generator))


def test_the_generator_step_gives_gradient_to_the_generator_only(make_gan, batches, objective):
    gan = make_gan(objective=objective)
    gan.generator_step(batches(1)[0]).loss.backward()
    assert all(g.abs().sum() > 0 for g in gradients(gan.generator))
    assert all(g is None for g in gradients(gan.discriminator))
    assert all(parameter.requires_grad for parameter in gan.discriminator.parameters())


def test_the_discriminator_is_thawed_after_an_error(make_gan, batches, monkeypatch):
    gan = make_gan()
    bias = gan.discriminator.head[0].bias.requires_grad_(False)
    during = []

    def broken(*args):
        during.extend(parameter.requires_grad for parameter in gan.discriminator.parameters())
        raise RuntimeError("broken")

    monkeypatch.setattr(gan, "judge", broken)
    with pytest.raises(RuntimeError, match="broken"):
        gan.generator_step(batches(1)[0])
    assert not any(during)
    frozen = [parameter for parameter in gan.discriminator.parameters() if not parameter.requires_grad]
    assert len(frozen) == 1 and frozen[0] is bias, "what was frozen before stays so"


def test_one_step_of_each_player_does_what_it_plays_for(make_gan, batches, objective):
    gan, x = make_gan(objective=objective).double(), batches(1)[0].double()
    gan.discriminator.head[0].weight.data.mul_(0.1)  # undecided, so that no margin and no target is passed
    z = torch.randn(8, 3).double()
    gan.generate = lambda num, labels=None: gan(z)
    g_optimizer, d_optimizer = sgds(gan, lr=1e-3)
    before = gan.update(d_optimizer, gan.discriminator_step, x).loss
    assert gan.discriminator_step(x).loss < before, "D's step lowers its loss"
    judged = gan.discriminator(gan(z)).mean()
    gan.update(g_optimizer, gan.generator_step, x)
    assert gan.discriminator(gan(z)).mean() > judged, "G's step raises D(G(z))"


def test_fakes_are_detached_for_the_discriminator_and_alive_for_the_generator(make_gan, batches):
    gan, recorder = make_gan(), Recorder()
    gan.stabilizers.append(recorder)
    gan.alternate(batches(1)[0], *sgds(gan))
    fakes = [call[1].requires_grad for call in recorder.calls if call[0] in ("fake_samples", "input")]
    assert fakes == [False, False, False, True], "as a fake, real, fake; then the generator's fake"


def test_given_fakes_and_a_given_discriminator_are_used(make_gan, batches):
    gan, other, x = make_gan(), make_gan(seed=1).discriminator, batches(1)[0]
    fake = torch.ones(8, 2)
    step = gan.discriminator_step(x, fake, other)
    assert step.fake is fake and step.discriminator is other
    torch.testing.assert_close(step.fake_logits, other(fake))
    torch.testing.assert_close(step.real_logits, other(x))
    assert gan.generator_step(x, fake).fake is fake


def test_a_step_records_what_its_loss_was_made_of(make_gan, batches, objective):
    gan, x = make_gan(objective=objective), batches(1)[0]
    step = gan.discriminator_step(x)
    assert step.discriminator is gan.discriminator and step.real is x and step.labels is None
    torch.testing.assert_close(step.loss, objective.discriminator_loss(step.real_logits, step.fake_logits))
    step = gan.generator_step(x)
    assert (step.real is x) == (step.real_logits is not None) == objective.needs_real_logits
    torch.testing.assert_close(step.loss, objective.generator_loss(step.fake_logits, step.real_logits))
    torch.testing.assert_close(step.fake_logits, gan.discriminator(step.fake))


def test_a_detached_step_has_no_graph(make_gan, batches):
    step = make_gan().discriminator_step(batches(1)[0])
    step.terms["extra"] = step.loss * 2
    bare = step.detached()
    assert step.loss.requires_grad and isinstance(bare, Step)
    assert not any(
        value.requires_grad for value in (bare.loss, bare.real_logits, bare.fake_logits, bare.terms["extra"])
    )
    assert torch.equal(bare.loss, step.loss) and bare.discriminator is step.discriminator


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_game_is_in_the_precision_of_its_parameters(make_gan, batches, dtype):
    gan = make_gan().to(dtype)
    assert gan.generate(3).dtype == dtype
    gan.discriminator_step(batches(1)[0].to(dtype)).loss.backward()
    assert {gradient.dtype for gradient in gradients(gan.discriminator)} == {dtype}


def test_logits_are_judged_in_single_precision_or_better(make_gan, batches):
    gan, x = make_gan(), batches(1)[0]
    assert gan.judge(lambda x: x[:, 0].bfloat16(), x, None).dtype == torch.float32
    assert gan.judge(lambda x: x[:, 0].double(), x, None).dtype == torch.float64


# ---------------------------------------------------------------- stabilizers

D_STEP = ["fake_samples", "input", "input", "targets", "d_loss", "d_end"]
G_STEP = ["input", "g_loss", "g_end"]


@pytest.mark.parametrize("with_trainer", [True, False])
def test_hooks_are_called_in_the_documented_order(make_gan, batches, fit, with_trainer):
    gan, recorder = make_gan(n_critic=2), Recorder()
    if with_trainer:
        fit(gan, 2, callbacks=[recorder])
    else:
        gan.stabilizers.append(recorder)
        for batch in batches(2):
            gan.alternate(batch, *sgds(gan))
    assert recorder.names == [*D_STEP, *D_STEP, *G_STEP]


def test_hooks_are_given_the_documented_values(make_gan, batches):
    gan, recorder, x = make_gan(), Recorder(), batches(1)[0]
    gan.stabilizers.append(recorder)
    steps = gan.alternate(x, *sgds(gan))
    fake, real, shown, targets, d_loss, d_end, judged, g_loss, g_end = (call[1:] for call in recorder.calls)
    assert real[0] is x and shown[0] is fake[0]
    assert torch.equal(targets[0], torch.ones(8)) and torch.equal(targets[1], torch.zeros(8))
    assert d_loss[0].loss is d_loss[1] and torch.equal(d_loss[1], steps["discriminator"].loss)
    assert g_loss[0].loss is g_loss[1] and torch.equal(g_loss[1], steps["generator"].loss)
    assert d_loss[1].requires_grad and d_loss[0].fake_logits.requires_grad, "penalties may use the graph"
    assert torch.equal(judged[0], fake[0]), "the players share one forward"
    assert d_end == (1, 0) and g_end == (1, 1), "the counters have counted"


def test_a_relativistic_generator_shows_its_real_samples_too(make_gan, batches):
    gan, recorder, x = make_gan(objective=Relativistic()), Recorder(), batches(1)[0]
    gan.stabilizers.append(recorder)
    gan.generator_step(x)
    assert recorder.names == ["input", "input", "g_loss"] and recorder.calls[1][1] is x


def test_what_a_hook_returns_is_what_counts(make_gan, batches):
    class Replace(Stabilizer):
        def on_fake_samples(self, gan, fake):
            return torch.full_like(fake, 2.0)

        def on_discriminator_input(self, gan, x):
            return x + 1

        def on_targets(self, gan, real, fake):
            return real * 0.9, fake + 0.2

        def on_discriminator_loss(self, gan, step, loss):
            return loss * 3

        def on_generator_loss(self, gan, step, loss):
            return loss * 5

    gan, x = make_gan(), batches(1)[0]
    gan.stabilizers.append(Replace())
    step = gan.discriminator_step(x)
    assert torch.equal(step.fake, torch.full((8, 2), 3.0)) and torch.equal(step.real, x + 1)
    logits = gan.discriminator(x + 1), gan.discriminator(torch.full((8, 2), 3.0))
    loss = NonSaturating().discriminator_loss(*logits, torch.full((8,), 0.9), torch.full((8,), 0.2))
    torch.testing.assert_close(step.loss, 3 * loss)
    fake = torch.zeros(8, 2)
    step = gan.generator_step(x, fake)
    assert torch.equal(step.fake, fake + 1)
    torch.testing.assert_close(step.loss, 5 * NonSaturating().generator_loss(gan.discriminator(fake + 1)))


@pytest.mark.parametrize(("order", "total"), [([0, 1], 2 * 1.0 + 3), ([1, 0], 2 * (1.0 + 3))])
def test_stabilizers_compose_from_left_to_right(make_gan, batches, order, total):
    gan, both = make_gan(), [Scale(factor=2.0), Scale(shift=3.0)]
    gan.objective = type("One", (NonSaturating,), {"discriminator_loss": lambda *_: torch.ones(())})()
    gan.stabilizers += [both[i] for i in order]
    assert gan.discriminator_step(batches(1)[0]).loss == total


def test_the_modules_own_stabilizers_come_before_those_of_the_trainer(make_gan, fit):
    own, first, second = Scale(), Recorder(), Scale(2.0)
    gan = make_gan()
    assert gan.active_stabilizers == []
    gan.stabilizers.append(own)
    assert gan.active_stabilizers == [own]
    fit(gan, callbacks=[first, Steps(), second])
    assert gan.active_stabilizers == [own, first, second], "observers take no part"


def test_setup_prepares_every_stabilizer_before_training(make_gan, fit):
    class Prepared(Recorder):
        def apply_to(self, gan):
            self.calls.append(("applied", gan))

    gan, own, given = make_gan(), Prepared(), Prepared()
    gan.stabilizers.append(own)
    fit(gan, 1, callbacks=[given])
    for stabilizer in (own, given):
        assert stabilizer.names[:2] == ["applied", "fake_samples"] and stabilizer.calls[0][1] is gan


def test_stabilizers_tell_their_arguments():
    assert repr(Scale(2.0, shift=1)) == Scale(factor=2.0, shift=1).state_key == "Scale(factor=2.0, shift=1)"
    assert Scale().state_key != Scale(2.0).state_key
    for copied in (copy.deepcopy(Scale(2.0)), pickle.loads(pickle.dumps(Scale(2.0)))):
        assert copied.state_key == "Scale(factor=2.0, shift=0.0)" and copied.factor == 2
    with pytest.raises(TypeError, match="unexpected keyword argument 'limits'"):
        WeightClipping(limits=1)


# ---------------------------------------------------------------- one batch


@pytest.mark.parametrize(("n_critic", "judged"), [(1, 3 * 5), (5, 2 * 5 + 1)])
def test_the_players_share_one_forward_of_the_generator(make_gan, fit, n_critic, judged):
    gan, forwards, judgements = make_gan(n_critic=n_critic), [], []
    gan.generator.register_forward_hook(lambda *args: forwards.append(1))
    gan.discriminator.register_forward_hook(lambda *args: judgements.append(1))
    fit(gan, 5)
    assert (len(forwards), len(judgements)) == (5, judged)


def test_alternate_plays_as_the_trainer_does(make_gan, batches, fit, weights, objective):
    def make():
        return with_fixed_latents(make_gan(objective=objective, n_critic=2, **both(slow_sgd)), 8)

    trained, alone = make(), make()
    fit(trained, 3)
    optimizers = sgds(alone, 1e-3)
    for batch in batches(3):
        alone.alternate(batch, *optimizers)
    assert torch.equal(weights(alone), weights(trained)) and not torch.equal(weights(alone), weights(make()))


def test_n_critic_counts_on_across_epochs_and_resumes(make_gan, fit, tmp_path):
    gan, seen = make_gan(n_critic=2), Steps()
    trainer = fit(gan, 3, max_epochs=2, callbacks=[seen])
    assert ["generator" in steps for steps in seen.steps] == [False, True] * 3
    assert (gan.discriminator_updates, gan.generator_updates) == (6, 3)

    fit(gan := make_gan(n_critic=2), 3).save_checkpoint(tmp_path / "odd.ckpt")
    assert (gan.discriminator_updates, gan.generator_updates) == (3, 1)
    gan, seen = make_gan(n_critic=2, seed=1), Steps()
    trainer = fit(gan, 3, max_epochs=2, ckpt_path=tmp_path / "odd.ckpt", callbacks=[seen])
    assert ["generator" in steps for steps in seen.steps] == [True, False, True]
    assert (gan.discriminator_updates, gan.generator_updates, trainer.global_step) == (6, 3, 6)


@pytest.mark.parametrize("n_critic", [1, 5])
def test_a_step_of_the_trainer_is_a_batch(make_gan, fit, tmp_path, n_critic):
    every = ModelCheckpoint(tmp_path, "{step}", save_top_k=-1, every_n_train_steps=3)
    gan = make_gan(n_critic=n_critic)
    trainer = fit(gan, 5, max_epochs=-1, max_steps=7, callbacks=[every], enable_checkpointing=True)
    assert trainer.global_step == gan.discriminator_updates == 7 and gan.generator_updates == 7 // n_critic
    assert sorted(path.name for path in tmp_path.glob("*.ckpt")) == ["step=3.ckpt", "step=6.ckpt"]


@pytest.mark.parametrize("n_critic", [1, 5])
def test_a_resumed_run_ends_at_max_steps(make_gan, fit, tmp_path, n_critic):
    fit(make_gan(n_critic=n_critic), 2, max_epochs=2).save_checkpoint(tmp_path / "half.ckpt")
    gan = make_gan(n_critic=n_critic)
    trainer = fit(gan, 2, max_epochs=-1, max_steps=7, ckpt_path=tmp_path / "half.ckpt")
    assert trainer.global_step == gan.discriminator_updates == 7


@pytest.mark.parametrize("with_trainer", [True, False])
@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_each_player_is_clipped_on_its_own(make_gan, batches, fit, norms, player, with_trainer):
    noting, seen = norms
    limit = 1e-3
    gan = make_gan(generator_optimizer=noting, discriminator_optimizer=noting, **{f"{player}_clip": limit})
    if with_trainer:
        fit(gan, 3)
    else:
        for batch in batches(3):
            gan.alternate(batch, noting(gan.generator.parameters()), noting(gan.discriminator.parameters()))
    norms_of = {"discriminator": seen[::2], "generator": seen[1::2]}
    assert norms_of.pop(player) == [pytest.approx(limit, rel=1e-3)] * 3
    assert all(norm > 10 * limit for norm in norms_of.popitem()[1])


def test_a_gradient_below_the_limit_is_left_alone(make_gan, fit, weights):
    plain, clipped = make_gan(), make_gan(generator_clip=1e3, discriminator_clip=1e3)
    fit(plain)
    fit(clipped)
    assert torch.equal(weights(plain), weights(clipped))


@pytest.mark.parametrize("num_classes", [0, 3])
@pytest.mark.parametrize("parts", [2, 4, 100])
@pytest.mark.parametrize("size", [8, 10])
def test_a_batch_in_parts_gives_the_same_update(make_gan, batches, weights, size, parts, num_classes):
    after = []
    for number in (1, parts):
        gan = make_gan(num_classes, generator_accumulation=number, discriminator_accumulation=number)
        with_fixed_latents(gan, size)
        gan.alternate(batches(1, size=size, num_classes=num_classes)[0], *sgds(gan, lr=1.0))
        assert (gan.discriminator_updates, gan.generator_updates) == (1, 1)
        after.append(weights(gan))
    torch.testing.assert_close(after[1], after[0], atol=1e-6, rtol=0)
    assert not torch.allclose(after[0], weights(make_gan(num_classes)))


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_parts_are_per_player_and_a_batch_stays_a_step(make_gan, fit, player):
    gan, sizes = make_gan(**{f"{player}_accumulation": 4}), []
    gan.discriminator.register_forward_hook(lambda module, args, out: sizes.append(len(out)))
    trainer = fit(gan, 2)
    one = [2] * 8 + [8] if player == "discriminator" else [8] * 2 + [2] * 4
    assert sizes == one * 2 and trainer.global_step == 2


def test_accumulated_gradients_are_clipped_as_a_whole(make_gan, batches, norms):
    noting, seen = norms
    gan = make_gan(discriminator_accumulation=4, discriminator_clip=1e-3)
    gan.update(noting(gan.discriminator.parameters()), gan.discriminator_step, batches(1)[0], accumulation=4)
    assert seen == [pytest.approx(1e-3, rel=1e-3)]


def test_schedules_count_the_updates_of_their_player(make_gan, fit, tmp_path):
    decay = {f"{player}_scheduler": partial(ExponentialLR, gamma=0.5) for player in ("generator", "discriminator")}

    def rates(trainer):
        return [optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers]

    trainer = fit(make_gan(n_critic=2, **decay), 5)
    assert rates(trainer) == [pytest.approx(1e-4 / 2**2), pytest.approx(4e-4 / 2**5)]
    trainer.save_checkpoint(tmp_path / "five.ckpt")
    trainer = fit(make_gan(n_critic=2, **decay), 5, max_epochs=2, ckpt_path=tmp_path / "five.ckpt")
    assert rates(trainer) == [pytest.approx(1e-4 / 2**5), pytest.approx(4e-4 / 2**10)]
    del decay["generator_scheduler"]
    assert rates(fit(make_gan(**decay), 2)) == [1e-4, pytest.approx(4e-4 / 4)]


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_a_schedule_that_needs_a_metric_is_refused(make_gan, fit, weights, player):
    gan = make_gan(**{f"{player}_scheduler": ReduceLROnPlateau})
    before = weights(gan)
    with pytest.raises(ValueError, match=r"ReduceLROnPlateau needs a metric.*CosineAnnealingLR"):
        fit(gan)
    assert torch.equal(weights(gan), before)


def test_optimizers_are_two_visible_time_scales(make_gan):
    (g, d), schedulers = make_gan().configure_optimizers()
    assert (g.defaults["lr"], d.defaults["lr"], schedulers) == (1e-4, 4e-4, [])
    assert g.defaults["betas"] == d.defaults["betas"] == (0.5, 0.999)


# ---------------------------------------------------------------- labels


def spy(network):
    seen = []
    network.register_forward_pre_hook(lambda module, args: seen.append(args))
    return seen


def test_labels_reach_both_networks(make_gan, batches):
    gan, (x, y) = make_gan(num_classes=3), batches(1, num_classes=3)[0]
    made, judged = spy(gan.generator), spy(gan.discriminator)
    steps = gan.alternate([x, y], *sgds(gan))
    assert all(len(args) == 2 and torch.equal(args[1], y) for args in made + judged) and len(judged) == 3
    assert torch.equal(steps["discriminator"].labels, y) and torch.equal(steps["generator"].labels, y)
    gan.discriminator_step((x, y)).loss.backward()
    assert gan.discriminator.embedding.weight.grad.abs().sum() > 0
    gan.generator_step((x, y)).loss.backward()
    assert gan.generator.embedding.weight.grad.abs().sum() > 0


def test_labels_are_left_out_of_an_unconditional_game(make_gan, batches, fit):
    gan = make_gan()
    made, judged = spy(gan.generator), spy(gan.discriminator)
    labelled = batches(2, num_classes=3)
    trainer = fit(gan, labelled, val=labelled)
    trainer.predict(gan, DataLoader(labelled, batch_size=None))
    assert all(len(args) == 1 for args in made + judged) and made and judged


def test_a_conditional_game_plays_evaluates_and_predicts(make_gan, batches, fit):
    gan, labelled = make_gan(num_classes=3), batches(2, num_classes=3)
    trainer = fit(gan, labelled, val=labelled)
    made = spy(gan.generator)
    trainer.predict(gan, DataLoader(labelled, batch_size=None))
    assert all(torch.equal(args[1], y) for args, (_, y) in zip(made, labelled, strict=True))


def test_a_conditional_game_without_labels_says_so(make_gan, batches):
    with pytest.raises(ValueError, match="MLPGenerator got no labels"):
        make_gan(num_classes=3).discriminator_step(batches(1)[0])


# ---------------------------------------------------------------- random numbers and interruptions


@pytest.mark.parametrize("n_critic", [1, 5])
def test_one_seed_is_one_run(make_gan, fit, weights, n_critic):
    ends = []
    for seed in (7, 7, 8):
        gan = make_gan(dropout=0.3, n_critic=n_critic)
        fit(gan, 6, seed=seed)
        ends.append(weights(gan))
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def drawn(gan, fit, seen, **settings):
    """The fakes of all batches of a generator that does not learn: they differ by their latents alone."""
    gan.generator_optimizer = partial(SGD, lr=0.0)
    fit(gan, 2, max_epochs=2, callbacks=[seen], **settings)
    return torch.stack([steps["discriminator"].fake for steps in seen.steps])


def test_batches_draw_different_latents(make_gan, fit):
    assert len(drawn(make_gan(), fit, Steps()).flatten(1).unique(dim=0)) == 4


def test_processes_draw_different_latents(make_gan, fit, monkeypatch):
    first, again = drawn(make_gan(), fit, Steps()), drawn(make_gan(), fit, Steps())
    monkeypatch.setattr(GAN, "global_rank", 1)
    second = drawn(make_gan(), fit, Steps())
    assert torch.equal(first, again) and (first != second).all()


def test_validation_leaves_the_training_alone(make_gan, batches, fit, weights):
    plain, validated = make_gan(dropout=0.3), make_gan(dropout=0.3)
    fit(plain, 3, max_epochs=2)
    fit(validated, 3, val=batches(2), max_epochs=2)
    assert torch.equal(weights(plain), weights(validated))


@pytest.mark.parametrize("n_critic", [1, 2])
def test_an_interrupted_run_equals_the_uninterrupted_one(make_gan, fit, weights, tmp_path, n_critic):
    def make():
        decay = partial(ExponentialLR, gamma=0.9)
        gan = make_gan(dropout=0.3, n_critic=n_critic, generator_scheduler=decay, discriminator_scheduler=decay)
        gan.stabilizers.append(GradientPenalty(1.0))
        return gan

    whole = make()
    optimizers = fit(whole, 3, max_epochs=4).optimizers
    fit(make(), 3, max_epochs=2).save_checkpoint(tmp_path / "half.ckpt")
    resumed = make()
    trainer = fit(resumed, 3, max_epochs=4, ckpt_path=tmp_path / "half.ckpt")
    assert torch.equal(weights(resumed), weights(whole))
    assert resumed.generator_updates == whole.generator_updates == 12 // n_critic
    for ours, theirs in zip(trainer.optimizers, optimizers, strict=True):
        torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), atol=0, rtol=0)


def test_a_run_that_is_resumed_in_its_own_process_repeats_its_random_numbers(make_gan, fit, weights, tmp_path):
    whole, resumed = make_gan(), make_gan()
    fit(whole, 3, max_epochs=2)
    fit(make_gan(), 3).save_checkpoint(tmp_path / "half.ckpt")
    fit(resumed, 3, max_epochs=2, seed=None, ckpt_path=tmp_path / "half.ckpt")
    assert torch.equal(weights(resumed), weights(whole)), "nobody has seeded anew"


# ---------------------------------------------------------------- checkpoints and copies


def test_a_checkpoint_holds_tensors_and_plain_types_only(make_gan, fit, tmp_path):
    gan = make_gan(n_critic=2, discriminator_scheduler=partial(ExponentialLR, gamma=0.9))
    gan.stabilizers.append(Scale())
    fit(gan, 4, callbacks=[Scale(2.0)]).save_checkpoint(tmp_path / "a.ckpt")
    checkpoint = torch.load(tmp_path / "a.ckpt", weights_only=True)
    state = checkpoint["state_dict"]["_extra_state"]
    assert (state["generator_updates"], state["discriminator_updates"]) == (2, 4)
    assert checkpoint["gan_class"] == "lightning_gans.gan.GAN"
    assert checkpoint["hyper_parameters"]["n_critic"] == 2
    assert checkpoint["callbacks"]["Scale(factor=2.0, shift=0.0)"] == {"seen": 4}


def test_a_state_dict_restores_counters_and_stabilizers(make_gan, fit, tmp_path):
    gan, other = make_gan(), make_gan(seed=1)
    gan.stabilizers.append(Scale())
    other.stabilizers.append(Scale())
    fit(gan, 3)
    torch.save(gan.state_dict(), tmp_path / "state.pt")
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert (other.generator_updates, other.discriminator_updates, other.stabilizers[0].seen) == (3, 3, 3)


def test_stabilizers_of_the_trainer_are_restored_too(make_gan, fit, tmp_path):
    fit(make_gan(), 3, callbacks=[Scale(2.0), Scale(3.0)]).save_checkpoint(tmp_path / "a.ckpt")
    resumed = [Scale(3.0), Scale(2.0), Scale(4.0)]
    fit(make_gan(), 3, max_epochs=2, callbacks=resumed, ckpt_path=tmp_path / "a.ckpt")
    assert [stabilizer.seen for stabilizer in resumed] == [6, 6, 3]


@pytest.mark.parametrize("fitted", [False, True])
def test_a_deep_copy_is_a_game_of_its_own(make_gan, batches, fit, weights, fitted):
    gan = make_gan()
    gan.stabilizers.append(Scale())
    if fitted:
        fit(gan)
    other, before = copy.deepcopy(gan), weights(gan)
    assert torch.equal(weights(other), before) and other.discriminator_updates == gan.discriminator_updates
    other.alternate(batches(1)[0], *sgds(other))
    assert torch.equal(weights(gan), before) and not torch.equal(weights(other), before)
    assert other.discriminator_updates == gan.discriminator_updates + 1
    assert other.stabilizers[0].seen == gan.stabilizers[0].seen + 1


def test_a_recipe_is_rebuilt_from_its_checkpoint(fit, weights, tmp_path):
    gan = DCGAN((1, 8, 8), latent_dim=3, width=2, num_classes=2, n_critic=2, generator_clip=0.5)
    fit(gan).save_checkpoint(tmp_path / "dcgan.ckpt")
    loaded = GAN.load_from_checkpoint(tmp_path / "dcgan.ckpt")
    assert type(loaded) is DCGAN and torch.equal(weights(loaded), weights(gan))
    assert (loaded.n_critic, loaded.generator_clip, loaded.generator.latent_dim) == (2, 0.5, 3)
    assert (loaded.discriminator_updates, loaded.generator_updates) == (2, 1)
    wgan = WGAN((1, 8, 8), latent_dim=3, width=2, clip=0.02)
    fit(wgan).save_checkpoint(tmp_path / "wgan.ckpt")
    assert GAN.load_from_checkpoint(tmp_path / "wgan.ckpt").stabilizers[0].limit == 0.02


def test_networks_made_in_python_are_passed_again(make_gan, fit, weights, tmp_path):
    gan, other = make_gan(n_critic=2), make_gan(seed=1)
    fit(gan).save_checkpoint(tmp_path / "gan.ckpt")
    networks = {"generator": other.generator, "discriminator": other.discriminator}
    loaded = GAN.load_from_checkpoint(tmp_path / "gan.ckpt", **networks)
    assert torch.equal(weights(loaded), weights(gan)) and loaded.n_critic == 2
    with pytest.raises(TypeError, match="missing 2 required positional arguments: 'generator' and 'discriminator'"):
        GAN.load_from_checkpoint(tmp_path / "gan.ckpt")


def test_hyperparameters_are_plain_values_without_a_copy_of_the_networks(make_gan, fit, tmp_path):
    gan = make_gan(n_critic=2)
    assert dict(gan.hparams)["n_critic"] == 2 and "generator" not in gan.hparams
    kept = [held for name, held in vars(gan).items() if isinstance(held, dict) and name != "_modules"]
    assert not any(isinstance(value, nn.Module) for held in kept for value in held.values())
    logger = CSVLogger(tmp_path)
    fit(gan, logger=logger)
    logger.save()
    written = (tmp_path / "lightning_logs/version_0/hparams.yaml").read_text()
    assert "n_critic: 2" in written and "python/" not in written, "a log of plain values"


# ---------------------------------------------------------------- precision


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_every_precision_trains(make_gan, fit, weights, objective, precision):
    gan = make_gan(objective=objective, generator_optimizer=partial(Adam, lr=0.1))
    seen, before = Steps(), weights(gan)
    fit(gan, 3, precision=precision, callbacks=[seen])
    after = weights(gan)
    assert after.isfinite().all() and not torch.equal(after, before)
    step = seen.steps[-1]["generator"]
    dtypes = {"bf16-mixed": torch.float32, "bf16-true": torch.bfloat16, "64-true": torch.float64}
    assert step.fake.dtype == dtypes[precision], "fakes are in the precision of the parameters"
    assert step.loss.dtype == (torch.float64 if precision == "64-true" else torch.float32)


def half_precision(**scaler):
    return [MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu", **scaler))]


def test_half_precision_trains_with_a_real_scaler(make_gan, fit, weights):
    gan = make_gan()
    before = weights(gan)
    trainer = fit(gan, 3, plugins=half_precision())
    assert weights(gan).isfinite().all() and not torch.equal(weights(gan), before)
    assert trainer.global_step == 3 and trainer.precision_plugin.scaler.get_scale() > 1


@pytest.mark.parametrize("clip", [None, 1e-3])
def test_a_growing_scale_scales_neither_players_gradient(make_gan, fit, norms, clip):
    noting, seen = norms
    for settings in ({}, {"plugins": half_precision(init_scale=256.0, growth_interval=1)}):
        gan = make_gan(generator_optimizer=noting, discriminator_optimizer=noting)
        gan.generator_clip = gan.discriminator_clip = clip
        fit(gan, 4, **settings)
    single, half = seen[:8], seen[8:]
    assert half == [pytest.approx(norm, rel=0.02) for norm in single] and len(single) == 8


# ---------------------------------------------------------------- what is reported


def test_observers_find_the_detached_steps_of_the_batch(make_gan, fit):
    seen = Steps()
    fit(make_gan(n_critic=2), callbacks=[seen, GradientPenalty()])
    first, second = seen.steps
    assert set(first) == {"discriminator"} and set(second) == {"discriminator", "generator"}
    for step in (first["discriminator"], *second.values()):
        tensors = [value for value in [*vars(step).values(), *step.terms.values()] if isinstance(value, torch.Tensor)]
        assert len(tensors) >= 3 and not any(tensor.requires_grad for tensor in tensors)
    assert set(second["discriminator"].terms) == {"gradient_penalty"}


class Log(DummyLogger):
    def __init__(self):
        super().__init__()
        self.lines = []

    def log_metrics(self, metrics, step=None):
        self.lines.append((step, metrics))

    @property
    def name(self):
        return "log"

    @property
    def version(self):
        return 0


def test_losses_are_logged_now_and_then(make_gan, fit):
    log, seen = Log(), Steps()
    fit(make_gan(n_critic=2), 7, logger=log, log_every_n_steps=3, callbacks=[seen, Scale(shift=2.0)])
    assert [step for step, _ in log.lines] == [2, 5]
    (_, first), (_, second) = log.lines
    steps = seen.steps[5]
    assert first.keys() ^ second.keys() == {"loss/generator"}, "G did not move on the third batch"
    assert second["loss/discriminator"] == pytest.approx(steps["discriminator"].loss.item())
    assert second["loss/generator"] == pytest.approx(steps["generator"].loss.item())
    assert second["loss/shift"] == 2
    assert second["discriminator/real_logit"] == pytest.approx(steps["discriminator"].real_logits.mean().item())
    assert second["discriminator/fake_logit"] == pytest.approx(steps["discriminator"].fake_logits.mean().item())
    assert (second["progress/discriminator_updates"], second["progress/generator_updates"]) == (6, 3)


@pytest.mark.parametrize("settings", [{"log_every_n_steps": 0}, {"barebones": True}], ids=str)
def test_logging_can_be_switched_off(make_gan, fit, quiet, settings):
    if "barebones" in settings:  # the Trainer's own way to ask for speed alone
        for name in ("logger", "enable_progress_bar", "enable_checkpointing", "enable_model_summary"):
            quiet[name] = None
        quiet["log_every_n_steps"] = None
    gan = make_gan()
    fit(gan, **settings)
    assert gan.discriminator_updates == 2


@pytest.mark.parametrize("split", ["val", "test"])
def test_evaluation_logs_the_losses_of_held_out_samples(make_gan, batches, fit, weights, objective, split):
    gan = make_gan(objective=objective, dropout=0.5)
    trainer, before = fit(gan), weights(gan)
    torch.manual_seed(0)
    (metrics,) = (trainer.validate if split == "val" else trainer.test)(
        gan, DataLoader(batches(1), batch_size=None, generator=torch.Generator()), verbose=False
    )
    torch.manual_seed(0)
    with torch.no_grad():
        real, fake = gan.eval().discriminator(batches(1)[0]), gan.discriminator(gan.generate(8))
    assert metrics == {
        f"{split}/discriminator_loss": pytest.approx(objective.discriminator_loss(real, fake).item(), abs=1e-6),
        f"{split}/generator_loss": pytest.approx(objective.generator_loss(fake, real).item(), abs=1e-6),
        f"{split}/real_logit": pytest.approx(real.mean().item(), abs=1e-6),
        f"{split}/fake_logit": pytest.approx(fake.mean().item(), abs=1e-6),
    }
    assert torch.equal(weights(gan), before)


def test_evaluation_weighs_batches_by_their_size(make_gan, batches, fit):
    gan = make_gan()
    x = batches(1, size=12)[0]
    trainer = fit(gan)
    (whole,) = trainer.validate(gan, DataLoader([x], batch_size=None), verbose=False)
    (parts,) = trainer.validate(gan, DataLoader([x[:10], x[10:]], batch_size=None), verbose=False)
    assert parts["val/real_logit"] == pytest.approx(whole["val/real_logit"], rel=1e-5)


def test_predict_returns_samples(make_image_gan, batches, fit):
    gan = make_image_gan(num_classes=3)
    trainer, data = fit(gan), batches(2, (1, 8, 8), num_classes=3)
    samples = trainer.predict(gan, DataLoader(data, batch_size=None))
    assert [part.shape for part in samples] == [(8, 1, 8, 8)] * 2
    assert not any(part.requires_grad for part in samples) and not torch.equal(*samples)


# ---------------------------------------------------------------- subclasses


class Unrolled(GAN):
    """G faces the discriminator that would come next, and sees through its update."""

    rate = 1.0

    def opponent(self, batch, fake):
        state = {name: p.detach().requires_grad_() for name, p in self.discriminator.named_parameters()}
        ahead = self.discriminator_step(batch, fake, partial(functional_call, self.discriminator, state))
        slopes = torch.autograd.grad(ahead.loss, list(state.values()), create_graph=True)
        after = {name: p - self.rate * g for (name, p), g in zip(state.items(), slopes, strict=True)}
        return lambda x: functional_call(self.discriminator, after, (x,))


def test_an_opponent_is_six_lines(make_gan, batches, weights):
    x = batches(1)[0]

    def slope(kind, rate=1.0):
        gan = with_fixed_latents(make_gan(kind=kind), 8)
        gan.rate = rate
        before = weights(gan.discriminator)
        gan.generator_step(x).loss.backward()
        assert torch.equal(weights(gan.discriminator), before), "the look-ahead leaves D where it is"
        assert all(g is None for g in gradients(gan.discriminator))
        return torch.cat([g.flatten() for g in gradients(gan.generator)])

    torch.testing.assert_close(slope(Unrolled, rate=0.0), slope(GAN))
    assert (slope(Unrolled) - slope(GAN)).norm() > 0.01 * slope(GAN).norm()


def test_an_opponent_plays_whole_runs(make_gan, fit):
    gan = make_gan(kind=Unrolled)
    fit(gan, 4)
    assert (gan.discriminator_updates, gan.generator_updates) == (4, 4)


class Symmetric(GAN):
    """The discriminator sees a sample and its mirror image."""

    def judge(self, discriminator, x, labels):
        return (super().judge(discriminator, x, labels) + super().judge(discriminator, -x, labels)) / 2


def test_a_judge_is_one_line(make_gan, batches, fit):
    gan, x = make_gan(kind=Symmetric), batches(1)[0]
    assert not torch.allclose(gan.discriminator(x), gan.discriminator(-x))
    for play in (gan.discriminator_step, gan.generator_step):
        torch.testing.assert_close(play(x, x + 1).fake_logits, play(x, -x - 1).fake_logits)
    fit(gan, 2, val=[x], callbacks=[GradientPenalty()])


def test_a_judge_can_pack_samples(batches, fit):
    """PacGAN: the discriminator sees two samples at a time, so its samples have another shape than G's."""

    class PacGAN(GAN):
        def judge(self, discriminator, x, labels):
            return super().judge(discriminator, x.reshape(len(x) // 2, -1), labels)

    gan = PacGAN(MLPGenerator((2,), 3, width=8), MLPDiscriminator((4,), width=8))
    assert gan.discriminator_step(batches(1)[0]).real_logits.shape == (4,)
    fit(gan, callbacks=[GradientPenalty()])


def test_an_undecided_discriminator_pays_log_four(make_gan):
    gan = make_gan()
    nn.init.zeros_(gan.discriminator.head[0].weight)
    nn.init.zeros_(gan.discriminator.head[0].bias)
    x = torch.zeros(4, 2)
    assert gan.discriminator_step(x).loss.item() == pytest.approx(2 * math.log(2))
    assert gan.generator_step(x).loss.item() == pytest.approx(math.log(2))
