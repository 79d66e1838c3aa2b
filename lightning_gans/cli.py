"""The command line: Lightning's own, with the data's shape linked to the model, run folders and clear errors."""

from __future__ import annotations

import inspect
import logging
import os
import re
import traceback
import warnings
from argparse import Action, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from contextlib import suppress
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
from lightning.pytorch.plugins import CheckpointIO
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from lightning_gans import GAN, checkpoints
from lightning_gans.callbacks import FailureMonitor, Report, SampleGrid, SampleWriter, SaveWhenStopped
from lightning_gans.callbacks.stopping import slurm_job
from lightning_gans.checkpoints import AtomicCheckpointIO, CheckpointWriteError
from lightning_gans.cli_errors import Parser, fail, fail_late, first_line, is_deliberate
from lightning_gans.cli_input import check_input, given_keys
from lightning_gans.cli_resume import is_queued_again, last_checkpoint
from lightning_gans.cli_workspace import workspace
from lightning_gans.data import GANData
from lightning_gans.generation import arithmetic, export, interpolate, neighbours, sample
from lightning_gans.training import NonFiniteError

_FUNCTIONS: dict[str, Callable[..., None]] = {  # the others are Lightning's
    "sample": sample,
    "interpolate": interpolate,
    "arithmetic": arithmetic,
    "neighbours": neighbours,
    "export": export,
    "workspace": workspace,
}
_LINKED = {"sample_shape": "sample_shape", "image_shape": "sample_shape", "num_classes": "num_classes"}
_LINK_PLACES = ("", "generator.init_args.", "discriminator.init_args.")


def run(args: Sequence[str]) -> None:
    """Run a command, given with its arguments."""
    check_input(args)
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
    except Exception as error:
        if not isinstance(error, ValueError) and not is_deliberate(error):
            raise
        fail(first_line(error))


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
        except NonFiniteError as error:
            fail_late(str(error))
        except Exception as error:
            if cannot_save := _first_of(CheckpointWriteError, error):
                fail_late(str(cannot_save))
            self._answer(error)
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, FailureMonitor) and callback.ended:
                fail_late(callback.ended)

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
        keys = given_keys(args)
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
        places = [Path(self.run_logger.log_dir), Path(self.run_logger.log_dir).parent, Path(config.runs)]
        self.new_folders = [place for place in places if not os.path.exists(place)]
        config.ckpt_path = self.checkpoint
        if self.checkpoint == "last":
            config.ckpt_path = last_checkpoint(Path(config.runs, name))
        elif self.checkpoint is None and self.subcommand == "fit" and is_queued_again():
            config.ckpt_path = last_checkpoint(Path(config.runs, name), slurm_job())
        elif self.checkpoint is None and self.subcommand != "fit":
            raise ValueError(
                f"{self.subcommand} needs a trained model; give --ckpt_path FILE, or 'last' for that of {name}."
            )
        elif self.checkpoint not in (None, "best", "hpc") and "://" not in self.checkpoint:
            checkpoints.read_checkpoint(self.checkpoint)
        if config.get("weights_only", False) is None:
            config.weights_only = True  # Lightning's default would run code from a remote file
        _must_be_folder("--checkpoint.dirpath", config.checkpoint.dirpath)
        _must_name_files(config.checkpoint.filename)
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
        callbacks = settings.callbacks or []
        callbacks = list(callbacks) if isinstance(callbacks, list) else [callbacks]
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
        if keeps and self.subcommand == "fit" and not any(isinstance(one, SaveWhenStopped) for one in callbacks):
            callbacks.append(SaveWhenStopped())
        plugins = settings.plugins if isinstance(settings.plugins, list) else [settings.plugins]
        if not any(isinstance(one, CheckpointIO) for one in plugins):
            kwargs["plugins"] = [*(one for one in plugins if one is not None), AtomicCheckpointIO()]
        if settings.logger is not False and not settings.fast_dev_run:
            callbacks.append(_SaveConfig(self._parser(self.subcommand), self.config_to_save))
        callbacks.append(config.report)  # the last, so that it finds what the others have written
        kwargs = {**settings, **kwargs, "callbacks": callbacks}
        try:
            return Trainer(**kwargs)
        except (TypeError, AttributeError, RuntimeError, ImportError) as error:  # of a setting of another kind
            if "devices" in str(error):
                raise ValueError(f"--trainer.devices {settings.devices}: {error} Give a number, such as 2.") from error
            raise ValueError(f"the Trainer cannot be made: {first_line(error)}") from error

    def after_fit(self) -> None:
        """Say where everything is and what to do next."""
        if not self.trainer.is_global_zero or self.trainer.fast_dev_run or not self.trainer.loggers:  # type: ignore[attr-defined]
            return
        print(f"\nThe run is in {self.run_logger.log_dir}: config.yaml, metrics.csv, checkpoints/ and samples/.")
        page = Path(self.run_logger.log_dir, "report.html")
        if page.is_file():
            print(f"Open {os.path.relpath(page)} in a browser to see how it went.")
        for monitor in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(monitor, FailureMonitor) and monitor.state.remedies:
                where = os.path.relpath(Path(self.run_logger.log_dir, "health.md"))
                print(f"It ends in a failure: {monitor.state.name}. {where} says since when, and what helps.")
        keeper: Any = self.trainer.checkpoint_callback
        shown = getattr(keeper, "last_model_path", "")
        if getattr(keeper, "monitor", None) and keeper.best_model_path:
            shown = keeper.best_model_path
            print(f"The best {keeper.monitor}, {keeper.best_model_score:.4g}, is that of {os.path.relpath(shown)}.")
        if shown:
            print(f"Draw new samples: lightning-gans sample --checkpoint {os.path.relpath(shown)} --out grid.png")

    def _answer(self, error: Exception) -> None:
        """End the command with one line where the input is at fault; an error of ours keeps its traceback."""
        deliberate = is_deliberate(error)
        has_trained = getattr(getattr(self, "model", None), "has_trained", False)
        if has_trained and not isinstance(error, MisconfigurationException):
            if deliberate:
                fail_late(first_line(error))
            raise error
        if not has_trained:
            _drop_empty(getattr(self, "new_folders", []))
        if not deliberate and not isinstance(error, ValueError | OSError | MisconfigurationException):
            if not _passes(error, "checkpoint_connector"):
                raise error
            fail(
                f"--ckpt_path {self.checkpoint}: the run cannot be gone on with from this checkpoint "
                f"({type(error).__name__}: {first_line(error)}); it is damaged, or was made by another program."
            )
        fail(first_line(error))


def _passes(error: BaseException, file: str) -> bool:
    return any(file in frame.filename for frame in traceback.extract_tb(error.__traceback__))


def _drop_empty(folders: list[Path]) -> None:
    """Take away the folders of a run that has not begun, if this command made them and they hold a config at most."""
    with suppress(OSError, ValueError):  # other runs are in it by now, or no folder can have the name
        for folder in folders:
            files = list(folder.iterdir()) if folder.is_dir() else []
            if all(path.name in _SMALL for path in files):
                for path in files:
                    path.unlink()
                folder.rmdir()


_SMALL = ("config.yaml", "metrics.csv")


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


def _keep_beside(folder: str, logger: Namespace) -> None:
    """Let a logger of the user write into the run's folder, unless it was given one of its own."""
    own = logger.init_args.get("save_dir")
    if logger.class_path.endswith("TensorBoardLogger") and own == "runs":
        logger.init_args.update(Namespace(save_dir=folder, name="", version=""))
    elif logger.class_path.endswith("WandbLogger") and own in (None, "."):
        first = getattr(rank_zero_only, "rank", 0) == 0 and os.environ.get("NODE_RANK", "0") == "0"
        if first:  # another process may see its folder, and count one version further
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


def _must_be_folder(name: str, given: Any) -> None:
    """Refuse a place for files that lies at or below a file, before anything is trained in vain."""
    if given is None or "://" in str(given):
        return
    place = next(one for one in (Path(given), *Path(given).absolute().parents) if os.path.lexists(one))
    if not place.is_dir():
        raise ValueError(f"{name} {given}: '{place}' is no folder; give another path.")


def _must_name_files(pattern: str | None) -> None:
    """Refuse a pattern from which no file's name can be made, before anything is trained in vain."""
    try:
        name = ModelCheckpoint(filename=pattern, auto_insert_metric_name=False).format_checkpoint_name(
            {"epoch": torch.tensor(0), "step": torch.tensor(0)}
        )
        if "\0" in name or len(os.fsencode(Path(name).name)) > 240:
            raise ValueError("no file can have this name")
    except Exception as error:  # whatever a strange pattern makes of a number
        raise ValueError(
            f"--checkpoint.filename {pattern!r} makes no name of a file ({first_line(error)}); give a pattern such as "
            "'step_{step:07d}'."
        ) from None


def _drop_repeated(callbacks: Any) -> None:
    """Of equal Evaluations keep the first: a run's own config and the file stacked on it may both bring one."""
    for index in reversed(range(len(callbacks) if isinstance(callbacks, list) else 0)):
        kind = str(callbacks[index].get("class_path"))
        if kind.endswith(".Evaluation") and callbacks[index] in callbacks[:index]:
            del callbacks[index]


def _first_of(kind: type[Exception], error: BaseException | None) -> Exception | None:
    """An error that others followed from: on a full disk whoever tidies up fails too."""
    found = None
    while error is not None:
        found = error if isinstance(error, kind) else found
        error = error.__cause__ or error.__context__
    return found
