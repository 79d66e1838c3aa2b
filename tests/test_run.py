"""A game in a Trainer: seeds, resumes, checkpoints, precision, logs."""

import copy
from functools import partial

import pytest
import torch
from helpers import Scale, Steps, sgds
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import nn
from torch.optim.lr_scheduler import ExponentialLR
from torch.utils.data import DataLoader

from lightning_gans import DCGAN, GAN, WGAN
from lightning_gans.optimizers import SGD, Adam
from lightning_gans.stabilizers import GradientPenalty
from lightning_gans.step import Step

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
    other.train_batch(batches(1)[0], *sgds(other))
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
    moved = first.keys() ^ second.keys()
    assert moved == {"loss/generator", "gradients/generator"}, "G did not move on the third batch"
    assert second["loss/discriminator"] == pytest.approx(steps["discriminator"].loss.item())
    assert second["loss/generator"] == pytest.approx(steps["generator"].loss.item())
    assert second["loss/shift"] == 2
    assert second["discriminator/real_logit"] == pytest.approx(steps["discriminator"].real_logits.mean().item())
    assert second["discriminator/fake_logit"] == pytest.approx(steps["discriminator"].fake_logits.mean().item())
    assert (second["progress/discriminator_updates"], second["progress/generator_updates"]) == (6, 3)


def test_what_is_logged_is_grouped(make_gan, fit):
    log = Log()
    fit(make_gan(), logger=log, callbacks=[Scale(shift=2.0)])
    assert set(log.lines[0][1]) - {"epoch"} == {
        "loss/generator",
        "loss/discriminator",
        "loss/shift",
        "discriminator/real_logit",
        "discriminator/fake_logit",
        "discriminator/separation",
        "discriminator/learning_rate",
        "generator/learning_rate",
        "gradients/generator",
        "gradients/discriminator",
        "progress/generator_updates",
        "progress/discriminator_updates",
        "progress/images",
    }


@pytest.mark.parametrize("every", [1, 3])
def test_the_gradients_are_those_of_the_step(make_gan, fit, norms, every):
    noting, seen = norms
    log = Log()
    fit(make_gan(generator_optimizer=noting, discriminator_optimizer=noting), 6, logger=log, log_every_n_steps=every)
    places = range(every - 1, 6, every)
    assert [line["gradients/discriminator"] for _, line in log.lines] == pytest.approx([seen[2 * i] for i in places])
    assert [line["gradients/generator"] for _, line in log.lines] == pytest.approx([seen[2 * i + 1] for i in places])


def test_gradients_are_logged_before_they_are_clipped(make_gan, fit):
    plain, clipped = Log(), Log()
    still = {"generator_optimizer": partial(SGD, lr=0.0), "discriminator_optimizer": partial(SGD, lr=0.0)}
    fit(make_gan(**still), logger=plain)
    fit(make_gan(**still, generator_clip=1e-3, discriminator_clip=1e-3), logger=clipped)
    for (_, line), (_, other) in zip(plain.lines, clipped.lines, strict=True):
        for player in ("generator", "discriminator"):
            assert line[f"gradients/{player}"] == pytest.approx(other[f"gradients/{player}"], rel=1e-6)
            assert line[f"gradients/{player}"] > 1e-3


def test_whole_gradients_are_measured_only_where_they_are_logged(make_gan, batches, fit, monkeypatch):
    measured, norm = [], torch.linalg.vector_norm
    monkeypatch.setattr(torch.linalg, "vector_norm", lambda norms: measured.append(1) or norm(norms))
    gan = make_gan()
    fit(gan, 6, logger=Log(), log_every_n_steps=3)
    assert len(measured) == 4
    gan.train_batch(batches(1)[0], *sgds(gan))
    assert len(measured) == 4, "nothing is logged without a Trainer"


def test_the_learning_rates_are_those_of_the_step(make_gan, fit):
    log = Log()
    decay = partial(ExponentialLR, gamma=0.5)
    rates = {"generator_optimizer": partial(SGD, lr=0.1), "discriminator_optimizer": partial(SGD, lr=0.4)}
    fit(make_gan(**rates, generator_scheduler=decay), 3, logger=log)
    assert [line["generator/learning_rate"] for _, line in log.lines] == pytest.approx([0.05, 0.025, 0.0125])
    assert [line["discriminator/learning_rate"] for _, line in log.lines] == pytest.approx([0.4, 0.4, 0.4])


@pytest.mark.parametrize(
    ("real", "fake", "expected"),
    [([1.0, 2.0], [0.0, 0.0], 1), ([0.0, 0.0], [1.0, 2.0], 0), ([1.0, 1.0], [1.0, 1.0], 0.5), ([3.0], [1.0, 9.0], 1)],
)
def test_the_separation_is_how_often_a_real_sample_is_above_a_fake(make_gan, fit, real, fake, expected):
    gan = make_gan()
    fit(gan)
    step = Step(torch.zeros(()), torch.zeros(1), torch.tensor(fake), None, torch.tensor(real))
    assert gan.figures({"discriminator": step})["discriminator/separation"] == expected


def test_images_are_counted_over_processes_parts_of_batches_and_resumes(make_gan, batches, fit, tmp_path, monkeypatch):
    log, gan = Log(), make_gan()
    data = [*batches(2), batches(1, size=3)[0]]
    fit(gan, data, logger=log).save_checkpoint(tmp_path / "a.ckpt")
    assert [line["progress/images"] for _, line in log.lines] == [8, 16, 19]
    log, gan = Log(), make_gan()
    monkeypatch.setattr(Trainer, "world_size", 2)
    fit(gan, data, logger=log, max_epochs=2, ckpt_path=tmp_path / "a.ckpt")
    assert [line["progress/images"] for _, line in log.lines] == [35, 51, 57]


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
