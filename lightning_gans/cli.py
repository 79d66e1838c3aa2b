"""The command line: Lightning's own, with the data's shape linked to the model, run folders and clear errors."""

from __future__ import annotations

import difflib
import os
import re
import sys
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import yaml
from jsonargparse import ArgumentParser, Namespace, auto_cli
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint, ProgressBar, TQDMProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger, WandbLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_gans import GAN, data, models, networks, objectives, optimizers, stabilizers
from lightning_gans.callbacks import SampleGrid, SampleWriter
from lightning_gans.data import GANData
from lightning_gans.generation import sample

_LINKED = {"sample_shape": "sample_shape", "image_shape": "sample_shape", "num_classes": "num_classes"}
_LINK_PLACES = ("", "generator.init_args.", "discriminator.init_args.")


def run(args: Sequence[str]) -> None:
    """Run a command, given with its arguments."""
    if args[0] == "sample":
        auto_cli(
            sample,
            args=list(args[1:]),
            as_positional=False,
            prog="lightning-gans sample",
            parser_class=_Parser,
        )
    else:
        GANCLI(list(args))


class GANCLI(LightningCLI):
    """LightningCLI for a `GAN` and a `GANData`, by short class names.

    The shape and the number of classes of the data are linked to the model and to its networks, so nobody
    states them twice. Checkpoints (`--checkpoint.*`) and pictures (`--samples.*`) are on by default.
    """

    def __init__(self, args: list[str]):
        self.args = args
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
        warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
        try:
            super().__init__(
                GAN,
                GANData,
                subclass_mode_model=True,
                subclass_mode_data=True,
                auto_configure_optimizers=False,
                seed_everything_default=0,
                save_config_callback=_SaveConfig,
                parser_kwargs={"prog": "lightning-gans"},
                args=args,
            )
        except (ValueError, OSError, MisconfigurationException) as error:
            if self._has_trained():
                raise
            fail(str(error))

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """A parser whose errors are one line."""
        parser = _Parser(**kwargs)
        parser.add_argument(
            "-c",
            "--config",
            action="config",
            help="A config file; give several to stack them, the last one wins.",
        )
        return parser

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the run's folder, the standing callbacks and the links from the data to the model."""
        parser.add_argument(
            "--experiment",
            type=str | None,
            default=None,
            help="Name of the run's folder; <model>_<data> if left out.",
        )
        parser.add_argument("--runs", type=str, default="runs", help="Where runs are kept.")
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint")
        parser.add_lightning_class_args(SampleGrid, "samples")
        parser.set_defaults(
            {
                "checkpoint.filename": "epoch_{epoch:04d}",
                "checkpoint.auto_insert_metric_name": False,
                "checkpoint.save_last": True,
                "data": {"class_path": "lightning_gans.data.Digits"},
            }
        )
        for place in _LINK_PLACES:
            for target, attribute in _LINKED.items():
                parser.link_arguments(
                    "data",
                    f"model.init_args.{place}{target}",
                    compute_fn=partial(_ask_data, attribute),
                    apply_on="parse",
                )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, after refusing what a link would silently replace."""
        _refuse_linked(args)
        self.config = parser.parse_args(args)

    def before_instantiate_classes(self) -> None:
        """Decide where the run is kept, before loggers are made that write beside it."""
        config = self.config[self.subcommand]
        if config.get("model") is None:
            raise ValueError("no model; name one, such as --model DCGAN, or give a --config.")
        name = config.experiment or "_".join(
            config[part].class_path.rsplit(".", 1)[1].lower() for part in ("model", "data")
        )
        self.run_logger = CSVLogger(config.runs, name=name)
        if config.get("ckpt_path") == "last":
            config.ckpt_path = _last_checkpoint(Path(config.runs, name))
        loggers = config.trainer.logger if isinstance(config.trainer.logger, list) else [config.trainer.logger]
        for logger in loggers:
            if isinstance(logger, Namespace) and "save_dir" in logger.get("init_args", {}):
                _keep_beside(self.run_logger.log_dir, logger)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Lightning's, with the run's folder first among the loggers and a calm progress bar."""
        config = self.config_init[self.subcommand]
        settings = config.trainer
        if settings.logger is not False:
            others = settings.logger if isinstance(settings.logger, list) else [settings.logger]
            kwargs["logger"] = [self.run_logger, *(one for one in others if one not in (None, True))]
        callbacks = list(settings.callbacks or [])
        if settings.enable_progress_bar is not False and not any(isinstance(one, ProgressBar) for one in callbacks):
            callbacks.append(TQDMProgressBar(refresh_rate=20))
        if self.subcommand == "predict":
            callbacks.append(SampleWriter())
        callbacks.append(config.samples)
        if settings.enable_checkpointing is not False and not any(isinstance(one, Checkpoint) for one in callbacks):
            callbacks.append(config.checkpoint)
        if settings.logger is not False and not settings.fast_dev_run:
            callbacks.append(_SaveConfig(self._parser(self.subcommand), self.config[self.subcommand]))
        return Trainer(**{**settings, **kwargs, "callbacks": callbacks})

    def after_fit(self) -> None:
        """Say where everything is and what to do next."""
        if not self.trainer.is_global_zero or self.trainer.fast_dev_run or not self.trainer.loggers:  # type: ignore[attr-defined]
            return
        print(f"\nThe run is in {self.trainer.log_dir}: config.yaml, metrics.csv, checkpoints/ and samples/.")
        last = getattr(self.trainer.checkpoint_callback, "last_model_path", "")
        if last:
            print(f"Draw new samples: lightning-gans sample --checkpoint {os.path.relpath(last)} --out grid.png")

    def _has_trained(self) -> bool:
        trainer = getattr(self, "trainer", None)
        return trainer is not None and trainer.global_step > 0


class _SaveConfig(SaveConfigCallback):
    """Keeps the parsed config in the run's folder, and sends the whole of it to W&B."""

    def save_config(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                config = yaml.safe_load(self.parser.dump(self.config, skip_none=False))
                logger.experiment.config.update(config, allow_val_change=True)


def _ask_data(attribute: str, config: Any) -> Any:
    """What a data module, given by its config, says of its samples."""
    if config is None:
        return None
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(GANData, "data")
    return getattr(parser.instantiate_classes(parser.parse_object({"data": config})).data, attribute)


def _refuse_linked(args: Sequence[str]) -> None:
    """A value for a linked parameter would be replaced without a word."""
    keys = [argument[2:].split("=")[0] for argument in args if argument.startswith("--model.")]
    for flag, value in zip(args, [*args[1:], ""], strict=True):
        path = flag.split("=", 1)[1] if flag.startswith(("--config=", "-c=")) else value
        if flag.split("=")[0] in ("--config", "-c") and Path(path).is_file():
            with open(path) as file:
                content = yaml.safe_load(file)
            if isinstance(content, dict):
                keys += [f"model.{key}" for key in _keys(content.get("model"))]
    for key in keys:
        name = key.rsplit(".", 1)[-1]
        if name in _LINKED:
            fail(
                f"{key} comes from the data ({_LINKED[name]} of the data module) and cannot be set; change the data "
                "instead: its size or, for classes, --data.labels true."
            )


def _keys(tree: Any, prefix: str = "") -> list[str]:
    if not isinstance(tree, dict):
        return [prefix[:-1]] if prefix else []
    return [key for name, branch in tree.items() for key in _keys(branch, f"{prefix}{name}.")]


def _keep_beside(folder: str, logger: Namespace) -> None:
    """Let a logger of the user write into the run's folder, unless it was given one of its own."""
    if logger.class_path.endswith("TensorBoardLogger") and logger.init_args.get("save_dir") in (
        None,
        ".",
        "runs",
    ):
        logger.init_args.update(Namespace(save_dir=folder, name="", version=""))
    elif logger.class_path.endswith("WandbLogger") and logger.init_args.get("save_dir") in (None, "."):
        logger.init_args.save_dir = folder
        Path(folder).mkdir(parents=True, exist_ok=True)


def _last_checkpoint(folder: Path) -> str:
    found = sorted(folder.glob("*/checkpoints/last.ckpt"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise FileNotFoundError(f"--ckpt_path last: no run below '{folder}' has a last.ckpt; give a checkpoint's path.")
    return str(found[-1])


def fail(message: str) -> NoReturn:
    """One line on stderr, exit code 2."""
    sys.stderr.write(f"lightning-gans: error: {_one_line(message)}\n")
    sys.exit(2)


class _Parser(LightningArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:  # a parser inside another, whose caller wants the exception
            super().error(message, ex)
        fail(message)


_NOISE = re.compile(
    r"^(Does not validate against any of the Union subtypes|Subtypes: .*|Errors:|Given value( type)?: .*"
    r"|- Expected a <class 'NoneType'>.*|- Expected a path but .*)$"
)


def _one_line(message: str) -> str:
    """The parser's nested message without what a reader cannot use, and with the names that were meant."""
    unknown = re.search(
        r"(?:Expected a dot import path string|Unexpected import path format|No module named): ?'?(\w+)",
        message,
    )
    if unknown:
        close = difflib.get_close_matches(unknown[1], _class_names(), 3, 0.5)
        meant = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(_class_names())}."
        return f"unknown class '{unknown[1]}'; {meant}"
    lines = [line.strip() for line in message.splitlines()]
    kept = [re.sub(r"^- ", "", line) for line in lines if line and not _NOISE.match(line)]
    text = " ".join(kept) or message.strip()
    text = re.sub(r"Call to compute_fn of link .*? failed: ", "", text)
    text = re.sub(r"Parser key \"([^\"]+)\":", r"\1:", text)
    return re.sub(r"Problem with given class_path '(?:\w+\.)*(\w+)':", r"\1:", text)


def _class_names() -> list[str]:
    homes = (models, data, networks, stabilizers)
    names = ["GAN", *(name for home in homes for name in home.__all__)]
    names += [name for home in (objectives, optimizers) for name, kind in vars(home).items() if isinstance(kind, type)]
    return sorted(set(names))
