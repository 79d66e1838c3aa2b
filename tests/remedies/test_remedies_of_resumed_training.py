"""Every remedy for loading and resuming what a run has saved works when it is done."""

import copy
import warnings
from collections import deque
from functools import partial

import pytest
import torch
from helpers import small_gan
from lightning.pytorch import Trainer
from remedied import command, each_row, fit
from torch.optim.lr_scheduler import ExponentialLR
from torch.utils.data import DataLoader

from lightning_gans import GAN, WGAN, Stabilizer, optimizers
from lightning_gans.callbacks import StartFrom
from lightning_gans.training import run_settings

pytestmark = [pytest.mark.untrusted]

BATCHES = list(torch.rand(2, 8, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1)
RING = [
    *("fit", "--model=WGAN", "--model.width=4", "--model.latent_dim=3", "--data=GaussianRing", "--data.num_samples=16"),
    *("--data.batch_size=8", "--data.num_val_samples=8", "--trainer.max_epochs=1", "--trainer.accelerator=cpu"),
    *("--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"),
    *("--samples.every_n_epochs=0", "--report.enabled=false"),
]
HALVED, DECAYED = ({"generator_scheduler": partial(ExponentialLR, gamma=gamma)} for gamma in (0.5, 0.9))


def points(**settings):
    return WGAN((2,), **{"latent_dim": 3, "width": 4, "n_critic": 1, **settings})


def saved(folder, gan=None, **settings):
    """Train, and return where the checkpoint is."""
    fit(points() if gan is None else gan, BATCHES, **settings).save_checkpoint(folder / "good.ckpt")
    return folder / "good.ckpt"


def damaged(folder, change, gan=None):
    """Train, and return where the checkpoint is after a change."""
    content = torch.load(saved(folder, gan), weights_only=True)
    change(content)
    torch.save(content, folder / "damaged.ckpt")
    return folder / "damaged.ckpt"


def resumed(gan, path, *callbacks):
    off = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = Trainer(accelerator="cpu", max_epochs=2, callbacks=list(callbacks), **off)
    trainer.fit(gan, DataLoader(BATCHES, batch_size=None), ckpt_path=path)
    assert trainer.global_step == 4
    return gan


def with_settings(folder, **trust):
    (folder / "hparams.yaml").write_text("sample_shape: [2]\nlatent_dim: 3\nwidth: 4\n")
    WGAN.load_from_checkpoint(saved(folder), hparams_file=folder / "hparams.yaml", **trust)


def with_networks(folder, *names):
    """Load a GAN whose networks were made in Python by `first=second`, as a message writes it."""
    networks = {name: copy.deepcopy(getattr(small_gan(), name)) for name in ("generator", "discriminator")}
    again = {first: networks[second] for first, second in zip(names[::2], names[1::2], strict=True)}
    GAN.load_from_checkpoint(saved(folder, small_gan()), **again).generator.latents.sample(2)


class Keeps(Stabilizer):
    """A stabilizer whose state is what it is given."""

    def __init__(self, *state):
        self.state = list(state) or deque([1])

    def state_dict(self):
        return {"state": self.state}

    def load_state_dict(self, state_dict):
        self.restored = state_dict["state"]


def plainly_kept(folder):
    path, again = saved(folder, callbacks=[Keeps(1, torch.ones(2))]), Keeps(1, torch.ones(2))
    resumed(points(), path, again)
    assert again.restored[0] == 1 and torch.equal(again.restored[1], torch.ones(2))


class Pretraining(GAN):
    """Trains its discriminator alone."""

    def configure_optimizers(self):
        return self.discriminator_optimizer(self.discriminator.parameters())

    def train_batch(self, batch, optimizer):
        return {"discriminator": self.update("discriminator", optimizer, batch)}


def of_pretraining(folder, kind=GAN):
    resumed(small_gan(kind=kind), saved(folder, small_gan(kind=Pretraining)))


def with_sgd(folder):
    resumed(points(generator_optimizer=partial(optimizers.SGD, lr=1e-3)), saved(folder))


def ring_with_sgd(path):
    sgd = "--model.generator_optimizer=lightning_gans.optimizers.SGD", "--model.generator_optimizer.lr=1e-3"
    command(*RING, *sgd, "--from", path)


def far_ahead(content):
    content["lr_schedulers"][0]["last_epoch"] = 10**9


def with_seed(folder, seed=5):
    torch.manual_seed(0)
    path = saved(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PL_GLOBAL_SEED", str(seed))
        patch.setattr(run_settings, "rank_zero_info", warnings.warn)
        torch.manual_seed(seed)
        resumed(points(), path)


def new_with_seed(seed):
    torch.manual_seed(int(seed))
    gan = points()
    fit(gan, BATCHES)
    assert gan.run_seed == int(seed)


REMEDIES = {
    "load_from_checkpoint(hparams_file=": (
        with_settings,
        {
            "leave the file out": lambda folder: WGAN.load_from_checkpoint(saved(folder)),
            "or say trust=True": lambda folder: with_settings(folder, trust=True),
        },
    ),
    "The checkpoint is saved without": (
        lambda folder: saved(folder, callbacks=[Keeps()]),
        {"keep tensors and plain values in it": plainly_kept},
    ),
    "expected a whole number; it is damaged: give another file": (
        lambda folder: GAN.load_from_checkpoint(damaged(folder, lambda content: content.update(gan_seed="x"))),
        {"give another file": lambda folder: GAN.load_from_checkpoint(saved(folder))},
    ),
    "or of another version: give another checkpoint": (
        lambda folder: GAN.load_from_checkpoint(damaged(folder, lambda one: one["state_dict"].update(_extra_state={}))),
        {"give another checkpoint": lambda folder: GAN.load_from_checkpoint(saved(folder))},
    ),
    "pass what it does not hold": (
        with_networks,
        {"GAN.load_from_checkpoint(path, {}={}, {}={})": lambda *names, folder: with_networks(folder, *names)},
    ),
    "the checkpoint has optimizers of": (
        of_pretraining,
        {
            "use the same model": lambda folder: of_pretraining(folder, Pretraining),
            "or start from the weights alone: --from {} (StartFrom in Python)": lambda path: fit(
                small_gan(), BATCHES, callbacks=[StartFrom(path)]
            ),
        },
    ),
    "'s optimizer was … and is": (
        with_sgd,
        {
            "use {}, or": lambda name, folder: resumed(
                points(generator_optimizer=partial(getattr(optimizers, name), lr=1e-3)), saved(folder)
            ),
            "start from the weights alone: --from {}": ring_with_sgd,
            "(StartFrom in Python)": lambda folder: fit(
                points(generator_optimizer=partial(optimizers.SGD, lr=1e-3)),
                BATCHES,
                callbacks=[StartFrom(saved(folder))],
            ),
        },
    ),
    "schedule counts … updates; it is damaged": (
        lambda folder: resumed(points(**DECAYED), damaged(folder, far_ahead, points(**HALVED))),
        {"give another checkpoint": lambda folder: resumed(points(**DECAYED), saved(folder, points(**HALVED)))},
    ),
    "The seed stays …, that of the resumed run": (with_seed, {"for seed {}, start a new run": new_with_seed}),
}


test_a_remedy_works = each_row(REMEDIES)
