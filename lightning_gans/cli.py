"""The command line: Lightning's own, with the data's shape linked to the model, run folders and clear errors."""

from __future__ import annotations

import inspect
import logging
import os
import re
import warnings
from argparse import Action, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace, auto_cli
from jsonargparse.typing import PositiveInt
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint, ProgressBar, TQDMProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger, WandbLogger
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_gans import GAN, checks
from lightning_gans.callbacks import FailureMonitor, Report, SampleGrid, SampleWriter
from lightning_gans.cli_errors import Parser, fail
from lightning_gans.cli_workspace import workspace
from lightning_gans.data import GANData
from lightning_gans.generation import arithmetic, interpolate, neighbours, sample

_FUNCTIONS: dict[str, Callable[..., None]] = {  # the others are Lightning's
    "sample": sample,
    "interpolate": interpolate,
    "arithmetic": arithmetic,
    "neighbours": neighbours,
    "workspace": workspace,
}
_LINKED = {"sample_shape": "sample_shape", "image_shape": "sample_shape", "num_classes": "num_classes"}
_LINK_PLACES = ("", "generator.init_args.", "discriminator.init_args.")


def run(args: Sequence[str]) -> None:
    """Run a command, given with its arguments."""
    function = _FUNCTIONS.get(args[0])
    if function is None:
        GANCLI(list(args))
        return
    try:
        auto_cli(
            function,
            args=list(args[1:]),
            as_positional=False,
            prog=f"lightning-gans {args[0]}",
            description=inspect.getdoc(function).partition("\n\nArgs:")[0],  # type: ignore[union-attr]
            formatter_class=_Paragraphs,
            parser_class=Parser,
        )
    except (ValueError, OSError) as error:
        fail(str(error))


class _Paragraphs(RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Leaves the lines of a description as they are, and out the list of every module that torch has."""

    def _expand_help(self, action: Action) -> str:
        return re.sub(r", known subclasses: torch\.nn\.Module, .*", ")", super()._expand_help(action), flags=re.DOTALL)


class GANCLI(LightningCLI):
    """LightningCLI for a `GAN` and a `GANData`, by short class names.

    The shape and the number of classes of the data are linked to the model and to its networks, so nobody
    states them twice. Checkpoints (`--checkpoint.*`), pictures (`--samples.*`), a watch for failures (`--monitor.*`)
    and a page about the run (`--report.*`) are on by default.
    """

    def __init__(self, args: list[str]):
        self.args = args
        logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_no_advertisement)
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
        warnings.filterwarnings("ignore", message=".*across ranks is zero.*")  # data without a validation split
        warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
        if args[0] != "fit":  # a run of its own has a folder of its own
            warnings.filterwarnings("ignore", message="The dirpath has changed from.*")
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
            if self._has_trained() and not isinstance(error, MisconfigurationException):
                raise
            fail(str(error))

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """The one that is asked for; making a parser for each would take a quarter of the start-up."""
        return {name: skipped for name, skipped in LightningCLI.subcommands().items() if name == self.args[0]}

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """A parser whose errors are one line."""
        parser = Parser(**kwargs)
        parser.add_argument(
            "-c", "--config", action="config", help="A config file; give several to stack them, the last one wins."
        )
        return parser

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the run's folder, the standing callbacks and the links from the data to the model."""
        parser.add_argument(
            "--experiment", type=str | None, default=None, help="Name of the run's folder; <model>_<data> if left out."
        )
        parser.add_argument("--runs", type=str, default="runs", help="Where runs are kept.")
        parser.add_argument(
            "--threads",
            type=PositiveInt | None,
            default=None,
            help="CPU threads of torch, all cores if left out; 1 is best for small networks and on a busy machine.",
        )
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint")
        parser.add_lightning_class_args(SampleGrid, "samples")
        parser.add_lightning_class_args(FailureMonitor, "monitor")
        parser.add_lightning_class_args(Report, "report")
        parser.set_defaults(
            {
                "checkpoint.filename": "step_{step:07d}",
                "checkpoint.auto_insert_metric_name": False,
                "checkpoint.save_last": True,
            }
        )
        asked: dict[str, GANData] = {}  # all links ask the same data
        for place in _LINK_PLACES:
            for target, attribute in _LINKED.items():
                parser.link_arguments(
                    "data",
                    f"model.init_args.{place}{target}",
                    compute_fn=partial(_ask_data, asked, attribute),
                    apply_on="parse",
                )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, after refusing what a link would silently replace; data left out are the embedded digits."""
        keys = _given_keys(args)
        linked = {f"model.{place}{name}": attribute for place in _LINK_PLACES for name, attribute in _LINKED.items()}
        linked = {key.replace("init_args.", ""): attribute for key, attribute in linked.items()}
        for key in keys:
            attribute = linked.get(key.replace("init_args.", ""))
            if attribute:
                fail(
                    f"{key} comes from the data (its {attribute}) and cannot be set; change the data instead: its "
                    "size or, for classes, --data.labels true."
                )
        if args and not {"data", "data.class_path"} & set(keys):
            args = [args[0], "--data=Digits", *args[1:]]  # not a default: its settings would leak into other data
        self.config = parser.parse_args(args)
        # out of sight of Lightning, which would replace the settings given here by those in the checkpoint
        self.checkpoint = self.config[self.config.subcommand].pop("ckpt_path", None)

    def before_instantiate_classes(self) -> None:
        """Decide where the run is kept, before loggers are made that write beside it."""
        config = self.config[self.subcommand]
        if config.threads:
            torch.set_num_threads(config.threads)
        name = config.experiment or "_".join(
            config[part].class_path.rsplit(".", 1)[1].lower() for part in ("model", "data")
        )
        self.run_logger = CSVLogger(config.runs, name=name)
        config.ckpt_path = self.checkpoint
        if self.checkpoint == "last":
            config.ckpt_path = _last_checkpoint(Path(config.runs, name))
        elif self.checkpoint is None and self.subcommand != "fit":
            raise ValueError(
                f"{self.subcommand} needs a trained model; give --ckpt_path FILE, or 'last' for that of {name}."
            )
        elif self.checkpoint not in (None, "best", "hpc") and "://" not in self.checkpoint:
            checks.read_checkpoint(self.checkpoint)
        _drop_repeated(config.trainer.callbacks)
        self.config_to_save = config.clone()  # without this run's folder, so that it can be used for another
        if config.trainer.fast_dev_run:
            return
        loggers = config.trainer.logger if isinstance(config.trainer.logger, list) else [config.trainer.logger]
        for logger in loggers:
            if isinstance(logger, Namespace) and "save_dir" in logger.get("init_args", {}):
                _keep_beside(self.run_logger.log_dir, logger)

    def after_instantiate_classes(self) -> None:
        """Complete the hyperparameters, from which Lightning leaves out what links set inside the networks."""
        for name in ("generator", "discriminator"):
            saved = self.model.hparams.get(name)
            if isinstance(saved, dict):
                parsed = self.config[self.subcommand].model.init_args[name].init_args
                saved["init_args"] = saved.get("init_args", {}) | {key: parsed[key] for key in _LINKED if key in parsed}

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
        if not any(isinstance(one, FailureMonitor) for one in callbacks):
            callbacks.append(config.monitor)
        keeps = settings.enable_checkpointing is not False and not settings.fast_dev_run
        if keeps and not any(isinstance(one, Checkpoint) for one in callbacks):
            callbacks += _best_and_last(config.checkpoint)
        if settings.logger is not False and not settings.fast_dev_run:
            callbacks.append(_SaveConfig(self._parser(self.subcommand), self.config_to_save))
        callbacks.append(config.report)  # the last, so that it finds what the others have written
        kwargs = {**settings, **kwargs, "callbacks": callbacks}
        checks.strategy_name(settings.strategy)
        trainer = Trainer(**kwargs)
        if settings.strategy == "auto" and isinstance(trainer.strategy, DDPStrategy):
            trainer = Trainer(**{**kwargs, "strategy": checks.TWO_PLAYER_DDP})
        return trainer

    def after_fit(self) -> None:
        """Say where everything is and what to do next."""
        if not self.trainer.is_global_zero or self.trainer.fast_dev_run or not self.trainer.loggers:  # type: ignore[attr-defined]
            return
        print(f"\nThe run is in {self.run_logger.log_dir}: config.yaml, metrics.csv, checkpoints/ and samples/.")
        page = Path(self.run_logger.log_dir, "report.html")
        if page.is_file():
            print(f"Open {os.path.relpath(page)} in a browser to see how it went.")
        keeper: Any = self.trainer.checkpoint_callback
        shown = getattr(keeper, "last_model_path", "")
        if getattr(keeper, "monitor", None) and keeper.best_model_path:
            shown = keeper.best_model_path
            print(f"The best {keeper.monitor}, {keeper.best_model_score:.4g}, is that of {os.path.relpath(shown)}.")
        if shown:
            print(f"Draw new samples: lightning-gans sample --checkpoint {os.path.relpath(shown)} --out grid.png")

    def _has_trained(self) -> bool:
        trainer = getattr(self, "trainer", None)
        return trainer is not None and trainer.fit_loop.epoch_loop.total_batch_idx > 0


class _SaveConfig(SaveConfigCallback):
    """Keeps the parsed config in the run's folder, and sends the whole of it to W&B."""

    def save_config(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                config = yaml.safe_load(self.parser.dump(self.config, skip_none=False))
                logger.experiment.config.update(config, allow_val_change=True)


def _is_no_advertisement(record: logging.LogRecord) -> bool:
    return "Tip: For seamless cloud" not in record.getMessage()


def _ask_data(asked: dict[str, GANData], attribute: str, config: Any) -> Any:
    """What a data module, given by its config, says of its samples."""
    if config is None:
        return None
    if repr(config) not in asked:
        parser = ArgumentParser(exit_on_error=False)
        parser.add_subclass_arguments(GANData, "data")
        asked[repr(config)] = parser.instantiate_classes(parser.parse_object({"data": config})).data
    return getattr(asked[repr(config)], attribute)


def _given_keys(args: Sequence[str]) -> list[str]:
    """Every key that the user gives, on the line or in a config file, such as `model.init_args.width`."""
    keys = [argument[2:].split("=")[0] for argument in args if argument.startswith("--")]
    for flag, following in zip(args, [*args[1:], ""], strict=True):
        name, _, value = flag.partition("=")
        path = Path(value or following)
        if name in ("--config", "-c") and path.is_file():
            try:
                content = yaml.safe_load(path.read_text())
            except (yaml.YAMLError, UnicodeDecodeError) as error:
                where = getattr(error, "problem_mark", None)
                line = f" (line {where.line + 1})" if where else ""
                fail(f"{path} is not a YAML file{line}; give a config such as those in configs/.")
            if not isinstance(content, dict):
                fail(
                    f"{path} holds no settings; give a config such as those in configs/, with model, data and trainer."
                )
            keys += _keys(content)
    return keys


def _keys(tree: Any, prefix: str = "") -> list[str]:
    if not isinstance(tree, dict):
        return [prefix[:-1]] if prefix else []
    return [key for name, branch in tree.items() for key in _keys(branch, f"{prefix}{name}.")]


def _keep_beside(folder: str, logger: Namespace) -> None:
    """Let a logger of the user write into the run's folder, unless it was given one of its own."""
    own = logger.init_args.get("save_dir")
    if logger.class_path.endswith("TensorBoardLogger") and own == "runs":
        logger.init_args.update(Namespace(save_dir=folder, name="", version=""))
    elif logger.class_path.endswith("WandbLogger") and own in (None, "."):
        Path(folder).mkdir(parents=True, exist_ok=True)
        logger.init_args.save_dir = str(Path(folder).resolve())  # W&B's own process may stand elsewhere


def _best_and_last(checkpoint: ModelCheckpoint) -> list[Checkpoint]:
    """Beside one that keeps the best by a figure, one for the last epoch: Lightning's own last is that of the best."""
    if checkpoint.monitor is None or not checkpoint.save_last:
        return [checkpoint]
    checkpoint.save_last = False
    last = ModelCheckpoint(
        dirpath=checkpoint.dirpath,
        filename="last",
        save_weights_only=checkpoint.save_weights_only,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    return [checkpoint, last]


def _drop_repeated(callbacks: Any) -> None:
    """Of equal Evaluations keep the first: a run's own config and the file stacked on it may both bring one."""
    for index in reversed(range(len(callbacks) if isinstance(callbacks, list) else 0)):
        kind = str(callbacks[index].get("class_path"))
        if kind.endswith(".Evaluation") and callbacks[index] in callbacks[:index]:
            del callbacks[index]


def _last_checkpoint(folder: Path) -> str:
    found = sorted(folder.glob("*/checkpoints/last.ckpt"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise FileNotFoundError(f"--ckpt_path last: no run below '{folder}' has a last.ckpt; give a checkpoint's path.")
    return str(found[-1])
