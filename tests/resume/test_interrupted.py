"""A run resumed from any checkpoint trains, logs and draws what the uninterrupted run does."""

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
from lightning_gans.callbacks.health.page import HealthPage
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
    """Save after certain batches, counted from 1, and after every epoch."""

    def __init__(self, folder, batches):
        self.folder, self.batches = folder, batches

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        number = trainer.fit_loop.epoch_loop.total_batch_idx + 1
        if number in self.batches:
            trainer.save_checkpoint(self.folder / f"batch_{number}.ckpt")

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.save_checkpoint(self.folder / f"epoch_{trainer.current_epoch}.ckpt")


def ring(**options):
    return GaussianRing(num_samples=8 * EACH + 3, batch_size=8, num_val_samples=8, **options)


@pytest.fixture
def train(make_gan, quiet, tmp_path, monkeypatch):
    """Train for three epochs, and return everything that is saved and logged, in one tree."""
    monkeypatch.setattr(HealthPage, "write", lambda *args: None)  # which takes longer than all the rest

    def train(make=None, data=ring, name="whole", resume=None, limit=1.0, keep=(), stabilizers=()):
        gan = (make or (lambda: make_gan(dropout=0.2)))()
        torch.manual_seed(0 if resume is None else 99)
        folder, seen = tmp_path / name, Batches()
        observing = [SampleGrid(num_samples=8, gif=False), FailureMonitor(every_n_steps=2, num_samples=8, patience=2)]
        trainer = Trainer(
            **{
                **quiet,
                "logger": CSVLogger(folder, "", ""),
                "log_every_n_steps": 1,
                "enable_checkpointing": bool(keep),
                "max_epochs": 3,
            },
            limit_train_batches=limit,
            callbacks=[seen, *observing, *stabilizers, *([Keep(tmp_path, keep)] if keep else [])],
        )
        trainer.fit(gan, data(), ckpt_path=resume)
        trainer.save_checkpoint(folder / "end.ckpt")
        saved = torch.load(folder / "end.ckpt", weights_only=True)
        kept = {key: saved[key] for key in ("state_dict", "optimizer_states", "lr_schedulers", "global_step")}
        kept["callbacks"] = saved["callbacks"]
        with (folder / "metrics.csv").open() as file:
            rows = [{name: value for name, value in row.items() if value} for row in csv.DictReader(file)]
        images = {path.name: path.read_bytes() for path in folder.glob("samples/epoch*.png")}
        assert (folder / "samples" / "real.png").is_file()
        return {"kept": kept, "batches": seen.seen, "rows": rows, "images": images}

    return train


def same(rest, whole):
    """Require that a resumed run has the end of what the whole run has."""
    assert differences(rest["kept"], whole["kept"]) == []
    assert rest["batches"] and differences(rest["batches"], {i: whole["batches"][i] for i in rest["batches"]}) == []
    assert max(rest["batches"]) == max(whole["batches"])
    assert rest["rows"] == whole["rows"][len(whole["rows"]) - len(rest["rows"]) :]
    assert rest["images"] and all(whole["images"][name] == content for name, content in rest["images"].items())


@pytest.mark.parametrize(
    ("options", "limit"), [({}, 1.0), ({"fresh": True}, 0.8), ({"fresh": True, "num_workers": 2}, 1.0)], ids=str
)
def test_a_run_resumed_from_any_checkpoint_ends_like_the_uninterrupted_one(train, tmp_path, options, limit):
    data = lambda: ring(**options)  # noqa: E731
    whole = train(data=data, limit=limit, keep=(5, 6, 9))
    wanted = "batch_5 batch_9 epoch_0" if limit == 1 else "batch_6 epoch_1"
    for name in wanted.split() if "num_workers" not in options else ["batch_9"]:
        same(train(data=data, limit=limit, name=name, resume=tmp_path / f"{name}.ckpt"), whole)


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


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["vanilla", "pseudo", "unrolled", "stabilizers"])
def test_every_model_resumes_in_the_middle_of_an_epoch(train, make_gan, tmp_path, kind):
    settings = {
        "vanilla": {"make": vanilla, "data": lambda: Digits(batch_size=8), "limit": EACH},
        "pseudo": {"make": pseudo, "data": lambda: Blank((1, 28, 28), 8 * EACH, 8)},
        "unrolled": {"make": lambda: unrolled(make_gan)},
        "stabilizers": {},
    }[kind]
    fresh = (lambda: [stabilizer() for stabilizer in STATEFUL]) if kind == "stabilizers" else list
    whole = train(**settings, keep=(9,), stabilizers=fresh())
    same(train(**settings, name="rest", resume=tmp_path / "batch_9.ckpt", stabilizers=fresh()), whole)


def test_validation_of_a_resumed_run_draws_the_same_latents_with_workers(train, tmp_path):
    whole = train(data=lambda: ring(num_workers=1), keep=(9,))
    rest = train(data=lambda: ring(num_workers=1), name="rest", resume=tmp_path / "batch_9.ckpt")
    lines = [[row for row in one["rows"] if "val/fake_logit" in row] for one in (rest, whole)]
    assert lines[0] == lines[1][1:] and len(lines[0]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("part", ["GaussianRing", "gan_seed"])
def test_a_run_resumed_without_a_seed_differs(train, tmp_path, part):
    whole = train(keep=(9,))
    saved = torch.load(tmp_path / "batch_9.ckpt", weights_only=True)
    del saved[part]  # the seed of the data's order, or that of the model's random numbers
    torch.save(saved, tmp_path / "without.ckpt")
    with pytest.raises(AssertionError):
        same(train(name="rest", resume=tmp_path / "without.ckpt"), whole)


# ---------------------------------------------------------------- samples of the health readings


@pytest.mark.parametrize("is_8_bit", [True, False])
def test_real_samples_of_8_bits_are_saved_in_8_bits(make_image_gan, is_8_bit):
    x = torch.randint(0, 256, (32, 1, 8, 8), dtype=torch.uint8)
    real = x.float().div_(127.5).sub_(1) if is_8_bit else torch.rand(32, 1, 8, 8)
    probe, again = HealthProbe(8), HealthProbe(8)
    probe.note_real(make_image_gan(), real)
    state = probe.state_dict()
    (saved,) = state["pool"]["real"]
    assert saved.dtype == (torch.uint8 if is_8_bit else torch.float32)
    again.load_state_dict(state)
    assert torch.equal(again.pool.x, probe.pool.x) and differences(again.state_dict(), state) == []


def test_a_checkpoint_of_an_earlier_version_collects_real_samples_anew(make_gan, batches):
    probe = HealthProbe(8)
    state = probe.state_dict() | {"real": torch.randn(32, 2), "labels": None, "pool": [], "pool_labels": []}
    probe.load_state_dict(state)
    probe.note_real(make_gan(), batches(1)[0])
    assert len(probe.pool) > 0


def test_collecting_real_samples_is_resumed(make_gan, batches):
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
    assert torch.equal(rest.pool.x, whole.pool.x)
    assert torch.equal(rest.pool.labels, whole.pool.labels)
