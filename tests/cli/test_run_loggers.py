"""Loggers of a config, which write into the run's folder."""

import io
import struct

import numpy as np
import pytest
import yaml
from PIL import Image
from short_runs import BRIEF, CONFIGS, DIGITS, LIGHTNING_WARNINGS, SMALL, last, printed, settings_of

from lightning_gans.cli.main import main

pytestmark = LIGHTNING_WARNINGS


def test_tensorboard_writes_into_the_run_folder(folder):
    pytest.importorskip("tensorboard")
    main(["fit", *DIGITS, *SMALL, "--config", str(CONFIGS / "logger" / "tensorboard.yaml")])
    (events,) = folder.rglob("events.out.tfevents*")
    assert events.parent == folder / "runs" / "dcgan_digits" / "version_0"
    written = events.read_bytes()
    assert b"loss/generator" in written and b"samples/grid" in written
    assert (events.parent / "metrics.csv").is_file() and last(events.parent).is_file()
    main(["fit", "--config", str(events.parent / "config.yaml")])
    assert [path.parent.name for path in sorted(folder.rglob("events.out*"))] == ["version_0", "version_1"]


WANDB, BOARD = ({"class_path": f"lightning.pytorch.loggers.{name}"} for name in ("WandbLogger", "TensorBoardLogger"))
STACKS = {
    "two classes": ([WANDB, BOARD], ["WandbLogger", "TensorBoardLogger"]),
    "a list and one": ([[WANDB, BOARD], {"class_path": "CSVLogger", "init_args": {"save_dir": "x"}}], 3),
    "the same class": ([WANDB, {**WANDB, "init_args": {"project": "mine"}}], "mine"),
    "switched off": ([WANDB, BOARD, False], False),
    "one after a switch": ([WANDB, False, BOARD], ["TensorBoardLogger"]),
}


@pytest.mark.parametrize("stack", STACKS)
def test_loggers_of_stacked_files_are_all_used(folder, capsys, stack):
    """A later one replaces an earlier one of its class."""
    files, expected = STACKS[stack]
    args = []
    for number, logger in enumerate(files):
        (folder / f"{number}.yaml").write_text(yaml.safe_dump({"trainer": {"logger": logger}}))
        args += ["--config", f"{number}.yaml"]
    found = printed(capsys, *DIGITS, *args)["trainer"]["logger"]
    if isinstance(expected, str):
        assert found["init_args"]["project"] == expected
    elif expected is False:
        assert found is False
    else:
        found = found if isinstance(found, list) else [found]
        names = [one["class_path"].rpartition(".")[2] for one in found]
        assert len(names) == expected if isinstance(expected, int) else names == expected


def test_a_logger_on_the_command_line_replaces_those_of_files(folder, capsys):
    args = ["--config", str(CONFIGS / "logger/wandb.yaml"), "--config", str(CONFIGS / "logger/tensorboard.yaml")]
    assert printed(capsys, *DIGITS, *args, "--trainer.logger=false")["trainer"]["logger"] is False


def wandb_records(path):
    """Return what an offline run keeps for W&B: records of wandb.proto in a LevelDB log."""
    proto = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    data, place, record, records = path.read_bytes(), 7, b"", []
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:  # the rest of a block is empty
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        record += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            records.append(proto.Record.FromString(record))
            record = b""
    return records


@pytest.mark.slow  # it waits for W&B's process, and can fail on a busy machine
def test_wandb_writes_into_the_run_folder_and_gets_the_whole_config(folder):
    import wandb

    args = ["fit", *DIGITS, *SMALL, *BRIEF, "--samples.every_n_epochs=1", "--samples.num_samples=4"]
    for version in (0, 1):
        try:
            main([*args, "--config", str(CONFIGS / "logger" / "wandb.yaml")])
            run = folder / "runs" / "dcgan_digits" / f"version_{version}"
            sent = dict(wandb.run.config)
            assert wandb.run.project == "lightning-gans"
        finally:
            wandb.finish()
        assert len(list(run.glob("wandb/offline-run-*/*.wandb"))) == 1 and last(run).is_file()
        assert list(run.glob("wandb/offline-run-*/files/output.log")), "which W&B's own process writes"
        assert not (folder / "wandb").exists() and not (folder / "lightning-gans").exists()
        saved = settings_of(run)
        for section in ("model", "data", "trainer", "samples", "seed_everything"):
            assert sent[section] == saved[section], section
        (written,) = run.glob("wandb/offline-run-*/*.wandb")
        records = wandb_records(written)
        axes = [one.metric for one in records if one.HasField("metric")]
        assert [one.step_metric for one in axes if one.glob_name == "*"] == ["trainer/global_step"]
        lines = [
            {item.key or "/".join(item.nested_key): item.value_json for item in one.history.item}
            for one in records
            if one.HasField("history")
        ]
        lines = [line for line in lines if "loss/generator" in line]
        assert [line["trainer/global_step"] for line in lines] == ["0", "1", "2"], "batches"
        assert [line["progress/images"] for line in lines] == ["64", "128", "192"]
        assert {"gradients/generator", "discriminator/separation", "generator/learning_rate"} <= set(lines[0])
        logged = {path.read_bytes() for path in run.glob("wandb/offline-run-*/files/media/images/samples/grid*.png")}
        logged = {np.asarray(Image.open(io.BytesIO(data))).tobytes() for data in logged}
        assert logged == {np.asarray(Image.open(path)).tobytes() for path in run.glob("samples/epoch_000[01].png")}
