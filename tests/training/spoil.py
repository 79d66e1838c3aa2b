"""A stabilizer that brings NaN or infinity into some updates."""

import math

import torch

from lightning_gans import Stabilizer


class Spoil(Stabilizer):
    """Makes one player's gradient, or a term of its loss, NaN in some batches, which are counted from 1."""

    def __init__(self, player, *batches, what="gradient", value=math.nan):
        self.player, self.batches, self.what, self.value = player, batches, what, value

    def spoil(self, gan, player, step, loss):
        if player != self.player or gan.batches_seen not in self.batches:
            return loss
        if self.what == "gradient":
            loss = loss * 1
            loss.register_hook(lambda gradient: gradient * self.value)
            return loss
        step.terms["first"], step.terms["second"] = torch.tensor(0.25), torch.tensor(self.value)
        return loss + step.terms["second"]

    def on_discriminator_loss(self, gan, step, loss):
        return self.spoil(gan, "discriminator", step, loss)

    def on_generator_loss(self, gan, step, loss):
        return self.spoil(gan, "generator", step, loss)


def is_finite(path):
    """Return whether all tensors in a checkpoint's weights are finite."""
    state = torch.load(path, weights_only=True)["state_dict"].values()
    return all(value.isfinite().all() for value in state if isinstance(value, torch.Tensor))
