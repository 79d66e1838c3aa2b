"""The unrolled GAN: a generator that sees how the discriminator will answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.func import functional_call
from torch.optim import Optimizer

from lightning_gans.gan import GAN
from lightning_gans.networks import Discriminator, Generator
from lightning_gans.networks.latents import at_least
from lightning_gans.objectives import Objective, ZeroSum
from lightning_gans.optimizers import Adam, Unrolled, unrolled
from lightning_gans.stabilizer import Stabilizer
from lightning_gans.step import Batch, Step


class UnrolledGAN(GAN):
    """A GAN whose generator faces the discriminator of K updates ahead, and is differentiated through them.

        θ⁰ = θ_D,    θᵏ⁺¹ = θᵏ − η ∇L_D(θ_G, θᵏ),    G: min L_G(θ_G, θᴷ(θ_G)),    D: min L_D(θ_G, θ_D)

    The look-ahead imitates the discriminator's own optimizer from its present moments, on the batch and the
    fakes of the generator's step, with stabilizers, gradient clipping and labels as in a real step. It runs
    in the precision of the weights, autocast off. Weights, BatchNorm statistics and optimizer of the
    discriminator stay as they are; it then takes one ordinary step. In several processes the look-ahead's
    gradients are averaged, so that all see the discriminator of the whole batch. What a stabilizer does after
    a step (`WeightClipping`) is not part of the look-ahead. With K = 0 this is `GAN`.

    Each look-ahead step costs about as much as a step of both players, and keeps its graph in memory.

    Args:
        generator: as in `GAN`.
        discriminator: as in `GAN`; what it changes in use must be buffers, which the look-ahead copies.
        unroll_steps: K, at least 0; 5 and 10 in the paper.
        detached: whether θᴷ counts as a constant in G's gradient, the paper's ablation: G then faces a better
            discriminator, but does not see how its own step changes it.
        inner_optimizer: makes the optimizer that the look-ahead imitates, from the discriminator's
            parameters: Adam, RMSProp or SGD; where the discriminator's own has the same rule, it lends its
            moments. None imitates the discriminator's own.
        objective: what the players pay; the paper's is the saddle, L_G = −L_D.
        generator_optimizer: makes the generator's optimizer.
        discriminator_optimizer: makes the discriminator's optimizer.
        kwargs: whatever else `GAN` takes.

    Raises:
        ValueError: for a negative K, an optimizer without a differentiable form, or a discriminator that
            keeps state elsewhere than in parameters and buffers.

    Reference:
        Metz, Poole, Pfau and Sohl-Dickstein, Unrolled Generative Adversarial Networks, ICLR 2017,
        arXiv 1611.02163; rates and objective of the authors' notebook.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        unroll_steps: int = 5,
        detached: bool = False,
        inner_optimizer: OptimizerCallable | None = None,
        objective: Objective = ZeroSum(),  # noqa: B008 - it has no state
        generator_optimizer: OptimizerCallable = lambda params: Adam(params, lr=1e-3, beta1=0.5),
        discriminator_optimizer: OptimizerCallable = lambda params: Adam(params, lr=1e-4, beta1=0.5),
        **kwargs: Any,
    ):
        super().__init__(
            generator=generator,
            discriminator=discriminator,
            objective=objective,
            generator_optimizer=generator_optimizer,
            discriminator_optimizer=discriminator_optimizer,
            **kwargs,
        )
        self.unroll_steps = at_least("unroll_steps", unroll_steps, 0)
        self.detached = detached
        self.inner_optimizer = inner_optimizer
        self._optimizer_at_work: Optimizer | None = None
        self._state_is_safe = False

    def setup(self, stage: str) -> None:
        """Say which stabilizers the look-ahead does not know."""
        super().setup(stage)
        for stabilizer in self.active_stabilizers if self.unroll_steps else ():
            if type(stabilizer).on_discriminator_step_end is not Stabilizer.on_discriminator_step_end:
                rank_zero_warn(
                    f"{stabilizer} acts after the discriminator's real steps only; the look-ahead of UnrolledGAN "
                    "does not see it.",
                    category=UserWarning,
                )

    def configure_optimizers(self) -> Any:
        """Those of `GAN`, once it is sure that the look-ahead can imitate one."""
        optimizers, schedulers = super().configure_optimizers()
        if self.unroll_steps:
            unrolled(self._imitated(optimizers[1]))
        return optimizers, schedulers

    def train_batch(
        self,
        batch: Batch,
        generator_optimizer: Optimizer | LightningOptimizer,
        discriminator_optimizer: Optimizer | LightningOptimizer,
    ) -> dict[str, Step]:
        """Play one batch; the look-ahead starts from the moments of the discriminator's optimizer."""
        wrapped = isinstance(discriminator_optimizer, LightningOptimizer)
        self._optimizer_at_work = discriminator_optimizer.optimizer if wrapped else discriminator_optimizer  # type: ignore[union-attr, assignment]
        try:
            return super().train_batch(batch, generator_optimizer, discriminator_optimizer)
        finally:
            self._optimizer_at_work = None

    def opponent(self, batch: Batch, fake: Tensor) -> Callable[..., Tensor]:
        """The discriminator after K steps against these fakes, as a function of them."""
        if not self.unroll_steps:
            return super().opponent(batch, fake)
        before = None if self._state_is_safe else _state(self.discriminator)
        own = self._optimizer_at_work or self.discriminator_optimizer(self.discriminator.parameters())
        ahead = _Imagined(self)
        rule = unrolled(self._imitated(own), moments_of=own)
        if self.detached or not fake.requires_grad:
            theta, _ = self._look_ahead(batch, fake.detach(), ahead, rule)
        else:
            theta = _LookAhead.apply(fake, self, batch, ahead, rule)
        if before is not None:
            _refuse_changes(self.discriminator, before)
            self._state_is_safe = True
        return partial(ahead.discriminate, ahead.parts(theta))

    @torch.enable_grad()
    def _look_ahead(self, batch: Batch, fake: Tensor, ahead: _Imagined, rule: Unrolled) -> tuple[Tensor, list[tuple]]:
        """θᴷ, and of each step what its derivative needs: weights, their slopes, the gradient, the same clipped."""
        tape: list[tuple] = []
        theta = ahead.theta
        with torch.autocast(fake.device.type, enabled=False), self._imagining():
            for _ in range(self.unroll_steps):
                weights = [part.detach().requires_grad_() for part in ahead.parts(theta)]
                loss = ahead.play(weights, batch, fake)
                slopes = torch.autograd.grad(loss, weights, create_graph=fake.requires_grad, materialize_grads=True)
                gradient = clipped = _averaged(_flat(slopes))
                if self.discriminator_clip is not None:
                    gradient = gradient.requires_grad_()
                    clipped = gradient * (self.discriminator_clip / (gradient.norm() + 1e-6)).clamp(max=1.0)
                tape.append((weights, slopes, gradient, clipped))
                theta = rule.step(theta, clipped.detach())
        return theta, tape

    @contextmanager
    def _imagining(self) -> Iterator[None]:
        self.looking_ahead = True
        try:
            yield
        finally:
            self.looking_ahead = False

    def _imitated(self, own: Optimizer) -> Optimizer:
        return self.inner_optimizer(self.discriminator.parameters()) if self.inner_optimizer else own


class _LookAhead(torch.autograd.Function):
    """θᴷ as a function of the fakes; its derivative goes back through the steps one by one.

    With λ = ∂L_G/∂θᵏ⁺¹ and u its pull through the optimizer's rule to the gradient gᵏ = ∇_θ L_D(fake, θᵏ), one
    product of u with the derivatives of gᵏ gives what it adds to ∂L_G/∂θᵏ and to ∂L_G/∂fake. Autograd alone
    comes to the same, but differentiates every operation of the optimizer, and at θ⁰ what nobody asks for.
    """

    @staticmethod
    def forward(ctx: Any, fake: Tensor, gan: UnrolledGAN, batch: Batch, ahead: _Imagined, rule: Unrolled) -> Tensor:
        """Look ahead."""
        ctx.fake, ctx.ahead, ctx.rule = fake.detach().requires_grad_(), ahead, rule
        theta, ctx.tape = gan._look_ahead(batch, ctx.fake, ahead, rule)
        return theta

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, adjoint: Tensor) -> tuple[Tensor | None, ...]:
        """Go back."""
        of_fake = torch.zeros_like(ctx.fake)
        while ctx.tape:
            weights, slopes, gradient, clipped = ctx.tape.pop()
            adjoint, pull = ctx.rule.back(adjoint)
            if clipped is not gradient:
                (pull,) = torch.autograd.grad(clipped, gradient, pull)
            pulls = ctx.ahead.parts(_averaged(pull))
            moving = [(slope, part) for slope, part in zip(slopes, pulls, strict=True) if slope.requires_grad]
            if not moving:  # the loss is linear in the weights
                continue
            asked = [ctx.fake, *weights] if ctx.tape else [ctx.fake]  # what moves θ⁰ is nobody's
            outputs, pulls = zip(*moving, strict=True)
            try:
                of_this, *of_weights = torch.autograd.grad(outputs, asked, pulls, materialize_grads=True)
            except RuntimeError as error:
                raise ValueError(
                    f"the look-ahead cannot be differentiated: {str(error).splitlines()[0]} Leave out what lacks the "
                    "derivative (BatchNorm has no third one for a gradient penalty: norm: null), or use detached: true."
                ) from error
            of_fake += of_this
            if ctx.tape:
                adjoint = adjoint + _flat(of_weights)
        return of_fake, None, None, None, None


class _Imagined(nn.Module):
    """The game with other weights of the discriminator in place of its own, and copies of its buffers."""

    def __init__(self, gan: UnrolledGAN):
        super().__init__()
        self.discriminator = gan.discriminator
        self._step = gan.discriminator_step
        moving = {name: weight for name, weight in self.named_parameters() if weight.requires_grad}
        self.names = list(moving)
        self.shapes = [weight.shape for weight in moving.values()]
        self.sizes = [weight.numel() for weight in moving.values()]
        self.theta = _flat(moving.values())
        self.copies = {name: buffer.clone() for name, buffer in self.named_buffers()}

    def parts(self, flat: Tensor) -> list[Tensor]:
        """A flat vector in the shapes of the weights."""
        return [part.view(shape) for part, shape in zip(flat.split(self.sizes), self.shapes, strict=True)]

    def play(self, weights: list[Tensor], batch: Batch, fake: Tensor) -> Tensor:
        """The discriminator's loss with these weights."""
        return self._wearing(weights, lambda: self._step(batch, fake).loss)

    def discriminate(self, weights: list[Tensor], *inputs: Tensor) -> Tensor:
        """The discriminator's logits with these weights."""
        return self._wearing(weights, lambda: self.discriminator(*inputs))

    def _wearing(self, weights: list[Tensor], act: Callable[[], Tensor]) -> Tensor:
        result = functional_call(self, dict(zip(self.names, weights, strict=True)) | self.copies, (act,))
        self.copies = {name: copy.clone() for name, copy in self.copies.items()}  # a graph may need these as they are
        return result

    def forward(self, act: Callable[[], Tensor]) -> Tensor:
        """What `functional_call` runs."""
        return act()


def _flat(parts: Iterable[Tensor]) -> Tensor:
    return torch.cat([part.detach().flatten() for part in parts])


def _averaged(gradient: Tensor) -> Tensor:
    """The mean over processes, which is its own derivative."""
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        dist.all_reduce(gradient := gradient.clone())
        gradient /= dist.get_world_size()
    return gradient


def _state(network: nn.Module) -> dict[str, Any]:
    """Whatever a forward could change: tensors with their versions, and numbers."""
    state: dict[str, Any] = {}
    for prefix, module in network.named_modules():
        for name, value in {**vars(module), **module._parameters, **module._buffers}.items():
            if isinstance(value, Tensor):
                state[f"{prefix}.{name}".lstrip(".")] = (value, value._version)
            elif isinstance(value, int | float):
                state[f"{prefix}.{name}".lstrip(".")] = (value, 0)
    return state


def _refuse_changes(network: nn.Module, before: dict[str, Any]) -> None:
    for name, (value, version) in _state(network).items():
        old, old_version = before.get(name, (None, 0))
        if version != old_version or (value is not old if isinstance(value, Tensor) else value != old):
            raise ValueError(
                f"{type(network).__name__} cannot be unrolled: a look-ahead changed its `{name}`; keep what it changes "
                "in use as a buffer (register_buffer), or play with unroll_steps 0."
            )
