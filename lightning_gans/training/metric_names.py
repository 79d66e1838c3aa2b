"""The names of the metrics that a run will log, as far as their sources declare them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import LambdaCallback

from lightning_gans.attached import attached

Method = TypeVar("Method", bound=Callable[..., Any])

_KNOWN_PACKAGES = ("lightning_gans", "lightning", "pytorch_lightning", "lightning_fabric", "torch", "abc", "builtins")


def returns_metrics(*names: str) -> Callable[[Method], Method]:
    """Declare the names of the metrics that a method returns, such as `GAN.metrics`; an override declares its own."""

    def mark(method: Method) -> Method:
        method.metric_names = names  # type: ignore[attr-defined]
        return method

    return mark


def metric_names(trainer: Trainer, gan: Any, validates: bool = True) -> list[str]:
    """Return the names of the metrics that a run will log and that a callback can monitor, scores first.

    Those of `TrainingLog`, of the model, of what stabilizers add to a loss, and of every callback that has a method
    `metric_names(trainer)`; a user's own class may log more. What the failure monitor reads goes to loggers alone.

    Args:
        trainer: whose callbacks log.
        gan: the model.
        validates: whether there are validation batches.
    """
    players = [name for name in ("generator", "discriminator") if any(True for _ in getattr(gan, name).parameters())]
    names: list[str] = []
    for callback in attached(trainer, Callback):
        names += getattr(callback, "metric_names", lambda trainer: None)(trainer) or []
    names += [pattern.format(one) for pattern in ("loss/{}", "{}/learning_rate", "gradients/{}") for one in players]
    for part in (gan, *_parts(trainer, gan)):
        names += [f"loss/{name}" for name in getattr(part, "loss_terms", ())]
    names += getattr(gan.metrics, "metric_names", ())
    if validates:
        names += [f"val/{name}" for name in getattr(gan.evaluation_metrics, "metric_names", ())]
    return list(dict.fromkeys(names))


def undeclared_terms(trainer: Trainer, gan: Any) -> list[Any]:
    """Return the stabilizers that override the hook of a loss and do not declare, in `loss_terms`, what they add."""
    return [part for part in _parts(trainer, gan) if _changes_a_loss(part) and not hasattr(part, "loss_terms")]


def _changes_a_loss(part: Any) -> bool:
    """Return whether a part is a stabilizer that overrides a hook of a loss."""
    hooks = (getattr(type(part), name, None) for name in ("on_discriminator_loss", "on_generator_loss"))
    return any(hook is not None and hook.__module__ != "lightning_gans.stabilizer" for hook in hooks)


def _parts(trainer: Trainer, gan: Any) -> list[Any]:
    return [*getattr(gan, "stabilizers", ()), *attached(trainer, Callback)]


def has_validation(trainer: Trainer, data: Any) -> bool:
    """Return whether a run has validation batches, by its data module, which is set up."""
    try:
        found = data.val_dataloader() if trainer.limit_val_batches else None
    except Exception:  # Lightning's way to say that there is none; another error appears when it asks
        return False
    return found is not None and (not isinstance(found, list | tuple) or bool(found))


def are_complete(trainer: Trainer, gan: Any) -> bool:
    """Return whether nothing else can be logged: no class of the user takes part that might log metrics of its own."""
    for callback in attached(trainer, Callback):
        declared = getattr(callback, "metric_names", None)
        if isinstance(callback, LambdaCallback) or (declared and declared(trainer) is None):
            return False
    return not any(map(_may_log, (gan, *_parts(trainer, gan))))


def _may_log(part: Any) -> bool:
    """Return whether a user's class has methods of its own, beside the constructor."""
    foreign = [kind for kind in type(part).__mro__ if kind.__module__.split(".")[0] not in _KNOWN_PACKAGES]
    return any(not name.startswith("__") for kind in foreign for name in vars(kind))
