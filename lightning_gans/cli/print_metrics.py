"""The option --print_metrics of `fit`: the names of the metrics that a run would log."""

from __future__ import annotations

from argparse import SUPPRESS, Action
from typing import Any

from lightning.pytorch import LightningDataModule, Trainer

from lightning_gans.gan import GAN
from lightning_gans.training import has_validation, metric_names, undeclared_terms


class PrintMetrics(Action):
    """An option without a value, which is not part of a config.

    Args:
        option_strings: how the option is written.
        dest: unused.
        kwargs: unused.
    """

    def __init__(self, option_strings: list[str], dest: str = SUPPRESS, **kwargs: Any):
        text = "Print the names of the metrics that a checkpoint or EarlyStopping can monitor, and exit."
        super().__init__(option_strings, dest=SUPPRESS, default=SUPPRESS, nargs=0, help=text)

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the command looks for the option itself."""


def print_metrics(trainer: Trainer, model: GAN, data: LightningDataModule) -> None:
    """Print what a run would log, one name a line; the data is read to see whether there is a validation split."""
    data.prepare_data()
    data.setup("fit")
    for name in sorted(metric_names(trainer, model, has_validation(trainer, data))):
        print(name)
    for stabilizer in undeclared_terms(trainer, model):
        print(f"loss/<term>, where {type(stabilizer).__name__} adds one to a loss")
