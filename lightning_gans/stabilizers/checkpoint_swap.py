"""Checkpoint swap: each player is sometimes trained against an opponent from the past."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.gan import GAN
from lightning_gans.networks import ReferencedDiscriminator
from lightning_gans.stabilizer import Stabilizer

PLAYERS = ("generator", "discriminator")


class CheckpointSwap(Stabilizer):
    """Sometimes train both players against an opponent from the past for a few updates.

    A player that is trained only against the current opponent forgets its answers to earlier ones, and both may cycle.
    Theory answers with a player that responds to all of an opponent's past; this uses a sample of it:

        after every `every` generator updates a snapshot of both networks is stored, and the last `keep` are kept;
        each period of `updates` generator updates uses, with the given probability, a random stored snapshot:
        D is trained on fakes of the old generator, and G against the old discriminator.

    Use it sparingly: a generator that faces a fixed opponent diverges, the further the longer the period; in the
    Dirac-GAN swapping drives the players apart (`benchmarks/claims.py`).

    The weights in training are never overwritten, so nothing has to be restored after a period. Periods and snapshots
    follow from the count of updates alone, so all processes agree and no random number of the training is used.
    Snapshots are kept on the CPU and in checkpoints, `keep` times both networks, and during a period once more on the
    device; taking one waits for the device. During a period every step of D costs one more forward of a generator. The
    lookahead of an `UnrolledGAN` does not change, but G then faces the old discriminator itself.

    Args:
        every: generator updates between snapshots, at least 1.
        keep: number of snapshots to keep, at least 1; the oldest is dropped first.
        probability: probability that a period uses a snapshot, in [0, 1]; 0 does nothing.
        updates: length of a period in generator updates, at least 1.

    Raises:
        ValueError: for a number out of range.

    Reference:
        Chintala, Denton, Arjovsky and Mathieu, How to Train a GAN?, NIPS 2016 workshop on adversarial training, trick 8
        (the idea; the numbers are ours); on training against the past: Grnarova et al., An Online Learning Approach to
        Generative Adversarial Networks, ICLR 2018, arXiv 1706.03269; Oliehoek et al., Beyond Local Nash Equilibria for
        Adversarial Networks, 2018, arXiv 1806.07268.
    """

    def __init__(self, every: int = 1000, keep: int = 5, probability: float = 0.1, updates: int = 10):
        arguments.whole(self, 1, every=every, keep=keep, updates=updates)
        arguments.fraction(self, probability=probability)
        self.every = every
        self.keep = keep
        self.probability = probability
        self.updates = updates
        self._snapshots: list[dict[str, dict[str, Tensor]]] = []
        self._period = -1
        self._drawn: dict[str, dict[str, Tensor]] | None = None  # the snapshot of this period
        self._players: dict[str, nn.Module] = {}  # copies of the networks with its weights, made when needed

    @override
    def on_fake_samples(self, gan: GAN, fake: Tensor, labels: Tensor | None) -> Tensor:
        """Replace the fakes by as many of the old generator, with the same labels."""
        past = self._opponent(gan, "generator")
        if past is None:
            return fake
        with torch.no_grad():
            z = gan.sample_latents(len(fake))
            return (past(z) if labels is None else past(z, labels)).to(fake.dtype)

    @override
    def on_opponent(self, gan: GAN, discriminator: Callable[..., Tensor]) -> Callable[..., Tensor]:
        past = self._opponent(gan, "discriminator")
        return discriminator if past is None else past

    def _opponent(self, gan: GAN, player: str) -> nn.Module | None:
        """Return the player of this period's snapshot; None if the period uses none."""
        if gan.looking_ahead:
            return None
        period = gan.generator_updates // self.updates
        if period != self._period:
            self._period, self._players, draw = period, {}, random.Random(period)
            against_past = draw.random() < self.probability and self._snapshots
            self._drawn = draw.choice(self._snapshots) if against_past else None
        if self._drawn is None:
            return None
        if player not in self._players:
            network = copy.deepcopy(getattr(gan, player)).requires_grad_(False)
            network.load_state_dict(self._drawn[player], strict=False)
            for now, past in zip(getattr(gan, player).modules(), network.modules(), strict=True):
                if isinstance(now, ReferencedDiscriminator):
                    past.shown = now.shown  # the same reference, with the noise of the moment
            self._players[player] = network
        return self._players[player]

    @override
    def on_generator_step_end(self, gan: GAN) -> None:
        """Store a snapshot after every `every` updates."""
        if self.probability and gan.generator_updates % self.every == 0:
            snapshot = {player: _copy(getattr(gan, player)) for player in PLAYERS}
            self._snapshots = [*self._snapshots, snapshot][-self.keep :]

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"snapshots": list(self._snapshots), "stretch": self._period, "drawn": self._drawn}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the snapshots, at most `keep` of them."""
        self._snapshots = state_dict["snapshots"][-self.keep :]
        self._period, self._drawn, self._players = state_dict["stretch"], state_dict["drawn"], {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_players": {}}  # a copy of this object makes its own


def _copy(network: nn.Module) -> dict[str, Tensor]:
    state = network.state_dict().items()
    return {name: tensor.to("cpu", copy=True) for name, tensor in state if isinstance(tensor, Tensor)}
