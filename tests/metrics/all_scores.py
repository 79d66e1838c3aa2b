"""A small instance of every score, and samples for it; as a program, compares two processes with one.

`tests/metrics/test_every_score.py` starts the program, which prints a line for each score.
"""

import os
import sys
import warnings

import torch
from torch import nn

from lightning_gans import metrics
from lightning_gans.networks import DigitFeatures


class Projection(nn.Module):
    """Features that are a fixed linear map of the samples."""

    num_features = 3

    def forward(self, x):
        x = x.flatten(1)
        return x @ torch.randn(x.shape[1], 3, generator=torch.Generator().manual_seed(0)).to(x)


class Classifier(nn.Module):
    """A linear classifier of four classes."""

    input_shape = (1, 12, 12)

    def forward(self, x):
        x = x.flatten(1)
        return x @ torch.randn(144, 4, generator=torch.Generator().manual_seed(1)).to(x) / 4


class PixelDistance(nn.Module):
    """A substitute for LPIPS that needs no weights."""

    def forward(self, x, y):
        return (x - y).abs().mean((1, 2, 3), keepdim=True)


CENTRES = [[0.0, 0.0], [0.5, 0.5]]
EVERY = {
    "modes": lambda: metrics.ModeCoverage(CENTRES, 0.2),
    "classes": lambda: metrics.ClassCoverage(Classifier()),
    "class spread": lambda: metrics.ClassSpread(Classifier()),
    "stacked classes": lambda: metrics.ClassCoverage(Classifier(), channels=3),
    "fd": lambda: metrics.FrechetDistance(Projection()),
    "fd of samples": lambda: metrics.FrechetDistance(),
    "kd": lambda: metrics.KernelDistance(Projection(), subsets=3, subset_size=10),
    "is": lambda: metrics.InceptionScore(Classifier(), splits=2),
    "precision and recall": lambda: metrics.PrecisionRecall(Projection()),
    "density and coverage": lambda: metrics.DensityCoverage(Projection()),
    "bins": lambda: metrics.NDB(Projection(), num_bins=6),
    "diversity": lambda: metrics.PairwiseDiversity(),
    "neighbour": lambda: metrics.NearestNeighbour(),
    "ms-ssim": lambda: metrics.MultiScaleSSIM(20, betas=(0.5, 0.5)),
    "lpips": lambda: metrics.LPIPSDiversity(20, PixelDistance()),
    "digits": lambda: metrics.PrecisionRecall(DigitFeatures()),
}


def shape_for(name):
    points = ("modes", "fd of samples", "diversity", "neighbour")
    return (2,) if name in points else (3, 12, 12) if name == "stacked classes" else (1, 12, 12)


def samples(name, size=40, seed=0):
    """Return reals and fakes that are bytes scaled to [−1, 1]."""
    source = torch.Generator().manual_seed(seed)
    x = torch.randn(2, size, *shape_for(name), generator=source).mul(80 if len(shape_for(name)) > 1 else 40)
    return (x + 127).round().clamp(0, 255) / 127.5 - 1


def filled(score, real, fake, parts=3):
    for part in real.tensor_split(parts):
        score.update(part, real=True)
    for part in fake.tensor_split(parts):
        add_fakes(score, part)
    return score


def add_fakes(score, fake):
    labels = {"labels": torch.zeros(len(fake), dtype=torch.long)} if score.reads_labels else {}
    score.update(fake, real=False, **labels)


def compare(rank, address):
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{address}", rank=rank, world_size=2)
    for name, make in EVERY.items():
        real, fake = samples(name)
        alone, shared = make(), make()
        alone.distributed_available_fn = lambda: False
        expected = filled(alone, real, fake).figures()
        # the processes differ in their numbers of samples and of batches
        cut = 2 * rank + 3
        own = [x[:27:2] if rank else torch.cat([x[1:27:2], x[27:]]) for x in (real, fake)]
        figures = filled(shared, *own, parts=cut).figures()
        for figure, value in expected.items():
            torch.testing.assert_close(figures[figure], value, rtol=1e-4, atol=1e-6, msg=f"{name} {figure}")
        with shared.sync_context():
            kept = shared.real_state()
        again = make()
        again.load_real_state(kept, rank, 2)
        for part in own[1].tensor_split(2):
            add_fakes(again, part)
        for figure, value in again.figures().items():
            torch.testing.assert_close(value, expected[figure], rtol=1e-4, atol=1e-6, msg=f"{name} {figure} again")
        if rank == 0:
            print(f"{name}: equal", flush=True)
    dist.barrier()  # with torch 2.6 gloo may wait for ever for a process that has ended
    dist.destroy_process_group()


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    child = os.fork()
    code = 1
    try:
        compare(1 if child == 0 else 0, sys.argv[1])
        code = 0
    finally:
        if child == 0:
            os._exit(code)
    sys.exit(os.waitpid(child, 0)[1])
