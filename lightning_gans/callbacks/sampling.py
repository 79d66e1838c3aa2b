"""Callbacks that write pictures of generated samples, during training and in `predict`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from torch import Tensor
from typing_extensions import override

from lightning_gans import arguments, generation
from lightning_gans.callbacks.trainer_attributes import is_trial
from lightning_gans.gan import GAN
from lightning_gans.networks.state import normalising_by_batch
from lightning_gans.randomness import seeded


class SampleGrid(Callback):
    """Write a picture of the samples of fixed latents after every epoch, so that the generator's progress is visible.

    Writes `samples/epoch_0001.png` … into the run's folder, `samples/real.png` beside them, and `samples/training.gif`
    at the end; the pictures also go to every logger that takes images (W&B and TensorBoard). The latents are drawn once
    and kept in the checkpoint; the generator is in evaluation mode. Points are drawn as a map over the real ones.
    Training is unaffected, random numbers included.

    A new run begins with `epoch_0000.png`, of the generator after the first batch. The statistics that a BatchNorm
    keeps are not yet those of its inputs, and would give flat grey: this one picture uses those of its own samples.

    Args:
        num_samples: images per picture, at least 1; 16 times as many points.
        every_n_epochs: epochs between pictures, at least 0; the last epoch always has one. 0 switches pictures off.
        columns: images per row, at least 1; of a conditional generator about as many, so that a column is one class.
        gif: whether to write the animation at the end.
        seed: of the latents.

    Raises:
        ValueError: for numbers out of range.
    """

    def __init__(
        self, num_samples: int = 64, every_n_epochs: int = 1, columns: int = 8, gif: bool = True, seed: int = 0
    ):
        arguments.whole(self, 0, every_n_epochs=every_n_epochs)
        arguments.whole(self, 1, num_samples=num_samples, columns=columns)
        self.num_samples = num_samples
        self.every_n_epochs = every_n_epochs
        self.columns = columns
        self.gif = gif
        self.seed = seed
        self._latents: Tensor | None = None
        self._real: Tensor | None = None
        self._real_written = False
        self._drawn = 0
        self._folder = Path("samples")

    @override
    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        self._folder = _samples_folder(trainer)

    @override
    def state_dict(self) -> dict[str, Any]:
        """Return the fixed latents, and the real points over which generated ones are drawn."""
        points = self._real is not None and self._real.dim() == 2
        return {"latents": self._latents, "real": self._real if points else None}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._latents, self._real = state_dict["latents"], state_dict.get("real")

    @override
    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        images = len(pl_module.generator.sample_shape) == 3
        num = self.num_samples if images else 16 * self.num_samples
        if self._latents is None or len(self._latents) != num:  # a resumed run may be asked for another number
            source = torch.Generator().manual_seed(self.seed)
            self._latents = pl_module.generator.latents.sample(num, generator=source)

    @override
    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if not self._real_written and self._draws(trainer) and self._latents is not None:
            self._real_written = True
            if self._real is None:
                x: Tensor = pl_module.unpack_batch(batch)[0]
                self._real = x.detach()[: len(self._latents)].float().cpu()
            real = generation.picture(self._real, columns=self._row(pl_module))
            generation.save_picture(real, self._folder / "real.png")
            if pl_module.batches_seen == 1:
                self._draw(trainer, pl_module, 0)

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        if self.every_n_epochs and (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self._draw(trainer, pl_module, trainer.current_epoch + 1)

    @override
    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        if self._drawn < trainer.current_epoch:  # by now the number of epochs that have ended
            self._draw(trainer, pl_module, trainer.current_epoch)
        if self._draws(trainer) and self.gif:
            _animate(sorted(self._folder.glob("epoch_*.png")), self._folder / "training.gif")

    @torch.no_grad()
    def _draw(self, trainer: Trainer, gan: GAN, epoch: int) -> None:
        if not self._draws(trainer) or self._latents is None:
            return
        self._drawn = epoch
        labels = generation.class_labels(gan, len(self._latents))
        by_batch = epoch == 0 and len(self._latents) > 1
        with (
            seeded(self.seed),  # the same routes every time
            generation.showing(gan),
            normalising_by_batch(gan.generator) if by_batch else nullcontext(),
        ):
            samples = generation.from_latents(gan, self._latents, labels).cpu()
        image = generation.picture(samples, self._real, self._row(gan))
        generation.save_picture(image, self._folder / f"epoch_{epoch:04d}.png")
        batches = gan.batches_seen - 1
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):  # as uint8: W&B shows floats as black
                logger.log_image("samples/grid", [image.numpy()], step=batches)
            elif isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("samples/grid", image, batches, dataformats="HWC")

    def _draws(self, trainer: Trainer) -> bool:
        return bool(self.every_n_epochs) and trainer.is_global_zero and not is_trial(trainer)

    def _row(self, gan: GAN) -> int:
        return generation.columns_of(gan.generator.num_classes, self.columns)


def _animate(frames: Sequence[Path], path: Path) -> None:
    """Write frames as a GIF of about eight seconds that pauses on the last one."""
    if len(frames) < 2:
        return
    from PIL import Image

    images = [Image.open(frame).convert("RGB").quantize(64, dither=Image.Dither.NONE) for frame in frames]
    durations = [max(40, 8000 // len(images))] * (len(images) - 1) + [2000]
    images[0].save(path, save_all=True, append_images=images[1:], duration=durations, loop=0)


class SampleWriter(BasePredictionWriter):
    """Write each batch of `lightning-gans predict` as a tensor file and a picture.

    `samples/batch_0000.pt` in the run's folder is a tensor (N, …) that `torch.load` reads, and
    `samples/batch_0000.png` its picture. With several processes the names end in the rank, `_rank_1`.
    """

    def __init__(self) -> None:
        super().__init__("batch")
        self._folder = Path("samples")

    @override
    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        self._folder = _samples_folder(trainer)

    @override
    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: Any,
        prediction: Any,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        name = f"batch_{batch_idx:04d}" + (f"_rank_{trainer.global_rank}" if trainer.world_size > 1 else "")
        samples = prediction.float().cpu()
        torch.save(samples, self._folder / f"{name}.pt")
        generation.save_picture(generation.picture(samples), self._folder / f"{name}.png")


def _samples_folder(trainer: Trainer) -> Path:
    """Return the folder of pictures; every process must ask, since Lightning has them agree on the run's folder."""
    return Path(trainer.log_dir or trainer.default_root_dir) / "samples"
