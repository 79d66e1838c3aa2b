"""Historical averaging: a penalty on the distance of parameters from their past mean."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.gan import GAN
from lightning_gans.schedules import Schedule, bounds, value
from lightning_gans.stabilizer import Stabilizer
from lightning_gans.step import Step


class HistoricalAveraging(Stabilizer):
    """Pull the parameters of each player towards the mean of all their past values.

        L + weight · ‖θ − θ̄‖₂²,    θ̄ = (1/t) Σ_{i ≤ t} θ_i,    θ_i = the player's parameters after its i-th step

    A player then does not respond to the other's latest update alone. The mean is a constant in the gradient, which
    is therefore 2 · weight · (θ − θ̄); it is updated after each step, so that at step t + 1 it is over θ_1 to θ_t. The
    term first acts at a player's third step, as after one step the mean is the parameters themselves. Buffers, such as
    the statistics of BatchNorm, are left alone. All parts of an accumulated batch use one mean. The lookahead of an
    `UnrolledGAN` has the term too, with the current mean. All processes have the same means, as they have the same
    weights.

    It stops cycling at the cost of speed, as old values count as much as new ones. Near a solution around which
    training without it cycles with angular speed f, the distance falls only like a power of t, t^(−a²/(1 + a²)) with
    a = f/(2 · weight), and too large a weight almost stops training. It holds one more copy of the parameters of a
    player whose weight is above 0, in single precision or better, which checkpoints keep, and costs a few passes over
    them per step.

    Args:
        generator_weight: weight of the generator's term, at least 0, or a schedule. The paper gives none. At 0.01 the
            gradient of the term is as large as a usual one, 1e-3 to 1e-2 per parameter, once parameters are 0.1 from
            their mean; at 1 that happens after a few steps, and training almost stops.
        discriminator_weight: the same for the discriminator; 0 if there is none to train, as in `SEPGAN`.

    Raises:
        ValueError: for a negative weight.

    Reference:
        Salimans et al., Improved Techniques for Training GANs, NeurIPS 2016, arXiv 1606.03498, section 3.3.
    """

    def __init__(self, generator_weight: float | Schedule = 0.01, discriminator_weight: float | Schedule = 0.01):
        weights = {"generator_weight": generator_weight, "discriminator_weight": discriminator_weight}
        arguments.at_least(self, 0, **weights)
        self.generator_weight = generator_weight
        self.discriminator_weight = discriminator_weight
        self._updates = {"generator": 0, "discriminator": 0}
        self._means: dict[str, dict[str, Tensor]] = {"generator": {}, "discriminator": {}}

    @property
    @override
    def acts_on_discriminator(self) -> bool:
        return bounds(self.discriminator_weight)[1] > 0

    @property
    def loss_terms(self) -> list[str]:
        """The names of what it adds to losses, which are logged as `loss/<name>`."""
        weights = {"generator": self.generator_weight, "discriminator": self.discriminator_weight}
        return [f"historical_averaging_{player}" for player, weight in weights.items() if bounds(weight)[1] > 0]

    @override
    def state_dict(self) -> dict[str, Any]:
        """Return the number of values in the means, and the means by the names of the parameters."""
        return {"updates": dict(self._updates), "means": {player: dict(mean) for player, mean in self._means.items()}}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._updates = dict(state_dict["updates"])
        self._means = {player: dict(mean) for player, mean in state_dict["means"].items()}

    @override
    def on_discriminator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        weight = value(self.discriminator_weight, gan.generator_updates)
        return self._add("discriminator", gan.discriminator, weight, step, loss)

    @override
    def on_generator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        return self._add("generator", gan.generator, value(self.generator_weight, gan.generator_updates), step, loss)

    def _add(self, player: str, network: nn.Module, weight: float, step: Step, loss: Tensor) -> Tensor:
        if weight == 0 or not self._updates[player]:
            return loss
        now, means = self._both(player, network)
        away = torch.cat([difference.flatten() for difference in torch._foreach_sub(now, means)])
        term = weight * away.square().sum()
        step.terms[f"historical_averaging_{player}"] = term.detach()
        return loss + term

    @override
    def on_discriminator_step_end(self, gan: GAN) -> None:
        self._update("discriminator", gan.discriminator, self.discriminator_weight)

    @override
    def on_generator_step_end(self, gan: GAN) -> None:
        self._update("generator", gan.generator, self.generator_weight)

    @torch.no_grad()
    def _update(self, player: str, network: nn.Module, weight: float | Schedule) -> None:
        if bounds(weight)[1] == 0:
            return
        self._updates[player] += 1
        if self._updates[player] == 1:
            self._means[player] = {
                name: parameter.to(torch.promote_types(parameter.dtype, torch.float32), copy=True)
                for name, parameter in network.named_parameters()
            }
        else:
            now, means = self._both(player, network)
            torch._foreach_lerp_(means, now, 1 / self._updates[player])

    def _both(self, player: str, network: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
        """Return the parameters and their means in the same order, on the parameters' device in the means' dtype."""
        means, now = self._means[player], []
        for name, parameter in network.named_parameters():
            means[name] = means[name].to(parameter.device)
            now.append(parameter.to(means[name].dtype))
        return now, [means[name] for name, _ in network.named_parameters()]
