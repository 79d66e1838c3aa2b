"""The unrolled GAN: the generator faces the discriminator as it will be after its next updates."""

from __future__ import annotations

from collections.abc import Callable
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
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.gan import GAN
from lightning_gans.models.inner_optimizers import Unrolled, flat, unrolled
from lightning_gans.networks import Discriminator, Generator
from lightning_gans.networks.state import changed_state, state_of
from lightning_gans.objectives import Objective, ZeroSum
from lightning_gans.optimizers import Adam
from lightning_gans.stabilizer import Stabilizer
from lightning_gans.step import Batch, Step


class UnrolledGAN(GAN):
    """A GAN whose generator faces the discriminator K updates ahead and is differentiated through these updates.

        θ⁰ = θ_D,    θᵏ⁺¹ = θᵏ − η ∇L_D(θ_G, θᵏ),    G: min L_G(θ_G, θᴷ(θ_G)),    D: min L_D(θ_G, θ_D)

    The lookahead uses the discriminator's own update rule and current moments, on the batch and the fakes of the
    generator's step, with stabilizers, gradient clipping and labels as in a real step, in the precision of the weights,
    autocast off. It does not change the discriminator's weights, BatchNorm statistics or optimizer; the discriminator
    then takes an ordinary step. With several processes its gradients are averaged, so that all use the discriminator
    of the whole batch. What a stabilizer does after a step (`WeightClipping`) is not part of it. With K = 0 this is
    `GAN`. Each step costs about as much as a step of both players, and keeps its graph in memory.

    Args:
        generator: as in `GAN`.
        discriminator: as in `GAN`; state that its forward changes must be in buffers, which the lookahead copies.
        unroll_steps: K, at least 0; 5 and 10 in the paper.
        detached: whether θᴷ is a constant in G's gradient, the paper's ablation: G then faces a better discriminator,
            but does not see how its own step changes it.
        inner_optimizer: makes the lookahead's optimizer from the discriminator's parameters: Adam, RMSProp or SGD. It
            starts from the moments of the discriminator's own optimizer where both have the same update rule. None uses
            the discriminator's own.
        objective: the losses of both players; the paper's is the saddle, L_G = −L_D.
        generator_optimizer: makes the generator's optimizer.
        discriminator_optimizer: makes the discriminator's optimizer.
        kwargs: the other arguments of `GAN`.

    Raises:
        ValueError: for a negative K, an optimizer without a derivative, or a discriminator with other state.

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
        arguments.whole(self, 0, unroll_steps=unroll_steps)
        super().__init__(generator, discriminator, objective, generator_optimizer, discriminator_optimizer, **kwargs)
        self.unroll_steps = unroll_steps
        self.detached = detached
        self.inner_optimizer = inner_optimizer
        self._current_optimizer: Optimizer | None = None  # the discriminator's, while a batch is trained on
        self._state_checked = False
        self.mixes_batch = unroll_steps > 0  # G faces a discriminator that is ahead on what it sees of a batch

    @override
    def setup(self, stage: str) -> None:
        super().setup(stage)
        for stabilizer in self.active_stabilizers if self.unroll_steps else ():
            if type(stabilizer).on_discriminator_step_end is not Stabilizer.on_discriminator_step_end:
                left_out = "acts after the discriminator's real steps only, not in the lookahead of UnrolledGAN."
                rank_zero_warn(f"{stabilizer} {left_out}", category=UserWarning)

    @override
    def configure_optimizers(self) -> Any:
        optimizers, schedulers = super().configure_optimizers()
        if self.unroll_steps:
            unrolled(self._inner(optimizers[1]))  # raises for an optimizer that has no derivative
        return optimizers, schedulers

    @override
    def train_batch(
        self,
        batch: Batch,
        generator_optimizer: Optimizer | LightningOptimizer,
        discriminator_optimizer: Optimizer | LightningOptimizer,
    ) -> dict[str, Step]:
        own = discriminator_optimizer
        self._current_optimizer = own.optimizer if isinstance(own, LightningOptimizer) else own
        try:
            return super().train_batch(batch, generator_optimizer, discriminator_optimizer)
        finally:
            self._current_optimizer = None

    @override
    def opponent(self, batch: Batch, fake: Tensor) -> Callable[..., Tensor]:
        """Return the discriminator after K steps against these fakes, as a function of its input."""
        if not self.unroll_steps:
            return super().opponent(batch, fake)
        before = None if self._state_checked else state_of(self.discriminator)
        own = self._current_optimizer or self.discriminator_optimizer(self.discriminator.parameters())
        ahead = _LookAheadDiscriminator(self)
        rule = unrolled(self._inner(own), moments_of=own)
        if self.detached or not fake.requires_grad:
            theta, _ = self._look_ahead(batch, fake.detach(), ahead, rule)
        else:
            theta = _LookAhead.apply(fake, self, batch, ahead, rule)
        changed = None if before is None else changed_state(self.discriminator, before)
        if changed:
            raise ValueError(
                f"{type(self.discriminator).__name__} cannot be unrolled: a lookahead changed its `{changed}`; keep "
                "state that a forward changes in a buffer (register_buffer), or use unroll_steps 0."
            )
        self._state_checked = True
        return partial(ahead.discriminate, ahead.parts(theta))

    @torch.enable_grad()
    def _look_ahead(
        self, batch: Batch, fake: Tensor, ahead: _LookAheadDiscriminator, rule: Unrolled
    ) -> tuple[Tensor, list[tuple]]:
        """Return θᴷ, and for each step what its derivative needs: weights, their slopes, gradient, clipped gradient."""
        tape: list[tuple] = []
        theta = ahead.theta
        self.looking_ahead = True
        try:
            with torch.autocast(fake.device.type, enabled=False):
                for _ in range(self.unroll_steps):
                    weights = [part.detach().requires_grad_() for part in ahead.parts(theta)]
                    loss = ahead.loss(weights, batch, fake)
                    slopes = torch.autograd.grad(loss, weights, create_graph=fake.requires_grad, materialize_grads=True)
                    gradient = clipped = _averaged(flat(slopes))
                    if self.discriminator_clip is not None:
                        gradient = gradient.requires_grad_()
                        clipped = gradient * (self.discriminator_clip / (gradient.norm() + 1e-6)).clamp(max=1.0)
                    tape.append((weights, slopes, gradient, clipped))
                    theta = rule.step(theta, clipped.detach())
        finally:
            self.looking_ahead = False
        return theta, tape

    def _inner(self, own: Optimizer) -> Optimizer:
        return self.inner_optimizer(self.discriminator.parameters()) if self.inner_optimizer else own


class _LookAhead(torch.autograd.Function):
    """θᴷ as a function of the fakes; its derivative goes back through the steps one by one.

    With λ = ∂L_G/∂θᵏ⁺¹ and u the derivative with respect to the gradient gᵏ = ∇_θ L_D(fake, θᵏ) that the update rule
    gives for λ, one product of u with the derivatives of gᵏ gives what the step adds to ∂L_G/∂θᵏ and to ∂L_G/∂fake.
    Autograd alone gives the same, but differentiates every operation of the optimizer, and θ⁰, which is not needed.
    """

    @staticmethod
    @override
    def forward(ctx: Any, fake: Tensor, gan: Any, batch: Batch, ahead: Any, rule: Unrolled) -> Tensor:
        ctx.fake, ctx.ahead, ctx.rule = fake.detach().requires_grad_(), ahead, rule
        theta, ctx.tape = gan._look_ahead(batch, ctx.fake, ahead, rule)
        return theta

    @staticmethod
    @once_differentiable
    @override
    def backward(ctx: Any, adjoint: Tensor) -> tuple[Tensor | None, ...]:
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
            inputs = [ctx.fake, *weights] if ctx.tape else [ctx.fake]  # the derivative with respect to θ⁰ is not needed
            outputs, pulls = zip(*moving, strict=True)
            try:
                of_this, *of_weights = torch.autograd.grad(outputs, inputs, pulls, materialize_grads=True)
            except RuntimeError as error:
                raise ValueError(
                    f"the lookahead cannot be differentiated: {str(error).splitlines()[0]} Leave out what lacks the "
                    "derivative (Batch- and InstanceNorm, of a gradient penalty: norm: null), or use detached: true."
                ) from error
            of_fake += of_this
            if ctx.tape:
                adjoint = adjoint + flat(of_weights)
        return of_fake, None, None, None, None


class _LookAheadDiscriminator(nn.Module):
    """The discriminator and its step with other weights in place of its own, and with copies of its buffers."""

    def __init__(self, gan: UnrolledGAN):
        super().__init__()
        self.discriminator = gan.discriminator
        self._step = gan.discriminator_step
        trained = {name: weight for name, weight in self.named_parameters() if weight.requires_grad}
        self.names = list(trained)
        self.shapes = [weight.shape for weight in trained.values()]
        self.sizes = [weight.numel() for weight in trained.values()]
        self.theta = flat(trained.values())
        self.copies = {name: buffer.clone() for name, buffer in self.named_buffers()}

    def parts(self, vector: Tensor) -> list[Tensor]:
        """Return a flat vector in the shapes of the weights."""
        return [part.view(shape) for part, shape in zip(vector.split(self.sizes), self.shapes, strict=True)]

    def loss(self, weights: list[Tensor], batch: Batch, fake: Tensor) -> Tensor:
        """Return the discriminator's loss with these weights."""
        return self._with_weights(weights, lambda: self._step(batch, fake).loss)

    def discriminate(self, weights: list[Tensor], *inputs: Tensor) -> Tensor:
        """Return the discriminator's logits with these weights."""
        return self._with_weights(weights, lambda: self.discriminator(*inputs))

    def _with_weights(self, weights: list[Tensor], function: Callable[[], Tensor]) -> Tensor:
        result = functional_call(self, dict(zip(self.names, weights, strict=True)) | self.copies, (function,))
        self.copies = {name: copy.clone() for name, copy in self.copies.items()}  # a graph may need these unchanged
        return result

    @override
    def forward(self, function: Callable[[], Tensor]) -> Tensor:
        return function()  # called by functional_call, while the weights are in place


def _averaged(gradient: Tensor) -> Tensor:
    """Return the mean over processes, which is linear and its own transpose."""
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        dist.all_reduce(gradient := gradient.clone())
        gradient /= dist.get_world_size()
    return gradient
