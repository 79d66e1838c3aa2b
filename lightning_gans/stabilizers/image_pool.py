"""The image pool of CycleGAN: fakes that the discriminator sees late."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gans.stabilizers.experience_replay import _Memory


class ImagePool(_Memory):
    """Exchange some of the discriminator's fakes for stored ones, whose places they take.

        until the pool is full, every fake is stored and shown; then each fake is, with the probability p,
        stored in the place of a random stored one, which is shown instead

    A fake that enters the full pool is thus shown once, on average size / (p · N) batches of N later, and the
    discriminator learns from many generators of the past at once, which is to damp oscillation; in the Dirac-GAN, where
    old fakes are a mere delay, it does not (`benchmarks/claims.py`). `ExperienceReplay` reads
    its memory without emptying it, so that it may show a fake several times. The authors have a size of 50 for
    batches of one image; it must not be smaller than the batch, whose fakes all get different places.

    In a conditional game fakes are exchanged for those with their label, and where none is stored the fresh one
    stays; the pool thus keeps the labels with which it was filled. It is on the device of the fakes, 4 bytes a
    number, and part of checkpoints. Each of several processes has its own, of `size` fakes, and goes on with it after a
    resume. In the look-ahead of an `UnrolledGAN` the fakes are those of the moment.

    Args:
        size: number of fakes that are stored, at least as many as a batch has.
        probability: p that a fake is exchanged, in [0, 1]; 0.5 in the paper's code, 0 does nothing.

    Raises:
        ValueError: for a size or probability out of range, a size that the machine's memory cannot hold, or, at the
            first batch, one below the batch's.

    Reference:
        Zhu et al., Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, ICCV 2017,
        arXiv 1703.10593, section 4, and the authors' code.
    """

    def __init__(self, size: int = 512, probability: float = 0.5):
        super().__init__(size)
        if not 0 <= probability <= 1:
            raise ValueError(f"ImagePool(probability={probability}): expected a number in [0, 1], such as 0.5.")
        self.probability = probability

    @property
    def _idle(self) -> bool:
        return self.probability == 0

    def _exchange(self, fake: Tensor, labels: Tensor) -> Tensor:
        places, found = self._matching(labels)
        chosen = (torch.rand(len(fake), device=fake.device) < self.probability) & found
        shown = self._show(places, chosen, fake)
        self._store(places, chosen, fake, labels)
        return shown
