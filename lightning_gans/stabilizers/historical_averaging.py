"""Historical averaging: players that do not stray far from where they have been."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lightning_gans import arguments
from lightning_gans.schedules import Schedule, bounds, value
from lightning_gans.stabilizer import Stabilizer

if TYPE_CHECKING:
    from lightning_gans.gan import GAN
    from lightning_gans.step import Step


class HistoricalAveraging(Stabilizer):
    """Pull the parameters of each player towards the mean of all values that they have had.

        L + weight · ‖θ − θ̄‖₂²,    θ̄ = (1/t) Σ_{i ≤ t} θ_i,    θ_i = the player's parameters after its i-th step

    As in fictitious play a player answers not only the other's last move. The mean counts as a constant, and hence the
    pull is 2 · weight · (θ − θ̄); it is updated after each step, so that at step t + 1 it holds θ_1 to θ_t. A player is
    first pulled at its third step, as after one it is its own mean. Buffers, such as the statistics of BatchNorm, are
    left alone. Accumulated batches see one mean. In the look-ahead of an `UnrolledGAN` imagined weights are pulled too,
    to the mean as it is. All processes have the same means, as they have the same weights.

    It ends circling, at the price of speed: old values weigh as much as new ones. Near a solution around which the
    plain game circles with speed f, the distance falls like a power of t only, t^(−a²/(1 + a²)), a = f/(2 · weight),
    and too large a weight all but stops the players. It holds one more copy of the parameters of a player whose weight
    is above 0, in single precision or better, costs a few passes over them per step, and is saved with a run.

    Args:
        generator_weight: of the generator's term, at least 0, or a schedule. The paper gives none. At 0.01 the pull is
            that of a usual gradient, 1e-3 to 1e-2 for each parameter, once parameters are 0.1 from their mean; at 1 it
            is so after a few steps already, and training all but stands still.
        discriminator_weight: of the discriminator's term, likewise; 0 where there is none to train, as in `SEPGAN`.

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
    def acts_on_discriminator(self) -> bool:
        """Only where its weight says so."""
        return bounds(self.discriminator_weight)[1] > 0

    def state_dict(self) -> dict[str, Any]:
        """How many values the means are of, and the means by the names of the parameters."""
        return {"updates": dict(self._updates), "means": {player: dict(mean) for player, mean in self._means.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self._updates = dict(state_dict["updates"])
        self._means = {player: dict(mean) for player, mean in state_dict["means"].items()}

    def on_discriminator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        """Add the discriminator's term."""
        weight = value(self.discriminator_weight, gan.generator_updates)
        return self._add("discriminator", gan.discriminator, weight, step, loss)

    def on_generator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        """Add the generator's term."""
        return self._add("generator", gan.generator, value(self.generator_weight, gan.generator_updates), step, loss)

    def _add(self, player: str, network: nn.Module, weight: float, step: Step, loss: Tensor) -> Tensor:
        if weight == 0 or not self._updates[player]:
            return loss
        now, means = self._both(player, network)
        away = torch.cat([difference.flatten() for difference in torch._foreach_sub(now, means)])
        term = weight * away.square().sum()
        step.terms[f"historical_averaging_{player}"] = term.detach()
        return loss + term

    def on_discriminator_step_end(self, gan: GAN) -> None:
        """Take the new values into the discriminator's mean."""
        self._update("discriminator", gan.discriminator, self.discriminator_weight)

    def on_generator_step_end(self, gan: GAN) -> None:
        """Take the new values into the generator's mean."""
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
        """The parameters as they are and their means, in the order, precision and place of the two."""
        means, now = self._means[player], []
        for name, parameter in network.named_parameters():
            means[name] = means[name].to(parameter.device)
            now.append(parameter.to(means[name].dtype))
        return now, [means[name] for name, _ in network.named_parameters()]
