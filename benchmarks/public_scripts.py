"""Training scripts of public collections, run unchanged for a number of CPU seconds, to be measured beside ours.

Nothing of them is kept here. Clone the collection, and name a script:

    git clone https://github.com/eriklindernoren/PyTorch-GAN ../PyTorch-GAN
    python benchmarks/images.py --beside ../PyTorch-GAN/implementations/wgan_gp/wgan_gp.py

A script is expected to train in its body, with torch's Adam, and to leave its generator in a global `generator` that
maps `opt.latent_dim` normal numbers to images, as that collection's do. It finds its data where it looks for them.
"""

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


class _OutOfTime(Exception):
    """Ends a script."""


def samples_of(script: Path, seconds: float, seed: int, num: int) -> tuple[Tensor, int, float]:
    """Run a script for so many CPU seconds from its first update.

    Args:
        script: runs with its folder as the current one, and without arguments.
        seconds: after which it is stopped.
        seed: of torch, for its training and for the samples.
        num: number of samples.

    Returns:
        samples (num, C, H, W) of the generator in the mode in which the script left it and draws its own pictures, a
        hundred at a time; the updates of its optimizers; and the CPU seconds that they took.
    """
    update, start, count = torch.optim.Adam.step, 0.0, 0

    def counted(optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal start, count
        start = start or time.process_time()
        result = update(optimizer, *args, **kwargs)
        count += 1
        if time.process_time() - start > seconds:
            raise _OutOfTime
        return result

    names: dict[str, Any] = {"__name__": "__main__", "__file__": str(script)}
    code, before, arguments = compile(script.read_text(), str(script), "exec"), Path.cwd(), sys.argv
    torch.manual_seed(seed)
    try:
        torch.optim.Adam.step, sys.argv = counted, [str(script)]  # type: ignore[method-assign,assignment]
        os.chdir(script.parent)
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.suppress(_OutOfTime):
            exec(code, names)
    finally:
        torch.optim.Adam.step, sys.argv = update, arguments  # type: ignore[method-assign]
        os.chdir(before)
    taken = time.process_time() - start
    generator, width = names["generator"], names["opt"].latent_dim
    torch.manual_seed(seed + 1)
    with torch.no_grad():
        return torch.cat([generator(torch.randn(100, width)) for _ in range(num // 100)]), count, taken
