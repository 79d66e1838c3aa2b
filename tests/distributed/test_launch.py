"""Every way to start several processes, by programs of their own: all train to bitwise identical weights."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from process_group import free_port

pytestmark = [pytest.mark.distributed, pytest.mark.slow]
CONFIGS = Path(__file__).parents[2] / "configs/trainer"
CONFIG = """
model:
  class_path: VanillaGAN
  init_args: {latent_dim: 4, generator_width: 8, discriminator_width: 8}
data:
  class_path: GaussianRing
  init_args: {batch_size: 32, num_samples: 256, num_val_samples: 32}
trainer: {accelerator: cpu, max_epochs: 2, log_every_n_steps: 2, enable_progress_bar: false}
experiment: launched
threads: 1
"""
PROGRAM = """
import torch
from lightning.pytorch import Trainer, seed_everything
from lightning_gans import VanillaGAN
from lightning_gans.data import GaussianRing

if __name__ == "__main__":
    torch.set_num_threads(1)
    seed_everything(0)
    gan = VanillaGAN((2,), latent_dim=4, generator_width=8, discriminator_width=8)
    data = GaussianRing(batch_size=32, num_samples=256, num_val_samples=32)
    trainer = Trainer(accelerator="cpu", devices=2, max_epochs=2, logger=False, enable_checkpointing=False)
    trainer.fit(gan, datamodule=data)
    trainer.save_checkpoint("runs/launched/version_0/checkpoints/last.ckpt")
"""


def ways():
    """Return the programs of each way to start, as arguments and environment."""
    port = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    fit = ["-m", "lightning_gans", "fit", "--config", "gan.yaml"]
    on_cpu = ["--trainer.accelerator=cpu", "--trainer.devices=1"]
    tasks = {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "1", "SLURM_NNODES": "2", "SLURM_JOB_NAME": "gan"}
    tasks |= {"SLURM_JOB_ID": "1234", "SLURM_NODELIST": "127.0.0.1", "SLURM_STEP_NODELIST": "127.0.0.1"}
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port", port["MASTER_PORT"]]
    return {
        "devices": [([*fit, "--trainer.devices=2"], port)],
        "python": [(["program.py"], port)],
        "torchrun": [([*launcher, *fit, "--config", str(CONFIGS / "torchrun.yaml")], {})],
        "nodes": [
            ([*fit, "--config", str(CONFIGS / "nodes.yaml"), *on_cpu], {**port, "NODE_RANK": node}) for node in "01"
        ],
        "slurm": [
            (
                [*fit, "--config", str(CONFIGS / "slurm.yaml"), *on_cpu],
                {**port, **tasks, "SLURM_PROCID": task, "SLURM_NODEID": task, "SLURM_LOCALID": "0"},
            )
            for task in "01"
        ],
    }


def launch(way, folder):
    """Start the processes and wait; return the weights of the last checkpoint, and the output."""
    folder.mkdir()
    (folder / "gan.yaml").write_text(CONFIG)
    (folder / "program.py").write_text(PROGRAM)
    running = [
        subprocess.Popen(
            [sys.executable, *words],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for words, environment in ways()[way]
    ]
    said = [process.communicate(timeout=200)[0] for process in running]
    assert [process.returncode for process in running] == [0] * len(running), "\n".join(said)[-4000:]
    assert "GLOBAL_RANK: 1, MEMBER: 2/2" in "".join(said)
    checkpoint = torch.load(folder / "runs/launched/version_0/checkpoints/last.ckpt", weights_only=True)
    return {name: value for name, value in checkpoint["state_dict"].items() if torch.is_tensor(value)}, "".join(said)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The weights of a run with `--trainer.devices=2`."""
    folder = tmp_path_factory.mktemp("reference") / "run"
    weights, said = launch("devices", folder)
    assert said.count("The run is in") == 1 and "Traceback" not in said
    assert [path.name for path in (folder / "runs/launched").iterdir()] == ["version_0"]
    return weights


@pytest.mark.parametrize("way", ["python", "torchrun", "nodes", "slurm"])
def test_every_way_to_start_gives_the_same_weights(way, reference, tmp_path):
    weights, said = launch(way, tmp_path / "run")
    assert said.count("The run is in") == (way != "python")
    assert [path.name for path in (tmp_path / "run/runs/launched").iterdir()] == ["version_0"]
    assert weights.keys() == reference.keys()
    for name, value in weights.items():
        assert torch.equal(value, reference[name]), f"{name} differs from --trainer.devices=2"
