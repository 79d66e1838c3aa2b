"""The hooks: their order, their arguments, and the use of what they return."""

import copy
import pickle
from contextlib import contextmanager

import pytest
import torch
from helpers import Recorder, Scale, Steps, sgds
from lightning.pytorch import Callback
from torch import nn
from torch.utils.data import DataLoader

from lightning_gans import DCGAN, GAN, NetworkStabilizer, Stabilizer
from lightning_gans.generation import draw
from lightning_gans.objectives import NonSaturating, Relativistic
from lightning_gans.schedules import Linear, Schedule
from lightning_gans.stabilizers import WeightClipping

# ---------------------------------------------------------------- order and values

D_STEP = ["fake_samples", "input", "input", "targets", "d_loss", "d_end"]
G_STEP = ["opponent", "input", "g_loss", "g_end"]


@pytest.mark.parametrize("with_trainer", [True, False])
def test_hooks_are_called_in_the_documented_order(make_gan, batches, fit, with_trainer):
    gan, recorder = make_gan(n_critic=2), Recorder()
    if with_trainer:
        fit(gan, 2, callbacks=[recorder])
    else:
        gan.stabilizers.append(recorder)
        for batch in batches(2):
            gan.train_batch(batch, *sgds(gan))
    assert recorder.names == ["turns", *D_STEP, "turns", *D_STEP, *G_STEP]


def test_hooks_are_given_the_documented_values(make_gan, batches):
    gan, recorder, x = make_gan(), Recorder(), batches(1)[0]
    gan.stabilizers.append(recorder)
    steps = gan.train_batch(x, *sgds(gan))
    updates, fake, real, input_of_d, targets, d_loss, d_end, opponent, input_of_g, g_loss, g_end = (
        call[1:] for call in recorder.calls
    )
    assert updates == (1, 1) and opponent == (gan.discriminator,) and fake[1] is None
    assert real[0] is x and input_of_d[0] is fake[0]
    assert torch.equal(targets[0], torch.ones(8)) and torch.equal(targets[1], torch.zeros(8))
    assert d_loss[0].loss is d_loss[1] and torch.equal(d_loss[1], steps["discriminator"].loss)
    assert g_loss[0].loss is g_loss[1] and torch.equal(g_loss[1], steps["generator"].loss)
    assert d_loss[1].requires_grad and d_loss[0].fake_logits.requires_grad, "penalties may use the graph"
    assert torch.equal(input_of_g[0], fake[0]), "the players share one forward"
    assert d_end == (1, 0) and g_end == (1, 1), "the counts include this update"


def test_a_relativistic_generator_step_has_real_input_too(make_gan, batches):
    gan, recorder, x = make_gan(objective=Relativistic()), Recorder(), batches(1)[0]
    gan.stabilizers.append(recorder)
    gan.generator_step(x)
    assert recorder.names == ["opponent", "input", "input", "g_loss"] and recorder.calls[2][1] is x


def test_the_returned_values_are_used(make_gan, batches):
    class Replace(Stabilizer):
        def on_fake_samples(self, gan, fake, labels):
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
    assert gan.active_stabilizers == [own, first, second], "other callbacks are not stabilizers"


def test_setup_prepares_every_stabilizer_before_training(make_gan, fit):
    class Prepared(Recorder):
        def apply_to(self, gan):
            self.calls.append(("applied", gan))

    gan, own, given = make_gan(), Prepared(), Prepared()
    gan.stabilizers.append(own)
    fit(gan, 1, callbacks=[given])
    for stabilizer in (own, given):
        assert stabilizer.names[:2] == ["applied", "turns"] and stabilizer.calls[0][1] is gan


@pytest.mark.parametrize("base", [Stabilizer, NetworkStabilizer])
def test_a_class_without_a_constructor_is_named_as_it_is_written(base):
    class Own(base):
        def change(self, gan):
            raise ValueError(f"{self}: nothing")

    assert str(Own()) == repr(Own()) == "Own()"
    assert Own().state_key == "Own(args=(), kwargs={})", "the key of checkpoints stays what it was"


@pytest.mark.parametrize("given", [{}, {"name": 1}])
def test_a_constructor_of_keywords_is_named_with_those_that_were_given(given):
    class Own(Stabilizer):
        def __init__(self, **kwargs):
            self.kwargs = kwargs

    assert str(Own(**given)) == ("Own(kwargs={'name': 1})" if given else "Own()")


def test_stabilizers_show_their_arguments():
    assert repr(Scale(2.0, shift=1)) == Scale(factor=2.0, shift=1).state_key == "Scale(factor=2.0, shift=1)"
    assert Scale().state_key != Scale(2.0).state_key
    for copied in (copy.deepcopy(Scale(2.0)), pickle.loads(pickle.dumps(Scale(2.0)))):
        assert copied.state_key == "Scale(factor=2.0, shift=0.0)" and copied.factor == 2
    with pytest.raises(TypeError, match="unexpected keyword argument 'limits'"):
        WeightClipping(limits=1)


# ---------------------------------------------------------------- updates per batch, opponents


class Updates(Stabilizer):
    """Takes the numbers of updates of each batch from a plan."""

    def __init__(self, *plan):
        self.plan = list(plan)

    def on_updates_per_batch(self, gan, discriminator, generator):
        return self.plan.pop(0)


def test_each_player_is_updated_as_often_as_the_hook_says(make_gan, batches):
    gan, recorder = make_gan(), Recorder()
    gan.stabilizers += [Updates((1, 1), (0, 1), (1, 0), (2, 3)), recorder]
    updated = []
    for batch in batches(4):
        steps = gan.train_batch(batch, *sgds(gan))
        updated.append((set(steps), gan.discriminator_updates, gan.generator_updates))
    both = {"discriminator", "generator"}
    assert updated == [(both, 1, 1), ({"generator"}, 1, 2), ({"discriminator"}, 2, 2), (both, 4, 5)]
    assert recorder.names.count("d_end") == 4 and recorder.names.count("g_end") == 5


def test_each_further_update_generates_its_own_fakes(make_gan, batches):
    gan, recorder = make_gan(), Recorder()
    gan.stabilizers += [Updates((3, 1)), recorder]
    gan.train_batch(batches(1)[0], *sgds(gan))
    fakes = [call[1] for call in recorder.calls if call[0] == "fake_samples"]
    assert len(fakes) == 3 and not torch.equal(fakes[0], fakes[1]) and not torch.equal(fakes[1], fakes[2])


def test_a_batch_is_one_step_of_the_trainer_whatever_its_updates(make_gan, fit):
    plan = [(0, 1), (1, 1), (2, 2), (1, 0), (0, 3)]
    trainer = fit(make_gan(), 5, callbacks=[Updates(*plan), Steps()], max_steps=100)
    assert trainer.global_step == 5


@pytest.mark.parametrize("updates", [(0, 0), (1, -1)])
def test_a_batch_without_an_update_is_refused(make_gan, batches, updates):
    gan = make_gan()
    gan.stabilizers.append(Updates(updates))
    with pytest.raises(ValueError, match=r"updates of discriminator and generator: expected at least one"):
        gan.train_batch(batches(1)[0], *sgds(gan))


def test_the_generator_can_face_another_discriminator(make_gan, batches):
    class Other(Stabilizer):
        def on_opponent(self, gan, discriminator):
            return lambda x: discriminator(x) * 0 + x.sum(1)

    gan, x, fake = make_gan(), batches(1)[0], torch.randn(8, 2)
    gan.stabilizers.append(Other())
    torch.testing.assert_close(gan.generator_step(x, fake).fake_logits, fake.sum(1))
    torch.testing.assert_close(gan.discriminator_step(x, fake).fake_logits, gan.discriminator(fake))


def test_a_stabilizer_that_reads_real_samples_gets_them_as_the_discriminator_sees_them(make_gan, batches):
    class Reads(Stabilizer):
        reads_real = True

        def on_discriminator_input(self, gan, x):
            return x + 1

    gan, x = make_gan(), batches(1)[0]
    assert gan.generator_step(x).real is None
    gan.stabilizers.append(Reads())
    step = gan.generator_step(x)
    assert torch.equal(step.real, x + 1) and step.real_logits is None


def test_fakes_come_with_their_labels(make_gan, batches):
    gan, recorder = make_gan(num_classes=2), Recorder()
    gan.stabilizers.append(recorder)
    x, labels = batches(1, num_classes=2)[0]
    gan.discriminator_step((x, labels))
    assert torch.equal(recorder.calls[0][2], labels)


# ---------------------------------------------------------------- evaluation weights


class Constant(Stabilizer):
    """Evaluates with a generator that makes one number."""

    @contextmanager
    def evaluation_weights(self, gan):
        saved = {name: value.clone() for name, value in gan.generator.state_dict().items()}
        for parameter in gan.generator.parameters():
            parameter.data.fill_(0.0)
        gan.generator.layers[-1].bias.data.fill_(7.0)
        try:
            yield
        finally:
            gan.generator.load_state_dict(saved)


@pytest.mark.parametrize("place", ["module", "trainer"])
def test_samples_validation_test_and_prediction_use_the_evaluation_weights(make_gan, batches, fit, weights, place):
    class Sees(Callback):
        def __init__(self):
            self.seen = set()

        def on_validation_batch_end(self, trainer, gan, *_):
            self.seen.add(("validate", gan.generate(1)[0, 0].item()))

        def on_test_batch_end(self, trainer, gan, *_):
            self.seen.add(("test", gan.generate(1)[0, 0].item()))

    gan, sees = make_gan(), Sees()
    own = [Constant()] if place == "module" else []
    gan.stabilizers += own
    trainer = fit(gan, 2, val=batches(1), callbacks=[sees, *([] if own else [Constant()])])
    learned = weights(gan)
    assert torch.equal(weights(gan), learned)
    loader = DataLoader(batches(1), batch_size=None)
    trainer.test(gan, loader, verbose=False)
    (predicted,) = trainer.predict(gan, loader)
    assert sees.seen == {("validate", 7.0), ("test", 7.0)} and (predicted == 7).all()
    assert (draw(gan, 3, seed=0)[0] == 7).all() and (gan.generate(3) != 7).all()
    assert torch.equal(weights(gan), learned)


# ---------------------------------------------------------------- changing networks


class Widen(NetworkStabilizer):
    """Gives the discriminator a head with a hidden layer."""

    def __init__(self, width: int = 4):
        self.width = width

    def change(self, gan):
        features = gan.discriminator.num_features
        gan.discriminator.head = nn.Sequential(nn.Linear(features, self.width), nn.Linear(self.width, 1), nn.Flatten(0))


def test_networks_are_changed_once(make_gan, fit):
    gan = make_gan()
    gan.stabilizers.append(Widen())
    fit(gan, callbacks=[Widen()])
    head = gan.discriminator.head
    Widen().apply_to(gan)
    assert gan.discriminator.head is head and len(head) == 3 and len(gan.network_changes) == 1
    Widen(5).apply_to(gan)
    assert gan.discriminator.head is not head, "another change"


def test_a_changed_network_is_trained_and_rebuilt_from_its_checkpoint(fit, weights, tmp_path):
    gan = DCGAN((1, 8, 8), width=2)
    before = fit(gan, callbacks=[Widen(3)])
    before.save_checkpoint(tmp_path / "run.ckpt")
    moments = before.optimizers[1].state
    assert all(parameter in moments for parameter in gan.discriminator.head.parameters())
    again = GAN.load_from_checkpoint(tmp_path / "run.ckpt")
    assert torch.equal(weights(again), weights(gan))
    assert again.discriminator.head[0].out_features == 3
    fit(again, callbacks=[Widen(3)], ckpt_path=tmp_path / "run.ckpt", max_epochs=2)
    fit(again).save_checkpoint(tmp_path / "later.ckpt")
    assert torch.equal(weights(GAN.load_from_checkpoint(tmp_path / "later.ckpt")), weights(again)), (
        "it is still recorded"
    )


def test_a_checkpoint_of_changed_networks_names_the_change_if_it_is_missing(make_gan, fit, tmp_path):
    fit(make_gan(), callbacks=[Widen()]).save_checkpoint(tmp_path / "run.ckpt")
    with pytest.raises(ValueError, match=r"\(networks changed by Widen\) and does not fit"):
        fit(make_gan(), ckpt_path=tmp_path / "run.ckpt", max_epochs=2)


@pytest.mark.parametrize("path", ["os.system", "lightning_gans.gan.GAN", "lightning_gans.stabilizers.gone.Gone"])
def test_a_checkpoint_cannot_name_other_code(make_gan, fit, tmp_path, path):
    fit(make_gan(), callbacks=[Widen()]).save_checkpoint(tmp_path / "run.ckpt")
    saved = torch.load(tmp_path / "run.ckpt", weights_only=True)
    saved["gan_network_changes"] = [{"class_path": path, "init_args": {}}]
    torch.save(saved, tmp_path / "bad.ckpt")
    torch_gan = make_gan()
    with pytest.raises(ValueError, match=r"which is not an imported NetworkStabilizer"):
        torch_gan.on_load_checkpoint(saved)


# ---------------------------------------------------------------- schedules


class Scheduled(Stabilizer):
    """Has a strength that changes."""

    def __init__(self, strength: float | Schedule = 1.0):
        self.strength = strength


@pytest.mark.parametrize(
    ("updates", "n_critic", "said"), [(8, 1, False), (9, 1, True), (4, 2, False), (5, 2, True), (None, 1, False)]
)
def test_a_schedule_longer_than_its_run_is_warned_of(make_gan, fit, recwarn, updates, n_critic, said):
    strength = 1.0 if updates is None else Linear(1.0, 0.0, updates - 1, begin=1)
    fit(make_gan(n_critic=n_critic), 4, max_epochs=2, callbacks=[Scheduled(strength)])
    warned = [str(w.message) for w in recwarn if "reaches its end" in str(w.message)]
    assert len(warned) == said
    if said:
        stops = {9: (8, 1 / 8), 5: (4, 1 / 4)}[updates]
        assert f"this run has {stops[0]}; it stops at {stops[1]:.3g}. Lower its `updates`" in warned[0]
