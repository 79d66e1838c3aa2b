"""A resumed run does what it is asked for: changed settings apply and are said, or are refused."""

import pytest
import torch
from helpers import Scale
from lightning.pytorch.callbacks import EarlyStopping
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, LinearLR, SequentialLR

from lightning_gans import GAN
from lightning_gans.data import GaussianRing
from lightning_gans.objectives import Hinge
from lightning_gans.optimizers import SGD, Adam
from lightning_gans.stabilizers import ExperienceReplay, GeneratorEMA, InstanceNoise
from lightning_gans.training import run_settings, settings

BATCHES = 4


def adam(**arguments):
    return lambda params: Adam(params, **{"lr": 2e-4, **arguments})


def exponential(gamma=0.5):
    return lambda optimizer: ExponentialLR(optimizer, gamma)


@pytest.fixture
def said(monkeypatch):
    """The lines that a resume prints."""
    lines = []
    monkeypatch.setattr(run_settings, "rank_zero_info", lines.append)
    return lines


@pytest.fixture
def resume(make_gan, fit, tmp_path, said):
    """Train an epoch with one set of arguments, resume with another; the GAN, the Trainer and the saved checkpoint."""

    def resume(before, now, callbacks=((), ()), damage=None, **changed):
        settings = {"generator_optimizer": adam()}
        trainer = fit(make_gan(**{**settings, **before}), BATCHES, callbacks=list(callbacks[0]))
        trainer.save_checkpoint(tmp_path / "a.ckpt")
        if damage is not None:
            saved = torch.load(tmp_path / "a.ckpt", weights_only=True)
            damage(saved)
            torch.save(saved, tmp_path / "a.ckpt")
        said.clear()
        gan = make_gan(**{**settings, **now})
        trainer = fit(
            gan, BATCHES, ckpt_path=tmp_path / "a.ckpt", callbacks=list(callbacks[1]), **{"max_epochs": 2, **changed}
        )
        return gan, trainer, torch.load(tmp_path / "a.ckpt", weights_only=True)

    return resume


def rates(trainer):
    return [optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers]


def test_nothing_is_said_where_nothing_was_changed(resume, said):
    same = {"generator_scheduler": exponential(), "n_critic": 2}
    resume(same, same, callbacks=([InstanceNoise(), GeneratorEMA()], [InstanceNoise(), GeneratorEMA()]))
    assert said == []


def test_an_asked_learning_rate_is_used_and_said(resume, said):
    _, trainer, saved = resume({}, {"generator_optimizer": adam(lr=1e-5)})
    assert rates(trainer) == [1e-5, 4e-4]
    (line,) = said
    assert line.endswith("a.ckpt: the generator's learning rate 2e-4 → 1e-5, as asked.")
    state = trainer.optimizers[0].state_dict()["state"][0]
    assert state["step"] == saved["optimizer_states"][0]["state"][0]["step"] + BATCHES, "its moments are kept"


def test_other_numbers_of_an_optimizer(resume, said):
    _, trainer, _ = resume({}, {"generator_optimizer": adam(beta1=0.0, weight_decay=0.01)})
    group = trainer.optimizers[0].param_groups[0]
    assert (group["betas"], group["weight_decay"], group["lr"]) == ((0.0, 0.999), 0.01, 2e-4)
    assert "the generator's betas (0.5, 0.999) → (0, 0.999); the generator's weight_decay 0 → 0.01, as asked" in said[0]


def test_a_rate_under_a_schedule_is_the_asked_one_times_the_schedules_progress(resume, said):
    now = {"generator_optimizer": adam(lr=1e-3), "generator_scheduler": exponential()}
    _, trainer, _ = resume({"generator_scheduler": exponential()}, now)
    assert rates(trainer)[0] == pytest.approx(1e-3 * 0.5 ** (2 * BATCHES), rel=1e-12)
    assert "the generator's learning rate 2e-4 → 1e-3 (6.25e-5 now, by its schedule), as asked" in said[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "now", "rate", "words"),
    [
        (exponential(0.5), exponential(0.9), 0.9**8, "ExponentialLR(gamma=0.5) → ExponentialLR(gamma=0.9)"),
        (exponential(0.5), None, 1.0, "ExponentialLR(gamma=0.5) → none"),
        (None, exponential(0.5), 0.5**8, "none → ExponentialLR(gamma=0.5)"),
        (
            exponential(0.5),
            lambda optimizer: CosineAnnealingLR(optimizer, T_max=8),
            0.0,
            "ExponentialLR(gamma=0.5) → CosineAnnealingLR(T_max=8, eta_min=0)",
        ),
    ],
    ids=["argument", "none", "new", "class"],
)
def test_an_asked_schedule_is_used_from_where_it_would_be(resume, said, before, now, rate, words):
    """Also of one player only, whose state stands first or second in the checkpoint."""
    for player, other in (("generator", "discriminator"), ("discriminator", "generator")):
        both = {f"{player}_optimizer": adam(), f"{other}_scheduler": exponential(0.7)}
        gan, trainer, _ = resume({**both, f"{player}_scheduler": before}, {**both, f"{player}_scheduler": now})
        found = {gan.player_of(one): one.param_groups[0]["lr"] for one in trainer.optimizers}
        assert found[player] == pytest.approx(2e-4 * rate, rel=1e-9, abs=1e-18)
        assert f"the {player}'s schedule {words}" in said[0]
        other_rate = {"generator": 2e-4, "discriminator": 4e-4}[other]
        assert found[other] == pytest.approx(other_rate * 0.7**8, rel=1e-9), "the other player's continues"


def chained(factor):
    def make(optimizer):
        parts = [LinearLR(optimizer, factor, total_iters=2), ExponentialLR(optimizer, 0.5)]
        return SequentialLR(optimizer, parts, milestones=[6])

    return make


def test_a_change_inside_a_chain_of_schedules_is_seen(resume, said):
    resume({"generator_scheduler": chained(0.5)}, {"generator_scheduler": chained(0.5)})
    assert said == []
    resume({"generator_scheduler": chained(0.5)}, {"generator_scheduler": chained(0.25)})
    assert "the generator's schedule SequentialLR" in said[0]


def test_another_kind_of_optimizer_is_refused_before_training(resume, make_gan):
    with pytest.raises(ValueError, match=r"the generator's optimizer was Adam and is SGD now.*use Adam, or .* --from"):
        resume({}, {"generator_optimizer": lambda params: SGD(params, 0.1)})


def test_a_variant_of_the_optimizer_uses_its_state(resume, said):
    _, trainer, _ = resume({}, {"generator_optimizer": lambda params: torch.optim.Adam(params, 1e-4, (0.5, 0.999))})
    assert rates(trainer)[0] == 1e-4 and "2e-4 → 1e-4" in said[0]


def test_arguments_of_the_model_and_its_objective_are_said(resume, said):
    gan, _, _ = resume({}, {"n_critic": 2, "objective": Hinge(), "generator_clip": 1.0})
    assert gan.n_critic == 2 and gan.generator_updates == BATCHES + BATCHES // 2
    for words in ("n_critic 1 → 2", "objective NonSaturating() → Hinge()", "generator_clip none → 1"):
        assert words in said[0]


def test_precision_is_said(resume, said):
    resume({}, {}, precision="bf16-mixed")
    assert "precision 32-true → bf16-mixed, as asked" in said[0]


def test_a_stabilizer_with_other_arguments_keeps_its_memory(resume, said):
    before, now = ExperienceReplay(size=16), ExperienceReplay(size=12, share=0.25)
    resume({}, {}, callbacks=([before], [now]), max_epochs=1)
    kept, restored = before.state_dict()["samples"], now.state_dict()["samples"]
    assert len(kept) == 16 and torch.equal(restored, kept[:12])
    assert "ExperienceReplay(size=16, share=0.5) → ExperienceReplay(size=12, share=0.25), as asked" in said[0]


def test_the_patience_of_early_stopping_is_the_asked_one(resume, said):
    before, now = (EarlyStopping("loss/generator", patience=patience) for patience in (3, 5))
    resume({}, {}, callbacks=([before], [now]))
    assert now.patience == 5 and "the patience for loss/generator 3 → 5, as asked" in said[0]


def test_stabilizers_that_come_and_go_are_said(resume, said):
    resume({}, {}, callbacks=([Scale(factor=0.5)], [InstanceNoise(sigma=0.1)]))
    assert "InstanceNoise(sigma=0.1) added; Scale(factor=0.5, shift=0.0) left out, as asked" in said[0]


def test_checkpoints_from_before_settings_were_kept(resume, said):
    def older(saved):
        del saved["callbacks"]["RunSettings"]

    same = {"generator_scheduler": exponential()}
    resume(same, same, damage=older)
    assert said == []
    _, trainer, _ = resume(same, {**same, "generator_optimizer": adam(lr=1e-3)}, damage=older)
    assert rates(trainer)[0] == pytest.approx(1e-3 * 0.5 ** (2 * BATCHES)) and "2e-4 → 1e-3" in said[0]


def test_learning_rates_that_a_rollback_halved_stay(resume, said):
    def halve(saved):
        saved["optimizer_states"][0]["param_groups"][0]["lr"] = 1e-4

    _, trainer, _ = resume({}, {}, damage=halve)
    assert rates(trainer)[0] == 1e-4 and said == []


@pytest.mark.parametrize(("asked", "words"), [(0, False), (5, True)])
def test_the_seed_stays_that_of_the_run(make_gan, fit, tmp_path, said, monkeypatch, asked, words):
    fit(make_gan()).save_checkpoint(tmp_path / "a.ckpt")
    monkeypatch.setenv("PL_GLOBAL_SEED", str(asked))
    gan = make_gan()
    fit(gan, seed=asked, ckpt_path=tmp_path / "a.ckpt", max_epochs=2)
    assert gan.run_seed == 0
    assert said == (["The seed stays 0, that of the resumed run; for seed 5, start a new run."] if words else [])


def test_data_and_batch_size_are_said(make_gan, quiet, tmp_path, said):
    from lightning.pytorch import Trainer

    def train(size, epochs, **resumed):
        trainer = Trainer(**{**quiet, "max_epochs": epochs, "limit_val_batches": 0})
        trainer.fit(make_gan(), GaussianRing(num_samples=64, batch_size=size, num_val_samples=8), **resumed)
        trainer.save_checkpoint(tmp_path / "a.ckpt")

    train(16, 1)
    train(16, 2, ckpt_path=tmp_path / "a.ckpt")
    assert said == []
    train(8, 3, ckpt_path=tmp_path / "a.ckpt")
    assert "data batch_size 16 → 8, as asked" in said[0]


@pytest.mark.parametrize(
    ("value", "text"),
    [(2e-4, "2e-4"), (1e-5, "1e-5"), (1.25e-10, "1.25e-10"), (0.5, "0.5"), (0.0, "0"), (3, "3"), (None, "none"),
     ([0.5, 0.999], "(0.5, 0.999)"), (True, "True"), ("a", "a")],
)  # fmt: skip
def test_values_are_shown_as_a_user_writes_them(value, text):
    assert settings.shown(value) == text


def test_a_subclass_may_be_resumed_as_another(fit, make_gan, tmp_path, said):
    class Mine(GAN):
        pass

    fit(make_gan()).save_checkpoint(tmp_path / "a.ckpt")
    fit(make_gan(kind=Mine), ckpt_path=tmp_path / "a.ckpt", max_epochs=2)
    assert "model GAN → Mine, as asked" in said[0]


@pytest.mark.parametrize(
    ("counts", "before", "rate"),
    [
        ({"interval": "epoch"}, None, 1e-4),  # one epoch is over
        ({"interval": "epoch"}, {}, 1e-4),  # as many steps as epochs, not as updates before
        ({"frequency": 2}, None, 2e-4 / 2**4),  # eight updates
    ],
)
def test_a_schedule_follows_what_it_counts(resume, counts, before, rate):
    def counting(given):
        return lambda optimizer: {"scheduler": ExponentialLR(optimizer, 0.5), **given}

    was = {} if before is None else {"generator_scheduler": counting(before)}
    _, trainer, _ = resume(was, {"generator_scheduler": counting(counts)})
    assert rates(trainer)[0] == pytest.approx(rate)
