"""When an evaluation is due, what it costs, and the line that says so before it begins."""

from __future__ import annotations

import math
from collections.abc import Collection

from lightning.pytorch import Trainer
from lightning.pytorch.trainer.states import TrainerFn

from lightning_gans.callbacks.evaluation.scorer import Scorer
from lightning_gans.callbacks.report.facts import duration

_LONG = 60.0  # seconds, from which the line says how to need less
_NOTABLE = 10.0  # seconds, from which it says how long all evaluations take


def announcement(trainer: Trainer, scorer: Scorer, every_n_epochs: int, names: Collection[str] | None) -> str:
    """Return what is evaluated, about how long that takes, and by which names it is logged.

    Args:
        trainer: of the run.
        scorer: which has its real samples.
        every_n_epochs: epochs of `fit` between evaluations.
        names: of the logged figures; None where they are not known.
    """
    beside = f" beside {scorer.num_real:,} real ones" if any(score.uses_real for score in scorer.scores) else ""
    when, cost = "", f"about {duration(math.ceil(scorer.seconds))}"
    if trainer.state.fn == TrainerFn.FITTING:
        when = " after every epoch" if every_n_epochs == 1 else f" after every {every_n_epochs} epochs"
        cost += " each"
        if trainer.max_epochs is not None and trainer.max_epochs > 0 and trainer.max_steps == -1:
            times = math.ceil((trainer.max_epochs - trainer.current_epoch) / every_n_epochs)
            whole = times * scorer.seconds
            cost += f", {duration(math.ceil(whole))} for all {times:,}" if whole >= _NOTABLE else ""
    less = "; a smaller num_samples or a larger every_n_epochs needs less" if scorer.seconds >= _LONG else ""
    logged = f" Logged as {', '.join(names)}." if names and when else ""
    return (
        f"Evaluation: {scorer.num_fake:,} generated samples{beside} of the {scorer.source}{when}, {cost}{less}.{logged}"
    )


def is_due(trainer: Trainer, every_n_epochs: int) -> bool:
    """Return whether the current epoch is evaluated; the last one always is, unless `every_n_epochs` is 0."""
    epoch = trainer.current_epoch + 1
    steps = trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps
    last = epoch == trainer.max_epochs or steps or trainer.should_stop
    return bool(every_n_epochs) and (last or epoch % every_n_epochs == 0)
