"""Plays a few batches with every stabilizer in each of two processes, and compares the weights of the two.

Started by `tests/test_contract.py` with `torchrun --nproc-per-node=2`; prints a line for each stabilizer.
"""

import logging
import sys
import warnings

import torch
import torch.distributed as dist
from conftest import _batches, _make_gan, _make_image_gan
from lightning.pytorch import Trainer
from test_contract import EVERY, ON_IMAGES, small
from torch.utils.data import DataLoader

warnings.filterwarnings("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


def vector(gan):
    state = [value for value in gan.state_dict().values() if isinstance(value, torch.Tensor)]
    return torch.cat([value.detach().flatten().double() for value in state])


def gathered(x):
    parts = [torch.empty_like(x) for _ in range(2)]
    dist.all_gather(parts, x)
    return parts


def play(kind):
    gan = _make_image_gan(size=16) if kind in ON_IMAGES else _make_gan()
    before = len(vector(gan)), vector(gan)
    trainer = Trainer(
        accelerator="cpu",
        devices=2,
        strategy="ddp_find_unused_parameters_true",
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        max_epochs=2,
    )
    trainer.callbacks.append(small(kind))
    drawn = []
    gan.generator.register_forward_hook(lambda module, inputs, out: drawn.append(out.detach()))
    rank = trainer.global_rank
    batches = _batches(8, gan.generator.sample_shape)[rank::2]  # each process has batches of its own
    torch.manual_seed(0)
    trainer.fit(gan, DataLoader(batches, batch_size=None))
    after = vector(gan)
    latents = gathered(drawn[0].float().flatten()[-8:])  # the first may be of a reference that all share
    assert not torch.equal(*latents), "both processes drew the same latents"
    assert after.isfinite().all() and (len(after) != before[0] or not torch.equal(after, before[1]))
    averaged = [name for name in gan.state_dict() if "running" in name or "num_batches" in name]
    parameters = torch.cat([parameter.detach().flatten() for parameter in gan.parameters()])
    assert torch.equal(*gathered(parameters)), f"weights differ between the processes {averaged}"
    with gan.presented():
        shown = torch.cat([parameter.detach().flatten() for parameter in gan.generator.parameters()])
        assert torch.equal(*gathered(shown)), "the generators to present differ"
    dist.barrier()
    if rank == 0:
        print(f"{kind.__name__}: alike", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    wanted = sys.argv[1:]
    for kind in EVERY:
        if not wanted or kind.__name__ in wanted:
            play(kind)
    dist.destroy_process_group()
