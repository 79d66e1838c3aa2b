"""Train the digit classifier whose weights ship as `lightning_gans.networks.DigitClassifier`.

    python benchmarks/digit_classifier.py fit --config benchmarks/digit_classifier.yaml

A few minutes on one CPU core. The training digits of MNIST, less 5,000 for validation, are slightly rotated,
sheared, scaled, shifted, blurred and made noisy, so that the network classifies imperfect digits sensibly.
Labels are not smoothed, since the confidences are used. After the last epoch the network is tested once on the
10,000 unmodified test digits, and saved with that accuracy; no choice is made on the test digits. On one machine
the same seed and number of threads give the same weights.
"""

import math
import sys
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LightningCLI
from safetensors.torch import save
from torch import Tensor

from lightning_gans.data import MNIST
from lightning_gans.networks import DigitClassifier


class DigitTraining(LightningModule):
    """Train the digit classifier: cross-entropy on distorted digits, AdamW, a one-cycle schedule.

    Args:
        out: file to write the weights to.
        lr: highest learning rate.
        weight_decay: of AdamW.
        degrees: largest rotation in either direction, in degrees.
        shear: largest shear in either direction, in widths per height.
        scale: largest relative change of size in either direction.
        shift: largest shift along each axis in either direction, in pixels.
        blur: largest weight, in [0, 1], of a 3 × 3 binomial blur of the digit against the sharp one.
        noise: largest standard deviation of Gaussian noise, on pixels in [−1, 1].
    """

    def __init__(
        self,
        out: str = "digit_classifier.safetensors",
        lr: float = 0.005,
        weight_decay: float = 0.01,
        degrees: float = 15.0,
        shear: float = 0.2,
        scale: float = 0.15,
        shift: float = 2.5,
        blur: float = 1.0,
        noise: float = 0.2,
    ):
        super().__init__()
        self.save_hyperparameters()
        self.network = DigitClassifier(pretrained=False)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = batch
        loss = F.cross_entropy(self.network(self.distort(x)), y)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.score("val", batch)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.score("test", batch)

    def score(self, split: str, batch: tuple[Tensor, Tensor]) -> None:
        x, y = batch
        logits = self.network(x)
        self.log(f"{split}_loss", F.cross_entropy(logits, y), on_epoch=True, batch_size=len(x))
        right = (logits.argmax(1) == y).float().mean()
        self.log(f"{split}_accuracy", right, on_epoch=True, prog_bar=True, batch_size=len(x))

    def configure_optimizers(self) -> Any:
        h, steps = self.hparams, int(self.trainer.estimated_stepping_batches)
        optimizer = torch.optim.AdamW(self.parameters(), h.lr, weight_decay=h.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, h.lr, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def distort(self, x: Tensor) -> Tensor:
        """Return digits (N, 1, H, W) rotated, sheared, scaled and shifted, then blurred, then noisy, each at random."""
        h, n = self.hparams, len(x)

        def uniform(size: int = n) -> Tensor:
            return torch.rand(size, device=x.device) * 2 - 1

        angle, shear = math.radians(h.degrees) * uniform(), h.shear * uniform()
        size = torch.stack([1 + h.scale * uniform(), 1 + h.scale * uniform()], 1)
        cos, sin = angle.cos(), angle.sin()
        linear = torch.stack([cos, shear * cos - sin, sin, shear * sin + cos], 1).view(n, 2, 2) / size[:, None]
        offset = h.shift * 2 / x.shape[-1] * uniform(2 * n).view(n, 2, 1)
        grid = F.affine_grid(torch.cat([linear, offset], 2), list(x.shape), align_corners=False)
        x = F.grid_sample(x + 1, grid, align_corners=False) - 1  # padded with −1, the background

        binomial = x.new_tensor([0.25, 0.5, 0.25])
        blurred = F.conv2d(F.pad(x, (1, 1, 1, 1), value=-1), binomial.outer(binomial)[None, None])
        x = x.lerp(blurred, h.blur * torch.rand(n, 1, 1, 1, device=x.device))
        x = x + h.noise * torch.rand(n, 1, 1, 1, device=x.device) * torch.randn_like(x)
        return x.clamp(-1, 1)


class DigitCLI(LightningCLI):
    """LightningCLI that tests the trained network and writes its weights."""

    def after_fit(self) -> None:
        accuracy = self.trainer.test(self.model, self.datamodule, verbose=False)[0]["test_accuracy"]
        out = Path(self.model.hparams.out)
        out.parent.mkdir(parents=True, exist_ok=True)
        about = {
            "accuracy": f"{accuracy:.4f} on the 10,000 test digits",
            "command": " ".join(["python", *sys.argv]),
            "data": f"MNIST, training digits less {self.datamodule.val_size} for validation",
            "epochs": str(self.trainer.current_epoch),
            "seed": str(self.config["fit"]["seed_everything"]),
            "torch": torch.__version__,
        }
        out.write_bytes(save(self.model.network.state_dict(), about))
        print(f"test accuracy {accuracy:.2%}, {out.stat().st_size:,} bytes written to {out}")


if __name__ == "__main__":
    DigitCLI(DigitTraining, MNIST, save_config_callback=None)
