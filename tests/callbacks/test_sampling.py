"""Pictures of samples, during training and of predictions; training is unaffected."""

import copy

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader

from lightning_gans import GAN, generation
from lightning_gans.callbacks import SampleGrid, SampleWriter
from lightning_gans.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    MLPDiscriminator,
    MLPGenerator,
    StochasticEnsembleMLPGenerator,
)
from lightning_gans.optimizers import SGD
from lightning_gans.stabilizers import GeneratorEMA, SpectralNorm, VirtualBatchNorm


def read(path):
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image.convert("RGB")))


def names(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def frames(folder):
    with Image.open(folder / "samples" / "training.gif") as gif:
        return gif.n_frames


# ---------------------------------------------------------------- files


def test_every_epoch_has_a_picture(make_image_gan, fit, tmp_path):
    fit(make_image_gan(), max_epochs=3, callbacks=[SampleGrid(num_samples=4)])
    assert names(tmp_path) == [*(f"epoch_{epoch:04d}.png" for epoch in range(4)), "real.png", "training.gif"]
    assert frames(tmp_path) == 4
    pictures = [read(tmp_path / "samples" / f"epoch_{epoch:04d}.png") for epoch in (1, 2, 3)]
    assert pictures[0].shape == (52, 202, 3)
    assert not torch.equal(pictures[0], pictures[1]), "the generator has learned"


@pytest.mark.parametrize(
    ("every", "epochs", "pictures"), [(2, 4, [2, 4]), (2, 3, [2, 3]), (2, 1, [1]), (5, 3, [3]), (3, 7, [3, 6, 7])]
)
def test_every_n_epochs_and_the_last(make_gan, fit, tmp_path, every, epochs, pictures):
    fit(make_gan(), 1, max_epochs=epochs, callbacks=[SampleGrid(1, every_n_epochs=every, gif=False)])
    assert names(tmp_path) == [*(f"epoch_{epoch:04d}.png" for epoch in [0, *pictures]), "real.png"]


def test_a_run_that_stops_within_an_epoch_has_its_last_picture(make_gan, fit, tmp_path):
    fit(make_gan(), 2, max_epochs=-1, max_steps=3, callbacks=[SampleGrid(1, gif=False)])
    assert names(tmp_path) == ["epoch_0000.png", "epoch_0001.png", "epoch_0002.png", "real.png"]


def test_the_picture_is_of_the_generator_at_that_time(make_image_gan, fit, tmp_path):
    gan, grid = make_image_gan(), SampleGrid(num_samples=6, columns=3)
    fit(gan, callbacks=[grid])
    with torch.no_grad():
        samples = gan.eval()(grid.state_dict()["latents"])
    assert torch.equal(read(tmp_path / "samples" / "epoch_0001.png"), generation.picture(samples, columns=3))


def test_the_real_picture_is_of_the_first_batch(make_image_gan, batches, fit, tmp_path):
    data = batches(2, (1, 8, 8))
    fit(make_image_gan(), data, callbacks=[SampleGrid(num_samples=6, columns=3)])
    assert torch.equal(read(tmp_path / "samples" / "real.png"), generation.picture(data[0][:6], columns=3))


def test_points_are_a_map_of_many(make_gan, fit, tmp_path):
    grid = SampleGrid(num_samples=4)
    fit(make_gan(), callbacks=[grid])
    assert read(tmp_path / "samples" / "epoch_0001.png").shape == (480, 480, 3)
    assert grid.state_dict()["latents"].shape == (64, 3)


@pytest.mark.parametrize(("num_classes", "columns"), [(0, 8), (3, 6), (10, 10), (17, 8)])
def test_a_class_is_a_column_where_that_fits(make_image_gan, fit, tmp_path, num_classes, columns):
    gan, grid = make_image_gan(num_classes=num_classes), SampleGrid(num_samples=12)
    fit(gan, callbacks=[grid])
    labels = torch.arange(12) % num_classes if num_classes else None
    with torch.no_grad():
        expected = generation.picture(gan.eval()(grid.state_dict()["latents"], labels), columns=columns)
    assert torch.equal(read(tmp_path / "samples" / "epoch_0001.png"), expected)


@pytest.mark.parametrize("change", [{"num_samples": 9}, {"columns": 2}, {"seed": 1}], ids=str)
def test_every_argument_changes_the_picture(make_image_gan, fit, tmp_path, change):
    for name, arguments in (("a", {}), ("b", change)):
        fit(
            make_image_gan(),
            callbacks=[SampleGrid(**{"num_samples": 8, **arguments})],
            default_root_dir=tmp_path / name,
        )
    first, second = (read(tmp_path / name / "samples" / "epoch_0001.png") for name in ("a", "b"))
    assert not torch.equal(first, second)


def test_an_ensemble_shows_the_same_routes_in_every_picture(fit, tmp_path):
    generator = StochasticEnsembleMLPGenerator((1, 4, 4), 3, width=4, groups=8)
    gan = GAN(generator, MLPDiscriminator((1, 4, 4), width=4), generator_optimizer=lambda p: SGD(p, lr=0.0))
    fit(gan, max_epochs=2, callbacks=[SampleGrid(8)])
    first, second = (read(tmp_path / "samples" / f"epoch_000{epoch}.png") for epoch in (1, 2))
    assert torch.equal(first, second), "the generator does not learn here"


def test_the_animation_can_be_switched_off(make_gan, fit, tmp_path):
    fit(make_gan(), max_epochs=2, callbacks=[SampleGrid(1, gif=False)])
    assert "training.gif" not in names(tmp_path)


@pytest.mark.parametrize(("arguments", "settings"), [({"every_n_epochs": 0}, {}), ({}, {"fast_dev_run": True})])
def test_nothing_is_written_when_switched_off_or_in_a_trial_run(make_gan, fit, tmp_path, arguments, settings):
    fit(make_gan(), callbacks=[SampleGrid(**arguments)], **settings)
    assert names(tmp_path) == []


def test_files_are_in_the_folder_of_the_run(make_gan, fit, tmp_path):
    logger = CSVLogger(tmp_path, name="run", version=3)
    fit(make_gan(), callbacks=[SampleGrid(1)], logger=logger)
    assert (tmp_path / "run/version_3/samples/epoch_0001.png").exists() and not (tmp_path / "samples").exists()


@pytest.mark.parametrize(
    ("name", "value", "least", "default"),
    [("num_samples", 0, 1, 64), ("columns", 0, 1, 8), ("every_n_epochs", -1, 0, 1), ("columns", 2.5, 1, 8)],
)
def test_numbers_out_of_range_are_refused(name, value, least, default):
    message = rf"SampleGrid\({name}={value}\): expected a whole number of at least {least}, such as {default}\."
    with pytest.raises(ValueError, match=message):
        SampleGrid(**{name: value})


# ---------------------------------------------------------------- the beginning


def test_the_first_picture_is_noise_and_not_flat_grey(fit, tmp_path):
    torch.manual_seed(0)
    gan = GAN(DCGANGenerator((1, 16, 16), 8, width=16), DCGANDiscriminator((1, 16, 16), width=4))
    gan.generator_optimizer = gan.discriminator_optimizer = lambda params: SGD(params, lr=0.0, momentum=0)
    grid = SampleGrid(num_samples=16, columns=4)
    fit(gan, 1, callbacks=[grid])
    first, last = (read(tmp_path / "samples" / f"epoch_000{epoch}.png").float() for epoch in (0, 1))
    with torch.no_grad():
        by_statistics, by_batch = (gan.train(mode)(grid.state_dict()["latents"]) for mode in (False, True))
    assert torch.equal(first, generation.picture(by_batch, columns=4).float())
    assert torch.equal(last, generation.picture(by_statistics, columns=4).float())
    assert by_batch.std() > 0.05 > 10 * by_statistics.std()


def test_the_first_picture_leaves_the_generator_and_its_statistics_as_they_were(make_image_gan, fit):
    class Compared(SampleGrid):
        changed: bool | None = None

        def on_train_batch_end(self, trainer, pl_module, *args):
            module, random = pl_module.generator, torch.get_rng_state()
            before = {name: value.clone() for name, value in module.state_dict().items()}, dict(module.named_buffers())
            modes = [part.training for part in module.modules()]
            super().on_train_batch_end(trainer, pl_module, *args)
            assert modes == [part.training for part in module.modules()]
            assert torch.equal(random, torch.get_rng_state())
            assert all(torch.equal(value, module.state_dict()[name]) for name, value in before[0].items())
            self.changed = any(value is not before[1][name] for name, value in module.named_buffers())

    grid = Compared(4)
    fit(make_image_gan(), 1, callbacks=[grid])
    assert grid.changed is False, "the buffers are the same tensors"


@pytest.mark.parametrize(
    "stabilizer", [SpectralNorm(generator=True), GeneratorEMA(), VirtualBatchNorm(generator=True, size=4)], ids=str
)
def test_the_first_picture_is_of_every_kind_of_generator(make_image_gan, fit, tmp_path, weights, stabilizer):
    gans = [make_image_gan(size=16), make_image_gan(size=16)]
    for gan, callbacks in zip(gans, ([], [SampleGrid(4)]), strict=True):
        fit(gan, 2, callbacks=[copy.deepcopy(stabilizer), *callbacks])
    assert read(tmp_path / "samples" / "epoch_0000.png").float().std() > 1
    assert torch.equal(*map(weights, gans))


def test_the_first_picture_of_one_sample_uses_the_statistics_kept(fit, tmp_path):
    """One sample has no statistics where a channel is a single value."""
    generator = MLPGenerator((1, 4, 4), 3, width=4, norm=nn.BatchNorm1d)
    fit(GAN(generator, MLPDiscriminator((1, 4, 4), width=4)), 1, callbacks=[SampleGrid(1)])
    assert "epoch_0000.png" in names(tmp_path)


def test_a_resumed_run_has_no_second_beginning(make_gan, fit, tmp_path):
    fit(make_gan(), callbacks=[SampleGrid(2)]).save_checkpoint(tmp_path / "run.ckpt")
    settings = {"ckpt_path": tmp_path / "run.ckpt", "default_root_dir": tmp_path / "resumed"}
    fit(make_gan(), max_epochs=2, callbacks=[SampleGrid(2)], **settings)
    assert names(tmp_path / "resumed") == ["epoch_0002.png", "real.png"]


# ---------------------------------------------------------------- training is unaffected


@pytest.mark.parametrize("shuffle", [False, True])
def test_training_is_unaffected(make_image_gan, batches, quiet, weights, shuffle):
    ends = []
    for callbacks in ([], [SampleGrid(4)]):
        gan = make_image_gan(size=16)
        x = torch.cat(batches(3, (1, 16, 16)))
        torch.manual_seed(0)
        Trainer(**{**quiet, "max_epochs": 3}, callbacks=callbacks).fit(
            gan, DataLoader(x, batch_size=8, shuffle=shuffle)
        )
        ends.append(weights(gan))
    assert torch.equal(*ends)


def test_the_generator_is_drawn_in_evaluation_mode_and_left_as_it_was(make_image_gan, fit, weights):
    gan, modes = make_image_gan(), []
    norm = next(module for module in gan.generator.modules() if isinstance(module, nn.BatchNorm2d))
    gan.generator.register_forward_hook(lambda *args: modes.append(norm.training))
    fit(gan, 2, max_epochs=2, callbacks=[SampleGrid(4)])
    assert modes == [True, False, True, False, True, True, False] and gan.generator.training and norm.training


def test_the_latents_are_kept_in_the_checkpoint(make_gan, fit, tmp_path):
    first, second, other = SampleGrid(2), SampleGrid(2, seed=1), SampleGrid(2, seed=1)
    fit(make_gan(), callbacks=[first]).save_checkpoint(tmp_path / "run.ckpt")
    torch.load(tmp_path / "run.ckpt", weights_only=True)
    fit(make_gan(), max_epochs=2, callbacks=[second], ckpt_path=tmp_path / "run.ckpt")
    fit(make_gan(), callbacks=[other])
    first, second, other = (grid.state_dict()["latents"] for grid in (first, second, other))
    assert torch.equal(second, first) and not torch.equal(other, first)


def test_a_resumed_run_draws_as_many_as_it_is_asked_for(make_gan, fit, tmp_path):
    fit(make_gan(), callbacks=[SampleGrid(2)]).save_checkpoint(tmp_path / "run.ckpt")
    other = SampleGrid(3)
    fit(make_gan(), max_epochs=2, callbacks=[other], ckpt_path=tmp_path / "run.ckpt")
    assert len(other.state_dict()["latents"]) == 16 * 3


def test_a_resumed_run_continues_its_pictures(make_gan, fit, tmp_path):
    fit(make_gan(), max_epochs=2, callbacks=[SampleGrid(2)]).save_checkpoint(tmp_path / "run.ckpt")
    before = (tmp_path / "samples" / "epoch_0002.png").read_bytes()
    fit(make_gan(), max_epochs=4, callbacks=[SampleGrid(2)], ckpt_path=tmp_path / "run.ckpt")
    assert [name for name in names(tmp_path / "samples") if "epoch" in name] == [
        f"epoch_{epoch:04d}.png" for epoch in range(5)
    ]
    assert (tmp_path / "samples" / "epoch_0002.png").read_bytes() == before
    assert frames(tmp_path) == 5


def test_all_processes_ask_the_trainer_for_the_folder(make_gan, fit, monkeypatch):
    """`trainer.log_dir` synchronises all processes: one that asks alone waits for ever."""
    asked = []
    log_dir = Trainer.log_dir.fget
    monkeypatch.setattr(Trainer, "log_dir", property(lambda self: asked.append(1) or log_dir(self)))
    counts = []
    for first in (True, False):
        monkeypatch.setattr(Trainer, "is_global_zero", first)
        asked.clear()
        fit(make_gan(), max_epochs=2, callbacks=[SampleGrid(1)])
        counts.append(len(asked))
    assert counts[0] == counts[1]


def test_only_one_process_draws(make_gan, fit, monkeypatch, tmp_path):
    monkeypatch.setattr(Trainer, "is_global_zero", False)
    fit(make_gan(), callbacks=[SampleGrid(1)])
    assert names(tmp_path) == []


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_pictures_are_drawn_in_every_precision(make_gan, fit, tmp_path, precision):
    fit(make_gan(), callbacks=[SampleGrid(1)], precision=precision)
    assert "epoch_0001.png" in names(tmp_path)


# ---------------------------------------------------------------- loggers


def test_tensorboard_gets_the_picture(make_image_gan, fit, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = TensorBoardLogger(tmp_path, name="run", version=0)
    fit(make_image_gan(), 3, max_epochs=2, logger=logger, callbacks=[SampleGrid(4)])
    logger.finalize("success")
    events = EventAccumulator(str(tmp_path / "run" / "version_0")).Reload()
    pictures = events.Images("samples/grid")
    assert [picture.step for picture in pictures] == [0, 2, 5], "batches so far"
    assert (pictures[0].height, pictures[0].width) == (52, 202)
    drawn = (tmp_path / "run/version_0/samples/epoch_0002.png").read_bytes()
    (tmp_path / "logged.png").write_bytes(pictures[2].encoded_image_string)
    (tmp_path / "drawn.png").write_bytes(drawn)
    assert torch.equal(read(tmp_path / "logged.png"), read(tmp_path / "drawn.png"))


def test_wandb_gets_a_picture_that_is_not_black(make_image_gan, fit, tmp_path, monkeypatch):
    import wandb

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for name in ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_ARTIFACT_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    logger = WandbLogger(project="test", save_dir=tmp_path)
    try:
        fit(make_image_gan(), logger=logger, callbacks=[SampleGrid(4)])
    finally:
        wandb.finish()
    logged = sorted(tmp_path.rglob("files/media/images/samples/grid*.png"), key=lambda path: path.stat().st_mtime_ns)
    drawn = [tmp_path / "samples" / name for name in ("epoch_0000.png", "epoch_0001.png")]
    assert len(logged) == 2
    for one, other in zip(logged, drawn, strict=True):
        assert torch.equal(read(one), read(other)) and read(one).float().std() > 1


# ---------------------------------------------------------------- predictions


@pytest.mark.parametrize("num_classes", [0, 3])
def test_predictions_are_written_as_tensors_and_pictures(make_image_gan, batches, quiet, tmp_path, num_classes):
    trainer = Trainer(**quiet, callbacks=[SampleWriter()])
    data = DataLoader(batches(2, (1, 8, 8), num_classes=num_classes), batch_size=None)
    predictions = trainer.predict(make_image_gan(num_classes), data)
    assert names(tmp_path) == ["batch_0000.png", "batch_0000.pt", "batch_0001.png", "batch_0001.pt"]
    for index, samples in enumerate(predictions):
        saved = torch.load(tmp_path / "samples" / f"batch_{index:04d}.pt", weights_only=True)
        assert torch.equal(saved, samples) and saved.shape == (8, 1, 8, 8)
        assert torch.equal(read(tmp_path / "samples" / f"batch_{index:04d}.png"), generation.picture(samples))


def test_predictions_in_half_precision_are_written_in_single(make_gan, batches, quiet, tmp_path):
    trainer = Trainer(**quiet, callbacks=[SampleWriter()], precision="bf16-true")
    trainer.predict(make_gan(), DataLoader(batches(1), batch_size=None))
    assert torch.load(tmp_path / "samples" / "batch_0000.pt", weights_only=True).dtype == torch.float32


def test_processes_write_files_of_their_own(make_gan, batches, quiet, tmp_path, monkeypatch):
    monkeypatch.setattr(Trainer, "world_size", 2)
    monkeypatch.setattr(Trainer, "global_rank", 1)
    Trainer(**quiet, callbacks=[SampleWriter()]).predict(make_gan(), DataLoader(batches(1), batch_size=None))
    assert names(tmp_path) == ["batch_0000_rank_1.png", "batch_0000_rank_1.pt"]
