"""A callback that starts a run from the weights of another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer
from typing_extensions import override

from lightning_gans.checkpoints import check_fits, opened, read_checkpoint
from lightning_gans.stabilizers.generator_ema import LEARNED


class StartFrom(Callback):
    """Start training from the networks of a checkpoint, with new optimizers, schedules, counters and memories.

    This is for fine-tuning, warm starts and pretrained weights: a new run that begins with trained networks. A resumed
    run continues instead (`trainer.fit(gan, ckpt_path=…)`), and this callback does nothing in it. Both networks are
    taken as they were in training, not the average of `GeneratorEMA`. Nothing in the file is run.

    Args:
        checkpoint: a file or a URL; one of weights alone will do.

    Raises:
        ValueError: before training, for a file that is no checkpoint, or whose networks do not fit.
    """

    def __init__(self, checkpoint: str | Path):
        self.checkpoint = checkpoint

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        if trainer.ckpt_path:
            return
        with opened(self.checkpoint) as file:
            content = read_checkpoint(file)
        check_fits(content, pl_module)
        state = dict(content["state_dict"])
        state |= {f"generator.{name}": tensor for name, tensor in content.get(LEARNED, {}).items()}
        own = pl_module.state_dict()
        surplus = next((name for name in state if name not in own), None)
        if surplus is not None:
            raise ValueError(
                f"the checkpoint '{self.checkpoint}' has {surplus}, which this {type(pl_module).__name__} lacks; use "
                "the config that was saved beside the checkpoint."
            )
        state |= {name: value for name, value in own.items() if type(value) is dict}  # its counters
        pl_module.load_state_dict(state)
