"""Experience replay: the discriminator is trained on earlier fakes too."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.stabilizers.fake_memory import FakeMemory


class ExperienceReplay(FakeMemory):
    """Replace a share of the discriminator's fakes by stored ones, and store some of the new ones.

    A discriminator that is trained only on current fakes forgets earlier ones, and the generator may cycle back to
    them. In each batch of N,

        share · N random fakes are replaced by random stored fakes, which stay stored;
        share · N random stored fakes are then replaced by new ones that are shown in this batch.

    A number that is not whole is randomly rounded up or down, correct on average. Until the memory is full, every fake
    is stored and shown. `ImagePool` removes the fakes that it shows; here a fake may be shown several times. It does
    not damp every cycle: in the Dirac-GAN old fakes are only a delay, with which the players diverge further
    (`benchmarks/claims.py`).

    In a conditional GAN a stored fake only replaces one with the same label; if there is none, the new one stays. The
    memory is on the device of the fakes, 4 bytes per number, and is saved in checkpoints. With several processes each
    has its own memory of `size` fakes, which it keeps when the run is resumed. The lookahead of an `UnrolledGAN` uses
    the current fakes.

    Args:
        size: number of fakes that are stored, at least the batch size.
        share: share of a batch's fakes that are replaced, in [0, 1]; 0.5 in the paper, 0 does nothing.

    Raises:
        ValueError: for a size or share out of range, a size that the machine's memory cannot hold, or, at the first
            batch, one below the batch's.

    Reference:
        Shrivastava et al., Learning from Simulated and Unsupervised Images through Adversarial Training, CVPR 2017,
        arXiv 1612.07828, section 2.3.
    """

    def __init__(self, size: int = 1024, share: float = 0.5):
        super().__init__(size)
        arguments.fraction(self, share=share)
        self.share = share

    @property
    @override
    def _idle(self) -> bool:
        return self.share == 0

    @override
    def _exchange(self, fake: Tensor, labels: Tensor) -> Tensor:
        rank = torch.randperm(len(fake), device=fake.device)
        number = self.share * len(fake) - torch.rand((), device=fake.device)
        places, found = self._matching(labels)
        shown = self._show(places, (rank < number) & found, fake)
        replaced = torch.randperm(self.size, device=fake.device)[: len(fake)]
        self._store(replaced, len(fake) - 1 - rank < number, fake, labels)
        return shown
