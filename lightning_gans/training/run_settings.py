"""What a run is asked for: checked, and compared with what a resumed checkpoint was made with."""

from __future__ import annotations

import os
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from typing_extensions import override

from lightning_gans.attached import attached
from lightning_gans.training import optimizer_settings, run_checks
from lightning_gans.training.checks import is_gan
from lightning_gans.training.kept_checkpoints import relocate
from lightning_gans.training.settings import Settings, differences, exchanged, flat, hyperparameters, of_run


class RunSettings(Callback):
    """Check what a run is asked for, and let a resumed one do what it is told; `GAN` adds it to every Trainer.

    A checkpoint or `EarlyStopping` that monitors a metric which the run does not log is refused; where a class of the
    user might log it, or `strict=False` lets it be missing, there is a warning instead. A cosine schedule that ends
    before the run, after which its rate would rise again, is warned of. A fraction of the batches to overfit,
    `overfit_batches=0.1`, is at least one batch of each split.

    A checkpoint keeps the settings with which its run was started. Where those of the resumed run differ, the new ones
    apply and one line says so:

    - learning rates and other numbers of an optimizer; under a schedule, also a new one, the rate is what the asked
      rate and schedule give after as many updates,
    - arguments of a stabilizer, which keeps its memory; stabilizers that were added or left out,
    - arguments of the model and its objective, the data, the precision, the number of processes.

    The seed stays that of the run, which is said too. An optimizer of another kind is refused, since it cannot use the
    state; networks of another shape are refused where weights are loaded. Where nothing was changed, nothing is said.

    Raises:
        ValueError: before training, for a metric that there is not, and for what a resume cannot change.
    """

    def __init__(self) -> None:
        self._settings: Settings = {}  # of this run
        self._before: Settings = {}  # of the run that made the checkpoint
        self._checkpoint: dict[str, Any] | None = None  # while it is being restored
        self._noted: list[str] = []
        self._patience: list[str] = []

    @override
    def state_dict(self) -> dict[str, Any]:
        return dict(self._settings)

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._before = state_dict

    @override
    def on_load_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Let stabilizers and checkpoint callbacks find their states."""
        if trainer.state.fn != TrainerFn.FITTING or not is_gan(pl_module):
            return
        self._checkpoint, self._before = checkpoint, {}
        relocate(trainer, checkpoint)
        self._noted = _adopt_states(trainer, checkpoint)
        self._patience = _keep_patience(trainer, checkpoint)
        seed, asked = checkpoint.get("gan_seed"), os.environ.get("PL_GLOBAL_SEED")
        if isinstance(seed, int) and asked not in (None, str(seed)) and str(torch.initial_seed()) == asked:
            rank_zero_info(f"The seed stays {seed}, that of the resumed run; for seed {asked}, start a new run.")

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Check metrics; compare settings, now that there are optimizers, which Lightning restores next."""
        run_checks.overfit_at_least_one(trainer)
        if not is_gan(pl_module):
            return
        run_checks.monitored_exist(trainer, pl_module)
        players = optimizer_settings.of_players(trainer, pl_module)
        now = of_run(trainer, pl_module)
        self._settings = {**now, "optimizers": players}
        checkpoint, self._checkpoint = self._checkpoint, None
        if checkpoint is None:
            return
        before = dict(self._before)
        saved = before.pop("optimizers", None) or optimizer_settings.of_checkpoint(checkpoint, players)
        changes = optimizer_settings.apply(trainer, pl_module, checkpoint, saved, players)
        changes += exchanged(before.pop("stabilizers"), now.pop("stabilizers")) if before else self._noted
        arguments = (hyperparameters(one) for one in (checkpoint.get("hyper_parameters", {}), dict(pl_module.hparams)))
        changes += differences(*({**one, **flat(run)} for one, run in zip(arguments, (before, now), strict=True)))
        changes += self._patience
        if changes:
            rank_zero_info(f"Resumed from {trainer.ckpt_path}: {'; '.join(changes)}, as asked.")

    @override
    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        if is_gan(pl_module):  # only now is the number of batches known
            run_checks.monitored_in_time(trainer)
            run_checks.cosines_last(trainer, pl_module)

    @override
    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        run_checks.best_was_saved(trainer)

    @override
    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        self._checkpoint = None


def _keep_patience(trainer: Trainer, checkpoint: dict[str, Any]) -> list[str]:
    """Let early stopping have the patience that is asked for, which Lightning restores; return changes in words."""
    states: Any = checkpoint.get("callbacks")
    changes = []
    for callback in trainer.early_stopping_callbacks if isinstance(states, dict) else ():
        state = states.get(callback.state_key)
        if isinstance(state, dict) and state.get("patience", callback.patience) != callback.patience:
            changes.append(f"the patience for {callback.monitor} {state['patience']} → {callback.patience}")
            state["patience"] = callback.patience
    return changes


def _adopt_states(trainer: Trainer, checkpoint: dict[str, Any]) -> list[str]:
    """Give a stabilizer the state of one of its class with other arguments; return these changes in words."""
    states: Any = checkpoint.get("callbacks")
    keys = [callback.state_key for callback in attached(trainer, Callback)]
    changes = []
    for callback in attached(trainer, Callback) if isinstance(states, dict) else ():
        new, opening = callback.state_key, f"{type(callback).__name__}("
        old = next((one for one in states if one.startswith(opening) and one not in keys), None)
        if old is None or not new.startswith(opening) or new in states:
            continue
        changes.append(f"{old} → {new}")
        for part in checkpoint.values():  # states of the other processes are kept by the same names
            if isinstance(part, dict) and old in part:
                part[new] = part.pop(old)
    return changes
