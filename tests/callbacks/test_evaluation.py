"""Scores during a run and afterwards: what is compared, when, what is kept on disk, and what is refused."""

import csv
import json
import math
from datetime import timedelta

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.strategies import DDPStrategy
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from lightning_gans import GAN, generation
from lightning_gans.callbacks import Evaluation
from lightning_gans.data import GANData, GaussianRing, Samples
from lightning_gans.metrics import FrechetDistance, ModeCoverage, PrecisionRecall, Score
from lightning_gans.networks import MLPDiscriminator, StochasticEnsembleMLPGenerator
from lightning_gans.optimizers import Adam
from lightning_gans.randomness import seeded
from lightning_gans.stabilizers import GeneratorEMA

pytestmark = [pytest.mark.filterwarnings("ignore::UserWarning:lightning"), pytest.mark.usefixtures("_folder")]


@pytest.fixture
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def close(one, other):
    return torch.allclose(one, other, atol=1e-6)


class Shift(Score):
    """Distance of the means, from sums; with how many reals and fakes it has seen."""

    name = "shift"

    def __init__(self, features=None, scale=1.0, least=2):
        super().__init__()
        self.features, self.scale, self.least = features, scale, least
        self.least_samples = least
        for kind in ("real", "fake"):
            self.add_state(f"{kind}_sum", torch.zeros(2), dist_reduce_fx="sum")
            self.add_state(f"{kind}_count", torch.zeros(()), dist_reduce_fx="sum")

    @property
    def network(self):
        return self.features

    def update(self, samples, real):
        self.check_samples(samples)
        x = (samples if self.features is None else self.features(samples)).sum(0)
        kind = "real" if real else "fake"
        setattr(self, f"{kind}_sum", getattr(self, f"{kind}_sum") + x)
        setattr(self, f"{kind}_count", getattr(self, f"{kind}_count") + len(samples))

    def compute(self):
        means = self.real_sum / self.real_count, self.fake_sum / self.fake_count
        return self.scale * torch.linalg.vector_norm(means[0] - means[1])


class Kept(Score):
    """Every sample, for the test to look at."""

    def __init__(self):
        super().__init__()
        self.add_state("real_points", [], dist_reduce_fx="cat")
        self.add_state("fake_points", [], dist_reduce_fx="cat")
        self.seen = []

    def update(self, samples, real):
        (self.real_points if real else self.fake_points).append(samples)

    def compute(self):
        real, fake = (torch.cat(x) if isinstance(x, list) else x for x in (self.real_points, self.fake_points))
        self.seen.append((real.clone(), fake.clone()))
        return {"reals": torch.tensor(float(len(real))), "fakes": torch.tensor(float(len(fake)))}


class Fails(Score):
    """A score that takes samples and cannot tell."""

    name = "fails"

    def update(self, samples, real):
        pass

    def compute(self):
        raise ValueError("Fails: all samples are equal; give others.")


class Twice(nn.Module):
    """A feature network that counts the samples it is shown."""

    num_features = 2

    def __init__(self, factor=2.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(float(factor)), requires_grad=False)
        self.shown = 0

    def forward(self, x):
        self.shown += len(x)
        return x * self.weight


def ring(**settings):
    return GaussianRing(
        **{"num_samples": 64, "num_val_samples": 40, "num_test_samples": 24, "batch_size": 16, **settings}
    )


@pytest.fixture
def play(quiet):
    """Fit a GAN with callbacks on a small ring; the Trainer comes back."""

    def play(gan, *callbacks, data=None, ckpt_path=None, **settings):
        trainer = Trainer(**{**quiet, **settings}, callbacks=list(callbacks))
        trainer.fit(gan, datamodule=data or ring(), ckpt_path=ckpt_path)
        return trainer

    return play


def evaluation(*metrics, num_samples=48, **settings):
    return Evaluation(list(metrics) or [Shift()], num_samples=num_samples, **settings)


def history(trainer, name):
    with open(f"{trainer.log_dir}/metrics.csv") as file:
        return {int(row["epoch"]): float(row[name]) for row in csv.DictReader(file) if row.get(name)}


# ---------------------------------------------------------------- what is compared


def fakes_of(gan, num, seed=0):
    with seeded(seed):
        z = gan.generator.latents.sample(num)
    with torch.no_grad():
        return gan.eval()(z, generation.class_labels(gan, num))


def test_real_and_generated_samples_are_all_there_once(make_gan, quiet):
    gan, kept = make_gan(), Kept()
    Trainer(**quiet, callbacks=[evaluation(kept, Shift())]).test(gan, datamodule=ring(), verbose=False)
    ((real, fake),) = kept.seen
    assert torch.equal(real, ring().load("test").x)
    assert close(fake, fakes_of(gan, 48))


def test_the_figure_is_that_of_the_samples(make_gan, quiet):
    gan = make_gan()
    trainer = Trainer(**quiet, callbacks=[evaluation()])
    (figures,) = trainer.test(gan, datamodule=ring(), verbose=False)
    expected = torch.linalg.vector_norm(ring().load("test").x.mean(0) - fakes_of(gan, 48).mean(0))
    assert figures["test/shift"] == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(("num", "counts"), [(48, (40, 48)), (20, (20, 20)), (None, (40, 40)), (2, (2, 2))], ids=str)
def test_numbers_of_samples(make_gan, play, num, counts):
    observer = evaluation(Kept(), num_samples=num)
    play(make_gan(), observer)
    assert tuple(observer.board.figures.values()) == counts == (observer.board.real, observer.board.fake)


def test_fewer_real_samples_come_from_all_over_the_data(make_gan, play):
    kept = Kept()
    play(make_gan(), evaluation(kept, num_samples=10))
    x, (real, _) = ring().load("val").x, kept.seen[0]
    places = [int((x == point).all(1).nonzero()) for point in real]
    assert places == sorted(set(places)) and places[-1] > 30, "each once, and not the first ten"


@pytest.mark.parametrize("settings", [{"limit_val_batches": 1}, {"limit_val_batches": 0}, {"num_sanity_val_steps": 2}])
def test_limits_on_batches_do_not_touch_the_samples(make_gan, play, settings):
    kept = Kept()
    play(make_gan(), evaluation(kept), **settings)
    ((real, _),) = kept.seen
    assert torch.equal(real, ring().load("val").x), "once, hence not in the sanity check"


@pytest.mark.parametrize("change", [{"num_samples": 30}, {"seed": 1}, {"split": "train"}], ids=str)
def test_every_argument_changes_the_figure(make_gan, quiet, change):
    figures = []
    for arguments in ({}, change):
        observer = evaluation(**arguments)
        Trainer(**quiet, callbacks=[observer]).test(make_gan(), datamodule=ring(), verbose=False)
        figures.append(observer.board.figures["shift"])
    assert figures[0] != figures[1]


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_the_size_of_batches_changes_nothing(make_gan, play, batch_size):
    kept = Kept(), Kept()
    for score, size in zip(kept, (256, batch_size), strict=True):
        play(make_gan(), evaluation(score, batch_size=size, statistics=None))
    for one, other in zip(kept[0].seen[0], kept[1].seen[0], strict=True):
        assert close(one, other)


def test_classes_come_in_turn(make_gan, play):
    gan, kept = make_gan(num_classes=8), Kept()
    play(gan, evaluation(kept), data=ring(labels=True))
    real, fake = kept.seen[0]
    assert real.shape == (40, 2) and close(fake, fakes_of(gan, 48))


@pytest.mark.parametrize("limit", [0, 1.0])
def test_the_generator_that_is_presented_is_scored(make_gan, play, limit):
    gan, kept, average = make_gan(), Kept(), GeneratorEMA(half_life=1000)
    play(gan, evaluation(kept), average, limit_val_batches=limit)
    presented, learned = [], fakes_of(gan, 48)
    with generation.showing(gan):
        presented.append(fakes_of(gan, 48))
    assert close(kept.seen[0][1], presented[0]) and not close(presented[0], learned)


def test_the_generator_is_in_evaluation_mode(make_gan, play):
    gan, modes = make_gan(), []
    gan.generator.register_forward_hook(lambda module, inputs, out: modes.append((module.training, len(out))))
    play(gan, evaluation(batch_size=3), limit_val_batches=0, max_epochs=2)
    assert [mode for mode, size in modes if size == 3] == [False] * 32 and {(True, 16)} == set(modes) - {(False, 3)}
    assert gan.generator.training


def test_samples_of_an_ensemble_are_the_same_every_time(play):
    gan = GAN(StochasticEnsembleMLPGenerator((2,), 3, width=4, groups=8), MLPDiscriminator((2,), width=4))
    kept = Kept()
    trainer = play(gan, evaluation(kept))
    trainer.validate(gan, datamodule=ring(), verbose=False)
    assert torch.equal(kept.seen[0][1], kept.seen[1][1]), "routes included"


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_every_precision_has_figures(make_gan, play, precision):
    observer = evaluation(Kept(), Shift())
    play(make_gan(), observer, precision=precision)
    assert math.isfinite(observer.board.figures["shift"]) and observer.metrics[0].seen[0][1].dtype == torch.float32


def test_loaders_without_a_data_module_do(make_gan, quiet):
    gan, kept = make_gan(), Kept()
    trainer = Trainer(**quiet, callbacks=[evaluation(kept, FrechetDistance())])
    loaders = [DataLoader(TensorDataset(ring().load(split).x), 16, shuffle=True) for split in ("train", "val", "test")]
    trainer.fit(_first(gan), loaders[0], loaders[1])
    trainer.test(gan, loaders[2], verbose=False)
    assert torch.equal(kept.seen[0][0], ring().load("val").x) and torch.equal(kept.seen[1][0], ring().load("test").x)


def _first(gan):
    """The gan, for a data set that gives tuples of one."""
    gan.unpack_batch = lambda batch: (batch[0] if isinstance(batch, list | tuple) else batch, None)
    return gan


def test_workers_read_the_same_samples(make_gan, play):
    kept = Kept(), Kept()
    for score, workers in zip(kept, (0, 1), strict=True):
        gan = make_gan()
        trainer = Trainer(callbacks=[evaluation(score, statistics=None)], accelerator="cpu", logger=False)
        trainer.enable_progress_bar = False
        trainer.test(gan, datamodule=ring(num_workers=workers), verbose=False)
    assert torch.equal(kept[0].seen[0][0], kept[1].seen[0][0])


# ---------------------------------------------------------------- when


@pytest.mark.parametrize("validation", [True, False], ids=["with validation", "without"])
@pytest.mark.parametrize(
    ("every", "settings", "epochs"),
    [
        (1, {"max_epochs": 3}, [0, 1, 2]),
        (2, {"max_epochs": 3}, [1, 2]),
        (0, {"max_epochs": 1}, []),
        (3, {"max_epochs": -1, "max_steps": 8}, [1]),
    ],
    ids=str,
)
def test_epochs_that_are_scored(make_gan, play, tmp_path, every, settings, epochs, validation):
    limit = {} if validation else {"limit_val_batches": 0}
    logger = CSVLogger(tmp_path, name="run")
    observer = evaluation(every_n_epochs=every)
    trainer = play(make_gan(), observer, logger=logger, **settings, **limit)
    assert list(history(trainer, "val/shift")) == epochs
    seen = trainer.callback_metrics.get("val/shift")  # by checkpoints and the like
    assert (seen is None) if observer.board is None else float(seen) == pytest.approx(observer.board.figures["shift"])


class Stop(Callback):
    """Ends the run at an epoch's end, too late for others to know."""

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.should_stop = True


@pytest.mark.parametrize(("steps", "settings"), [(2, {"max_steps": 2}), (4, {})], ids=str)
def test_a_run_that_ends_unforeseen_has_its_last_figures(make_gan, play, tmp_path, steps, settings):
    observer = evaluation(every_n_epochs=10)
    stop = [Stop()] if not settings else []
    trainer = play(make_gan(), observer, *stop, logger=CSVLogger(tmp_path, name="run"), max_epochs=-1, **settings)
    assert trainer.global_step == steps and observer.board.generator_updates == steps
    assert list(history(trainer, "val/shift").values()) == [pytest.approx(observer.board.figures["shift"])]


def test_validations_within_an_epoch_are_scored_too(make_gan, play):
    kept = Kept()
    play(make_gan(), evaluation(kept), val_check_interval=0.5)
    assert len(kept.seen) == 2


@pytest.mark.parametrize(("command", "name"), [("validate", "val/shift"), ("test", "test/shift")])
@pytest.mark.parametrize("split", [None, "train"])
def test_figures_are_called_after_their_split(make_gan, quiet, command, name, split):
    trainer = Trainer(**quiet, callbacks=[evaluation(split=split, every_n_epochs=0)])
    (figures,) = getattr(trainer, command)(make_gan(), datamodule=ring(), verbose=False)
    assert [one for one in figures if one.endswith("shift")] == ["train/shift" if split else name]


def test_the_best_checkpoint_is_the_best(make_gan, play, tmp_path, quiet):
    keeper = ModelCheckpoint(tmp_path / "kept", monitor="val/shift", mode="min", filename="{epoch}")
    logger = CSVLogger(tmp_path, name="run")
    gan = make_gan(generator_optimizer=lambda parameters: Adam(parameters, lr=0.3))  # which goes to and fro
    trainer = play(gan, evaluation(), keeper, max_epochs=6, logger=logger, enable_checkpointing=True)
    figures = history(trainer, "val/shift")
    best = min(figures, key=figures.get)
    assert len(figures) == 6 and best != 5, "a test of something"
    (path,) = (tmp_path / "kept").iterdir()
    assert path.name == f"epoch={best}.ckpt" and keeper.best_model_score == pytest.approx(figures[best])
    (again,) = Trainer(**quiet, callbacks=[evaluation()]).validate(
        make_gan(seed=1), datamodule=ring(), ckpt_path=path, verbose=False, weights_only=True
    )
    assert again["val/shift"] == pytest.approx(figures[best])


@pytest.mark.parametrize("settings", [{"val_check_interval": 0.5}, {"limit_val_batches": 0}], ids=str)
def test_a_checkpoint_finds_the_figure_of_its_time(make_gan, play, tmp_path, settings):
    class Asked(Kept):
        def compute(self):
            super().compute()
            return {"count": torch.tensor(float(len(self.seen)))}

    keeper = ModelCheckpoint(tmp_path, monitor="val/count", mode="max", save_top_k=-1, filename="{val/count:.0f}")
    play(make_gan(), evaluation(Asked()), keeper, max_epochs=2, enable_checkpointing=True, **settings)
    scores = sorted(float(score) for score in keeper.best_k_models.values())
    assert scores == ([1, 2, 3, 4] if "val_check_interval" in settings else [1, 2])


def test_a_checkpoint_by_a_loss_is_no_concern(make_gan, play, tmp_path):
    keeper = ModelCheckpoint(tmp_path, monitor="val/discriminator_loss", mode="min")
    play(make_gan(), evaluation(every_n_epochs=2), keeper, max_epochs=2, enable_checkpointing=True)


# ---------------------------------------------------------------- the game is left alone


def test_the_game_is_not_touched(make_gan, play, weights):
    states = []
    for callbacks in ([], [evaluation(Kept(), Shift(Twice()))]):
        gan = make_gan(dropout=0.5)
        trainer = play(gan, *callbacks, max_epochs=3)
        states.append((weights(gan), torch.rand(3), [module.training for module in gan.modules()]))
        assert trainer.global_step == 12
    assert torch.equal(states[0][0], states[1][0]) and torch.equal(states[0][1], states[1][1])
    assert states[0][2] == states[1][2]


def test_nothing_of_it_is_in_a_checkpoint(make_gan, play, tmp_path):
    saved = []
    for name, callbacks in (("without", []), ("with", [evaluation(Shift(Twice()))])):
        trainer = play(make_gan(), *callbacks)
        trainer.save_checkpoint(tmp_path / name)
        saved.append(torch.load(tmp_path / name, weights_only=True))
    assert saved[0]["state_dict"].keys() == saved[1]["state_dict"].keys()
    assert saved[0]["callbacks"] == saved[1]["callbacks"]


def test_a_resumed_run_has_the_figures_of_one_without_a_break(make_gan, quiet, tmp_path):
    loaders = [DataLoader(TensorDataset(ring().load(split).x), 16) for split in ("train", "val")]  # in a fixed order
    runs = []
    for name, epochs, start in (("whole", 3, None), ("half", 2, None), ("rest", 3, "half.ckpt")):
        settings = {**quiet, "logger": CSVLogger(tmp_path, name), "max_epochs": epochs}
        trainer = Trainer(**settings, callbacks=[evaluation()])
        torch.manual_seed(0)
        trainer.fit(_first(make_gan()), *loaders, ckpt_path=start)
        trainer.save_checkpoint(f"{name}.ckpt")
        runs.append(history(trainer, "val/shift"))
    assert runs[1] | runs[2] == runs[0] and [list(run) for run in runs] == [[0, 1, 2], [0, 1], [2]]


def test_a_generator_that_has_diverged_has_nan_for_figures(make_gan, play, tmp_path, recwarn):
    class Break(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            if trainer.current_epoch == 2:  # behind the last step, whose numbers would end the run
                with torch.no_grad():
                    next(pl_module.generator.parameters()).fill_(math.nan)

    logger = CSVLogger(tmp_path, "run")
    trainer = play(make_gan(), Break(), evaluation(split="train"), max_epochs=3, logger=logger, limit_val_batches=0)
    figures = history(trainer, "train/shift")
    assert [math.isnan(value) for value in figures.values()] == [False, False, True]
    said = [str(warning.message) for warning in recwarn if "no figures" in str(warning.message)]
    assert len(said) == 1 and "makes NaN" in said[0] and "after 12 batches" in said[0]
    assert json.loads((tmp_path / "run/version_0/scores.json").read_text())["figures"] == {"shift": None}
    with pytest.raises(ValueError, match="hold NaN or infinity"):
        trainer.test(trainer.lightning_module, datamodule=ring(), verbose=False)


def test_a_score_that_cannot_tell_does_not_end_a_run(make_gan, play, tmp_path, recwarn):
    keeper = ModelCheckpoint(tmp_path, monitor="val/fails", mode="min")
    observer = evaluation(Shift(), Fails())
    trainer = play(make_gan(), observer, keeper, enable_checkpointing=True)
    assert math.isfinite(observer.board.figures["shift"]) and math.isnan(observer.board.figures["fails"])
    assert any("all samples are equal" in str(warning.message) for warning in recwarn)
    with pytest.raises(ValueError, match="all samples are equal; give others"):
        trainer.test(trainer.lightning_module, datamodule=ring(), verbose=False)


# ---------------------------------------------------------------- what is left behind


def test_the_table_and_the_file(make_gan, quiet, tmp_path, capsys):
    gan = make_gan()
    gan.generator_updates = 1234
    logger = CSVLogger(tmp_path, "run")
    scores = [ModeCoverage(), Shift(), Shift(Twice())]
    trainer = Trainer(**{**quiet, "logger": logger}, callbacks=[evaluation(*scores, num_samples=2500, seed=3)])
    trainer.test(gan, datamodule=ring())
    said = capsys.readouterr().out
    lines = said.splitlines()
    assert lines[1:4] == [
        "GAN after 1,234 generator updates",
        "2,500 generated samples (seed 3) beside 24 real ones of GaussianRing (test split)",
        "",
    ]
    assert lines[4].split() == ["score", "value", "floor", "seen", "through"] and set(lines[5]) == {"-"}
    rows = {line.split()[0]: line.split()[1:] for line in lines[6:12]}
    assert list(rows) == ["modes", "high_quality", "reverse_kl", "sigma_ratio", "shift", "shift_Twice"]
    assert rows["reverse_kl"][1] == "0.0014" and rows["shift_Twice"][1] == "Twice" and len(rows["shift"]) == 1
    assert "of the model: test/discriminator_loss" in said and "Test metric" not in said, "one table"
    record = json.loads((tmp_path / "run/version_0/scores.json").read_text())
    assert record["figures"]["reverse_kl_floor"] == pytest.approx(7 / 5000)
    assert float(rows["shift"][0]) == pytest.approx(record["figures"]["shift"], rel=1e-3)
    expected = {
        "networks": {"shift_Twice": "Twice"},
        "real": 24,
        "fake": 2500,
        "split": "test",
        "seed": 3,
        "data": "GaussianRing",
        "model": "GAN",
        "generator_updates": 1234,
        "checkpoint": None,
        "version": "0.1.0",
    }
    assert expected.items() <= record.items()
    assert set(record["losses"]) == {f"test/{name}" for name in _LOSSES} and record["losses"]["test/real_logit"]


_LOSSES = ("discriminator_loss", "generator_loss", "real_logit", "fake_logit")


def test_large_and_small_numbers_are_readable(make_gan, quiet, capsys):
    scores = [Shift(scale=1e6), Shift(Twice(0.0), scale=0.0)]
    Trainer(**quiet, callbacks=[evaluation(*scores)]).test(make_gan(), datamodule=ring(), verbose=False)
    rows = [line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("shift")]
    assert "," in rows[0] and "e" not in rows[0] and rows[1] == "0"


def test_the_file_tells_of_the_checkpoint_and_of_the_latest_epoch(make_gan, play, tmp_path, quiet):
    gan = make_gan()
    trainer = play(gan, evaluation(), max_epochs=2, logger=CSVLogger(tmp_path, "run"))
    record = json.loads((tmp_path / "run/version_0/scores.json").read_text())
    assert (record["split"], record["generator_updates"], record["checkpoint"]) == ("val", 8, None)
    trainer.save_checkpoint("a.ckpt")
    tester = Trainer(**{**quiet, "logger": CSVLogger(tmp_path, "run")}, callbacks=[evaluation()])
    tester.test(gan, datamodule=ring(), ckpt_path="a.ckpt", verbose=False, weights_only=True)
    record = json.loads((tmp_path / "run/version_1/scores.json").read_text())
    assert (record["split"], record["generator_updates"], record["checkpoint"]) == ("test", 8, "a.ckpt")


def test_a_trial_leaves_nothing_and_is_short(make_gan, play, tmp_path):
    observer = evaluation(Kept(), Shift(least=5))
    play(make_gan(), observer, fast_dev_run=2, logger=True)
    assert (observer.board.real, observer.board.fake) == (5, 5) and not list(tmp_path.iterdir())


def test_without_a_logger_there_is_no_file(make_gan, play, tmp_path):
    play(make_gan(), evaluation(statistics=None))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shown", [True, False])
def test_long_work_shows_a_bar_unless_bars_are_off(make_gan, play, monkeypatch, shown):
    asked = []

    def bar(parts, **settings):
        asked.append(settings)
        return parts

    monkeypatch.setattr("lightning_gans.callbacks.evaluation.shares.tqdm", bar)
    play(make_gan(), evaluation(), enable_progress_bar=shown)
    assert [one["disable"] for one in asked] == [not shown] * 2
    assert [one["desc"] for one in asked] == ["statistics of 40 real samples", "scores of 48 samples"]


# ---------------------------------------------------------------- several processes


def two_processes():
    return DDPStrategy(start_method="fork", find_unused_parameters=True, timeout=timedelta(seconds=60))


@pytest.mark.parametrize("statistics", [None, "kept"])
def test_two_processes_have_the_figures_of_one(make_gan, quiet, tmp_path, statistics):
    gan = GAN(StochasticEnsembleMLPGenerator((2,), 3, width=4, groups=8), MLPDiscriminator((2,), width=4))
    figures = []
    for name, settings in (("one", {}), ("two", {"devices": 2, "strategy": two_processes()})):
        scores = [Shift(), Shift(Twice()), Kept(), FrechetDistance(), PrecisionRecall()]
        trainer = Trainer(**{**quiet, "logger": CSVLogger(tmp_path, name)}, **settings)
        trainer.callbacks.append(evaluation(*scores, statistics=statistics))
        trainer.test(gan, datamodule=ring(num_test_samples=25, batch_size=8), verbose=False)
        record = json.loads((tmp_path / name / "version_0/scores.json").read_text())
        assert (record["real"], record["fake"]) == (25, 48) == tuple(map(record["figures"].get, ("reals", "fakes")))
        figures.append(record["figures"])
    assert figures[1] == pytest.approx(figures[0], rel=1e-5)
    assert not statistics or len(list((tmp_path / "kept").iterdir())) == 5


def test_two_processes_train_as_they_would_without(make_gan, play, tmp_path):
    for name, observers in (("without", []), ("with", [evaluation(statistics="kept")])):
        keeper = ModelCheckpoint(tmp_path / name, monitor="val/shift" if observers else None, filename="kept")
        settings = {"devices": 2, "strategy": two_processes(), "enable_checkpointing": True}
        play(make_gan(), *observers, keeper, data=ring(batch_size=8), max_epochs=2, **settings)
    states = [torch.load(tmp_path / name / "kept.ckpt", weights_only=True) for name in ("without", "with")]
    assert states[0]["state_dict"].keys() == states[1]["state_dict"].keys()
    for name, value in states[0]["state_dict"].items():
        assert not isinstance(value, torch.Tensor) or torch.equal(value, states[1]["state_dict"][name])
    (best,) = [state["best_model_score"] for key, state in states[1]["callbacks"].items() if "val/shift" in key]
    assert math.isfinite(best)


# ---------------------------------------------------------------- equal networks


def test_equal_networks_look_once(make_gan, quiet):
    networks = [Twice(), Twice(), Twice(3.0)]
    scores = [Shift(networks[0]), type("Other", (Shift,), {"name": "other"})(networks[1]), Kept()]
    scores.append(type("Third", (Shift,), {"name": "third"})(networks[2]))
    observer = evaluation(*scores, statistics=None)
    Trainer(**quiet, callbacks=[observer]).test(make_gan(), datamodule=ring(), verbose=False)
    assert [network.shown for network in networks] == [24 + 48 + 4, 4, 24 + 48 + 4], "4 are tried on each"
    figures = observer.board.figures
    assert figures["shift"] == figures["other"] and figures["third"] == pytest.approx(1.5 * figures["shift"])
    assert not any("forward" in vars(network) for network in networks), "networks are as they were"


# ---------------------------------------------------------------- statistics on disk


def files(tmp_path):
    return sorted(path.name for path in (tmp_path / "runs/statistics").iterdir())


def reads(monkeypatch):
    """Counts how many real samples scores are shown."""
    shown = []
    update = Shift.update
    monkeypatch.setattr(
        Shift, "update", lambda self, samples, real: shown.append(len(samples) * real) or update(self, samples, real)
    )
    return shown


def test_a_second_run_reads_what_the_first_has_computed(make_gan, play, tmp_path, monkeypatch):
    shown, figures = reads(monkeypatch), []
    for _ in range(2):
        observer = evaluation(Shift(Twice()), Kept())
        play(make_gan(), observer)
        figures.append(observer.board.figures)
        assert len(files(tmp_path)) == 2
    assert figures[0] == figures[1]
    assert sum(shown) == 40 + 2 + 2, "two are tried each time"
    names = files(tmp_path)
    assert names[0].startswith("GaussianRing_val_40_Kept_") and names[1].startswith("GaussianRing_val_40_Shift_Twice_")
    assert not list((tmp_path / "runs/statistics").glob("*.part"))
    assert torch.equal(observer.metrics[1].seen[0][0], ring().load("val").x), "of kept samples too"


@pytest.mark.parametrize(
    ("change", "news"),
    [
        ({"num_samples": 30}, 1),
        ({"split": "train"}, 1),
        ({"metrics": [Shift(scale=2.0)]}, 1),
        ({"metrics": [Shift(Twice())]}, 1),
        ({"data": {"radius": 3.0}}, 1),
        ({"data": {"batch_size": 8}}, 0),
        ({"seed": 1}, 0),
        ({"batch_size": 3}, 0),
        ({"num_samples": 60}, 0),
    ],
    ids=str,
)
def test_what_statistics_depend_on(make_gan, play, tmp_path, change, news):
    play(make_gan(), evaluation())
    data = ring(**change.pop("data", {}))
    play(make_gan(), evaluation(*change.pop("metrics", []), **change), data=data)
    assert len(files(tmp_path)) == 1 + news


def test_statistics_can_be_kept_elsewhere_or_not_at_all(make_gan, play, tmp_path):
    play(make_gan(), evaluation(statistics="other/place"))
    play(make_gan(), evaluation(statistics=None))
    assert [path.name for path in tmp_path.iterdir()] == ["other"] and len(
        list((tmp_path / "other/place").iterdir())
    ) == 1


def test_a_score_without_real_samples_keeps_none(make_gan, play, tmp_path):
    observer = evaluation(ModeCoverage())
    play(make_gan(), observer)
    assert not (tmp_path / "runs").exists() and observer.board.real == 0


class Points(GANData):
    """Fixed points, which a test may exchange."""

    x = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))

    @property
    def sample_shape(self):
        return (2,)

    def load(self, split):
        return Samples(self.x)


def test_statistics_of_other_data_are_refused(make_gan, play, tmp_path, monkeypatch):
    play(make_gan(), evaluation(), data=Points(16))
    monkeypatch.setattr(Points, "x", Points.x + 1e-6)
    with pytest.raises(
        ValueError, match=r"Points_val_40_Shift_\w+.safetensors' were made of other data.*delete"
    ) as said:
        play(make_gan(), evaluation(), data=Points(16))
    assert "\n" not in str(said.value)


def test_statistics_of_another_network_are_refused(make_gan, play, tmp_path):
    class Same(Twice):
        def __init__(self, factor):
            super().__init__(factor)
            del factor

    play(make_gan(), evaluation(Shift(Same(2.0))))
    with pytest.raises(ValueError, match=r"were made by another feature network.*delete"):
        play(make_gan(), evaluation(Shift(Same(3.0))))


@pytest.mark.parametrize("content", [b"", b"words", "half"], ids=str)
def test_a_file_that_cannot_be_read_is_refused(make_gan, play, tmp_path, content):
    play(make_gan(), evaluation())
    (path,) = (tmp_path / "runs/statistics").iterdir()
    path.write_bytes(path.read_bytes()[:-5] if content == "half" else content)
    with pytest.raises(ValueError, match=rf"{path.name}' cannot be read .*delete"):
        play(make_gan(), evaluation())


def test_a_file_is_written_whole_or_not_at_all(make_gan, play, tmp_path, monkeypatch):
    def breaks(source, target):
        assert len(list((tmp_path / "kept").iterdir())) == 1, "beside its place until it is whole"
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", breaks)
    with pytest.raises(KeyboardInterrupt):
        observer = evaluation(statistics="kept")
        observer.on_fit_start(_started(play, make_gan, observer), make_gan())
    assert not list((tmp_path / "kept").iterdir())


def _started(play, make_gan, observer):
    """A Trainer that has run, with an Evaluation set up for it."""
    trainer = play(make_gan())
    observer.setup(trainer, make_gan(), "fit")
    return trainer


def test_random_training_data_has_the_same_statistics_every_time(make_gan, play):
    kept = Kept()
    for seed in (0, 1):
        torch.manual_seed(seed)
        play(make_gan(), evaluation(kept, split="train", seed=seed), data=ring(fresh=True))
    play(make_gan(), evaluation(kept, split="train", statistics=None), data=ring(fresh=True))
    assert torch.equal(kept.seen[0][0], kept.seen[1][0]) and torch.equal(kept.seen[0][0], kept.seen[2][0])
    assert len(kept.seen[0][0].unique(dim=0)) == 48, "new for every batch"


def test_a_folder_that_is_a_file_is_refused(make_gan, play, tmp_path):
    (tmp_path / "place").write_text("")
    with pytest.raises(ValueError, match=r"Evaluation\(statistics='place'\) is no folder to write to .*give another"):
        play(make_gan(), evaluation(statistics="place"))


# ---------------------------------------------------------------- what is refused

WRONG = [
    ({"metrics": []}, r"metrics=\[\].*at least one score"),
    *(({"num_samples": value}, f"num_samples={value}.*at least 2") for value in (0, 1, -5, math.nan, 2.5, True)),
    *(({"every_n_epochs": value}, f"every_n_epochs={value}.*at least 0") for value in (-1, math.nan)),
    *(({"seed": value}, f"seed={value}.*at least 0") for value in (-1, None)),
    *(({"batch_size": value}, f"batch_size={value}.*at least 1") for value in (0, -1, math.nan)),
    ({"split": "valid"}, "split='valid'.*train, val, test"),
    ({"metrics": [Shift(), Shift(scale=2.0)]}, "Shift is there twice.*leave one out"),
    ({"metrics": [Shift(Twice()), Shift(Twice())]}, "Shift through Twice is there twice"),
]


@pytest.mark.parametrize(("arguments", "says"), WRONG, ids=str)
def test_arguments_out_of_range_are_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        Evaluation(**{"metrics": [Shift()], **arguments})


class Unsplit(Points):
    """Data without a validation and a test split."""

    def load(self, split):
        return Samples(self.x if split == "train" else self.x[:0])


class Stream(IterableDataset):
    """Samples that have no index."""

    def __iter__(self):
        yield from torch.zeros(8, 2)


@pytest.mark.parametrize(
    ("observer", "data", "says"),
    [
        (evaluation(), Unsplit(16), "Unsplit has no val split; name one.*train"),
        (evaluation(Shift(least=41)), ring(), "Shift needs at least 41 real samples and would get 40.*val split"),
        (evaluation(Shift(least=60)), ring(), "num_samples=48.*Shift needs at least 60 generated samples|real samples"),
        (evaluation(ModeCoverage()), Points(16), "ModeCoverage: Points has no means"),
        (evaluation(Shift(nn.Linear(5, 2))), ring(), r"Shift through Linear does not take samples of shape \(2,\)"),
    ],
    ids=["no validation split", "few reals", "few fakes", "no modes", "shape"],
)
def test_a_run_that_cannot_be_scored_does_not_begin(make_gan, play, weights, observer, data, says):
    gan = make_gan()
    before = weights(gan)
    with pytest.raises(ValueError, match=says) as said:
        play(gan, observer, data=data)
    assert "\n" not in str(said.value) and torch.equal(weights(gan), before)


def test_data_without_a_validation_split_can_be_scored_on_another(make_gan, play):
    kept = Kept()
    trainer = play(make_gan(), evaluation(kept, split="train"), data=Unsplit(16))
    assert torch.equal(kept.seen[0][0], Points.x) and trainer.callback_metrics["train/reals"] == 40


def test_a_test_without_a_test_split_is_refused(make_gan, quiet):
    with pytest.raises(ValueError, match="Unsplit has no test split"):
        Trainer(**quiet, callbacks=[evaluation()]).test(make_gan(), datamodule=Unsplit(16))


class Ready(Points):
    """Data whose training loader gives ready batches."""

    def train_dataloader(self):
        return DataLoader(torch.zeros(4, 8, 2), batch_size=None)


class Pair(Points):
    """Data with two training loaders."""

    def train_dataloader(self):
        return [super().train_dataloader()] * 2


class Streamed(Points):
    """Data whose training samples have no index."""

    def train_dataloader(self):
        return DataLoader(Stream(), 4)


@pytest.mark.parametrize("kind", [Ready, Pair, Streamed])
def test_loaders_without_single_samples_are_refused(make_gan, quiet, kind):
    with pytest.raises(ValueError, match=rf"train split of {kind.__name__} gives no single samples .*give one DataLoa"):
        Trainer(**quiet, callbacks=[evaluation(split="train")]).test(make_gan(), datamodule=kind(16))


def test_real_samples_with_nan_are_refused_before_training(make_gan, play, monkeypatch):
    x = Points.x.clone()
    x[17] = math.nan
    monkeypatch.setattr(Points, "x", x)
    with pytest.raises(ValueError, match="hold NaN or infinity"):
        play(make_gan(), evaluation(), data=Points(16))


def test_two_evaluations_of_one_split_may_not_share_a_score(make_gan, play):
    with pytest.raises(ValueError, match=r"Shift is in two Evaluations.*leave one out"):
        play(make_gan(), evaluation(), evaluation(Kept(), Shift()))
    both = evaluation(), evaluation(split="train"), evaluation(Kept())
    trainer = play(make_gan(), *both)
    assert {"val/shift", "train/shift", "val/reals"} <= set(trainer.callback_metrics)


def test_a_checkpoint_that_would_look_in_vain_is_refused(make_gan, play, tmp_path):
    for every, fine in ((1, False), (4, True), (3, False)):
        keeper = ModelCheckpoint(tmp_path, monitor="val/shift", every_n_epochs=every)
        observer = evaluation(every_n_epochs=2)
        if fine:
            play(make_gan(), observer, keeper, max_epochs=4, enable_checkpointing=True)
        else:
            with pytest.raises(ValueError, match=rf"val/shift every {every} epochs.*--checkpoint.every_n_epochs 2"):
                play(make_gan(), observer, keeper, enable_checkpointing=True)
