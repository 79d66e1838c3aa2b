"""LightningCLI for GANs: the data's shape linked to the model, run folders, standard callbacks and one-line errors."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from jsonargparse.typing import PositiveInt
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from typing_extensions import override

from lightning_gans.attached import attached
from lightning_gans.base import ReproducibleModule
from lightning_gans.callbacks import FailureMonitor, Report, SampleGrid
from lightning_gans.cli import imports, trainer_parts
from lightning_gans.cli.closing_lines import print_closing_lines
from lightning_gans.cli.errors import Parser, end_run, fail_late, first_line
from lightning_gans.cli.history import History
from lightning_gans.cli.input import given_keys, stacked_loggers
from lightning_gans.cli.links import complete_hyperparameters, link_data_to_model, refuse_linked
from lightning_gans.cli.print_metrics import PrintMetrics, print_metrics
from lightning_gans.cli.restorable import RestorePhase, check_restorable, check_same_model
from lightning_gans.cli.resume import checkpoint_to_restore, finished, folder_of
from lightning_gans.cli.run_folder import check_name
from lightning_gans.cli.saved_config import SavedConfig
from lightning_gans.cli.silence import silence
from lightning_gans.data import GANData

# options of a command and the callbacks that they describe
_STANDARD: dict[str, type[Callback]] = {
    "checkpoint": ModelCheckpoint,
    "samples": SampleGrid,
    "monitor": FailureMonitor,
    "report": Report,
}


class GANCLI(LightningCLI):
    """LightningCLI for a `GAN`, or a classifier that teaches one, and a `GANData`, by short class names.

    The shape and the number of classes of the data are linked to the model and to its networks, so that they are set
    once. Checkpoints (`--checkpoint.*`), sample images (`--samples.*`), the failure monitor (`--monitor.*`) and a
    report (`--report.*`) are part of every run.

    Args:
        args: the command, one of fit, validate, test and predict, and its options.
    """

    def __init__(self, args: list[str]):
        self.args = args
        silence()
        try:
            super().__init__(
                ReproducibleModule,
                GANData,
                subclass_mode_model=True,
                subclass_mode_data=True,
                auto_configure_optimizers=False,
                seed_everything_default=0,
                save_config_callback=SavedConfig,
                trainer_class=trainer_parts.CommandLineTrainer,
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
            restoring = self.checkpoint if any(one.is_active for one in restored) else None
            end_run(error, model, restoring, getattr(self, "config", {}))
        finally:
            if hasattr(self, "run_folder"):
                self.run_folder.release()
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
        parser.add_argument("--import", type=list[str] | str | None, default=None, help=imports.HELP)
        parser.add_argument("--runs", type=str, default="runs", help="The folder in which runs are kept.")
        parser.add_argument(
            "--threads",
            type=PositiveInt | None,
            default=None,
            help="Number of CPU threads of torch, all cores if left out; 1 is fastest for small networks and on a "
            "busy machine.",
        )
        parser.add_argument(
            "--from",
            type=str | None,
            default=None,
            metavar="CHECKPOINT",
            help="In fit, start a new run with the weights of this checkpoint: fine-tuning. Optimizers, schedules and "
            "counters are new; --ckpt_path resumes a run instead.",
        )
        for name, kind in _STANDARD.items():
            parser.add_class_arguments(kind, name, fail_untyped=False, sub_configs=True)
        parser.set_defaults({f"checkpoint.{name}": one for name, one in trainer_parts.CHECKPOINT_DEFAULTS.items()})
        if self.args[0] == "fit":
            parser.add_argument("--print_metrics", action=PrintMetrics)
        link_data_to_model(parser, self.args)

    @override
    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        keys = given_keys(args)
        refuse_linked(args)
        if args and not {"data", "data.class_path"} & set(keys):
            args = [args[0], "--data=Digits", *args[1:]]  # not a default: its settings would leak into other data
        self.config = parser.parse_args([*args, *stacked_loggers(args)])
        # hidden from Lightning, which would replace the settings given here by those in the checkpoint
        self.checkpoint = self.config[self.config.subcommand].pop("ckpt_path", None)

    # ---------------------------------------------------------------- objects

    @override
    def before_instantiate_classes(self) -> None:
        config = self.config[self.subcommand]
        if config.threads:
            torch.set_num_threads(config.threads)
        names = [config[part].class_path.rsplit(".", 1)[1].lower() for part in ("model", "data")]
        experiment = config.experiment or "_".join(names)
        check_name(config.runs, experiment)
        if self.checkpoint is not None and any(one.partition("=")[0] == "--from" for one in self.args):
            raise ValueError("--from starts a new run and --ckpt_path continues one; leave one of them out.")
        place = Path(config.runs, experiment)
        config.ckpt_path = checkpoint_to_restore(self.checkpoint, self.args[0], place, config)
        if config.get("weights_only", False) is None:
            config.weights_only = True  # Lightning's default would run code from a remote file
        trainer_parts.check_checkpoint_settings(config.checkpoint.dirpath, config.checkpoint.filename)
        trainer_parts.drop_repeated_evaluations(config.trainer.callbacks)
        self.run_folder = folder_of(config, experiment, self.subcommand == "fit")
        self.save_config_kwargs = {"overwrite": self.run_folder.is_resumed}
        self.config_to_save = self.config.clone()  # without this run's folder, so that another run can use it
        if self.run_folder.is_resumed:  # repeated, the config makes the whole run
            self.config_to_save[self.subcommand].ckpt_path = None
            if self.run_folder.experiment != experiment:
                self.config_to_save[self.subcommand].experiment = self.run_folder.experiment
        if not config.trainer.fast_dev_run:
            self.run_folder.place_loggers(config.trainer.logger)

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
        asked = trainer_parts.changed_checkpoint_settings(self.config[self.subcommand].checkpoint)
        kwargs["callbacks"] = trainer_parts.with_standard_callbacks(self.args[0], config, asked, self.model)
        if self.args[0] == "fit" and "logger" in kwargs:
            kwargs["callbacks"].append(History(self.run_folder.logger, self.run_folder.is_resumed))
        kwargs["callbacks"].append(RestorePhase())
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
        self.finished = ""
        if path not in (None, "hpc"):
            content = check_restorable(path, self.model, self.trainer, self.args[0])
            if self.args[0] == "fit":
                self.finished = finished(content, self.trainer)
                if self.finished:
                    check_same_model(path, content, self.model)
                if type(seed := content.get("gan_seed")) is int:  # with which it continues
                    self.config_to_save["fit"].seed_everything = seed
        if "--print_metrics" in self.args:
            print_metrics(self.trainer, self.model, self.datamodule)
            sys.exit(0)

    before_validate = before_test = before_predict = before_fit

    def fit(self, **arguments: Any) -> None:
        """Train, where there is anything left to train."""
        if not self.finished:
            self.trainer.fit(**arguments)
            return
        self.run_folder.remove_if_unused()
        if self.trainer.global_rank == 0:
            print(f"Nothing left to train: {self.finished}; give a larger number to continue the run.")

    def after_fit(self) -> None:
        """Print where the results are and what can be done with them."""
        config = self.config_init[self.subcommand]
        if self.trainer.global_rank == 0 and not config.trainer.fast_dev_run and not self.finished:
            further = imports.needed_by(self.model, config["import"])
            print_closing_lines(self.trainer, self.run_folder.path, further)
