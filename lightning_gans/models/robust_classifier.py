"""Adversarial training of an image classifier, whose gradients then point at what people see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.attacks import Norm, projected_gradient
from lightning_gans.base import ReproducibleModule
from lightning_gans.batches import samples_and_labels
from lightning_gans.networks import SmoothClassifier
from lightning_gans.networks.probing import kind_of, undisturbed
from lightning_gans.step import Batch
from lightning_gans.training.player_update import frozen


class RobustClassifier(ReproducibleModule):
    """Train an image classifier on the images of a ball around each that mislead it most.

        min over C of  E max over ‖δ‖ ≤ ε of  CE(C(x + δ), y)

    The inner maximum is found by `attacks.projected_gradient`. ε grows from 0 over a share of the training, since a
    classifier that is attacked at full strength from the beginning may learn nothing. Adam, with a one-cycle schedule.

    The classifier serves `SEPGAN` as its teacher: the gradient of an ordinary classifier does not point at pictures,
    that of a robust one does. `TrainedClassifier` reads it from the run's checkpoint.

    `val/accuracy` is that on images as they are, `val/robust_accuracy` that on images attacked in `eval_steps` steps.

    Args:
        image_shape: shape (C, H, W) of the images, in [−1, 1].
        num_classes: number of classes of the data, at least 2.
        network: maps images to logits (N, num_classes); None is a `SmoothClassifier` of width 16.
        epsilon: largest norm of a change, above 0. Images are in [−1, 1], so that an ε given for images in [0, 1] is
            twice as large here.
        norm: "L2", the Euclidean norm of an image, or "Linf", the largest change of a pixel.
        steps: of the attack in training, at least 1.
        eval_steps: of the attack in validation and tests, at least 1.
        ramp: share of the training over which ε grows, in [0, 1].
        lr: highest learning rate, above 0.
        weight_decay: of Adam, at least 0.

    Raises:
        ValueError: for an argument out of its range, data without labels, or a training without an end.

    Reference:
        Madry, Makelov, Schmidt, Tsipras, Vladu, "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR
        2018, arXiv 1706.06083.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        num_classes: int,
        network: nn.Module | None = None,
        epsilon: float = 3.0,
        norm: Norm = "L2",
        steps: int = 4,
        eval_steps: int = 10,
        ramp: float = 0.5,
        lr: float = 2e-3,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__()
        self.save_plain_hyperparameters()
        if num_classes < 2:
            raise ValueError("RobustClassifier needs labels of at least 2 classes: --data.labels true.")
        arguments.positive(self, epsilon=epsilon, lr=lr)
        arguments.one_of(self, ("L2", "Linf"), norm=norm)
        arguments.whole(self, 1, steps=steps, eval_steps=eval_steps)
        arguments.fraction(self, ramp=ramp)
        arguments.at_least(self, 0, weight_decay=weight_decay)
        self.input_shape, self.num_classes = tuple(image_shape), num_classes
        self.network = SmoothClassifier(image_shape, num_classes) if network is None else network
        self.epsilon, self.norm, self.steps, self.eval_steps = epsilon, norm, steps, eval_steps
        self.ramp, self.lr, self.weight_decay = ramp, lr, weight_decay
        self._check_network()

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) in [−1, 1] to logits (N, num_classes)."""
        return self.network(x)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss on attacked images."""
        self.seed_batch()
        self.has_trained = True
        x, y = self._unpack(batch)
        end = self.ramp * int(self.trainer.estimated_stepping_batches)
        attacked = self._attack(x, y, self.epsilon * min(1.0, (self.global_step + 1) / max(1.0, end)), self.steps)
        logits = self.network(attacked)
        loss = F.cross_entropy(logits, y)
        self.log("train/loss", loss, prog_bar=True)
        self.log("train/robust_accuracy", (logits.argmax(1) == y).float().mean(), prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log the accuracies on validation images."""
        self._evaluate(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Log the accuracies on test images."""
        self._evaluate(batch, "test")

    @override
    def configure_optimizers(self) -> Any:
        number = self.trainer.estimated_stepping_batches
        if number == float("inf"):
            raise ValueError("RobustClassifier needs an end of the training: --trainer.max_epochs 4.")
        optimizer = torch.optim.Adam(self.network.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.lr, total_steps=int(number))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _evaluate(self, batch: Batch, split: str) -> None:
        with torch.inference_mode(False):
            x, y = (one.clone() for one in self._unpack(batch))
            attacked = self._attack(x, y, self.epsilon, self.eval_steps)
            with torch.no_grad():
                right, robust = ((self.network(one).argmax(1) == y).float().mean() for one in (x, attacked))
        self.log(f"{split}/accuracy", right, batch_size=len(x), sync_dist=True, prog_bar=True)
        self.log(f"{split}/robust_accuracy", robust, batch_size=len(x), sync_dist=True, prog_bar=True)

    def _attack(self, x: Tensor, y: Tensor, epsilon: float, steps: int) -> Tensor:
        with frozen(self.network):  # the attack needs the gradient by the images alone
            return projected_gradient(self.network, x, y, epsilon, steps, self.norm)

    def _unpack(self, batch: Batch) -> tuple[Tensor, Tensor]:
        x, y = samples_and_labels(batch, self.num_classes, next(self.network.parameters()).dtype)
        assert y is not None
        return x, y

    def _check_network(self) -> None:
        """Raise where the network does not map images of the data to a logit for each class."""
        name = type(self.network).__name__
        try:
            with undisturbed(self.network), torch.no_grad():
                logits = self.network(torch.zeros(2, *self.input_shape))
        except (RuntimeError, ValueError, TypeError) as error:
            reason = str(error).partition("\n")[0]
            raise ValueError(
                f"{name} does not take images of shape {self.input_shape} ({reason}); give a network that does."
            ) from None
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else kind_of(logits)
        if shape != (2, self.num_classes):
            raise ValueError(
                f"{name} returns {shape} for two images, expected (2, {self.num_classes}), a logit for "
                "each class of the data; give a network that does."
            )


class TrainedClassifier(nn.Module):
    """The classifier of a run of `RobustClassifier`, as a teacher for `SEPGAN`.

        --model.classifier TrainedClassifier --model.classifier.checkpoint runs/…/checkpoints/last.ckpt

    Attributes:
        input_shape: shape (C, H, W) of an image in [−1, 1].
        num_classes: of the data that it was trained on.

    Args:
        checkpoint: a file of the run.

    Raises:
        ValueError: for a file that is not a checkpoint of a `RobustClassifier`.
    """

    def __init__(self, checkpoint: str) -> None:
        super().__init__()
        trained = RobustClassifier.load_from_checkpoint(checkpoint, map_location="cpu")
        self.network = trained.network
        self.input_shape, self.num_classes = trained.input_shape, trained.num_classes

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) in [−1, 1] to logits (N, num_classes)."""
        return self.network(x)
