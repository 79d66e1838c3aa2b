"""A moving average of the generator's weights, for samples, evaluation and checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from typing_extensions import override

from lightning_gans import arguments, distributed
from lightning_gans.attached import attached
from lightning_gans.gan import GAN
from lightning_gans.stabilizer import Stabilizer
from lightning_gans.step import Step

LEARNED = "gan_generator_learned"  # the key in a checkpoint for the training weights


class GeneratorEMA(Stabilizer):
    """Keep an exponential moving average of the generator's weights, and evaluate with it.

        average ← average + (1 − 2^(−1/h)) · (θ_G − average),    h = min(half_life, ramp_up · t) at generator update t

    Players often cycle around an equilibrium, and the average of their weights is near it. Training is unaffected, bit
    for bit. Samples, validation, test and prediction use the average. A checkpoint holds the average in place of the
    generator's weights, so loading one gives the average, and the training weights beside it, with which a resumed run
    continues.

    The average starts with the weights after the first update and is kept in single precision or better. Floating-point
    buffers, such as BatchNorm's statistics, are averaged like weights; integer ones are copied. All processes have the
    same average. It costs one pass over the generator's weights per update, and memory for one more copy of them (two
    during evaluation).

    Args:
        half_life: generator updates after which the share of a weight in the average has halved, at least 0; a decay β
            is a half-life of ln ½ / ln β, so 0.999 is 693. 0 evaluates with the training weights.
        half_life_images: the same counted in generated samples of all processes, whose batches have one size, in
            place of `half_life`; StyleGAN2 has 10,000 to 20,000. None counts updates.
        ramp_up: the longest half-life as a share of the updates so far, above 0, so that early averages forget the
            first weights; 0.05 in StyleGAN2-ADA. None uses the whole half-life from the start.

    Raises:
        ValueError: for a number out of range, a second average of the same GAN, or Lightning's own averaging beside it.

    Reference:
        Yazıcı et al., The Unusual Effectiveness of Averaging in GAN Training, ICLR 2019, arXiv 1806.04498; Karras et
        al., Progressive Growing of GANs, ICLR 2018, arXiv 1710.10196; the ramp: Karras et al., Training Generative
        Adversarial Networks with Limited Data, NeurIPS 2020, arXiv 2006.06676, the authors' code.
    """

    def __init__(self, half_life: float = 500.0, half_life_images: float | None = None, ramp_up: float | None = 0.05):
        arguments.at_least(self, 0, half_life=half_life, half_life_images=half_life_images)
        if ramp_up is not None:
            arguments.positive(self, ramp_up=ramp_up)
        self.half_life = half_life
        self.half_life_images = half_life_images
        self.ramp_up = ramp_up
        self._average: dict[str, Tensor] = {}
        self._training: dict[str, Tensor] | None = None  # the training weights, while the average is in their place
        self._samples = 0

    @override
    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Refuse Lightning's own averaging."""
        for callback in attached(trainer, Callback):
            if any(kind.__name__ == "WeightAveraging" for kind in type(callback).__mro__):
                raise ValueError(
                    f"{self} beside {type(callback).__name__}: expected one average of the generator; leave out either."
                )
        super().setup(trainer, pl_module, stage)

    @override
    def apply_to(self, gan: GAN) -> None:
        """Refuse a second average."""
        for other in gan.active_stabilizers:
            if isinstance(other, GeneratorEMA) and other is not self:
                raise ValueError(f"{self} beside {other}: expected one average of the generator; leave out either.")

    @contextmanager
    @override
    def evaluation_weights(self, gan: GAN) -> Iterator[None]:
        """Use the average inside the block; afterwards the training weights are bitwise identical to before."""
        if not self._average or self._training is not None:
            yield
            return
        with torch.inference_mode(False):
            training = {name: tensor.clone() for name, tensor in _tensors(gan.generator).items()}
        self._training = training
        self._put(gan.generator, self._average)
        try:
            yield
        finally:
            if self._training is training:
                self._put(gan.generator, training)
                self._training = None

    @property
    def loss_terms(self) -> list[str]:
        """The names of what it adds to losses, which are logged as `loss/<name>`."""
        return []

    @override
    def on_generator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        """Count the samples of the current update, over all parts of its batch."""
        if loss.requires_grad:  # validation has steps too
            self._samples += len(step.fake)
        return loss

    @torch.no_grad()
    @override
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
        """Return the half-life in updates."""
        if self.half_life_images is None:
            return self.half_life
        world = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
        return self.half_life_images / max(1, self._samples * world)

    @staticmethod
    @torch.no_grad()
    def _put(generator: nn.Module, values: dict[str, Tensor]) -> None:
        for name, tensor in _tensors(generator).items():
            tensor.copy_(values[name])

    @override
    def on_save_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Save the average as the generator, and the training weights beside it."""
        if not self._average:
            return
        state = checkpoint["state_dict"]
        checkpoint[LEARNED] = self._training or {name: state[f"generator.{name}"] for name in self._average}
        for name, average in self._average.items():
            state[f"generator.{name}"] = average.to(state[f"generator.{name}"])

    @override
    def on_load_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Resume with the training weights; the checkpoint has the average as the generator."""
        self._average = {}
        if LEARNED not in checkpoint or trainer.state.fn != TrainerFn.FITTING:
            return
        state = checkpoint["state_dict"]
        for name, training in checkpoint[LEARNED].items():
            self._average[name] = _precise(state[f"generator.{name}"]).clone()
            state[f"generator.{name}"] = training  # for `gan.stabilizers`: their hook is called before this is loaded
        self._put(pl_module.generator, checkpoint[LEARNED])

    @override
    def on_test_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Drop the average if a checkpoint was loaded to evaluate: it holds the weights to evaluate with."""
        if trainer.ckpt_path and trainer.state.fn != TrainerFn.FITTING:
            self._average = {}

    on_validation_start = on_predict_start = on_test_start

    @override
    def state_dict(self) -> dict[str, Any]:
        """Return the average in its own precision; if that is the generator's, a file holds the tensors only once."""
        return {"average": dict(self._average)} if self._average else {}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._average = {name: tensor.clone() for name, tensor in state_dict.get("average", {}).items()}


def _tensors(generator: nn.Module) -> dict[str, Tensor]:
    """Return weights and buffers by name."""
    return {name: tensor for name, tensor in generator.state_dict().items() if isinstance(tensor, Tensor)}


def _precise(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32)) if tensor.is_floating_point() else tensor
