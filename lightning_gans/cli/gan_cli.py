"""LightningCLI for GANs: the data's shape linked to the model, run folders, standard callbacks and one-line errors."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse.typing import PositiveInt
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import WandbLogger
from typing_extensions import override

from lightning_gans.attached import attached
from lightning_gans.callbacks import FailureMonitor, Report, SampleGrid
from lightning_gans.callbacks.stopping import slurm_job
from lightning_gans.cli import trainer_parts
from lightning_gans.cli.errors import Parser, end_run, fail_late, first_line
from lightning_gans.cli.input import given_keys
from lightning_gans.cli.links import complete_hyperparameters, link_data_to_model, refuse_linked
from lightning_gans.cli.print_metrics import PrintMetrics, print_metrics
from lightning_gans.cli.resume import RestorePhase, check_restorable, is_requeued, last_checkpoint
from lightning_gans.cli.run_folder import RunFolder
from lightning_gans.data import GANData
from lightning_gans.gan import GAN

# options of a command and the callbacks that they describe
_STANDARD: dict[str, type[Callback]] = {
    "checkpoint": ModelCheckpoint,
    "samples": SampleGrid,
    "monitor": FailureMonitor,
    "report": Report,
}


class GANCLI(LightningCLI):
    """LightningCLI for a `GAN` and a `GANData`, by short class names.

    The shape and the number of classes of the data are linked to the model and to its networks, so that they are set
    once. Checkpoints (`--checkpoint.*`), sample images (`--samples.*`), the failure monitor (`--monitor.*`) and a
    report (`--report.*`) are part of every run.

    Args:
        args: the command, one of fit, validate, test and predict, and its options.
    """

    def __init__(self, args: list[str]):
        self.args = args
        _silence(args[0])
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
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            folder, model = getattr(self, "run_folder", None), getattr(self, "model", None)
            if folder is not None and not (model is not None and model.has_trained):
                folder.remove_if_unused()
            if not isinstance(error, Exception):
                raise
            restored = attached(self.trainer, RestorePhase) if hasattr(self, "trainer") else []
            end_run(error, model, restoring=self.checkpoint if any(one.is_active for one in restored) else None)
        for monitor in attached(self.trainer, FailureMonitor):
            if monitor.ended:
                fail_late(monitor.ended)

    # ---------------------------------------------------------------- options

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override] # a static method, which cannot know args
        """Return the requested command alone; a parser for each of them would take a quarter of the start-up."""
        return {name: skipped for name, skipped in LightningCLI.subcommands().items() if name == self.args[0]}

    @override
    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        parser = Parser(**kwargs)
        parser.add_argument(
            "-c", "--config", action="config", help="A config file; of several, later ones override earlier ones."
        )
        return parser

    @override
    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument(
            "--experiment",
            type=str | None,
            default=None,
            help="Name of the experiment, a folder in --runs; <model>_<data> if left out.",
        )
        parser.add_argument("--runs", type=str, default="runs", help="The folder in which runs are kept.")
        parser.add_argument(
            "--threads",
            type=PositiveInt | None,
            default=None,
            help="Number of CPU threads of torch, all cores if left out; 1 is fastest for small networks and on a "
            "busy machine.",
        )
        for name, kind in _STANDARD.items():
            parser.add_class_arguments(kind, name, fail_untyped=False, sub_configs=True)
        parser.set_defaults(
            {
                "checkpoint.filename": "step_{step:07d}",
                "checkpoint.auto_insert_metric_name": False,
                "checkpoint.save_last": True,
            }
        )
        if self.args[0] == "fit":
            parser.add_argument("--print_metrics", action=PrintMetrics)
        link_data_to_model(parser)

    @override
    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        keys = given_keys(args)
        refuse_linked(keys)
        if args and not {"data", "data.class_path"} & set(keys):
            args = [args[0], "--data=Digits", *args[1:]]  # not a default: its settings would leak into other data
        self.config = parser.parse_args(args)
        # hidden from Lightning, which would replace the settings given here by those in the checkpoint
        self.checkpoint = self.config[self.config.subcommand].pop("ckpt_path", None)

    # ---------------------------------------------------------------- objects

    @override
    def before_instantiate_classes(self) -> None:
        config = self.config[self.subcommand]
        if config.threads:
            torch.set_num_threads(config.threads)
        names = [config[part].class_path.rsplit(".", 1)[1].lower() for part in ("model", "data")]
        self.run_folder = RunFolder(config.runs, config.experiment or "_".join(names))
        config.ckpt_path = self._checkpoint_path(self.run_folder.experiment)
        if config.get("weights_only", False) is None:
            config.weights_only = True  # Lightning's default would run code from a remote file
        trainer_parts.check_checkpoint_settings(config.checkpoint.dirpath, config.checkpoint.filename)
        trainer_parts.drop_repeated_evaluations(config.trainer.callbacks)
        self.config_to_save = self.config.clone()  # without this run's folder, so that another run can use it
        if not config.trainer.fast_dev_run:
            self.run_folder.place_loggers(config.trainer.logger)

    def _checkpoint_path(self, experiment: Path) -> str | None:
        """Return the checkpoint to restore, None for a new run."""
        if self.checkpoint == "last":
            return last_checkpoint(experiment)
        if self.checkpoint is None and self.subcommand != "fit":
            raise ValueError(
                f"{self.subcommand} needs a trained model; give --ckpt_path FILE, or 'last' for the latest of "
                f"{experiment.name}."
            )
        if self.checkpoint is None and is_requeued():
            return last_checkpoint(experiment, slurm_job())
        return self.checkpoint

    @override
    def after_instantiate_classes(self) -> None:
        complete_hyperparameters(self.model, self.config[self.subcommand].model)

    @override
    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        config = self.config_init[self.subcommand]
        self.config = self.config_to_save  # which LightningCLI passes to _SaveConfig
        if config.trainer.logger is False or config.trainer.barebones:
            self.save_config_callback = None
        else:
            kwargs["logger"] = trainer_parts.with_run_logger(config.trainer.logger, self.run_folder.logger)
        kwargs["callbacks"] = [*trainer_parts.with_standard_callbacks(self.args[0], config), RestorePhase()]
        kwargs["plugins"] = trainer_parts.with_atomic_writes(config.trainer.plugins)
        try:
            return super().instantiate_trainer(**kwargs)
        except (TypeError, AttributeError, RuntimeError, ImportError) as error:  # for a setting of another type
            if "devices" in str(error):
                devices = config.trainer.devices
                raise ValueError(f"--trainer.devices {devices}: {error} Give a number, such as 2.") from error
            raise ValueError(f"the Trainer cannot be built: {first_line(error)}") from error

    # ---------------------------------------------------------------- before and after a run

    def before_fit(self) -> None:
        """Refuse a checkpoint that the Trainer cannot restore; the same before the other commands."""
        path = self.config_init[self.subcommand].ckpt_path
        if path not in (None, "best", "hpc"):
            check_restorable(path, self.model, self.trainer, self.args[0])
        if "--print_metrics" in self.args:
            print_metrics(self.trainer, self.model, self.datamodule)
            sys.exit(0)

    before_validate = before_test = before_predict = before_fit

    def after_fit(self) -> None:
        """Print where the results are and what can be done with them."""
        trainer, folder = self.trainer, self.run_folder.path
        fast_dev_run = self.config_init[self.subcommand].trainer.fast_dev_run
        if trainer.global_rank != 0 or fast_dev_run or not trainer.loggers:
            return
        print(f"\nThe run is in {folder}: config.yaml, metrics.csv, checkpoints/ and samples/.")
        report = folder / "report.html"
        if report.is_file():
            print(f"Open {os.path.relpath(report)} in a browser for a report of the run.")
        for monitor in attached(trainer, FailureMonitor):
            if monitor.state.remedies:
                page = os.path.relpath(folder / "health.md")
                print(f"The run ended in a failure: {monitor.state.name}. See {page} for its beginning and remedies.")
        _print_checkpoint(trainer.checkpoint_callback)


class _SaveConfig(SaveConfigCallback):
    """Save the config in the run's folder, and send it to W&B where the run is logged there."""

    @override
    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                config = yaml.safe_load(self.parser.dump(self.config, skip_none=False))
                logger.experiment.config.update(config, allow_val_change=True)


def _print_checkpoint(keeper: Any) -> None:
    shown = getattr(keeper, "last_model_path", "")
    if getattr(keeper, "monitor", None) and keeper.best_model_path:
        shown = keeper.best_model_path
        print(f"The checkpoint with the best {keeper.monitor}, {keeper.best_model_score:.4g}: {os.path.relpath(shown)}")
    if shown:
        print(f"Draw new samples: lightning-gans sample --checkpoint {os.path.relpath(shown)} --out grid.png")


def _silence(command: str) -> None:
    """Leave out Lightning's advertisement and warnings that do not concern the user of this library."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_no_advertisement)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
    warnings.filterwarnings("ignore", message=".*across ranks is zero.*")  # data without a validation split
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
    if command != "fit":  # its run has another folder than the checkpoint's
        warnings.filterwarnings("ignore", message="The dirpath has changed from.*")


def _is_no_advertisement(record: logging.LogRecord) -> bool:
    return "Tip: For seamless cloud" not in record.getMessage()
