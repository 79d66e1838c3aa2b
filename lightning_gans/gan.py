"""The game: two networks, one objective, and the alternating steps of the two players."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_gans import checks, processes
from lightning_gans.networks import Discriminator, Generator
from lightning_gans.objectives import NonSaturating, Objective
from lightning_gans.optimizers import Adam
from lightning_gans.run import Run

if not torch.cuda.is_available():  # Lightning sets this for forks of GPU processes; without a GPU it makes every
    os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)  # optimizer step look for a driver, 0.2 ms each time

Batch = Tensor | tuple[Tensor, Tensor] | list[Tensor]


@dataclass
class Step:
    """The record of one player's step, for stabilizers, which may still use its graph, and for observers.

    Attributes:
        loss: what the player minimises, a scalar.
        fake: generated samples as the discriminator saw them, (N, …).
        fake_logits: (N,).
        real: real samples as the discriminator saw them, (N, …); in the generator's step only where the
            objective or a stabilizer reads them.
        real_logits: (N,); in the generator's step only where the objective needs them.
        labels: (N,) integers of a conditional game, else None.
        discriminator: who judged: the discriminator, or what an algorithm put in its place; the latter is
            None once detached.
        terms: what stabilizers added to the loss, by name, for the log.
    """

    loss: Tensor
    fake: Tensor
    fake_logits: Tensor
    real: Tensor | None = None
    real_logits: Tensor | None = None
    labels: Tensor | None = None
    discriminator: Callable[..., Tensor] | None = None
    terms: dict[str, Tensor] = field(default_factory=dict)

    def detached(self) -> Step:
        """The same record without its graph."""
        tensors = (self.loss, self.fake, self.fake_logits, self.real, self.real_logits)
        detached: list[Any] = [None if tensor is None else tensor.detach() for tensor in tensors]
        terms = {name: term.detach() for name, term in self.terms.items()}
        judge = self.discriminator if isinstance(self.discriminator, nn.Module) else None
        return Step(*detached, self.labels, judge, terms)  # type: ignore[call-arg]


class GAN(Run):
    """Two networks that play an objective against each other, one optimizer step each in turn.

    On every batch the discriminator takes a step; on every `n_critic`-th the generator takes one too:

        discriminator: min over D of L_D(D(x), D(G(z))),    generator: min over G of L_G(D(G(z)))

    A batch is a tensor of samples (N, …), or a pair (samples, labels); images are in [−1, 1]. Labels count
    when the networks are conditional. Any `Stabilizer` among the Trainer's callbacks, or in
    `self.stabilizers`, takes part. Without a Trainer, `alternate` plays one batch, and
    `gan.discriminator_step(batch).loss.backward()` is one player's gradient.

    Subclass by overriding, from small to large: `opponent` (the discriminator that the generator faces),
    `judge` (how the discriminator sees samples), `discriminator_step`, `generator_step`, `alternate`.

    The defaults follow the two time-scale update rule: two visible learning rates, D's above G's.

    Args:
        generator: maps latents (N, latent_dim) to samples; it knows its latents and number of classes.
        discriminator: maps samples to logits (N,).
        objective: what the players pay.
        generator_optimizer: makes the generator's optimizer from its parameters.
        discriminator_optimizer: the same for the discriminator.
        generator_scheduler: makes a learning-rate schedule from the generator's optimizer; it is stepped
            after every generator update. None keeps the rate constant.
        discriminator_scheduler: the same for the discriminator.
        generator_clip: the largest norm of the generator's whole gradient; None for no clipping.
        discriminator_clip: the same for the discriminator.
        generator_accumulation: in how many parts the generator works through a batch, to need less memory;
            gradients are averaged, BatchNorm sees the parts. A batch stays one step.
        discriminator_accumulation: the same for the discriminator.
        n_critic: discriminator steps per generator step.

    Raises:
        ValueError: for networks that do not fit each other or numbers out of range.

    Reference:
        Goodfellow et al., Generative Adversarial Nets, NeurIPS 2014, arXiv 1406.2661; Heusel et al., GANs
        Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium, NeurIPS 2017,
        arXiv 1706.08500; Zhang et al., Self-Attention GAN, ICML 2019, arXiv 1805.08318 (rates 1e-4, 4e-4).
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        objective: Objective = NonSaturating(),  # noqa: B008 - it has no state
        generator_optimizer: OptimizerCallable = lambda params: Adam(params, lr=1e-4, beta1=0.5),
        discriminator_optimizer: OptimizerCallable = lambda params: Adam(params, lr=4e-4, beta1=0.5),
        generator_scheduler: LRSchedulerCallable | None = None,
        discriminator_scheduler: LRSchedulerCallable | None = None,
        generator_clip: float | None = None,
        discriminator_clip: float | None = None,
        generator_accumulation: int = 1,
        discriminator_accumulation: int = 1,
        n_critic: int = 1,
    ):
        super().__init__()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*is an instance of `nn.Module`.*")
            self.save_hyperparameters()
        for name in [name for name, value in self.hparams.items() if not checks.is_plain(value)]:
            del self.hparams[name]
        self.save_hyperparameters(dict(self.hparams))  # again, for the copy that Lightning made of the first
        checks.positive(generator_clip=generator_clip, discriminator_clip=discriminator_clip)
        checks.whole(
            generator_accumulation=generator_accumulation,
            discriminator_accumulation=discriminator_accumulation,
            n_critic=n_critic,
        )
        self.check_networks(generator, discriminator)
        self.generator = generator
        self.discriminator = discriminator
        self.objective = objective
        self.generator_optimizer = generator_optimizer
        self.discriminator_optimizer = discriminator_optimizer
        self.generator_scheduler = generator_scheduler
        self.discriminator_scheduler = discriminator_scheduler
        self.generator_clip = generator_clip
        self.discriminator_clip = discriminator_clip
        self.generator_accumulation = generator_accumulation
        self.discriminator_accumulation = discriminator_accumulation
        self.n_critic = n_critic

    # ---------------------------------------------------------------- what the game is made of

    def check_networks(self, generator: Generator, discriminator: Discriminator) -> None:
        """Refuse networks that do not fit each other."""
        checks.networks_fit(generator, discriminator, shapes=type(self).judge is GAN.judge)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Samples from latents (N, latent_dim)."""
        return self.generator(z) if labels is None else self.generator(z, labels)

    def unpack(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Samples, and labels where the game is conditional."""
        x, labels = batch if isinstance(batch, tuple | list) else (batch, None)
        return x, labels if self.generator.num_classes else None

    def generate(self, num: int, labels: Tensor | None = None) -> Tensor:
        """`num` samples from fresh latents, in the precision of the parameters."""
        z = self.generator.latents.sample(num, device=self.device, dtype=self.dtype)  # type: ignore[arg-type]
        return self(z, labels).to(z.dtype)

    def opponent(self, batch: Batch, fake: Tensor) -> Callable[..., Tensor]:
        """The discriminator that the generator faces with these fakes, which carry a gradient."""
        return self.discriminator

    def judge(self, discriminator: Callable[..., Tensor], x: Tensor, labels: Tensor | None) -> Tensor:
        """The logits of samples, in single precision or better."""
        logits = discriminator(x) if labels is None else discriminator(x, labels)
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def discriminator_step(
        self, batch: Batch, fake: Tensor | None = None, discriminator: Callable[..., Tensor] | None = None
    ) -> Step:
        """The discriminator's loss on a batch, with its graph; no optimizer, no logging, no Trainer.

        Args:
            batch: real samples, or samples and labels.
            fake: as many generated samples; None generates them, without a gradient.
            discriminator: who judges, `self.discriminator` unless an algorithm says otherwise.
        """
        real, labels = self.unpack(batch)
        discriminator = self.discriminator if discriminator is None else discriminator
        stabilizers = self.active_stabilizers
        if fake is None:
            with torch.no_grad():
                fake = self.generate(len(real), labels)
        for stabilizer in stabilizers:
            fake = stabilizer.on_fake_samples(self, fake, labels)
        for stabilizer in stabilizers:
            real = stabilizer.on_discriminator_input(self, real)
            fake = stabilizer.on_discriminator_input(self, fake)
        real_logits = self.judge(discriminator, real, labels)
        fake_logits = self.judge(discriminator, fake, labels)
        real_targets = fake_targets = None
        if stabilizers:
            real_targets, fake_targets = torch.ones_like(real_logits), torch.zeros_like(fake_logits)
        for stabilizer in stabilizers:
            real_targets, fake_targets = stabilizer.on_targets(self, real_targets, fake_targets)  # type: ignore[arg-type]
        loss = self.objective.discriminator_loss(real_logits, fake_logits, real_targets, fake_targets)
        step = Step(loss, fake, fake_logits, real, real_logits, labels, discriminator)
        for stabilizer in stabilizers:
            step.loss = stabilizer.on_discriminator_loss(self, step, step.loss)
        return step

    def generator_step(self, batch: Batch, fake: Tensor | None = None) -> Step:
        """The generator's loss on a batch, with its graph; the discriminator gets no gradient.

        Args:
            batch: real samples, or samples and labels; the generator makes as many.
            fake: generated samples that carry a gradient; None generates them.
        """
        real, labels = self.unpack(batch)
        stabilizers = self.active_stabilizers
        fake = self.generate(len(real), labels) if fake is None else fake
        discriminator = self.opponent(batch, fake)
        for stabilizer in stabilizers:
            discriminator = stabilizer.on_opponent(self, discriminator)
        with _frozen(self.discriminator):
            for stabilizer in stabilizers:
                fake = stabilizer.on_discriminator_input(self, fake)
            fake_logits = self.judge(discriminator, fake, labels)
            step = Step(fake_logits, fake, fake_logits, labels=labels, discriminator=discriminator)
            if self.objective.needs_real_logits or any(stabilizer.reads_real for stabilizer in stabilizers):
                step.real = real
                for stabilizer in stabilizers:
                    step.real = stabilizer.on_discriminator_input(self, step.real)
            if self.objective.needs_real_logits:
                assert step.real is not None
                step.real_logits = self.judge(discriminator, step.real, labels)
            step.loss = self.objective.generator_loss(fake_logits, step.real_logits)
            for stabilizer in stabilizers:
                step.loss = stabilizer.on_generator_loss(self, step, step.loss)
        return step

    # ---------------------------------------------------------------- one batch

    def alternate(
        self,
        batch: Batch,
        generator_optimizer: Optimizer | LightningOptimizer,
        discriminator_optimizer: Optimizer | LightningOptimizer,
    ) -> dict[str, Step]:
        """Play one batch: the discriminator's step, then the generator's when its turn has come.

        When both move, they share one forward of the generator: the fakes are made once with a gradient and
        the discriminator learns from a detached view. It needs no Trainer: pass two torch optimizers.

        Returns:
            The last step of each player who moved, detached.
        """
        discriminator_turns, generator_turns = self.turns()
        fake = None
        if (
            discriminator_turns
            and generator_turns
            and self.generator_accumulation == self.discriminator_accumulation == 1
        ):
            real, labels = self.unpack(batch)
            fake = self.generate(len(real), labels)
        steps, shown = {}, None if fake is None else fake.detach()
        for turn in range(discriminator_turns):
            steps["discriminator"] = self.update(
                discriminator_optimizer,
                self.discriminator_step,
                batch,
                None if turn else shown,
                self.discriminator_accumulation,
                counted=turn == 0,
            )
            self.discriminator_updates += 1
            for stabilizer in self.active_stabilizers:
                stabilizer.on_discriminator_step_end(self)
        for turn in range(generator_turns):
            steps["generator"] = self.update(
                generator_optimizer,
                self.generator_step,
                batch,
                None if turn else fake,
                self.generator_accumulation,
                counted=turn == discriminator_turns == 0,
            )
            self.generator_updates += 1
            for stabilizer in self.active_stabilizers:
                stabilizer.on_generator_step_end(self)
        return steps

    def turns(self) -> tuple[int, int]:
        """How many steps the discriminator and the generator take on the coming batch."""
        turns = (1, int((self.discriminator_updates + 1) % self.n_critic == 0))
        for stabilizer in self.active_stabilizers:
            turns = stabilizer.on_turns(self, *turns)
        if min(turns) < 0 or sum(turns) == 0:
            raise ValueError(f"{turns} turns of discriminator and generator: expected at least one of either.")
        return turns

    def update(
        self,
        optimizer: Optimizer | LightningOptimizer,
        play: Callable[[Batch, Tensor | None], Step],
        batch: Batch,
        fake: Tensor | None = None,
        accumulation: int = 1,
        counted: bool = True,
    ) -> Step:
        """One player's move: backward, clipping, the optimizer's step and its schedule's; of parts, the last one's.

        With a gradient scaler (16-mixed) a gradient that overflows moves nothing, and the other player goes on. Such
        a step counts as one, in `discriminator_updates`, `global_step` and schedules alike, so that all stay in step.

        Args:
            optimizer: the player's; Lightning's own wrapper inside a Trainer, which handles precision and
                processes, or any torch optimizer.
            play: `discriminator_step` or `generator_step`.
            batch: real samples, or samples and labels.
            fake: passed on to `play`.
            accumulation: in how many parts to work through the batch.
            counted: whether this step counts for the Trainer's `global_step`. One step a batch does, so that
                `max_steps` and `every_n_train_steps` mean batches.
        """
        optimizer.zero_grad()
        for part, share in _parts(batch, accumulation):
            step = play(part, fake)
            loss = step.loss * share if accumulation > 1 else step.loss
            self.manual_backward(loss) if isinstance(optimizer, LightningOptimizer) else loss.backward()
        processes.average_gradients(parameter for group in optimizer.param_groups for parameter in group["params"])
        if not isinstance(optimizer, LightningOptimizer):
            self.on_before_optimizer_step(optimizer)
            optimizer.step()
            return step.detached()
        if counted:
            optimizer.step()
        else:  # the same, precision and hooks included, but for the count
            self.trainer.strategy.optimizer_step(optimizer.optimizer, lambda: None)
        for config in self.trainer.lr_scheduler_configs:
            if config.scheduler.optimizer is optimizer.optimizer:
                config.scheduler.step()  # type: ignore[call-arg]
        step = step.detached()
        self.watch.note(step)
        return step

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip one player's gradient; Lightning calls this once gradients are unscaled."""
        player = self.player_of(optimizer)
        limit = self.generator_clip if player == "generator" else self.discriminator_clip
        if limit is None and not self.watch.batch:  # outside of a run
            return
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        norm = self.note_gradient(player, [parameter for parameter in parameters if parameter.grad is not None])
        if limit is not None and norm is not None:
            nn.utils.clip_grads_with_norm_(parameters, limit, norm)


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """No gradients for a network's parameters, which saves computing them in the other player's step."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def _parts(batch: Batch, number: int) -> Iterator[tuple[Batch, float]]:
    """A batch in parts, each with its share of the samples."""
    if number == 1:
        yield batch, 1.0
    elif isinstance(batch, Tensor):
        for part in batch.tensor_split(min(number, len(batch))):
            yield part, len(part) / len(batch)
    else:
        splits = [tensor.tensor_split(min(number, len(tensor))) for tensor in batch]
        for parts in zip(*splits, strict=True):
            yield list(parts), len(parts[0]) / len(batch[0])
