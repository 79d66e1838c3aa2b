"""Every remedy that a callback of this library names works when it is done."""

import re
import warnings

import pytest
import torch
from helpers import small_gan
from lightning.pytorch import LightningDataModule
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from remedied import check, command, each_row, fit
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from lightning_gans import GAN
from lightning_gans.callbacks import Evaluation, FailureMonitor, Report, StartFrom
from lightning_gans.callbacks.curves import curves
from lightning_gans.callbacks.health.states import STATES
from lightning_gans.data import GANData, GaussianRing, Samples
from lightning_gans.metrics import FrechetDistance, ModeCoverage, Score
from lightning_gans.networks import MLPDiscriminator, MLPGenerator

pytestmark = [pytest.mark.untrusted]

BATCHES = list(torch.rand(2, 8, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1)
X = torch.cat(BATCHES)
QUIET = [
    *("fit", "--data=GaussianRing", "--data.num_samples=16", "--data.batch_size=8", "--data.num_val_samples=8"),
    *("--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"),
    *("--samples.every_n_epochs=0", "--report.enabled=false", "--trainer.max_epochs=1"),
]
RING = [*QUIET, "--model=WGAN", "--model.width=4", "--model.latent_dim=3"]
NETWORKS = [
    *("--model=GAN", "--model.generator=MLPGenerator", "--model.generator.width=4", "--model.generator.latents=3"),
    *("--model.discriminator=MLPDiscriminator", "--model.discriminator.width=4"),
]
EVALUATED = """\
trainer:
  callbacks:
    - class_path: Evaluation
      init_args: {metrics: [ModeCoverage], num_samples: 8, every_n_epochs: 2, statistics: null}
"""


def line(x=(0, 1), y=(1, 2), log=()):
    assert curves({"losses": {"": (x, y)}}, log=log).startswith("<svg")


def beside(*callbacks, data=None, **settings):
    data = GaussianRing(num_samples=16, batch_size=8, num_val_samples=16) if data is None else data
    fit(small_gan(), data, callbacks=list(callbacks), **settings)


def scored(*scores, data=None, statistics=None, **settings):
    evaluation = Evaluation(list(scores), num_samples=8, statistics=statistics, **settings)
    beside(evaluation, data=data)
    assert evaluation.board.figures


def twice(*scores):
    """Train with two Evaluations of the same split, of which the second has these scores."""
    beside(*[Evaluation(list(one), num_samples=8, statistics=None) for one in ([ModeCoverage()], scores)])


class Parts(Score):
    """A score of a user, which does not declare the names of its two figures."""

    def __init__(self):
        super().__init__()
        self.add_state("fake_sum", torch.zeros(2), dist_reduce_fx="sum")

    def update(self, samples, real):
        self.fake_sum = self.fake_sum + samples.sum(0) * (not real)

    def compute(self):
        return {"left": self.fake_sum[0], "right": self.fake_sum[1]}


class Projected(Parts):
    """The same through a feature network."""

    def __init__(self, width):
        super().__init__()
        self.features = nn.Linear(width, 2)

    def update(self, samples, real):
        super().update(self.features(samples), real)


def kept(folder, monitor):
    keeper = ModelCheckpoint(folder, monitor=monitor)
    warnings.filterwarnings("ignore", "Unless a class of yours logs it")
    try:
        beside(Evaluation([Parts()], num_samples=8, statistics=None), keeper, enable_checkpointing=True)
    except MisconfigurationException as error:
        raise ValueError(error) from None
    assert keeper.best_model_path


def by_command(folder, *options):
    (folder / "evaluated.yaml").write_text(EVALUATED)
    command(*RING, "--config", folder / "evaluated.yaml", *options)


class Points(GANData):
    """Points, in some of the splits."""

    def __init__(self, *splits):
        super().__init__(batch_size=8)
        self.splits, self.x = splits, X

    @property
    def sample_shape(self):
        return (2,)

    def load(self, split):
        return Samples(self.x if split in self.splits else X[:0])


class Streamed(Points):
    """Points whose training samples have no index."""

    def train_dataloader(self):
        return DataLoader(Stream(), 8)


class Stream(IterableDataset):
    def __iter__(self):
        yield from X


def statistics_of(folder, data=None, place="kept"):
    scored(FrechetDistance(), data=data or Points("train", "val"), statistics=folder / place)


def spoiled(folder):
    statistics_of(folder)
    next((folder / "kept").iterdir()).write_bytes(b"words")
    statistics_of(folder)


def other_data():
    data = Points("train", "val")
    data.x = X / 2
    return data


def of_other_data(folder):
    statistics_of(folder)
    statistics_of(folder, other_data())


def deleted(folder, data=None):
    next((folder / "kept").iterdir()).unlink()
    statistics_of(folder, data)
    statistics_of(folder, data)


def below_a_file(folder):
    (folder / "file").write_text("")
    statistics_of(folder, place="file")


class Announcing(FailureMonitor):
    def announce(self, trainer, text):
        warnings.warn(text, stacklevel=2)


def started_from_a_deeper_one(folder):
    command(*QUIET, *NETWORKS, "--model.discriminator.depth=2")
    shallower = GAN(MLPGenerator((2,), 3, 4), MLPDiscriminator((2,), 4, depth=1))
    fit(shallower, BATCHES, callbacks=[StartFrom(run_in(folder) / "checkpoints" / "last.ckpt")])


def run_in(folder):
    return next(folder.glob("runs/*/version_0"))


REMEDIES = {
    "curves(panels={})": (lambda: curves({}), {"at least one panel": line}),
    "expected the title of a panel": (lambda: line(log=["loss"]), {"one of ['{}']": lambda title: line(log=[title])}),
    "has … x and … y; expected as many": (lambda: line(y=(1, 2, 3)), {"expected as many": line}),
    # ------------------------------------------------------------ Evaluation
    "is in two Evaluations": (
        lambda: twice(FrechetDistance(), ModeCoverage()),
        {"leave one out": lambda: twice(FrechetDistance())},
    ),
    "Evaluation(metrics=[])": (
        lambda: scored(),
        {"give some, such as {}": lambda name: scored({"FrechetDistance": FrechetDistance}[name]())},
    ),
    "Evaluation(metrics): … is there twice": (
        lambda: scored(ModeCoverage(), ModeCoverage()),
        {"leave one out": lambda: scored(ModeCoverage())},
    ),
    "does not take samples of shape …; use another score": (
        lambda: scored(Projected(width=5)),
        {"use another score": lambda: scored(ModeCoverage()), "or feature network": lambda: scored(Projected(width=2))},
    ),
    "the checkpoint monitors … every": (
        lambda folder: by_command(folder, "--checkpoint.monitor=val/modes", "--checkpoint.every_n_epochs=1"),
        {
            "use {} {}": lambda option, number, folder: by_command(
                folder, "--checkpoint.monitor=val/modes", option, number
            )
        },
    ),
    "The checkpoint monitors …, which is not logged": (
        lambda folder: kept(folder, "val/middle"),
        {"use one of {}, {}": lambda *names, folder: [kept(folder / name, name) for name in names]},
    ),
    "has no … split; give": (
        lambda: scored(FrechetDistance(), data=Points("train", "test")),
        {
            "give Evaluation a split that it has ({} or {})": lambda *splits: [
                scored(FrechetDistance(), data=Points("train", "test"), split=split) for split in splits
            ]
        },
    ),
    "gives no single samples by index": (
        lambda: scored(FrechetDistance(), data=Streamed("val"), split="train"),
        {
            "use one DataLoader over a map-style data set, with a batch_size": lambda: scored(
                FrechetDistance(), data=Points("train", "val"), split="train"
            )
        },
    ),
    "cannot be read (…); delete the file": (spoiled, {"delete the file, and it is made again": deleted}),
    "were made … than this run's": (
        of_other_data,
        {
            "or give Evaluation another folder (its `statistics`)": lambda folder: statistics_of(
                folder, other_data(), "other"
            ),
            "delete the file": lambda folder: deleted(folder, other_data()),
        },
    ),
    "expected a folder to write to": (
        below_a_file,
        {
            "give another": statistics_of,
            "or None": lambda: scored(FrechetDistance(), data=Points("train", "val"), statistics=None),
            "(null in YAML)": by_command,
        },
    ),
    # ------------------------------------------------------------ others
    "Report(every_n_minutes=": (
        lambda: beside(Report(every_n_minutes=-1.0)),
        {"such as {}": lambda value: beside(Report(every_n_minutes=float(value)))},
    ),
    "the checkpoint '…' has …, which this": (
        started_from_a_deeper_one,
        {
            "use the config that was saved beside the checkpoint": lambda folder: command(
                *("fit", "--config", run_in(folder) / "config.yaml"),
                *("--from", run_in(folder) / "checkpoints" / "last.ckpt"),
            )
        },
    ),
}
ELSEWHERE = {
    "reads … after every …, and would see old figures": "training/test_run_checks.py::"
    "test_early_stopping_by_figures_that_are_older_than_an_epoch_is_refused",
    "were changed after they were written": "callbacks/evaluation/test_real_statistics.py::"
    "test_statistics_that_were_changed_under_their_marks_are_refused_and_deleting_them_mends_it",
}
NO_MESSAGES = ["times as much as the data, and move away from it"]


test_a_remedy_works = each_row(REMEDIES)


@pytest.mark.parametrize(
    ("data", "splits"),
    [
        (lambda: Points("train"), "(train)"),
        (lambda: DataLoader(X, 8), "(train)"),
        (lambda: LightningDataModule.from_datasets(TensorDataset(X), batch_size=8), "(train)"),
    ],
    ids=["of this library", "loader", "of Lightning"],
)
def test_only_splits_that_there_are_are_offered(data, splits, tmp_path):
    row = (
        lambda: scored(FrechetDistance(), data=data()),
        {splits: lambda: scored(FrechetDistance(), data=data(), split=splits.strip("()"))},
    )
    check("has no val split", row, tmp_path)


def test_what_the_failure_monitor_advises_is_accepted_by_the_command(tmp_path, monkeypatch):
    """Its files are tried in test_configs.py."""
    monkeypatch.chdir(tmp_path)
    advised = " ".join(remedy.option for state in STATES for remedy in state.left({"GAN"}))
    options = re.findall(r"(--(?:model|trainer)[.\w]*) (?!and)(\w[\w-]*)", advised)
    rates = {name: "1e-5" for name in re.findall(r"--model\.\w+_optimizer\.lr", advised)}
    assert dict(options).keys() >= {"--model.objective", "--trainer.precision"}
    assert len(rates) == 2
    given = {"--model": "UnrolledGAN", "--model.unroll_steps": 1, **dict(options), **rates}
    command(*QUIET, *NETWORKS, *[word for pair in given.items() for word in pair])
