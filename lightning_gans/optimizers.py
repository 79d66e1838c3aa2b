"""The optimizers of the papers, with scalar arguments, so that a run repeats from its own config.

Any `torch.optim` class can be given in a config by `class_path`. These exist because a default such as
`lambda params: Adam(params, betas=(0.5, 0.999))` cannot be written back to YAML, while scalars can; and
because their defaults are what the GAN literature means by the name. `unrolled` gives their steps with a derivative.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor


class Adam(torch.optim.Adam):
    """Adam with its betas as two numbers; β₁ = 0.5 as in nearly every GAN paper since DCGAN.

    Args:
        params: what is optimised.
        lr: learning rate.
        beta1: decay of the first moment, in [0, 1). 0 for WGAN-GP and R3GAN, 0.5 for DCGAN.
        beta2: decay of the second moment, in [0, 1).
        eps: added to the denominator.
        weight_decay: L2 penalty on the weights.

    Reference:
        Kingma and Ba, Adam: A Method for Stochastic Optimization, ICLR 2015, arXiv 1412.6980; Radford,
        Metz and Chintala, DCGAN, ICLR 2016, arXiv 1511.06434 (β₁ = 0.5).
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 2e-4,
        beta1: float = 0.5,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        super().__init__(params, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay)


class RMSProp(torch.optim.RMSprop):
    """RMSProp as the Wasserstein GAN uses it: no momentum, learning rate 5e-5.

    Args:
        params: what is optimised.
        lr: learning rate.
        alpha: decay of the squared gradient's mean, in [0, 1).
        eps: added to the denominator.

    Reference:
        Arjovsky, Chintala and Bottou, Wasserstein GAN, ICML 2017, arXiv 1701.07875, algorithm 1.
    """

    def __init__(self, params: Iterable, lr: float = 5e-5, alpha: float = 0.99, eps: float = 1e-8):
        super().__init__(params, lr=lr, alpha=alpha, eps=eps)


class SGD(torch.optim.SGD):
    """Stochastic gradient descent with momentum, the optimizer of the first GAN paper.

    Args:
        params: what is optimised.
        lr: learning rate.
        momentum: in [0, 1).

    Reference:
        Goodfellow et al., Generative Adversarial Nets, NeurIPS 2014, arXiv 1406.2661.
    """

    def __init__(self, params: Iterable, lr: float = 0.1, momentum: float = 0.5):
        super().__init__(params, lr=lr, momentum=momentum)


class Unrolled(ABC):
    """The next steps of an optimizer on one flat vector of parameters, with their derivative.

    `step` maps (θ, ∂L/∂θ) to the next θ; `back` undoes the steps one by one, from the last, for the
    derivative of whatever was computed from the final θ. Both work without autograd: written out they cost a
    third of what it would need, on a vector in place of many tensors. The optimizer itself never changes.

    Args:
        optimizer: whose rule and present hyperparameters are taken; one group of parameters.
        moments_of: an optimizer over the same parameters; where it is of the same rule its moments are
            where the steps start from.
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
        self.taken = taken if isinstance(taken, Tensor) and taken.is_cuda else float(taken)  # reading it would wait
        self.tape: list[tuple] = []

    @abstractmethod
    def step(self, theta: Tensor, gradient: Tensor) -> Tensor:
        """The parameters after one step."""

    @abstractmethod
    def back(self, adjoint: Tensor) -> tuple[Tensor, Tensor]:
        """The derivative with respect to θ and the gradient before the last step, given that after it."""


class _UnrolledAdam(Unrolled):
    """m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², θ ← θ − a · m/(c√v + eps); a and c correct the bias."""

    kinds = (torch.optim.Adam, torch.optim.AdamW)  # before torch 2.7 the one was no subclass of the other
    moments = ("exp_avg", "exp_avg_sq")
    exp_avg: Tensor | None
    exp_avg_sq: Tensor | None

    def __init__(self, optimizer: torch.optim.Optimizer, moments_of: torch.optim.Optimizer | None = None):
        super().__init__(optimizer, moments_of)
        self.decoupled = self.group.get("decoupled_weight_decay", isinstance(optimizer, torch.optim.AdamW))

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


def unrolled(optimizer: torch.optim.Optimizer, moments_of: torch.optim.Optimizer | None = None) -> Unrolled:
    """The next steps of Adam (AdamW), RMSProp or SGD, torch's or ours, with their derivative; see `Unrolled`.

    Raises:
        ValueError: for an optimizer whose derivative is not written here.
    """
    group = optimizer.param_groups[0]
    flaws = [f"{name}={group[name]}" for name in ("amsgrad", "centered", "maximize") if group.get(name)]
    if isinstance(optimizer, torch.optim.RMSprop) and group["momentum"]:
        flaws.append(f"momentum={group['momentum']}")
    if len(optimizer.param_groups) != 1:
        flaws.append(f"{len(optimizer.param_groups)} groups of parameters")
    for rule in (_UnrolledAdam, _UnrolledRMSProp, _UnrolledSGD):
        if isinstance(optimizer, rule.kinds) and not flaws:
            return rule(optimizer, moments_of)
    raise ValueError(
        f"{type(optimizer).__name__} cannot be unrolled{' with ' if flaws else ''}{', '.join(flaws)}: its derivative "
        "is not written. Give the discriminator Adam, RMSProp or SGD with one group of parameters and none of their "
        "variants, or the model an inner_optimizer that is one."
    )
