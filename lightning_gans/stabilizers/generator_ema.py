"""A moving average of the generator's weights: what is shown, scored and saved."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn

from lightning_gans import distributed
from lightning_gans.stabilizer import Stabilizer

if TYPE_CHECKING:
    from lightning_gans.gan import GAN
    from lightning_gans.step import Step

LEARNED = "gan_generator_learned"  # where a checkpoint keeps the weights that go on learning


class GeneratorEMA(Stabilizer):
    """Keep an exponential moving average of the generator's weights beside the game, and present it.

        average ← average + (1 − 2^(−1/h)) · (θ_G − average),    h = min(half_life, ramp_up · t) at generator update t

    Players that circle an equilibrium pass by it; the average of where they were is near it. The game is not altered:
    a run with it trains as one without. Pictures, validation, test and prediction show the average. A checkpoint holds
    it in the generator's place, so whoever loads one gets it, and the weights that learn apart, with which a resumed
    run goes on.

    The average begins with the weights after the first update and is kept in single precision or better. Floating
    buffers, such as BatchNorm's statistics, are averaged like weights; integer ones are copied. All processes have the
    same average. It costs one pass over the generator's weights per update, and their memory once more (twice while it
    is shown).

    Args:
        half_life: generator updates after which a weight's share has halved, at least 0; a decay β is a half-life of
            ln ½ / ln β, so 0.999 is 693. 0 shows the weights that learn.
        half_life_images: the same counted in generated samples of all processes, whose batches are of one size, in
            place of `half_life`; StyleGAN2 has 10,000 to 20,000. None counts updates.
        ramp_up: the longest half-life as a share of the updates so far, above 0, so that early averages forget the
            first weights; 0.05 in StyleGAN2-ADA. None has the whole half-life from the start.

    Raises:
        ValueError: for a number out of range, a second one in a game, or Lightning's own averaging beside it.

    Reference:
        Yazıcı et al., The Unusual Effectiveness of Averaging in GAN Training, ICLR 2019, arXiv 1806.04498; Karras et
        al., Progressive Growing of GANs, ICLR 2018, arXiv 1710.10196; the ramp: Karras et al., Training Generative
        Adversarial Networks with Limited Data, NeurIPS 2020, arXiv 2006.06676, the authors' code.
    """

    def __init__(self, half_life: float = 500.0, half_life_images: float | None = None, ramp_up: float | None = 0.05):
        for name, value in (("half_life", half_life), ("half_life_images", half_life_images)):
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"GeneratorEMA({name}={value}): expected a finite number of at least 0.")
        if ramp_up is not None and not ramp_up > 0:
            raise ValueError(f"GeneratorEMA(ramp_up={ramp_up}): expected a number above 0, such as 0.05, or None.")
        self.half_life = half_life
        self.half_life_images = half_life_images
        self.ramp_up = ramp_up
        self._average: dict[str, Tensor] = {}
        self._learned: dict[str, Tensor] | None = None  # while the average is in their place
        self._samples = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse Lightning's own averaging."""
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if any(kind.__name__ == "WeightAveraging" for kind in type(callback).__mro__):
                raise ValueError(
                    f"{self} beside {type(callback).__name__}: expected one average of the generator; leave out either."
                )
        super().setup(trainer, pl_module, stage)

    def apply_to(self, gan: GAN) -> None:
        """Refuse a second average."""
        for other in gan.active_stabilizers:
            if isinstance(other, GeneratorEMA) and other is not self:
                raise ValueError(f"{self} beside {other}: expected one average of the generator; leave out either.")

    @contextmanager
    def evaluation_weights(self, gan: GAN) -> Iterator[None]:
        """Put the average in the place of the weights for a while; they come back as they were, to the bit."""
        if not self._average or self._learned is not None:
            yield
            return
        with torch.inference_mode(False):
            learned = {name: tensor.clone() for name, tensor in _tensors(gan.generator).items()}
        self._learned = learned
        self._put(gan.generator, self._average)
        try:
            yield
        finally:
            if self._learned is learned:
                self._put(gan.generator, learned)
                self._learned = None

    def on_generator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        """Count the samples of the update that is under way, part by part."""
        if loss.requires_grad:  # validation has steps too
            self._samples += len(step.fake)
        return loss

    @torch.no_grad()
    def on_generator_step_end(self, gan: GAN) -> None:
        """Move the average towards the weights."""
        half_life, self._samples = self._updates(), 0
        if half_life == 0:
            return
        distributed.broadcast_buffers(gan.generator)
        weights = _tensors(gan.generator)
        if not self._average:
            self._average = {name: _precise(tensor).clone() for name, tensor in weights.items()}
            return
        if self.ramp_up is not None:
            half_life = min(half_life, self.ramp_up * gan.generator_updates)
        averages, targets = [], []
        for name, tensor in weights.items():
            average = self._average[name] = self._average[name].to(tensor.device)
            if average.is_floating_point():
                averages.append(average)
                targets.append(tensor.to(average.dtype))
            else:
                average.copy_(tensor)
        torch._foreach_lerp_(averages, targets, 1 - 0.5 ** (1 / half_life))

    def _updates(self) -> float:
        """The half-life in updates."""
        if self.half_life_images is None:
            return self.half_life
        world = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
        return self.half_life_images / max(1, self._samples * world)

    @staticmethod
    @torch.no_grad()
    def _put(generator: nn.Module, values: dict[str, Tensor]) -> None:
        for name, tensor in _tensors(generator).items():
            tensor.copy_(values[name])

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Save the average as the generator, and what learns apart."""
        if not self._average:
            return
        state = checkpoint["state_dict"]
        checkpoint[LEARNED] = self._learned or {name: state[f"generator.{name}"] for name in self._average}
        for name, average in self._average.items():
            state[f"generator.{name}"] = average.to(state[f"generator.{name}"])

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Go on with what learned; the average is what the checkpoint has as the generator."""
        self._average = {}
        if LEARNED not in checkpoint or trainer.state.fn != TrainerFn.FITTING:
            return
        state = checkpoint["state_dict"]
        for name, learned in checkpoint[LEARNED].items():
            self._average[name] = _precise(state[f"generator.{name}"]).clone()
            state[f"generator.{name}"] = learned  # for the module's own list, which is asked before this is loaded
        self._put(pl_module.generator, checkpoint[LEARNED])  # type: ignore[arg-type]

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget an average of other weights than those of the checkpoint that is looked at."""
        if trainer.ckpt_path and trainer.state.fn != TrainerFn.FITTING:
            self._average = {}

    on_validation_start = on_predict_start = on_test_start

    def state_dict(self) -> dict[str, Any]:
        """The average in its own precision; a checkpoint's file has it once where that is the generator's."""
        return {"average": dict(self._average)} if self._average else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore it."""
        self._average = {name: tensor.clone() for name, tensor in state_dict.get("average", {}).items()}


def _tensors(generator: nn.Module) -> dict[str, Tensor]:
    """Weights and buffers by name."""
    return {name: tensor for name, tensor in generator.state_dict().items() if isinstance(tensor, Tensor)}


def _precise(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32)) if tensor.is_floating_point() else tensor
