"""Every remedy for what a run is asked for works when it is done: the Trainer's settings, schedules, metrics, NaN."""

from functools import partial

import pytest
import torch
import yaml
from helpers import both, small_gan, small_image_gan
from lightning.pytorch import callbacks as kinds
from lightning.pytorch.plugins import MixedPrecision
from remedied import command, each_row, fit
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, ReduceLROnPlateau

from lightning_gans.callbacks import Evaluation
from lightning_gans.data import GaussianRing
from lightning_gans.metrics import ModeCoverage
from lightning_gans.objectives import LeastSquares
from lightning_gans.optimizers import SGD
from lightning_gans.stabilizers import GradientNormalization, R1Penalty

pytestmark = [pytest.mark.untrusted]

BATCHES = list(torch.rand(2, 8, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1)
WIDE = [batch * 10 for batch in BATCHES] * 5
RING = [
    *("fit", "--model=WGAN", "--model.width=4", "--model.latent_dim=3", "--model.n_critic=1", "--data=GaussianRing"),
    *("--data.num_samples=16", "--data.batch_size=8", "--data.num_val_samples=8", "--trainer.max_epochs=1"),
    *("--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"),
    *("--samples.every_n_epochs=0", "--report.enabled=false"),
]
COSINE = "--model.generator_scheduler=CosineAnnealingLR"
STOPPING = ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=loss/generator"]


def run(gan=None, data=BATCHES, **settings):
    fit(small_gan() if gan is None else gan, data, **settings)


def beside(*callbacks, data=BATCHES, gan=None, **settings):
    run(gan, data, callbacks=list(callbacks), **settings)


def ring(*options):
    return command(*RING, *options)


def validated(*callbacks, **settings):
    beside(*callbacks, data=GaussianRing(num_samples=16, batch_size=8, num_val_samples=16), **settings)


def normalised(*others, norm=nn.BatchNorm2d):
    """Train on images with a discriminator whose logits are divided by their gradient."""
    images = [torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1]
    beside(GradientNormalization(), *others, data=images, gan=small_image_gan(size=16, norm=norm))


def wide(lr=1.0, **settings):
    """Train with the squares of large numbers, which explode at a high learning rate."""
    limits = dict.fromkeys(("generator_clip", "discriminator_clip"), settings.pop("clip", None))
    run(small_gan(objective=LeastSquares(), **both(partial(SGD, lr=lr)), **limits), WIDE, **settings)


def found_by_anomaly():
    with pytest.raises(RuntimeError, match=r"Function '\w+' returned nan values"):
        wide(detect_anomaly=True)


def scaled(scale=2.0**10):
    return {"plugins": [MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu", init_scale=scale))]}


def too_wide_for_half(**settings):
    run(small_gan(objective=LeastSquares()), [1e3 * batch for batch in WIDE], **settings)


def fused(value=True, **settings):
    run(small_gan(generator_clip=1.0, **both(partial(torch.optim.Adam, lr=1e-3, fused=value))), **settings)


# ---------------------------------------------------------------- folders


def below(folder):
    run(default_root_dir=folder / "runs")


def below_a_file(folder):
    (folder / "file").write_text("")
    below(folder / "file")


def below_a_locked_folder(folder, name="locked"):
    """As for a user without rights, whom `root` is not."""
    (folder / "locked").mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.access", lambda path, mode: path.name != "locked")
        below(folder / name)


REMEDIES = {
    "the loss needs third derivatives": (
        lambda: normalised(R1Penalty()),
        {
            "use norm: {} there": lambda norm: normalised(R1Penalty(), norm=yaml.safe_load(norm)),
            "or leave out one of the two": normalised,
        },
    ),
    # ------------------------------------------------------------ schedules
    "ReduceLROnPlateau needs a metric": (
        lambda: run(small_gan(generator_scheduler=ReduceLROnPlateau)),
        {
            "such as ExponentialLR": lambda: run(small_gan(generator_scheduler=partial(ExponentialLR, gamma=0.9999))),
            "(--model.generator_scheduler {} --model.generator_scheduler.gamma {})": lambda name, gamma: ring(
                *("--model.generator_scheduler", name, "--model.generator_scheduler.gamma", gamma)
            ),
        },
    ),
    "a schedule is …; expected a scheduler": (
        lambda: run(small_gan(generator_scheduler=lambda own: None)),
        {
            "a scheduler of torch.optim.lr_scheduler": lambda: run(
                small_gan(generator_scheduler=partial(CosineAnnealingLR, T_max=2))
            ),
            'a dict with one as "scheduler"': lambda: run(
                small_gan(generator_scheduler=lambda own: {"scheduler": CosineAnnealingLR(own, T_max=2)})
            ),
        },
    ),
    "; give --model.…_scheduler.T_max": (
        lambda: ring(COSINE, "--model.generator_scheduler.T_max=1"),
        {"give {} {}": lambda option, steps: ring(COSINE, option, steps)},
    ),
    # ------------------------------------------------------------ the Trainer's settings
    "Trainer(gradient_clip_val=": (
        lambda: ring("--trainer.gradient_clip_val=1.0"),
        {
            "give the model discriminator_clip": lambda: run(small_gan(discriminator_clip=1.0)),
            "or generator_clip": lambda: run(small_gan(generator_clip=1.0)),
            "({} {})": ring,
        },
    ),
    "Trainer(accumulate_grad_batches=": (
        lambda: run(accumulate_grad_batches=2),
        {
            "give the model {}": lambda name: run(small_gan(**{name: 2})),
            "or {} instead": lambda name: run(small_gan(**{name: 2})),
        },
    ),
    "for no validation say limit_val_batches=0": (
        lambda: validated(val_check_interval=0),
        {
            "expected numbers above 0": lambda: validated(val_check_interval=1),
            "say limit_val_batches={}": lambda value: validated(limit_val_batches=int(value)),
        },
    ),
    "train nothing; give numbers above": (
        lambda: run(max_steps=0),
        {
            "give numbers above 0": lambda: run(max_steps=1, max_epochs=1),
            "or {} for no limit": lambda none: [run(max_steps=int(none)), run(max_epochs=int(none), max_steps=1)],
        },
    ),
    "Trainer(limit_train_batches=0)": (
        lambda: run(limit_train_batches=0),
        {
            "a number of batches, such as {}": lambda value: run(limit_train_batches=int(value)),
            "a fraction of them, such as {}": lambda value: run(limit_train_batches=float(value)),
        },
    ),
    "Trainer(…=…): expected a whole number": (
        lambda: run(log_every_n_steps=-5),
        {"such as {}": lambda value: run(log_every_n_steps=int(value))},
    ),
    "the least is above the most": (
        lambda: run(min_epochs=3, max_epochs=1),
        {
            "lower {}": lambda name: run(**{"min_epochs": 3, "max_epochs": 1, name: 1}),
            "or raise {}": lambda name: run(**{"min_epochs": 3, "max_epochs": 1, name: 3}),
        },
    ),
    "Trainer(max_time) is": (lambda: run(max_time="00:00:00:00"), {"such as {}": lambda time: run(max_time=time)}),
    "is not a folder; give another path": (below_a_file, {"give another path": below}),
    "cannot be written to; give another path": (
        below_a_locked_folder,
        {"give another path": lambda folder: below_a_locked_folder(folder, "open")},
    ),
    "would clip gradients that are still scaled": (
        lambda: fused(**scaled()),
        {"leave out fused": lambda: fused(None, **scaled()), "or use {}": lambda precision: fused(precision=precision)},
    ),
    # ------------------------------------------------------------ what is monitored
    "which is logged …, and an epoch has": (
        lambda: ring(*STOPPING, "--trainer.log_every_n_steps=50"),
        {"({} {})": lambda option, number: ring(*STOPPING, option, number)},
    ),
    "there are no validation batches; use one of": (
        lambda: beside(kinds.EarlyStopping("val/generator_loss")),
        {
            "use one of {}, {},": lambda *names: [
                beside(kinds.EarlyStopping(name), log_every_n_steps=1) for name in names
            ]
        },
    ),
    # ------------------------------------------------------------ NaN and infinity
    "The run ends here; …. Lower": (
        wide,
        {
            "Lower the learning rates": lambda: wide(lr=1e-4),
            "clip the gradients (generator_clip, discriminator_clip)": lambda: wide(clip=0.01),
            "or find the operation with the Trainer's detect_anomaly": found_by_anomaly,
        },
    ),
    ", train in bf16-mixed": (
        lambda: too_wide_for_half(**scaled(4.0)),
        {"train in {} or {},": lambda *precisions: [too_wide_for_half(precision=one) for one in precisions]},
    ),
}
ELSEWHERE = {
    "what the failure monitor reads goes to loggers": "training/test_guard_and_monitor.py::"
    "test_a_run_that_the_monitor_stops_has_failed_too"
}
VARIANTS = {  # of messages above, and of those in the same functions, which advise by what they find
    "misspelt": (
        "monitors val/generator_los,",
        lambda: validated(kinds.EarlyStopping("val/generator_los")),
        {
            "did you mean {}?": lambda name: validated(kinds.EarlyStopping(name)),
            "use one of {}, {},": lambda *names: [validated(kinds.EarlyStopping(name)) for name in names],
        },
    ),
    "score": (
        "monitors val/modes,",
        lambda: validated(kinds.EarlyStopping("val/modes", mode="max")),
        {
            "scores, such as val/fd, come from an Evaluation": lambda: validated(
                Evaluation([ModeCoverage()], num_samples=16, statistics=None),
                kinds.EarlyStopping("val/modes", mode="max"),
            )
        },
    ),
}


test_a_remedy_works = each_row(REMEDIES)
test_a_remedy_for_what_is_found_works = each_row(VARIANTS)
