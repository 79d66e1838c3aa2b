"""Lightning's flags and callbacks on the command line: each works, or is refused in one line before training."""

import sys

import pytest
from helpers import few
from short_runs import BRIEF, CONFIGS, DIGITS, LIGHTNING_WARNINGS, QUIET, SMALL, last, metrics, settings_of

from lightning_gans.cli.main import main

pytestmark = LIGHTNING_WARNINGS
FIT = ["fit", *DIGITS, "--data.size=8", "--data.batch_size=64", *SMALL, *BRIEF]


def callback(name, **arguments):
    return [f"--trainer.callbacks+={name}", *(f"--trainer.callbacks.{key}={value}" for key, value in arguments.items())]


REFUSED = {  # options, and what the line says
    "LearningRateFinder": (callback("LearningRateFinder"), ["a GAN has two", "compare rates"]),
    "BatchSizeFinder": (callback("BatchSizeFinder"), ["give the data a batch_size"]),
    "StochasticWeightAveraging": (callback("StochasticWeightAveraging", swa_lrs=0.1), ["use GeneratorEMA"]),
    "GradientAccumulationScheduler": (
        callback("GradientAccumulationScheduler", scheduling="{0: 2}"),
        ["generator_accumulation"],
    ),
    "checkpoint by time": (["--checkpoint.train_time_interval=00:10:00"], ["use every_n_train_steps"]),
    "early stopping": (
        [*callback("EarlyStopping", monitor="val/fd"), "--trainer.limit_val_batches=1"],
        ["EarlyStopping monitors val/fd", "Evaluation"],
    ),
    "early stopping by the log": (
        [*callback("EarlyStopping", monitor="loss/generator"), "--trainer.log_every_n_steps=50"],
        ["every 50 batches", "--trainer.log_every_n_steps"],
    ),
    "checkpoint": (
        ["--checkpoint.monitor=val/generator_los", "--trainer.limit_val_batches=1"],
        ["did you mean val/generator_loss?"],
    ),
    "plateau": (["--model.generator_scheduler=ReduceLROnPlateau"], ["use a schedule that counts updates"]),
    "plateau of torch": (
        ["--model.discriminator_scheduler=torch.optim.lr_scheduler.ReduceLROnPlateau"],
        ["use a schedule that counts updates"],
    ),
}


@pytest.mark.parametrize(
    "fault", few(REFUSED, "LearningRateFinder", "checkpoint by time", "early stopping by the log", "plateau")
)
def test_what_does_not_fit_is_one_line_before_training(fault, refused, folder):
    options, says = REFUSED[fault]
    line = refused(*FIT, *options)
    assert all(word in line for word in says), line
    assert not list(folder.rglob("*")), "nothing is left of the run"


def test_the_schedule_that_is_advised_in_place_of_a_plateau_works(refused, folder):
    line = refused(*FIT, "--model.generator_scheduler=ReduceLROnPlateau")
    advised = line.partition("(")[2].partition(")")[0].split()
    main([*FIT, *advised])
    assert last(folder / "runs/dcgan_digits/version_0").is_file()


def test_a_timer_is_saved_in_the_config_with_its_interval(folder):
    main([*FIT, *callback("Timer", duration="00:01:00:00")])
    run = folder / "runs/dcgan_digits/version_0"
    (timer,) = settings_of(run)["trainer"]["callbacks"]
    assert timer["init_args"]["interval"] == "step" and len(metrics(run)) == 3


@pytest.mark.parametrize("name", ["LearningRateMonitor", "ModelSummary", "DeviceStatsMonitor"])
def test_callbacks_that_work(name, folder):
    main([*FIT, *callback(name)])
    run = folder / "runs/dcgan_digits/version_0"
    assert last(run).is_file() and any(name in one["class_path"] for one in settings_of(run)["trainer"]["callbacks"])


def test_barebones_trains_and_writes_nothing(folder):
    main(
        [
            "fit",
            *DIGITS,
            "--data.size=8",
            "--trainer.accelerator=cpu",
            "--trainer.barebones=true",
            "--trainer.max_steps=2",
        ]
    )
    assert not list(folder.rglob("*.ckpt")) and not list(folder.rglob("metrics.csv"))


def test_a_fraction_to_overfit(folder):
    main(
        [*FIT, "--trainer.limit_train_batches=1.0", "--trainer.limit_val_batches=1.0", "--trainer.overfit_batches=0.1"]
    )
    assert last(folder / "runs/dcgan_digits/version_0").is_file()


@pytest.mark.parametrize("extra", [callback("OnExceptionCheckpoint", dirpath="kept"), callback("SaveWhenStopped")])
def test_another_checkpoint_callback_does_not_replace_the_standard_ones(extra, folder):
    main([*FIT, *extra])
    assert last(folder / "runs/dcgan_digits/version_0").is_file()


def test_a_missing_package_is_one_line(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setattr("lightning.pytorch.callbacks.progress.rich_progress._RICH_AVAILABLE", False)
    assert "rich" in refused(*FIT, *callback("RichProgressBar"))


# ---------------------------------------------------------------- which metrics there are


def test_print_metrics_lists_what_can_be_monitored_and_trains_nothing(folder, capsys):
    scores = f"--config={CONFIGS / 'metrics/digits.yaml'}"
    with pytest.raises(SystemExit) as ended:
        main(["fit", *DIGITS, *QUIET, scores, "--trainer.callbacks+=GradientPenalty", "--print_metrics"])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert {"loss/generator", "val/discriminator_loss", "val/fd", "val/classes", "progress/images"} <= set(lines)
    assert "loss/gradient_penalty" in lines and "<term>" not in "".join(lines)
    assert not (folder / "runs").exists()


def test_print_metrics_is_an_option_in_the_help_and_not_in_the_config(folder, capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    assert "--print_metrics" in capsys.readouterr().out
    main(FIT)
    assert "print_metrics" not in (folder / "runs/dcgan_digits/version_0/config.yaml").read_text()


# ---------------------------------------------------------------- W&B


def test_wandb_without_a_login_is_one_line(refused, monkeypatch, folder):
    wandb = pytest.importorskip("wandb")

    def init(**settings):
        raise wandb.errors.UsageError("api_key not configured (no-tty). call wandb.login(key=[your_api_key])")

    monkeypatch.setattr(wandb, "init", init)
    line = refused(*FIT, f"--config={CONFIGS / 'logger/wandb.yaml'}")
    assert "api_key not configured" in line and "wandb login" in line and "WANDB_MODE=offline" in line


# ---------------------------------------------------------------- Ctrl-C


def test_ctrl_c_before_training_is_one_line(folder, capsys, monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr("lightning_gans.data.Digits.prepare_data", interrupted)
    with pytest.raises(SystemExit) as ended:
        main(FIT)
    assert ended.value.code == 130
    assert capsys.readouterr().err.splitlines()[-1] == "lightning-gans: ended by Ctrl-C."
    assert not (folder / "runs").exists()


def test_ctrl_c_in_another_command_is_one_line(capsys, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("lightning_gans.cli.commands.check_configs", interrupted)
    with pytest.raises(SystemExit) as ended:
        main(["sample", "--checkpoint=x.ckpt"])
    assert ended.value.code == 130 and "Traceback" not in capsys.readouterr().err
