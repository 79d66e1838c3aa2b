"""Optimizers of the unrolled GAN's lookahead: their update rules with a derivative."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor
from typing_extensions import override


class Unrolled(ABC):
    """The next steps of an optimizer on one flat vector of parameters, with their derivative.

    `step` maps (θ, ∂L/∂θ) to the next θ. `back` goes back through the steps one by one, from the last, and gives the
    derivative of what was computed from the final θ. Both work without autograd: written out, on one vector in place of
    many tensors, they cost a third of what autograd would need. The optimizer itself never changes.

    Args:
        optimizer: gives the update rule and the current hyperparameters; it has one group of parameters.
        moments_of: an optimizer over the same parameters; if it has the same update rule, the steps start from its
            moments.
    """

    kinds: tuple[type[torch.optim.Optimizer], ...]
    moments: tuple[str, ...]

    def __init__(self, optimizer: torch.optim.Optimizer, moments_of: torch.optim.Optimizer | None = None):
        self.group = optimizer.param_groups[0]
        states: list[dict] = []
        if isinstance(moments_of, self.kinds):
            states = [moments_of.state[weight] for weight in self.group["params"] if weight in moments_of.state]
        for moment in self.moments:
            parts = [state[moment].flatten() for state in states if state.get(moment) is not None]
            setattr(self, moment, torch.cat(parts) if parts else None)
        taken = states[0].get("step", 0.0) if states else 0.0
        self.taken = taken if isinstance(taken, Tensor) and taken.is_cuda else float(taken)  # reading it waits
        self.tape: list[tuple] = []

    @abstractmethod
    def step(self, theta: Tensor, gradient: Tensor) -> Tensor:
        """Return the parameters after one step."""

    @abstractmethod
    def back(self, adjoint: Tensor) -> tuple[Tensor, Tensor]:
        """Return the derivative with respect to θ and the gradient before the last step, given that after it."""


class _UnrolledAdam(Unrolled):
    """m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², θ ← θ − a · m/(c√v + eps); a and c correct the bias."""

    kinds = (torch.optim.Adam, torch.optim.AdamW)  # before torch 2.7 AdamW was not a subclass of Adam
    moments = ("exp_avg", "exp_avg_sq")
    exp_avg: Tensor | None
    exp_avg_sq: Tensor | None

    def __init__(self, optimizer: torch.optim.Optimizer, moments_of: torch.optim.Optimizer | None = None):
        super().__init__(optimizer, moments_of)
        self.decoupled = self.group.get("decoupled_weight_decay", isinstance(optimizer, torch.optim.AdamW))

    @override
    def step(self, theta: Tensor, gradient: Tensor) -> Tensor:
        lr, (beta1, beta2), decay = self.group["lr"], self.group["betas"], self.group["weight_decay"]
        if self.decoupled:
            theta = theta * (1 - lr * decay)
        elif decay:
            gradient = gradient + decay * theta
        self.taken = self.taken + 1
        a, c = lr / (1 - beta1**self.taken), (1 - beta2**self.taken) ** -0.5
        m, v = self.exp_avg, self.exp_avg_sq
        m = gradient * (1 - beta1) if m is None else torch.lerp(m, gradient, 1 - beta1)
        v = (
            gradient.square().mul_(1 - beta2)
            if v is None
            else (v * beta2).addcmul_(gradient, gradient, value=1 - beta2)
        )
        self.exp_avg, self.exp_avg_sq = m, v
        root = v.sqrt()
        scale = (root * c).add_(self.group["eps"])
        self.tape.append((gradient, m, root, scale, a, c))
        self._m: Tensor | None = None
        self._v: Tensor | None = None
        return theta - (m / scale).mul_(a)

    @override
    def back(self, adjoint: Tensor) -> tuple[Tensor, Tensor]:
        lr, (beta1, beta2), decay = self.group["lr"], self.group["betas"], self.group["weight_decay"]
        gradient, m, root, scale, a, c = self.tape.pop()
        of_m = (adjoint / scale).mul_(-a)
        of_v = (of_m * m).div_(scale).div_(root.clamp_min_(torch.finfo(root.dtype).tiny)).mul_(-0.5 * c)
        if self._m is not None and self._v is not None:
            of_m, of_v = of_m.add_(self._m), of_v.add_(self._v)
        of_gradient = (of_v * gradient).mul_(2 * (1 - beta2)).add_(of_m, alpha=1 - beta1)
        self._m, self._v = of_m.mul_(beta1), of_v.mul_(beta2)
        if self.decoupled:
            return adjoint * (1 - lr * decay), of_gradient
        return adjoint + decay * of_gradient if decay else adjoint, of_gradient


class _UnrolledRMSProp(Unrolled):
    """v ← αv + (1 − α)g², θ ← θ − lr · g/(√v + eps)."""

    kinds = (torch.optim.RMSprop,)
    moments = ("square_avg",)
    square_avg: Tensor | None

    @override
    def step(self, theta: Tensor, gradient: Tensor) -> Tensor:
        alpha, decay = self.group["alpha"], self.group["weight_decay"]
        gradient = gradient + decay * theta if decay else gradient
        square = gradient.square() * (1 - alpha)
        self.square_avg = square if self.square_avg is None else square.add_(self.square_avg, alpha=alpha)
        root = self.square_avg.sqrt()
        scale = root + self.group["eps"]
        self.tape.append((gradient, root, scale))
        self._v: Tensor | None = None
        return theta - (gradient / scale).mul_(self.group["lr"])

    @override
    def back(self, adjoint: Tensor) -> tuple[Tensor, Tensor]:
        alpha, decay = self.group["alpha"], self.group["weight_decay"]
        gradient, root, scale = self.tape.pop()
        of_gradient = (adjoint / scale).mul_(-self.group["lr"])
        of_v = (of_gradient * gradient).div_(scale).div_(root.clamp_min_(torch.finfo(root.dtype).tiny)).mul_(-0.5)
        of_v = of_v if self._v is None else of_v.add_(self._v)
        of_gradient = of_gradient.addcmul_(of_v, gradient, value=2 * (1 - alpha))
        self._v = of_v.mul_(alpha)
        return adjoint + decay * of_gradient if decay else adjoint, of_gradient


class _UnrolledSGD(Unrolled):
    """b ← μb + (1 − dampening)g, θ ← θ − lr · b; with Nesterov's momentum, − lr · (g + μb)."""

    kinds = (torch.optim.SGD,)
    moments = ("momentum_buffer",)
    momentum_buffer: Tensor | None

    @override
    def step(self, theta: Tensor, gradient: Tensor) -> Tensor:
        momentum, decay = self.group["momentum"], self.group["weight_decay"]
        gradient = gradient + decay * theta if decay else gradient
        share = 1.0 if self.momentum_buffer is None else 1 - self.group["dampening"]
        buffer = gradient * share
        if momentum and self.momentum_buffer is not None:
            buffer.add_(self.momentum_buffer, alpha=momentum)
        self.momentum_buffer = buffer if momentum else None
        self.tape.append((share,))
        self._b: Tensor | None = None
        direction = gradient + momentum * buffer if self.group["nesterov"] else buffer
        return theta - self.group["lr"] * direction

    @override
    def back(self, adjoint: Tensor) -> tuple[Tensor, Tensor]:
        momentum, decay = self.group["momentum"], self.group["weight_decay"]
        (share,) = self.tape.pop()
        of_direction = -self.group["lr"] * adjoint
        nesterov = self.group["nesterov"]
        of_buffer = momentum * of_direction if nesterov else of_direction
        of_buffer = of_buffer if self._b is None else of_buffer + self._b
        of_gradient = share * of_buffer + of_direction if nesterov else share * of_buffer
        self._b = momentum * of_buffer
        return adjoint + decay * of_gradient if decay else adjoint, of_gradient


def flat(parts: Iterable[Tensor]) -> Tensor:
    """Return tensors as one detached vector."""
    return torch.cat([part.detach().flatten() for part in parts])


def unrolled(optimizer: torch.optim.Optimizer, moments_of: torch.optim.Optimizer | None = None) -> Unrolled:
    """Return the next steps of Adam, AdamW, RMSProp or SGD with their derivative; arguments are those of `Unrolled`.

    Raises:
        ValueError: for an optimizer whose derivative is not implemented here.
    """
    group = optimizer.param_groups[0]
    unsupported = [f"{name}={group[name]}" for name in ("amsgrad", "centered", "maximize") if group.get(name)]
    if isinstance(optimizer, torch.optim.RMSprop) and group["momentum"]:
        unsupported.append(f"momentum={group['momentum']}")
    if len(optimizer.param_groups) != 1:
        unsupported.append(f"{len(optimizer.param_groups)} groups of parameters")
    for rule in (_UnrolledAdam, _UnrolledRMSProp, _UnrolledSGD):
        if isinstance(optimizer, rule.kinds) and not unsupported:
            return rule(optimizer, moments_of)
    raise ValueError(
        f"{type(optimizer).__name__} cannot be unrolled{' with ' if unsupported else ''}{', '.join(unsupported)}: its "
        "derivative is not implemented. Give the discriminator Adam, RMSProp or SGD with one group of parameters and "
        "none of their variants, or give the model such an inner_optimizer."
    )
