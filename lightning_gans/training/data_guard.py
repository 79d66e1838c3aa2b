"""The data of a run: shape, range and labels of first batches, and later ranges without a device sync at each."""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch import Callback, Trainer
from torch import Tensor
from torch.utils.data import DataLoader
from typing_extensions import override

from lightning_gans.arguments import whole
from lightning_gans.batches import describe
from lightning_gans.ranges import RangeWarnings, has_images, in_unit_range, is_outside, remedy_of_range, spans
from lightning_gans.training.batch_sizes import batch_sizes_fit
from lightning_gans.training.checks import is_gan
from lightning_gans.training.samples import check_samples
from lightning_gans.training.training_log import TrainingLog


class DataGuard(Callback):
    """Check the data of a run; `GAN` adds it where the Trainer has none.

    The first batch of every epoch, and of every validation and test, must have samples of the networks' shape, finite,
    images in [−1, 1], and labels in 0 … num_classes − 1; anything else ends the run with one line, before the first
    update where it is in the training data. Images without a negative value look like [0, 1] and are warned of. So end
    batches, the last of an epoch included, in which BatchNorm has a single value or that do not divide into packs.

    The smallest and largest value of every later training batch are kept on the device and read together, at every 50th
    batch, at those that are logged and at the last of an epoch, as `NonFiniteGuard` does: images that leave [−1, 1], or
    are all of them at or above 0 where the first were not, are warned of once, as are NaN and infinity in later batches
    of training, validation or test. A run without a training batch is refused.

    Args:
        every_n_batches: batches between these readings, at least 1.
    """

    def __init__(self, every_n_batches: int = 50) -> None:
        whole(self, 1, every_n_batches=every_n_batches)
        self.every_n_batches = every_n_batches
        self._ends: list[tuple[int, int, Tensor]] = []  # number of a batch, samples in it, smallest and largest value
        self._expected: tuple[float, float] | None = None  # ends of the first batch of images
        self._finite: list[Tensor] = []  # of the batches of an evaluation
        self.ranges = RangeWarnings()

    # ---------------------------------------------------------------- first batches

    @override
    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        self.ranges.clear()
        self._finite = []

    @override
    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self._ends, self._expected = [], None

    @override
    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if not is_gan(pl_module):
            return
        if batch_idx == 0 or self._expected is None:
            size, *ends = self._check(pl_module, batch, "training")
            self._expected = self._expected or (ends[0], ends[1])
            batch_sizes_fit(trainer, pl_module, size)
        pl_module.last_samples = None  # until the training step has read this batch

    @override
    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if is_gan(pl_module) and batch_idx == 0:
            self._check(pl_module, batch, "validation")

    @override
    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._keep_finite(pl_module)

    @override
    def on_test_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._keep_finite(pl_module)

    @override
    def on_validation_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._read_finite("validation")

    @override
    def on_test_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._read_finite("test")

    def _keep_finite(self, gan: Any) -> None:
        """Keep on the device whether the samples of an evaluation are finite."""
        if is_gan(gan) and gan.last_samples is not None:
            self._finite.append(torch.isfinite(gan.last_samples.detach()).all())
            gan.last_samples = None

    def _read_finite(self, kind: str) -> None:
        pending, self._finite = self._finite, []
        bad = [number for number, good in enumerate(torch.stack(pending).tolist(), 1) if not good] if pending else []
        if bad:
            self._warn(
                f"finite {kind}",
                f"the samples of {kind} batch {bad[0]} hold NaN or infinity, and so do the losses that are averaged "
                "over it; clean the data.",
            )

    @override
    def on_test_batch_start(
        self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if is_gan(pl_module) and batch_idx == 0:
            self._check(pl_module, batch, "test")

    def _check(self, gan: Any, batch: Any, kind: str) -> tuple[int, float, float]:
        """Require a good first batch, and return its size and ends; warn where its images look like another range."""
        if gan.device.type != "cpu":
            gan.unpack_batch(move_data_to_device(batch, "cpu"))  # checks the labels' values
        x, labels = gan.unpack_batch(batch)
        if labels is None and gan.generator.num_classes:
            raise ValueError(
                f"the networks are conditional, but the {kind} loader gave {describe(batch)}, in which there are no "
                "labels; give pairs (samples, labels) or a dict with label, y or target, or networks without classes."
            )
        low, high = check_samples(x, gan.generator.sample_shape, kind)
        self.warn_of_unit_range(x, low, high, f"first {kind} batch")
        return len(x), low, high

    def warn_of_unit_range(self, x: Tensor, low: float, high: float, source: str) -> None:
        """Warn of real images x, with these ends, that look like [0, 1]; `source` says whose they are."""
        if has_images(x) and in_unit_range(low, high):
            self._warn(
                "unit",
                f"the images of the {source} span {spans(low, high)} and have no negative value, as images "
                f"in [0, 1] do; those of the generator, and all pictures and scores, are in [-1, 1]. Scale them: "
                f"{remedy_of_range(low, high)}, or Normalize(0.5, 0.5) behind ToTensor().",
            )

    # ---------------------------------------------------------------- later batches

    @override
    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if not is_gan(pl_module):
            return
        x = pl_module.unpack_batch(batch)[0] if pl_module.last_samples is None else pl_module.last_samples
        if has_images(x):
            self._ends.append((pl_module.batches_seen, len(x), torch.stack(x.detach().aminmax())))
        if TrainingLog.is_due_to_read(trainer, pl_module, self.every_n_batches):
            self._read()

    @override
    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._read()

    def _read(self) -> None:
        """Warn of the first batch since the last reading whose images have another range than the run's first ones."""
        pending, self._ends = self._ends, []
        if not pending or self._expected is None:
            return
        ends = torch.stack([one.float() for _, _, one in pending]).tolist()
        first = spans(*self._expected)
        for (number, size, _), (low, high) in zip(pending, ends, strict=True):
            where = f"the images of batch {number} span {spans(low, high)}, those of the first batch {first}"
            if not (math.isfinite(low) and math.isfinite(high)):
                self._warn("finite", f"the images of batch {number} hold NaN or infinity; clean the data.")
            elif is_outside(low, high):
                self._warn(
                    "outside", f"{where}, and [-1, 1] is expected; scale all of them: {remedy_of_range(low, high)}."
                )
            elif size >= 8 and in_unit_range(low, high) and self._expected[0] < -0.5:
                self._warn("unit", f"{where}; if they are in [0, 1], scale them as the others: x * 2 - 1.")

    def _warn(self, fault: str, words: str) -> None:
        """Warn once of a fault, in the process that finds it."""
        if self.ranges.is_new(fault):
            warnings.warn(words[0].upper() + words[1:], UserWarning, stacklevel=2)

    # ---------------------------------------------------------------- no batch at all

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        if is_gan(pl_module) and trainer.fit_loop.epoch_loop.batch_progress.current.ready == 0:
            raise ValueError(_no_batch(trainer))

    @override
    def on_fit_end(self, trainer: Trainer, pl_module: Any) -> None:
        if is_gan(pl_module) and trainer.num_training_batches == 0:
            raise ValueError(_no_batch(trainer))


def _no_batch(trainer: Trainer) -> str:
    """Return why there is no training batch."""
    loader = trainer.train_dataloader
    if isinstance(loader, DataLoader) and hasattr(loader.dataset, "__len__") and loader.batch_size:
        size, each = len(loader.dataset), loader.batch_size
        if loader.drop_last and 0 < size < each * trainer.world_size:
            shared = f" in each of {trainer.world_size} processes" if trainer.world_size > 1 else ""
            return (
                f"there is no training batch: the data set has {size} samples, fewer than one batch of {each}{shared}, "
                "and drop_last=True leaves it out; use a smaller batch_size or more data."
            )
    return "there is no training batch: the training loader gives none; give it a data set that is not empty."
