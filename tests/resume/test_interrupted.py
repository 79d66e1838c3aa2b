"""A run that is interrupted anywhere and resumed plays, logs and draws what the uninterrupted one would have."""

import csv

import pytest
import torch
from kills import differences
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import CSVLogger

from lightning_gans import SEPGAN, UnrolledGAN, VanillaGAN
from lightning_gans.callbacks import FailureMonitor, SampleGrid
from lightning_gans.callbacks.health.health_probe import HealthProbe
from lightning_gans.data import Blank, Digits, GaussianRing
from lightning_gans.networks import DCGANGenerator, DigitClassifier
from lightning_gans.stabilizers import BalancedUpdates, ExperienceReplay, GeneratorEMA, HistoricalAveraging

pytestmark = [
    pytest.mark.resume,
    pytest.mark.filterwarnings("ignore::UserWarning:lightning"),
    pytest.mark.filterwarnings("ignore:.*(not resumable|weights_only|dirpath has changed).*"),
]
EACH = 5  # batches an epoch


class Batches(Callback):
    def __init__(self):
        self.seen = {}

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen[trainer.fit_loop.epoch_loop.total_batch_idx] = batch.clone()


class Keep(Checkpoint):
    """Saves after certain batches, counted from 1, and after every epoch."""

    def __init__(self, folder, batches):
        self.folder, self.batches = folder, batches

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        played = trainer.fit_loop.epoch_loop.total_batch_idx + 1
        if played in self.batches:
            trainer.save_checkpoint(self.folder / f"batch_{played}.ckpt")

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.save_checkpoint(self.folder / f"epoch_{trainer.current_epoch}.ckpt")


def ring(**options):
    return GaussianRing(num_samples=8 * EACH + 3, batch_size=8, num_val_samples=8, **options)


@pytest.fixture
def play(make_gan, quiet, tmp_path, monkeypatch):
    """Fit for three epochs; all that is left of it, in one tree."""
    monkeypatch.setattr(FailureMonitor, "_write", lambda *args: None)  # its page takes longer than all the rest

    def play(make=None, data=ring, name="whole", resume=None, limit=1.0, keep=(), stabilizers=()):
        gan = (make or (lambda: make_gan(dropout=0.2)))()
        torch.manual_seed(0 if resume is None else 99)
        folder, seen = tmp_path / name, Batches()
        watching = [SampleGrid(num_samples=8, gif=False), FailureMonitor(every_n_steps=2, num_samples=8, patience=2)]
        trainer = Trainer(
            **{**quiet, "logger": CSVLogger(folder, "", ""), "enable_checkpointing": bool(keep), "max_epochs": 3},
            limit_train_batches=limit,
            callbacks=[seen, *watching, *stabilizers, *([Keep(tmp_path, keep)] if keep else [])],
        )
        trainer.fit(gan, data(), ckpt_path=resume)
        trainer.save_checkpoint(folder / "end.ckpt")
        saved = torch.load(folder / "end.ckpt", weights_only=True)
        kept = {key: saved[key] for key in ("state_dict", "optimizer_states", "lr_schedulers", "global_step")}
        kept["callbacks"] = saved["callbacks"]
        with (folder / "metrics.csv").open() as file:
            rows = [{name: value for name, value in row.items() if value} for row in csv.DictReader(file)]
        pictures = {path.name: path.read_bytes() for path in folder.glob("samples/epoch*.png")}
        assert (folder / "samples" / "real.png").is_file()
        return {"kept": kept, "batches": seen.seen, "rows": rows, "pictures": pictures}

    return play


def same(rest, whole):
    """Whether what a resumed run has is the end of what the whole one has."""
    assert differences(rest["kept"], whole["kept"]) == []
    assert rest["batches"] and differences(rest["batches"], {i: whole["batches"][i] for i in rest["batches"]}) == []
    assert max(rest["batches"]) == max(whole["batches"])
    assert rest["rows"] == whole["rows"][len(whole["rows"]) - len(rest["rows"]) :]
    assert rest["pictures"] and all(whole["pictures"][name] == content for name, content in rest["pictures"].items())


@pytest.mark.parametrize(
    ("options", "limit"), [({}, 1.0), ({"fresh": True}, 0.8), ({"fresh": True, "num_workers": 2}, 1.0)], ids=str
)
def test_from_every_checkpoint_the_rest_is_that_of_the_uninterrupted_run(play, tmp_path, options, limit):
    data = lambda: ring(**options)  # noqa: E731
    whole = play(data=data, limit=limit, keep=(5, 6, 9))
    wanted = "batch_5 batch_9 epoch_0" if limit == 1 else "batch_6 epoch_1"
    for name in wanted.split() if "num_workers" not in options else ["batch_9"]:
        same(play(data=data, limit=limit, name=name, resume=tmp_path / f"{name}.ckpt"), whole)


def vanilla():
    torch.manual_seed(0)
    return VanillaGAN((1, 8, 8), latent_dim=4, generator_width=16, discriminator_width=8)


def pseudo():
    torch.manual_seed(0)
    return SEPGAN(DCGANGenerator((1, 28, 28), 4, width=2), DigitClassifier())


def unrolled(make_gan):
    gan = make_gan()
    return UnrolledGAN(gan.generator, gan.discriminator, unroll_steps=2)


STATEFUL = [GeneratorEMA, ExperienceReplay, HistoricalAveraging, BalancedUpdates]


@pytest.mark.parametrize("game", ["vanilla", "pseudo", "unrolled", "stabilizers"])
def test_every_kind_of_game_goes_on_in_the_middle_of_an_epoch(play, make_gan, tmp_path, game):
    settings = {
        "vanilla": {"make": vanilla, "data": lambda: Digits(batch_size=8), "limit": EACH},
        "pseudo": {"make": pseudo, "data": lambda: Blank((1, 28, 28), 8 * EACH, 8)},
        "unrolled": {"make": lambda: unrolled(make_gan)},
        "stabilizers": {},
    }[game]
    fresh = (lambda: [kind() for kind in STATEFUL]) if game == "stabilizers" else list
    whole = play(**settings, keep=(9,), stabilizers=fresh())
    same(play(**settings, name="rest", resume=tmp_path / "batch_9.ckpt", stabilizers=fresh()), whole)


def test_validation_of_a_resumed_run_draws_the_same_latents_with_workers_too(play, tmp_path):
    whole = play(data=lambda: ring(num_workers=1), keep=(9,))
    rest = play(data=lambda: ring(num_workers=1), name="rest", resume=tmp_path / "batch_9.ckpt")
    lines = [[row for row in one["rows"] if "val/fake_logit" in row] for one in (rest, whole)]
    assert lines[0] == lines[1][1:] and len(lines[0]) == 2


def test_the_order_of_the_data_is_needed_for_that(play, tmp_path, monkeypatch):
    """What the other tests rest on can fail: without the place, a resumed run sees other batches."""
    whole = play(keep=(9,))
    monkeypatch.setattr(GaussianRing, "_place", lambda self, trainer, batches: (0, 0))
    with pytest.raises(AssertionError):
        same(play(name="rest", resume=tmp_path / "batch_9.ckpt"), whole)


# ---------------------------------------------------------------- what readings rest on


@pytest.mark.parametrize("bytes_", [True, False])
def test_the_real_samples_of_a_reading_are_kept_small_where_they_were_bytes(make_image_gan, bytes_):
    x = torch.randint(0, 256, (32, 1, 8, 8), dtype=torch.uint8)
    real = x.float().div_(127.5).sub_(1) if bytes_ else torch.rand(32, 1, 8, 8)
    probe, again = HealthProbe(8), HealthProbe(8)
    probe.note_real(make_image_gan(), real)
    state = probe.state_dict()
    assert state["real"].dtype == (torch.uint8 if bytes_ else torch.float32)
    again.load_state_dict(state)
    assert torch.equal(again.reference.x, probe.reference.x)


def test_readings_that_are_interrupted_before_there_are_enough_samples_go_on(make_gan, batches):
    gan = make_gan(num_classes=2)
    whole, first, rest = (HealthProbe(8) for _ in range(3))
    data = batches(4, num_classes=2)
    for batch in data:
        whole.note_real(gan, batch)
    for batch in data[:2]:
        first.note_real(gan, batch)
    rest.load_state_dict(first.state_dict())
    for batch in data[2:]:
        rest.note_real(gan, batch)
    assert torch.equal(rest.reference.x, whole.reference.x)
    assert torch.equal(rest.reference.labels, whole.reference.labels)
