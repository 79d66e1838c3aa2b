"""The image pool of CycleGAN: fakes reach the discriminator with a delay."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.stabilizers.fake_memory import FakeMemory


class ImagePool(FakeMemory):
    """Swap some of the discriminator's fakes with stored ones.

        until the pool is full, every fake is stored and shown; then each fake is, with probability p,
        stored in place of a random stored one, which is shown instead

    A fake that enters the full pool is thus shown once, on average size / (p · N) batches of N later, so the
    discriminator is trained on fakes of many earlier generators, to damp oscillation; in the Dirac-GAN, where old fakes
    are only a delay, it does not (`benchmarks/claims.py`). `ExperienceReplay` keeps the fakes that it shows, so it may
    show one several times. The authors use a size of 50 for batches of one image; it must not be smaller than the
    batch, whose fakes all get different places.

    In a conditional GAN fakes are swapped with those of the same label; if there is none, the new one stays, so the
    pool keeps the labels with which it was filled. It is on the device of the fakes, 4 bytes per number, and is saved
    in checkpoints. With several processes each has its own pool of `size` fakes, which it keeps when a run is resumed.
    The lookahead of an `UnrolledGAN` uses the current fakes.

    Args:
        size: number of fakes that are stored, at least the batch size.
        probability: probability p of swapping a fake, in [0, 1]; 0.5 in the paper's code, 0 does nothing.

    Raises:
        ValueError: for a size or probability out of range, a size that the machine's memory cannot hold, or, at the
            first batch, one below the batch's.

    Reference:
        Zhu et al., Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, ICCV 2017,
        arXiv 1703.10593, section 4, and the authors' code.
    """

    def __init__(self, size: int = 512, probability: float = 0.5):
        super().__init__(size)
        arguments.fraction(self, probability=probability)
        self.probability = probability

    @property
    @override
    def _idle(self) -> bool:
        return self.probability == 0

    @override
    def _exchange(self, fake: Tensor, labels: Tensor) -> Tensor:
        places, found = self._matching(labels)
        chosen = (torch.rand(len(fake), device=fake.device) < self.probability) & found
        shown = self._show(places, chosen, fake)
        self._store(places, chosen, fake, labels)
        return shown
