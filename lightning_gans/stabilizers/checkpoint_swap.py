"""Checkpoint swap: now and then, each player meets an opponent from the past."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lightning_gans.stabilizer import Stabilizer

if TYPE_CHECKING:
    from lightning_gans.gan import GAN

PLAYERS = ("generator", "discriminator")


class CheckpointSwap(Stabilizer):
    """Now and then let both players learn against an opponent from the past for a few updates.

    A player that learns against the present opponent only forgets how to meet former ones, and the two may go round
    in circles. Fictitious play answers to all of an opponent's past; this does to a sample of it:

        every `every` generator updates a snapshot of both networks is stored, the last `keep` of them;
        of every `updates` generator updates one in 1/probability is played against a snapshot, drawn from those stored:
        D learns from fakes of the old generator, G is judged by the old discriminator.

    Be sparing with it: a generator that faces an opponent which does not answer runs off, the further the longer a
    stretch is; in the Dirac-GAN swapping drives the players apart (`benchmarks/claims.py`).

    The weights of the game are never overwritten: after a stretch there is nothing to restore. Which stretches and
    which snapshots these are follows from the count of updates alone, so all processes agree and no random number of
    the game is drawn for it. Snapshots are kept on the CPU and in checkpoints, `keep` times both networks, and during
    a stretch once more on the device; taking one waits for the device. During a stretch a generator has one more
    forward per step of D. In an `UnrolledGAN` the look-ahead is as ever, but G then faces the old discriminator itself.

    Args:
        every: generator updates between snapshots, at least 1.
        keep: how many snapshots are kept, at least 1; the oldest goes first.
        probability: of a stretch to be played against the past, in [0, 1]; 0 does nothing.
        updates: length of a stretch in generator updates, at least 1.

    Raises:
        ValueError: for a number out of range.

    Reference:
        Chintala, Denton, Arjovsky and Mathieu, How to Train a GAN?, NIPS 2016 workshop on adversarial training, trick 8
        (the idea; the numbers are ours); on playing against the past: Grnarova et al., An Online Learning Approach to
        Generative Adversarial Networks, ICLR 2018, arXiv 1706.03269; Oliehoek et al., Beyond Local Nash Equilibria for
        Adversarial Networks, 2018, arXiv 1806.07268.
    """

    def __init__(self, every: int = 1000, keep: int = 5, probability: float = 0.1, updates: int = 10):
        for name, value in (("every", every), ("keep", keep), ("updates", updates)):
            if not isinstance(value, int) or not value >= 1:
                raise ValueError(f"CheckpointSwap({name}={value}): expected a whole number of at least 1.")
        if not 0 <= probability <= 1:
            raise ValueError(f"CheckpointSwap(probability={probability}): expected a number in [0, 1], such as 0.1.")
        self.every = every
        self.keep = keep
        self.probability = probability
        self.updates = updates
        self._snapshots: list[dict[str, dict[str, Tensor]]] = []
        self._stretch = -1
        self._drawn: dict[str, dict[str, Tensor]] | None = None  # the snapshot of this stretch
        self._players: dict[str, nn.Module] = {}  # networks of our own with its weights, made when they are needed

    def on_fake_samples(self, gan: GAN, fake: Tensor, labels: Tensor | None) -> Tensor:
        """Show the discriminator what the old generator makes, as many and of the same labels."""
        past = self._opponent(gan, "generator")
        if past is None:
            return fake
        with torch.no_grad():
            z = gan.sample_latents(len(fake))
            return (past(z) if labels is None else past(z, labels)).to(fake.dtype)

    def on_opponent(self, gan: GAN, discriminator: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Let the old discriminator judge the generator."""
        past = self._opponent(gan, "discriminator")
        return discriminator if past is None else past

    def _opponent(self, gan: GAN, player: str) -> nn.Module | None:
        """A network from the past, where one is played against."""
        if gan.looking_ahead:
            return None
        stretch = gan.generator_updates // self.updates
        if stretch != self._stretch:
            self._stretch, self._players, draw = stretch, {}, random.Random(stretch)
            against_past = draw.random() < self.probability and self._snapshots
            self._drawn = draw.choice(self._snapshots) if against_past else None
        if self._drawn is None:
            return None
        if player not in self._players:
            network = copy.deepcopy(getattr(gan, player)).requires_grad_(False)
            network.load_state_dict(self._drawn[player], strict=False)
            self._players[player] = network
        return self._players[player]

    def on_generator_step_end(self, gan: GAN) -> None:
        """Store a snapshot when it is time."""
        if self.probability and gan.generator_updates % self.every == 0:
            snapshot = {player: _copy(getattr(gan, player)) for player in PLAYERS}
            self._snapshots = [*self._snapshots, snapshot][-self.keep :]

    def state_dict(self) -> dict[str, Any]:
        """The snapshots, and which one is played against."""
        return {"snapshots": list(self._snapshots), "stretch": self._stretch, "drawn": self._drawn}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore them, as many as are kept."""
        self._snapshots = state_dict["snapshots"][-self.keep :]
        self._stretch, self._drawn, self._players = state_dict["stretch"], state_dict["drawn"], {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_players": {}}  # a copy makes its own


def _copy(network: nn.Module) -> dict[str, Tensor]:
    state = network.state_dict().items()
    return {name: tensor.to("cpu", copy=True) for name, tensor in state if isinstance(tensor, Tensor)}
