"""What Lightning asks of a game: its training loop, optimizers, seeds, logs and checkpoints."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor
from torch.optim import Optimizer

from lightning_gans import checkpoints, checks, processes
from lightning_gans.finite import Watch
from lightning_gans.networks import Discriminator, Generator
from lightning_gans.objectives import Objective
from lightning_gans.stabilizer import Stabilizer

if TYPE_CHECKING:
    from lightning_gans.gan import GAN, Batch, Step


_LOOK_EVERY = 50  # batches, at the most, until numbers that are none are seen


class Run(LightningModule):
    """The life of a game in a Trainer; the game itself is `GAN`, which builds on this."""

    generator: Generator
    discriminator: Discriminator
    objective: Objective
    generator_optimizer: OptimizerCallable
    discriminator_optimizer: OptimizerCallable
    generator_scheduler: LRSchedulerCallable | None
    discriminator_scheduler: LRSchedulerCallable | None
    unpack: Any  # these are the game's methods
    generate: Any
    judge: Any
    alternate: Any

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator_updates = 0
        self.discriminator_updates = 0
        self.samples_seen = 0  # real ones, of all processes together
        self.has_played = False  # whether this process has trained, from wherever
        self.looking_ahead = False  # whether the steps of the moment are imagined ones of an algorithm
        self.stabilizers: list[Stabilizer] = []
        self.network_changes: list[dict[str, Any]] = []
        self._presented = ExitStack()
        self._seed: int | None = None
        self._logs_now = False
        self._gradient_norms: dict[str, Tensor] = {}
        self.watch = Watch()

    @property
    def active_stabilizers(self) -> list[Stabilizer]:
        """The module's own stabilizers, then those among the Trainer's callbacks, in order."""
        trainer = self._attached_trainer()
        callbacks = [] if trainer is None else trainer.callbacks  # type: ignore[attr-defined]
        return self.stabilizers + [callback for callback in callbacks if isinstance(callback, Stabilizer)]

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Step]:
        """Play one batch; the steps, detached, are what observers find in `on_train_batch_end`."""
        optimizers = self.optimizers()
        every, batches = self.trainer.log_every_n_steps, self.trainer.fit_loop.epoch_loop.total_batch_idx + 1  # type: ignore[attr-defined]
        self._logs_now = bool(every) and batches % every == 0  # each key costs more than the rest of a small step
        self.watch.batch = batches
        with processes.playing(self.trainer.strategy.model):
            steps = self.alternate(batch, *(optimizers if isinstance(optimizers, list) else [optimizers]))
            processes.share_buffers(self)
        self.has_played = True
        self.samples_seen += len(self.unpack(batch)[0]) * self.trainer.world_size
        if self._logs_now:
            self._log(steps)
        if self._logs_now or batches % _LOOK_EVERY == 0 or self.trainer.is_last_batch:
            self.watch.look(self)  # type: ignore[arg-type]
        self._logs_now = False
        return steps

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """End a run whose numbers are none, unless a callback has set the game back by now."""
        self.watch.check(self)  # type: ignore[arg-type]

    def on_train_end(self) -> None:
        """Look a last time."""
        self.watch.look(self)  # type: ignore[arg-type]
        self.watch.check(self)  # type: ignore[arg-type]
        self.watch.batch = 0

    @property
    def seed(self) -> int | None:
        """The seed from which the run draws its random numbers; None before it begins."""
        return self._seed

    def player_of(self, optimizer: Optimizer) -> str:
        """Whose optimizer it is, "generator" or "discriminator"."""
        first = optimizer.param_groups[0]["params"][0]
        return "generator" if any(first is own for own in self.generator.parameters()) else "discriminator"

    def note_gradient(self, player: str, parameters: list[Tensor]) -> Tensor | None:
        """The norm of a player's whole gradient, before it is clipped; kept where this batch is logged."""
        if not parameters:
            return None
        norms = self.watch.note_gradient(player, parameters)
        if not self._logs_now and getattr(self, f"{player}_clip") is None:
            return None
        norm = torch.linalg.vector_norm(torch.stack([norm.to(norms[0]) for norm in norms]))
        if self._logs_now:
            self._gradient_norms[player] = norm
        return norm

    def _log(self, steps: dict[str, Step]) -> None:
        losses = {f"loss/{player}": step.loss for player, step in steps.items()}
        losses |= {f"loss/{name}": term for step in steps.values() for name, term in step.terms.items()}
        self.log_dict(losses, prog_bar=True, batch_size=1)
        rates = {
            f"{self.player_of(optimizer)}/learning_rate": optimizer.param_groups[0]["lr"]
            for optimizer in self.trainer.optimizers
        }
        self.log_dict(rates | self.figures(steps), batch_size=1)

    def figures(self, steps: dict[str, Step]) -> dict[str, Tensor | float]:
        """What is logged beside the losses: how far the game is, and how the two players stand.

        `discriminator/separation` is how often the discriminator gives a real sample the higher logit of a pair: 0.5
        where it cannot tell, 1 where it always can, whatever the objective. `gradients/` are norms before clipping.
        """
        figures: dict[str, Tensor | float] = {
            "progress/generator_updates": float(self.generator_updates),
            "progress/discriminator_updates": float(self.discriminator_updates),
            "progress/images": float(self.samples_seen),
        }
        step = steps.get("discriminator")
        if step is not None and step.real_logits is not None:
            figures["discriminator/real_logit"] = step.real_logits.mean()
            figures["discriminator/fake_logit"] = step.fake_logits.mean()
            pairs = min(len(step.real_logits), len(step.fake_logits))
            margins = step.real_logits[:pairs] - step.fake_logits[:pairs]
            figures["discriminator/separation"] = 0.5 + 0.5 * margins.sign().mean()
        figures |= {f"gradients/{player}": norm for player, norm in self._gradient_norms.items()}
        self._gradient_norms = {}
        return figures

    @contextmanager
    def presented(self) -> Iterator[None]:
        """The generator as it should be shown, sampled and scored: such as `GeneratorEMA` keeps it."""
        with ExitStack() as stack:
            for stabilizer in self.active_stabilizers:
                stack.enter_context(stabilizer.presenting(self))  # type: ignore[arg-type]
            yield

    def on_validation_start(self) -> None:
        """Score the generator that is presented."""
        self._presented.enter_context(self.presented())

    def on_validation_end(self) -> None:
        """Go on with the one that learns."""
        self._presented.close()

    on_test_start = on_predict_start = on_validation_start
    on_test_end = on_predict_end = on_validation_end

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Losses on held-out samples: a D that knows its training set by heart shows here and nowhere else."""
        self._evaluate(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Losses on the test split."""
        self._evaluate(batch, "test")

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """As many samples as the batch has, with its labels where the game is conditional."""
        real, labels = self.unpack(batch)
        return self.generate(len(real), labels)

    def _evaluate(self, batch: Batch, split: str) -> None:
        real, labels = self.unpack(batch)
        real_logits = self.judge(self.discriminator, real, labels)
        fake_logits = self.judge(self.discriminator, self.generate(len(real), labels), labels)
        self.log_dict(
            {
                f"{split}/discriminator_loss": self.objective.discriminator_loss(real_logits, fake_logits),
                f"{split}/generator_loss": self.objective.generator_loss(fake_logits, real_logits),
                f"{split}/real_logit": real_logits.mean(),
                f"{split}/fake_logit": fake_logits.mean(),
            },
            batch_size=len(real),
            sync_dist=True,
        )

    def configure_optimizers(self) -> Any:
        """The generator's optimizer, then the discriminator's, each with its schedule if it has one."""
        players = [
            (self.generator, self.generator_optimizer, self.generator_scheduler),
            (self.discriminator, self.discriminator_optimizer, self.discriminator_scheduler),
        ]
        optimizers, schedulers = [], []
        for network, make_optimizer, make_scheduler in players:
            if any(True for _ in network.parameters()):  # a network without parameters never moves
                optimizers.append(make_optimizer(network.parameters()))
                schedulers += [make_scheduler(optimizers[-1])] if make_scheduler else []
        checks.schedules(schedulers)
        return optimizers, schedulers

    def configure_callbacks(self) -> list[Callback]:
        """Check the Trainer's settings; this is the first hook of a run, before anything is prepared."""
        checks.trainer_settings(self.trainer)
        path = self.trainer.ckpt_path
        if path and Path(path).is_file():
            checkpoints.read_checkpoint(path)  # before Lightning does, to refuse it in one line
        return []

    def setup(self, stage: str) -> None:
        """Let the module's own stabilizers prepare, as Lightning does for those of the Trainer."""
        self._presented.close()  # which an evaluation that broke off has left open
        for stabilizer in self.stabilizers:
            stabilizer.setup(self.trainer, self, stage)

    def on_train_start(self) -> None:
        """Remember the run's seed."""
        checks.clipping_sees_gradients(self, self.trainer)
        self.watch.begin()
        if getattr(self.trainer.precision_plugin, "scaler", None) is not None:  # a first step that it skips counts
            warnings.filterwarnings("ignore", message=r"Detected call of `lr_scheduler\.step\(\)` before")
        if self._seed is None or not self.trainer.ckpt_path:  # one for all processes, whose own may differ
            self._seed = self.trainer.strategy.broadcast(torch.initial_seed())

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Draw this batch's random numbers from (seed, rank, batch): ranks differ, a resume repeats them."""
        self._draw_from(self.trainer.fit_loop.epoch_loop.total_batch_idx)
        if batch_idx == 0:
            checks.samples(self.unpack(batch)[0], self.generator.sample_shape)

    def on_validation_batch_start(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """The same for validation in the course of a fit, so that a resumed run scores with the same latents."""
        if self.trainer.state.fn == "fit" and not self.trainer.sanity_checking:
            self._draw_from(self.trainer.fit_loop.epoch_loop.total_batch_idx, dataloader_idx, batch_idx)

    def _draw_from(self, *place: int) -> None:
        seed = hash((self._seed, self.global_rank, *place)) % 2**63
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def get_extra_state(self) -> dict[str, Any]:
        """The counters of updates and samples, and the state of the module's own stabilizers."""
        return {
            "generator_updates": self.generator_updates,
            "discriminator_updates": self.discriminator_updates,
            "samples_seen": self.samples_seen,
            "stabilizers": [stabilizer.state_dict() for stabilizer in self.stabilizers],
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what `get_extra_state` gave."""
        self.generator_updates = state["generator_updates"]
        self.discriminator_updates = state["discriminator_updates"]
        self.samples_seen = state.get("samples_seen", 0)
        for stabilizer, saved in zip(self.stabilizers, state["stabilizers"], strict=False):
            stabilizer.load_state_dict(saved)

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *args: Any, trust: bool = False, **kwargs: Any) -> GAN:
        """Lightning's, but of the class that made the checkpoint: `GAN.load_from_checkpoint(path)` is enough.

        Networks, optimizers and whatever else the command line built are rebuilt from the checkpoint. What
        was passed in Python and is no plain value (networks, callables) is not in it: pass it again.

        Nothing in the file is run: it is read as tensors and plain types, and only what a GAN is made of is built from
        it, classes of this library, of `torch.nn` and `torch.optim`, and imported ones below this library's own.

        Args:
            checkpoint_path: a file, or a URL, or an open file.
            args: as Lightning's.
            trust: import and build whatever classes the checkpoint names, once you know who made it.
            kwargs: as Lightning's; arguments of the constructor that replace the checkpoint's.

        Raises:
            ValueError: for a file that is no checkpoint, was made by another class, or names unknown classes.
        """
        if not trust and (len(args) > 1 or kwargs.get("hparams_file") is not None):
            raise ValueError(
                f"{cls.__name__}.load_from_checkpoint(hparams_file=...): a checkpoint has its own settings, and only "
                "those are looked at before anything is built; leave the file out, or say trust=True."
            )
        kwargs["weights_only"] = True
        with checkpoints.opened(checkpoint_path) as file:
            made_by = checkpoints.class_of_checkpoint(file, cls, trust)
            return super(Run, made_by).load_from_checkpoint(file, *args, **kwargs)  # type: ignore[misc]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note which class made the checkpoint, how its networks were changed, and from which seed its run draws.

        A run whose numbers are none ends here, before they take the place of the last good checkpoint.
        """
        checkpoint["gan_class"] = f"{type(self).__module__}.{type(self).__qualname__}"
        checkpoint["gan_network_changes"] = self.network_changes
        checkpoint["gan_seed"] = self._seed
        lightning_asks = "callbacks" in checkpoint  # not where weights alone are saved
        for stabilizer in self.stabilizers if lightning_asks else self.active_stabilizers:
            stabilizer.on_save_checkpoint(self.trainer, self, checkpoint)
        self.watch.refuse(self, checkpoint)  # type: ignore[arg-type]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another model in one line, before anything is loaded."""
        trainer = self._attached_trainer()
        if trainer is None:  # with a Trainer its callbacks have changed the networks by now
            for change in checkpoints.network_changes(checkpoint):
                change.apply_to(self)  # type: ignore[arg-type]
        checkpoints.checkpoint_fits(checkpoint, self)
        self._seed = checkpoint.get("gan_seed")
        if trainer is not None:
            for stabilizer in self.stabilizers:
                stabilizer.on_load_checkpoint(trainer, self, checkpoint)

    def _attached_trainer(self) -> Trainer | None:
        try:
            return self.trainer
        except RuntimeError:
            return None
