"""Links from the data to the model: the shape and number of classes of samples are set once, by the data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jsonargparse import ArgumentParser
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LightningArgumentParser

from lightning_gans.cli.errors import fail
from lightning_gans.cli.factories import check_factories
from lightning_gans.cli.input import given_keys, given_settings
from lightning_gans.cli.remedies import as_options
from lightning_gans.data import GANData

# an argument of a model or of its networks → the attribute of the data from which it is set
_LINKED = {"sample_shape": "sample_shape", "image_shape": "sample_shape", "num_classes": "num_classes"}
_PLACES = ("", "generator.init_args.", "discriminator.init_args.")
_OF_DISCRIMINATOR = "model.discriminator.num_classes"


def link_data_to_model(parser: LightningArgumentParser, args: Sequence[str]) -> None:
    """Set the linked arguments of the model and of its networks from the data.

    A discriminator without labels may stand beside a conditional generator, so its number of classes is not linked
    where the command line or a config gives it as 0.
    """
    built: dict[str, GANData] = {}  # one data module for all links
    unlinked = _given_as_zero(args)
    for place in _PLACES:
        for target, attribute in _LINKED.items():
            compute, key = _attribute_of_data(attribute, built), f"model.init_args.{place}{target}"
            if key.replace("init_args.", "") not in unlinked:
                parser.link_arguments("data", key, compute_fn=compute, apply_on="parse")


def _attribute_of_data(attribute: str, built: dict[str, GANData]) -> Callable[[Any], Any]:
    """Return a function from the config of a data module to one of its attributes."""

    def compute(config: Any) -> Any:
        if config is None:
            return None
        if repr(config) not in built:
            check_factories(config, "data")
            parser = ArgumentParser(exit_on_error=False)
            parser.add_subclass_arguments(GANData, "data")
            try:
                built[repr(config)] = parser.instantiate(parser.parse_object({"data": config})).data
            except ValueError as error:
                raise ValueError(as_options(str(error), {"data": config})) from error
        return getattr(built[repr(config)], attribute)

    compute.__name__ = attribute  # as `--help` shows it
    return compute


def _given_as_zero(args: Sequence[str]) -> set[str]:
    """Return the number of classes of the discriminator, by its key, if what gives it last gives 0."""
    given = [value for key, value in given_settings(args) if key.replace("init_args.", "") == _OF_DISCRIMINATOR]
    return {_OF_DISCRIMINATOR} if given and str(given[-1]) == "0" else set()


def refuse_linked(args: Sequence[str]) -> None:
    """End the command with one line where one of the given keys would be replaced by a link."""
    unlinked = _given_as_zero(args)
    linked = {
        f"model.{place}{name}".replace("init_args.", ""): attribute
        for place in _PLACES
        for name, attribute in _LINKED.items()
    }
    for key in given_keys(args):
        short = key.replace("init_args.", "")
        if short in linked and short not in unlinked:
            zero = "; a discriminator without labels is given 0" if short == _OF_DISCRIMINATOR else ""
            fail(
                f"{key} is set from the data (its {linked[short]}) and cannot be given; change the data instead: its "
                f"size or, for classes, --data.labels true{zero}."
            )


def complete_hyperparameters(model: LightningModule, config: Any) -> None:
    """Add what links have set in the networks to the hyperparameters, from which Lightning leaves it out."""
    for name in ("generator", "discriminator"):
        saved = model.hparams.get(name)
        if isinstance(saved, dict):
            parsed = config.init_args[name].init_args
            saved["init_args"] = saved.get("init_args", {}) | {key: parsed[key] for key in _LINKED if key in parsed}
