"""An option that is accepted changes what it names: valid values as they are typed, compared with their intent."""

import csv
import inspect
import signal
import sys
from pathlib import Path

import option_effects as table
import pytest
import torch
from helpers import small_gan, small_image_gan
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import CSVLogger
from PIL import Image
from torch.utils.data import DataLoader

from lightning_gans import GAN, Stabilizer, callbacks, data, models, stabilizers
from lightning_gans.data import GANData
from lightning_gans.data.flips import flipped
from lightning_gans.networks import DigitClassifier
from lightning_gans.schedules import Linear, Schedule
from lightning_gans.stabilizers.rules import Fixed, UpdateRule
from lightning_gans.targets import OwnGuess, Target

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
from test_celeba import write_celeba
from test_image_data import write_cifar, write_idx

pytestmark = [pytest.mark.untrusted, pytest.mark.filterwarnings("ignore")]
MODELS = {"GAN": GAN} | {
    name: kind for name, kind in vars(models).items() if isinstance(kind, type) and issubclass(kind, GAN)
}
DATA = {name: kind for name, kind in vars(data).items() if isinstance(kind, type) and issubclass(kind, GANData)}
DATA = {name: kind for name, kind in DATA.items() if not inspect.isabstract(kind) and name != "TorchvisionData"}
FILES = {"MNIST", "FashionMNIST", "CIFAR10", "StackedMNIST", "CelebA", "ImageFolder"}  # below, as they read files
STABILIZERS = {name: getattr(stabilizers, name) for name in stabilizers.__all__}
STABILIZERS = {
    name: kind for name, kind in STABILIZERS.items() if inspect.isclass(kind) and issubclass(kind, Stabilizer)
}
CALLBACKS = {
    name: kind for name, kind in vars(callbacks).items() if inspect.isclass(kind) and issubclass(kind, Callback)
}


def options(kind):
    """Return the arguments of a class by name; `kwargs` is among them where it takes further ones."""
    return [name for name in inspect.signature(kind.__init__).parameters if name not in ("self", "args")]


# ---------------------------------------------------------------- models and data


@pytest.mark.parametrize("name", MODELS)
def test_every_option_of_a_model_has_a_row(name):
    assert set(options(MODELS[name])) - {"kwargs"} <= set(table.rows_of(name, options(MODELS[name])))


@pytest.mark.parametrize("name", MODELS)
def test_every_option_of_a_model_changes_what_it_names(name):
    every = table.rows_of(name, options(MODELS[name]))
    apart = {"batch_norm_statistics", "generator_accumulation"} if name == "SEPGAN" else set()  # refused together
    for left_out in apart or {None}:
        check_effects(name, {option: row for option, row in every.items() if option != left_out})


def check_effects(name, rows):
    gan = table.model(name, rows)
    order = sorted(rows, key=lambda option: option in ("gradient_penalty", "clip"))  # those that change the weights
    for option in order:
        _, read, expected = rows[option]
        wanted = pytest.approx(expected) if isinstance(expected, float) else expected
        assert read(gan) == wanted, option


@pytest.mark.parametrize("name", sorted(set(DATA) - FILES))
def test_every_option_of_data_has_a_row_and_changes_what_it_names(name):
    rows = table.DATA[name]
    assert set(options(DATA[name])) == set(rows)
    made = table.data(name)
    for option, (_, read, expected) in rows.items():
        assert read(made) == expected, option


# ---------------------------------------------------------------- data sets in files


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Write a few MNIST digits, CIFAR-10 pictures, faces and a folder of pictures; return the rows that need them."""
    write_idx(tmp_path / "MNIST" / "raw")
    write_idx(tmp_path / "FashionMNIST" / "raw")
    write_cifar(tmp_path / "cifar-10-batches-py")
    write_celeba(tmp_path)
    for kind in ("cifar", "celeba"):
        monkeypatch.setattr(f"torchvision.datasets.{kind}.check_integrity", lambda *_: True)
    for number in range(20):
        place = tmp_path / "pictures" / ("cats" if number < 12 else "dogs") / f"{number:02d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (255, 10 * number, 0)).save(place)
    (tmp_path / "pictures" / "cats" / "broken.png").write_bytes(b"no picture")
    root = (str(tmp_path), lambda made: len(made.load("test")), 20)
    flips = {"flips": ("true", lambda made: made.train_dataloader().dataset.augment, flipped)}
    digits = {**table.BATCHES, "root": root, "size": ("16", shape, (1, 16, 16)), "val_size": ("12", val_size, 12)}
    stacked = {"num_samples": ("24", lambda made: len(made.load("train")), 24), "num_val_samples": ("5", val_size, 5)}
    stacked |= {"num_test_samples": ("7", lambda made: len(made.load("test")), 7), "size": ("16", shape, (3, 16, 16))}
    return {
        "MNIST": digits | flips,
        "FashionMNIST": digits | flips,
        "CIFAR10": {**digits, **flips, "root": (root[0], root[1], 12), "size": ("16", shape, (3, 16, 16))},
        "StackedMNIST": {**digits, **stacked, "root": (root[0], lambda made: made.load("test") is not None, True)}
        | {"val_size": ("12", lambda made: made.val_size, 12)},
        "CelebA": {
            **table.BATCHES,
            **flips,
            "root": (root[0], lambda made: len(made.load("test")), 2),
            "size": ("16", shape, (3, 16, 16)),
            "batch_size": ("4", lambda made: len(table._x(table.first(made))), 4),  # of six faces
            "attribute": ("Male", lambda made: whole_labels(made, "train"), [0, 1] * 3),
        },
        "ImageFolder": {
            **table.BATCHES,
            **flips,
            "root": (str(tmp_path / "pictures"), lambda made: made.num_classes, 2),
            "size": ("[10,12]", shape, (1, 10, 12)),
            "channels": ("1", lambda made: table._x(table.first(made)).shape[1], 1),
            "val_fraction": ("0.25", val_size, 5),
            "test_fraction": ("0.2", lambda made: len(made.load("test")), 4),
            "skip_corrupt": ("true", lambda made: sum(len(made.load(split)) for split in SPLITS), 20),
            "follow_links": ("true", lambda made: made.follow_links, True),
            "max_value": ("4095", lambda made: made.max_value, 4095),
        },
    }


SPLITS = ("train", "val", "test")


def shape(made):
    return tuple(table._x(table.first(made)).shape[1:])


def val_size(made):
    return len(made.load("val"))


def whole_labels(made, split):
    return table.whole(made, split)[1].tolist()


@pytest.mark.parametrize("name", sorted(FILES))
def test_every_option_of_data_in_files_has_a_row_and_changes_what_it_names(name, files):
    rows = files[name]
    assert set(options(DATA[name])) == set(rows)
    made = table.typed(GANData, name, **{option: text for option, (text, *_) in rows.items()})
    for option, (_, read, expected) in rows.items():
        assert read(made) == expected, option


# ---------------------------------------------------------------- stabilizers


def other_value(default):
    """Return another value of the kind of a default, as it is typed and as it is then kept."""
    if isinstance(default, bool):
        return str(not default).lower(), not default
    if isinstance(default, Schedule):
        return "{class_path: Linear, init_args: {start: 0.5, end: 0.25, updates: 7}}", Linear(0.5, 0.25, 7)
    if isinstance(default, Target):
        return "OwnGuess", OwnGuess()
    if isinstance(default, UpdateRule):
        return "{class_path: Fixed, init_args: {discriminator: 2}}", Fixed(2)
    if default is None:
        return "3.5", 3.5
    value = default + 1 if isinstance(default, int) else default / 2 if default else 0.25
    return str(value), value


class OfClass:
    """Equals every object of a class."""

    def __init__(self, kind):
        self.kind = kind

    def __eq__(self, other):
        return type(other) is self.kind


@pytest.mark.parametrize("name", STABILIZERS)
def test_every_option_of_a_stabilizer_reaches_it(name):
    """That each of them changes the run is tested in tests/test_contract.py, for every argument."""
    parameters = inspect.signature(STABILIZERS[name]).parameters
    values = {option: other_value(parameter.default) for option, parameter in parameters.items()}
    if "classifier" in values:
        values["classifier"] = "DigitClassifier", OfClass(DigitClassifier)
    if "augmentations" in values:
        text = "[{class_path: RandomAffine, init_args: {flip: 0.5}}, RandomColor]"
        values["augmentations"] = text, [OfClass(stabilizers.RandomAffine), OfClass(stabilizers.RandomColor)]
    made = table.typed(Callback, name, **{option: text for option, (text, _) in values.items()})
    assert {option: getattr(made, option) for option in values} == {
        option: value for option, (_, value) in values.items()
    }
    for option, parameter in parameters.items():
        if isinstance(parameter.default, float) and "Schedule" in str(parameter.annotation):
            text = "{class_path: Linear, init_args: {start: 0.5, updates: 7}}"
            assert getattr(table.typed(Callback, name, **{option: text}), option) == Linear(0.5, 0.0, 7)


# ---------------------------------------------------------------- callbacks


def fit_with(folder, fit, name, seconds_of_data=3, epochs=3, **given):
    """Fit a small GAN on images for three epochs with a callback that is built from typed options."""
    callback = table.typed(Callback, name, **given)
    gan = small_image_gan()
    try:
        fit(
            gan, seconds_of_data, callbacks=[callback], max_epochs=epochs, logger=CSVLogger(folder, name="", version="")
        )
    except RuntimeError:
        assert name == "FailureMonitor" and callback.ended
    return callback, gan


def names_in(folder):
    return sorted(path.name for path in folder.glob("samples/*"))


def test_options_of_sample_grid(tmp_path, fit):
    given = {"num_samples": "6", "every_n_epochs": "2", "columns": "3", "gif": "false", "seed": "1"}
    assert set(given) == set(options(CALLBACKS["SampleGrid"]))
    callback, gan = fit_with(tmp_path, fit, "SampleGrid", **given)
    assert names_in(tmp_path) == ["epoch_0000.png", "epoch_0002.png", "epoch_0003.png", "real.png"]
    latents = gan.generator.latents.sample(6, generator=torch.Generator().manual_seed(1))
    assert torch.equal(callback.state_dict()["latents"], latents)
    wide, high = Image.open(tmp_path / "samples" / "epoch_0003.png").size
    assert wide > high and round(wide / high * 2) == 3, "three columns and two rows"


def test_options_of_report(tmp_path, fit, monkeypatch):
    written = []
    write = callbacks.Report._write
    monkeypatch.setattr(callbacks.Report, "_write", lambda self, *args: written.append(args[2]) or write(self, *args))
    given = {"enabled": "false", "every_n_minutes": "0"}
    assert set(given) == set(options(CALLBACKS["Report"]))
    fit_with(tmp_path, fit, "Report", **given)
    assert written == ["running"] * 3 + ["finished"] and not (tmp_path / "report.html").exists()
    written.clear()
    fit_with(tmp_path, fit, "Report", every_n_minutes=".inf")
    assert written == ["finished"] and (tmp_path / "report.html").exists()


def test_options_of_failure_monitor(tmp_path, fit):
    given = {"every_n_steps": "2", "patience": "1", "num_samples": "8", "stop": "true", "rollbacks": "0", "seed": "3"}
    given["thresholds"] = (
        "{class_path: lightning_gans.callbacks.health.thresholds.Thresholds, init_args: {poor_energy: 0.0}}"
    )
    assert set(given) == set(options(CALLBACKS["FailureMonitor"]))
    callback, _ = fit_with(tmp_path, fit, "FailureMonitor", 8, **given)
    assert [reading.batch for reading in callback.readings[:3]] == [2, 4, 6]
    assert callback.thresholds.poor_energy == 0.0 and callback.rollbacks == 0 and callback.stop
    assert len(callback._probe._latents) == 8 if hasattr(callback._probe, "_latents") else True


def test_options_of_evaluation(tmp_path, fit, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = []
    generate = GAN.generate
    monkeypatch.setattr(
        GAN, "generate", lambda self, num, labels=None: shown.append(num) or generate(self, num, labels)
    )
    given = {
        "metrics": "[{class_path: PairwiseDiversity}]",
        "num_samples": "10",
        "every_n_epochs": "2",
        "split": "train",
    }
    given |= {"seed": "5", "statistics": "kept", "batch_size": "5"}
    assert set(given) == set(options(CALLBACKS["Evaluation"]))
    callback = table.typed(Callback, "Evaluation", **given)
    gan = small_image_gan()
    loader = DataLoader(torch.rand(32, 1, 8, 8) * 2 - 1, batch_size=8)
    logger = CSVLogger(tmp_path, name="", version="")
    Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=logger,
        callbacks=[callback],
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    ).fit(gan, loader)
    logged = [
        row
        for row in csv.DictReader((tmp_path / "metrics.csv").open())
        if any("diversity" in key and row[key] for key in row)
    ]
    assert [int(row["epoch"]) for row in logged] == [1, 2]
    assert callback.board.fake == 10 and callback.board.seed == 5
    assert list((tmp_path / "kept").glob("*_train_10_PairwiseDiversity_*.safetensors"))


def test_options_of_save_when_stopped(monkeypatch, fit, tmp_path):
    assert options(CALLBACKS["SaveWhenStopped"]) == ["requeue"]
    monkeypatch.setattr("lightning_gans.callbacks.stopping.SLURMEnvironment.detect", lambda: True)
    caught = []
    monkeypatch.setattr("signal.signal", lambda number, handler: caught.append(number))
    for requeue, expected in (("false", set()), ("true", {signal.SIGUSR1})):
        caught.clear()
        trainer = type("T", (), {"strategy": None})
        table.typed(Callback, "SaveWhenStopped", requeue=requeue).on_train_start(trainer, None)
        assert set(caught) == expected | {signal.SIGTERM, signal.SIGINT}


def test_every_callback_is_here():
    tried = {"SampleGrid", "SaveWhenStopped", "Evaluation", "FailureMonitor", "Report", "StartFrom"}
    without_options = {"SampleWriter", "SaveAtEnd"}
    assert set(CALLBACKS) == tried | without_options
    assert not any(set(options(CALLBACKS[name])) - {"kwargs"} for name in without_options)


def test_options_of_start_from(fit, tmp_path):
    assert options(CALLBACKS["StartFrom"]) == ["checkpoint"]
    path = tmp_path / "trained.ckpt"
    trained = small_gan(seed=3)
    fit(trained).save_checkpoint(path)
    made = small_gan()
    start = table.typed(Callback, "StartFrom", checkpoint=str(path))
    start.on_fit_start(type("T", (), {"ckpt_path": None}), made)
    one, other = (dict(gan.generator.named_parameters()) for gan in (trained, made))
    assert all(torch.equal(one[name], other[name]) for name in one)
