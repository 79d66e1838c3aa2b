"""The GAN: two networks, one objective, and alternating updates of the two players."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from lightning.pytorch import Callback
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor
from torch.optim import Optimizer
from typing_extensions import override

from lightning_gans import arguments, batches, distributed, hooks
from lightning_gans.attached import attached
from lightning_gans.base import ReproducibleModule
from lightning_gans.networks import Discriminator, Generator, adapt_networks
from lightning_gans.networks.state import as_in_training
from lightning_gans.objectives import NonSaturating, Objective
from lightning_gans.optimizers import Adam
from lightning_gans.stabilizer import Stabilizer, rebuild_network_changes
from lightning_gans.step import LOGIT_METRICS, PROGRESS_METRICS, Batch, Step
from lightning_gans.training import attach_callbacks, batch_sizes, checks, returns_metrics
from lightning_gans.training.player_update import AnyOptimizer, backward_in_parts, frozen, owner, step_optimizer


class GAN(ReproducibleModule):
    """Two networks trained against each other, one optimizer step each in turn.

    On every batch the discriminator is updated; on every `n_critic`-th batch the generator is updated too:

        discriminator: min over D of L_D(D(x), D(G(z))),    generator: min over G of L_G(D(G(z)))

    A batch is samples (N, …), alone or with labels, in any form that `samples_and_labels` reads; images are in [−1, 1].
    Conditional networks use the labels. Every `Stabilizer` among the Trainer's callbacks, or in `self.stabilizers`,
    takes part. Without a Trainer, `train_batch` trains on a batch, and `gan.discriminator_step(batch).loss.backward()`
    gives one player's gradient. The default learning rates follow the two time-scale update rule, D's above G's.

    Subclass by overriding, from small to large: `opponent` (the discriminator that the generator faces),
    `discriminate` (how the discriminator sees samples), `discriminator_step`, `generator_step`, `train_batch`. No
    hook needs `super()` but `setup` and the checkpoint hooks; a `training_step` without it calls `seed_batch` first.

    Args:
        generator: maps latents (N, latent_dim) to samples; it knows its latents and number of classes.
        discriminator: maps samples to logits (N,), or to several for each, such as (N, 1, H, W) of patches. Plain torch
            modules become a `PlainGenerator` and a `PlainDiscriminator`.
        objective: the losses of both players.
        generator_optimizer: makes the generator's optimizer from its parameters.
        discriminator_optimizer: the same for the discriminator.
        generator_scheduler: makes a learning-rate schedule from the generator's optimizer, stepped after each of its
            updates, or every epoch where it returns {"scheduler": …, "interval": "epoch"}. None keeps the rate.
        discriminator_scheduler: the same for the discriminator.
        generator_clip: the largest norm of the generator's whole gradient, finite, above 0; None for no clipping.
        discriminator_clip: the same for the discriminator.
        generator_accumulation: number of parts in which the generator processes a batch, to need less memory; their
            gradients are averaged, and BatchNorm sees the parts. A loss that needs the whole batch is refused.
        discriminator_accumulation: the same for the discriminator.
        n_critic: discriminator updates per generator update.

    Attributes:
        stabilizers: the module's own, for use without a Trainer and for the parts of an algorithm.
        network_changes: what stabilizers changed in the networks, as a checkpoint keeps it.
        generator_updates, discriminator_updates: updates so far; the schedules of stabilizers count the generator's.
        samples_seen: real samples so far, of all processes.
        last_steps: the last step of each player, detached, with the number of its batch.
        last_samples: the real samples of the last batch, as `unpack_batch` gave them.
        looking_ahead: whether the current steps are those of a lookahead, as in `UnrolledGAN`.

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
        self.save_plain_hyperparameters()
        arguments.positive(self, generator_clip=generator_clip, discriminator_clip=discriminator_clip)
        arguments.whole(self, 1, generator_accumulation=generator_accumulation)
        arguments.whole(self, 1, discriminator_accumulation=discriminator_accumulation, n_critic=n_critic)
        generator, discriminator = adapt_networks(generator, discriminator)
        self.check_networks(generator, discriminator)
        self.automatic_optimization = False
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
        self.stabilizers: list[Stabilizer] = []
        self.network_changes: list[dict[str, Any]] = []
        self.generator_updates = 0
        self.discriminator_updates = 0
        self.samples_seen = 0
        self.looking_ahead = False
        self.epoch_schedulers: list[Any] = []
        self.last_steps: dict[str, Step] = {}
        self.last_samples: Tensor | None = None
        self.batch_in_hand: tuple[Any, Any] | None = None  # with its samples and labels

    def check_networks(self, generator: Generator, discriminator: Discriminator) -> None:
        """Refuse a D of other classes than G or, unless `discriminate` is overridden, for samples of another shape."""
        checks.networks_fit(generator, discriminator, shapes=type(self).discriminate is GAN.discriminate)

    @property
    def active_stabilizers(self) -> list[Stabilizer]:
        """The module's own stabilizers, then those among the Trainer's callbacks, in order."""
        trainer = self._attached_trainer()
        return self.stabilizers + ([] if trainer is None else attached(trainer, Stabilizer))

    def needing_whole_batch(self, player: str) -> list[Any]:
        """Return what makes a player's loss another function of its batch than a mean over samples."""
        return checks.needing_whole_batch(player, self.objective, *self.active_stabilizers)

    def player_of(self, optimizer: Optimizer) -> str:
        """Return whose optimizer it is, "generator" or "discriminator"."""
        return owner(optimizer, self.generator, self.discriminator)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return samples from latents (N, latent_dim)."""
        return self.generator(z) if labels is None else self.generator(z, labels)

    def unpack_batch(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Return the samples of a batch, in the networks' precision, and its labels where they are conditional."""
        return batches.samples_and_labels(batch, self.generator.num_classes, self.dtype)  # type: ignore[arg-type]

    def generate(self, num: int, labels: Tensor | None = None) -> Tensor:
        """Return `num` samples from fresh latents, in the precision of the parameters."""
        z = self.sample_latents(num)
        return checks.generated(self.generator, self(z, labels), num).to(z.dtype)

    def sample_latents(self, num: int) -> Tensor:
        """Return latents (num, latent_dim) on the module's device, in the precision of the parameters."""
        return self.generator.latents.sample(num, device=self.device, dtype=self.dtype)  # type: ignore[arg-type]

    def opponent(self, batch: Batch, fake: Tensor) -> Callable[..., Tensor]:
        """Return the discriminator that the generator faces with these fakes, which require grad."""
        return self.discriminator

    def discriminate(self, discriminator: Callable[..., Tensor], x: Tensor, labels: Tensor | None) -> Tensor:
        """Return the logits of samples, (N,) or, as of patches, (N, …), in single precision or better."""
        logits = discriminator(x, labels) if labels is not None and self.discriminator.num_classes else discriminator(x)
        checks.logits(logits, len(x), self.discriminator)
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    @contextmanager
    def evaluation_weights(self) -> Iterator[None]:
        """Use the generator's weights for evaluation inside the block, such as the average of `GeneratorEMA`."""
        with ExitStack() as stack:
            for stabilizer in self.active_stabilizers:
                stack.enter_context(stabilizer.evaluation_weights(self))
            yield

    # ---------------------------------------------------------------- the two steps

    def discriminator_step(
        self, batch: Batch, fake: Tensor | None = None, discriminator: Callable[..., Tensor] | None = None
    ) -> Step:
        """Return the discriminator's loss on a batch, with its graph; it needs no optimizer and no Trainer.

        `fake` are as many samples, None to generate them; `discriminator` returns the logits, None for the module's.
        """
        real, labels = batches.read(self, batch)
        discriminator = self.discriminator if discriminator is None else discriminator
        stabilizers = self.active_stabilizers
        if fake is None:
            with torch.no_grad():
                fake = self.generate(len(real), labels)
        for stabilizer in stabilizers:
            fake = hooks.fake_samples(stabilizer, self, fake, labels)
            real = hooks.real_samples(stabilizer, self, real, labels)
        for stabilizer in stabilizers:
            real = hooks.discriminator_input(stabilizer, self, real)
            fake = hooks.discriminator_input(stabilizer, self, fake)
        real_logits = self.discriminate(discriminator, real, labels)
        fake_logits = self.discriminate(discriminator, fake, labels)
        real_targets = fake_targets = None
        if stabilizers:
            real_targets, fake_targets = real_logits.new_ones(len(real_logits)), fake_logits.new_zeros(len(fake_logits))
            for stabilizer in stabilizers:
                real_targets, fake_targets = hooks.targets(stabilizer, self, real_targets, fake_targets)
        loss = self.objective.discriminator_loss(real_logits, fake_logits, real_targets, fake_targets)
        step = Step(loss, fake, fake_logits, real, real_logits, labels, discriminator)
        for stabilizer in stabilizers:
            step.loss = hooks.discriminator_loss(stabilizer, self, step)
        return step

    def generator_step(self, batch: Batch, fake: Tensor | None = None) -> Step:
        """Return the generator's loss on a batch, with its graph; `fake` are samples that require grad, if given."""
        real, labels = batches.read(self, batch)
        stabilizers = self.active_stabilizers
        fake = self.generate(len(real), labels) if fake is None else fake
        discriminator = self.opponent(batch, fake)
        for stabilizer in stabilizers:
            discriminator = hooks.opponent(stabilizer, self, discriminator)
        with frozen(self.discriminator):
            for stabilizer in stabilizers:
                fake = hooks.discriminator_input(stabilizer, self, fake)
            fake_logits = self.discriminate(discriminator, fake, labels)
            step = Step(fake_logits, fake, fake_logits, labels=labels, discriminator=discriminator)
            if self.objective.needs_real_logits or any(stabilizer.reads_real for stabilizer in stabilizers):
                for stabilizer in stabilizers:
                    real = hooks.discriminator_input(stabilizer, self, real)
                step.real = real
            if self.objective.needs_real_logits:
                step.real_logits = self.discriminate(discriminator, real, labels)
            step.loss = self.objective.generator_loss(fake_logits, step.real_logits)
            for stabilizer in stabilizers:
                step.loss = hooks.generator_loss(stabilizer, self, step)
        return step

    # ---------------------------------------------------------------- training

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Step]:
        """Train on one batch; callbacks find the detached steps as `outputs` of `on_train_batch_end`."""
        self.seed_batch()
        optimizers = self.optimizers()
        with batches.reading(self, batch) as (x, _), distributed.synchronized(self.trainer.strategy.model):
            steps = self.train_batch(batch, *(optimizers if isinstance(optimizers, list) else [optimizers]))
            distributed.broadcast_buffers(self)
        self.has_trained = True
        self.samples_seen += len(x) * self.trainer.world_size
        return steps

    def train_batch(
        self, batch: Batch, generator_optimizer: AnyOptimizer, discriminator_optimizer: AnyOptimizer
    ) -> dict[str, Step]:
        """Update the discriminator on a batch, then the generator where it is due; return their last steps, detached.

        Where both are updated they share one forward of the generator: the fakes are made once with grad, and the
        discriminator sees them detached. Without a Trainer, pass torch optimizers.
        """
        updates = dict(zip(("discriminator", "generator"), self.updates_per_batch(), strict=True))
        optimizers = {"discriminator": discriminator_optimizer, "generator": generator_optimizer}
        fake: Tensor | None = None
        steps: dict[str, Step] = {}
        with batches.reading(self, batch) as (real, labels), batch_sizes.explained():
            if all(updates.values()) and self.generator_accumulation == self.discriminator_accumulation == 1:
                fake = self.generate(len(real), labels)
            for player, number in updates.items():
                shared = fake.detach() if fake is not None and player == "discriminator" else fake
                for update in range(number):
                    first = shared if update == 0 else None
                    steps[player] = self.update(player, optimizers[player], batch, first, counted=not steps)
        return steps

    def updates_per_batch(self) -> tuple[int, int]:
        """Return how many updates the discriminator and the generator make on the coming batch."""
        updates = (1, int((self.discriminator_updates + 1) % self.n_critic == 0))
        for stabilizer in self.active_stabilizers:
            updates = hooks.updates_per_batch(stabilizer, self, updates)
        if min(updates) < 0 or sum(updates) == 0:
            raise ValueError(f"{updates} updates of discriminator and generator: expected at least one of either.")
        return updates

    def update(
        self, player: str, optimizer: AnyOptimizer, batch: Batch, fake: Tensor | None = None, counted: bool = True
    ) -> Step:
        """Update one player: backward, clipping, optimizer and scheduler step, count; return its step, detached.

        With a gradient scaler (16-mixed) a gradient that overflows changes no weight; such an update counts like any
        other, in `discriminator_updates`, `global_step` and schedules.

        Args:
            player: "generator" or "discriminator".
            optimizer: the player's; inside a Trainer Lightning's wrapper, which handles precision and processes.
            batch: real samples, or samples and labels.
            fake: passed to the player's step.
            counted: whether the Trainer's `global_step` counts this update, as it does one per batch.
        """
        optimizer.zero_grad()
        step = backward_in_parts(self, player, optimizer, batch, fake)
        distributed.average_gradients(parameter for group in optimizer.param_groups for parameter in group["params"])
        step_optimizer(self, player, optimizer, counted)
        self.last_steps[player] = step
        setattr(self, f"{player}_updates", getattr(self, f"{player}_updates") + 1)
        for stabilizer in self.active_stabilizers:
            getattr(stabilizer, f"on_{player}_step_end")(self)
        return step

    @returns_metrics(*PROGRESS_METRICS, *LOGIT_METRICS)
    def metrics(self, steps: dict[str, Step]) -> dict[str, Tensor | float]:
        """Return what `TrainingLog` logs beside losses: progress, and how the discriminator separates samples."""
        counts = self.generator_updates, self.discriminator_updates, self.samples_seen
        progress = dict(zip(PROGRESS_METRICS, map(float, counts), strict=True))
        return progress | (steps["discriminator"].logit_metrics() if "discriminator" in steps else {})

    # ---------------------------------------------------------------- evaluation

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Log losses and logits of held-out samples, which D finds less real than a training set that it memorised."""
        if self.trainer.state.fn == "fit" and not self.trainer.sanity_checking:
            self.seed_batch(dataloader_idx, batch_idx)
        self._log_evaluation(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Log losses on the test split."""
        self._log_evaluation(batch, "test")

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Return as many samples as the batch has, with its labels where the networks are conditional."""
        real, labels = self.unpack_batch(batch)
        return self.generate(len(real), labels)

    @returns_metrics("discriminator_loss", "generator_loss", "real_logit", "fake_logit")
    def evaluation_metrics(self, batch: Batch) -> dict[str, Tensor]:
        """Return what is logged under `val/` and `test/`; D sees samples as in training, to compare the two."""
        real, labels = batches.read(self, batch)
        fake = self.generate(len(real), labels)
        for stabilizer in self.active_stabilizers:
            real, fake = (hooks.discriminator_input(stabilizer, self, x) for x in (real, fake))
        with as_in_training(self.discriminator, len(real)):
            real_logits, fake_logits = (self.discriminate(self.discriminator, x, labels) for x in (real, fake))
        return {
            "discriminator_loss": self.objective.discriminator_loss(real_logits, fake_logits),
            "generator_loss": self.objective.generator_loss(fake_logits, real_logits),
            "real_logit": real_logits.mean(),
            "fake_logit": fake_logits.mean(),
        }

    def _log_evaluation(self, batch: Batch, split: str) -> None:
        with batches.reading(self, batch) as (x, _):
            metrics = {f"{split}/{name}": value for name, value in self.evaluation_metrics(batch).items()}
        self.log_dict(metrics, batch_size=len(x), sync_dist=True)

    # ---------------------------------------------------------------- Lightning's other hooks

    def configure_optimizers(self) -> Any:
        """Return the generator's optimizer, then the discriminator's, each with its schedule if it has one."""
        optimizers, schedulers = [], []
        for player in ("generator", "discriminator"):
            parameters = list(getattr(self, player).parameters())
            if parameters:  # else there is nothing to train
                optimizers.append(getattr(self, f"{player}_optimizer")(parameters))
                make_scheduler = getattr(self, f"{player}_scheduler")
                schedulers += [make_scheduler(optimizers[-1])] if make_scheduler else []
        self.epoch_schedulers = checks.schedules(schedulers)
        return optimizers, schedulers

    @override
    def configure_callbacks(self) -> list[Callback]:
        checks.trainer_settings(self.trainer)  # in the first hook of a run
        hooks.check_stabilizers(self)
        if self.trainer.state.fn == "fit":
            checks.losses_fit(self)
        return list(super().configure_callbacks())

    @override
    def setup(self, stage: str) -> None:
        super().setup(stage)
        for stabilizer in self.stabilizers:  # as Lightning does for those of the Trainer
            stabilizer.setup(self.trainer, self, stage)
        checks.layers_in_parts(self)
        clips = any((self.generator_clip, self.discriminator_clip))
        kinds = {type(self).evaluation_weights, *(type(one).evaluation_weights for one in self.active_stabilizers)}
        attach_callbacks(self.trainer, clips, bool(kinds - {GAN.evaluation_weights, Stabilizer.evaluation_weights}))

    @override
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["gan_network_changes"] = self.network_changes
        for stabilizer in self.stabilizers:
            stabilizer.on_save_checkpoint(self.trainer, self, checkpoint)
        if "callbacks" not in checkpoint:  # weights alone, for which Lightning does not ask its callbacks
            for callback in attached(self.trainer, Callback):
                if getattr(callback, "saves_with_weights", False):
                    callback.on_save_checkpoint(self.trainer, self, checkpoint)

    @override
    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        trainer = self._attached_trainer()
        if trainer is None:  # with a Trainer its callbacks have changed the networks by now
            for change in rebuild_network_changes(checkpoint):
                change.apply_to(self)
        super().on_load_checkpoint(checkpoint)
        if trainer is not None:
            for stabilizer in self.stabilizers:
                stabilizer.on_load_checkpoint(trainer, self, checkpoint)

    @override
    def get_extra_state(self) -> dict[str, Any]:
        return {
            "generator_updates": self.generator_updates,
            "discriminator_updates": self.discriminator_updates,
            "samples_seen": self.samples_seen,
            "stabilizers": [stabilizer.state_dict() for stabilizer in self.stabilizers],
        }

    @override
    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.generator_updates = state["generator_updates"]
        self.discriminator_updates = state["discriminator_updates"]
        self.samples_seen = state.get("samples_seen", 0)
        for stabilizer, saved in zip(self.stabilizers, state["stabilizers"], strict=False):
            stabilizer.load_state_dict(saved)
