"""The GAN: the two steps, their order and number, clipping, accumulation, labels, subclasses."""

import math
from functools import partial

import pytest
import torch
from helpers import Recorder, Steps, both, gradients, sgds, slow_sgd, with_fixed_latents
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.func import functional_call
from torch.optim.lr_scheduler import ExponentialLR, ReduceLROnPlateau
from torch.utils.data import DataLoader

from lightning_gans import GAN, Step
from lightning_gans.networks import MLPDiscriminator, MLPGenerator
from lightning_gans.stabilizers import GeneratorEMA, GradientPenalty

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


def test_the_discriminator_is_unfrozen_after_an_error(make_gan, batches, monkeypatch):
    gan = make_gan()
    bias = gan.discriminator.head[0].bias.requires_grad_(False)
    during = []

    def broken(*args):
        during.extend(parameter.requires_grad for parameter in gan.discriminator.parameters())
        raise RuntimeError("broken")

    monkeypatch.setattr(gan, "discriminate", broken)
    with pytest.raises(RuntimeError, match="broken"):
        gan.generator_step(batches(1)[0])
    assert not any(during)
    frozen = [parameter for parameter in gan.discriminator.parameters() if not parameter.requires_grad]
    assert len(frozen) == 1 and frozen[0] is bias, "what was frozen before stays so"


def test_one_update_of_each_player_improves_its_objective(make_gan, batches, objective):
    gan, x = make_gan(objective=objective).double(), batches(1)[0].double()
    gan.discriminator.head[0].weight.data.mul_(0.1)  # undecided, so that no margin and no target is passed
    z = torch.randn(8, 3).double()
    gan.generate = lambda num, labels=None: gan(z)
    g_optimizer, d_optimizer = sgds(gan, lr=1e-3)
    before = gan.update("discriminator", d_optimizer, x).loss
    assert gan.discriminator_step(x).loss < before, "D's step lowers its loss"
    logits = gan.discriminator(gan(z)).mean()
    gan.update("generator", g_optimizer, x)
    assert gan.discriminator(gan(z)).mean() > logits, "G's step raises D(G(z))"


def test_fakes_are_detached_for_the_discriminator_and_alive_for_the_generator(make_gan, batches):
    gan, recorder = make_gan(), Recorder()
    gan.stabilizers.append(recorder)
    gan.train_batch(batches(1)[0], *sgds(gan))
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
def test_samples_are_in_the_precision_of_its_parameters(make_gan, batches, dtype):
    gan = make_gan().to(dtype)
    assert gan.generate(3).dtype == dtype
    gan.discriminator_step(batches(1)[0].to(dtype)).loss.backward()
    assert {gradient.dtype for gradient in gradients(gan.discriminator)} == {dtype}


def test_logits_are_in_single_precision_or_better(make_gan, batches):
    gan, x = make_gan(), batches(1)[0]
    assert gan.discriminate(lambda x: x[:, 0].bfloat16(), x, None).dtype == torch.float32
    assert gan.discriminate(lambda x: x[:, 0].double(), x, None).dtype == torch.float64


# ---------------------------------------------------------------- one batch


@pytest.mark.parametrize(("n_critic", "logits"), [(1, 3 * 5), (5, 2 * 5 + 1)])
def test_the_players_share_one_forward_of_the_generator(make_gan, fit, n_critic, logits):
    gan, forwards, calls = make_gan(n_critic=n_critic), [], []
    gan.generator.register_forward_hook(lambda *args: forwards.append(1))
    gan.discriminator.register_forward_hook(lambda *args: calls.append(1))
    fit(gan, 5)
    assert (len(forwards), len(calls)) == (5, logits)


def test_train_batch_trains_as_the_trainer_does(make_gan, batches, fit, weights, objective):
    def make():
        return with_fixed_latents(make_gan(objective=objective, n_critic=2, **both(slow_sgd)), 8)

    trained, alone = make(), make()
    fit(trained, 3)
    optimizers = sgds(alone, 1e-3)
    for batch in batches(3):
        alone.train_batch(batch, *optimizers)
    assert torch.equal(weights(alone), weights(trained)) and not torch.equal(weights(alone), weights(make()))


def test_n_critic_continues_across_epochs_and_resumes(make_gan, fit, tmp_path):
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
            gan.train_batch(batch, noting(gan.generator.parameters()), noting(gan.discriminator.parameters()))
    norms_of = {"discriminator": seen[::2], "generator": seen[1::2]}
    assert norms_of.pop(player) == [pytest.approx(limit, rel=1e-3)] * 3
    assert all(norm > 10 * limit for norm in norms_of.popitem()[1])


def test_a_gradient_below_the_limit_is_unchanged(make_gan, fit, weights):
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
        gan = make_gan(num_classes, generator_accumulation=number, discriminator_accumulation=number).double()
        with_fixed_latents(gan, size)
        x, y = batches(1, size=size, num_classes=num_classes or 1)[0]
        gan.train_batch([x.double(), y], *sgds(gan, lr=1.0))
        assert (gan.discriminator_updates, gan.generator_updates) == (1, 1)
        after.append(weights(gan))
    torch.testing.assert_close(after[1], after[0], atol=1e-12, rtol=0)
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
    gan.update("discriminator", noting(gan.discriminator.parameters()), batches(1)[0])
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
    with pytest.raises(ValueError, match=r"ReduceLROnPlateau needs a metric.*such as ExponentialLR"):
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
    made, logits = spy(gan.generator), spy(gan.discriminator)
    steps = gan.train_batch([x, y], *sgds(gan))
    assert all(len(args) == 2 and torch.equal(args[1], y) for args in made + logits) and len(logits) == 3
    assert torch.equal(steps["discriminator"].labels, y) and torch.equal(steps["generator"].labels, y)
    gan.discriminator_step((x, y)).loss.backward()
    assert gan.discriminator.embedding.weight.grad.abs().sum() > 0


def test_labels_are_left_out_of_an_unconditional_gan(make_gan, batches, fit):
    gan = make_gan()
    made, logits = spy(gan.generator), spy(gan.discriminator)
    labelled = batches(2, num_classes=3)
    trainer = fit(gan, labelled, val=labelled)
    trainer.predict(gan, DataLoader(labelled, batch_size=None))
    assert all(len(args) == 1 for args in made + logits) and made and logits


def test_a_conditional_gan_trains_evaluates_and_predicts(make_gan, batches, fit):
    gan, labelled = make_gan(num_classes=3), batches(2, num_classes=3)
    trainer = fit(gan, labelled, val=labelled)
    made = spy(gan.generator)
    trainer.predict(gan, DataLoader(labelled, batch_size=None))
    assert all(torch.equal(args[1], y) for args, (_, y) in zip(made, labelled, strict=True))


def test_a_conditional_gan_without_labels_is_refused(make_gan, batches):
    with pytest.raises(ValueError, match="MLPGenerator got no labels"):
        make_gan(num_classes=3).discriminator_step(batches(1)[0])


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


def test_an_opponent_trains_in_a_trainer(make_gan, fit):
    gan = make_gan(kind=Unrolled)
    fit(gan, 4)
    assert (gan.discriminator_updates, gan.generator_updates) == (4, 4)


class Symmetric(GAN):
    """The discriminator sees a sample and its mirror image."""

    def discriminate(self, discriminator, x, labels):
        return (super().discriminate(discriminator, x, labels) + super().discriminate(discriminator, -x, labels)) / 2


def test_discriminate_is_overridden_in_one_line(make_gan, batches, fit):
    gan, x = make_gan(kind=Symmetric), batches(1)[0]
    assert not torch.allclose(gan.discriminator(x), gan.discriminator(-x))
    for step in (gan.discriminator_step, gan.generator_step):
        torch.testing.assert_close(step(x, x + 1).fake_logits, step(x, -x - 1).fake_logits)
    fit(gan, 2, val=[x], callbacks=[GradientPenalty()])


def test_discriminate_can_pack_samples(batches, fit):
    """PacGAN: the discriminator sees two samples at a time, so its samples have another shape than G's."""

    class PacGAN(GAN):
        def discriminate(self, discriminator, x, labels):
            return super().discriminate(discriminator, x.reshape(len(x) // 2, -1), labels)

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


@pytest.mark.parametrize("stage", ["fit", "validate"])
def test_hooks_need_no_super(make_gan, batches, fit, weights, stage):
    """Overriding every hook but `setup` and those of checkpoints changes nothing."""
    own = ("checkpoint", "transfer", "model")  # ours that need super(), and those that do something in Lightning itself
    hooks = [name for name in dir(LightningModule) if name.startswith("on_") and not any(word in name for word in own)]
    silent = type("Silent", (GAN,), dict.fromkeys([*hooks, "configure_callbacks"], lambda self, *args: []))
    trained, metrics = [], []
    for kind in (GAN, silent):
        gan = make_gan(kind=kind, dropout=0.3, generator_clip=1e-2, discriminator_clip=1e-2)
        trainer = fit(gan, 4, max_epochs=2, val=batches(2), callbacks=[GeneratorEMA(5.0)], log_every_n_steps=1)
        if stage == "validate":
            torch.manual_seed(0)
            metrics += trainer.validate(gan, DataLoader(batches(2), batch_size=None), verbose=False)
        trained.append((weights(gan), trainer.callback_metrics))
    assert torch.equal(trained[0][0], trained[1][0]) and trained[0][1] == trained[1][1] and len(trained[0][1]) > 3
    assert metrics[:1] == metrics[1:]
