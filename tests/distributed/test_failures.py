"""What several processes say when one of them fails."""

import subprocess
import sys
import textwrap

import pytest
import torch
import torch.distributed as dist
from helpers import small_gan
from lightning.pytorch import Trainer
from process_group import run_in_processes
from torch.utils.data import DataLoader

from lightning_gans.cli.errors import end_run
from lightning_gans.training import NonFiniteError

pytestmark = [pytest.mark.distributed, pytest.mark.filterwarnings("ignore::UserWarning:lightning")]


@pytest.mark.parametrize("faulty", [0, 1])
def test_nan_in_the_data_of_one_process_is_reported_of_that_process(faulty):
    """Gradients are averaged, so that in the same update the gradients of all processes are NaN."""

    def work():
        batches = [torch.rand(8, 2) for _ in range(4)]
        if dist.get_rank() == faulty:
            batches[2][0, 0] = float("nan")
        off = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
        trainer = Trainer(accelerator="cpu", devices=2, max_epochs=1, use_distributed_sampler=False, **off)
        try:
            trainer.fit(small_gan(), DataLoader(batches, batch_size=None))
        except NonFiniteError as error:
            return str(error)

    for message in run_in_processes(2, work):
        assert message.startswith("batch 3: the discriminator's loss is nan, through the logits of real samples only")
        assert f" in process {faulty}. The run ends here" in message


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(
            "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:33"
        ),
        dist.DistBackendError("NCCL communicator was aborted on rank 0."),
    ],
    ids=["gloo", "NCCL"],
)
def test_a_process_that_loses_another_ends_with_one_line(error, capsys):
    gan = small_gan()
    gan.has_trained = True
    with pytest.raises(SystemExit) as ended:
        end_run(error, gan)
    line = capsys.readouterr().err.strip()
    assert ended.value.code == 1 and "\n" not in line
    assert "another process of this run has ended" in line and "--ckpt_path last" in line


SPAWN = """
    import torch
    from lightning.pytorch import Trainer
    from lightning_gans import VanillaGAN
    from lightning_gans.data import GaussianRing

    if __name__ == "__main__":
        data = GaussianRing(num_samples=64, batch_size=8, num_val_samples=16)
        off = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
        trainer = Trainer(accelerator="cpu", strategy="ddp_spawn", devices=2, max_epochs=2, **off)
        gan = VanillaGAN(data.sample_shape, latent_dim=2, generator_width=8, discriminator_width=8)
        trainer.fit(gan, data)
        print("updates", gan.generator_updates)
"""


@pytest.mark.slow
def test_spawned_processes_train_and_end(tmp_path):
    (tmp_path / "spawn.py").write_text(textwrap.dedent(SPAWN))
    done = subprocess.run([sys.executable, "spawn.py"], cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "updates 8" in done.stdout
