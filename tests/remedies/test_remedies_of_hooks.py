"""Every remedy of the hooks of stabilizers, of a class that overrides them, and of changed networks works."""

from importlib import import_module
from inspect import signature
from unittest.mock import Mock

import pytest
import torch
from helpers import small_gan
from lightning.pytorch import Callback
from remedied import command, each_row, fit
from small import trained
from torch import nn

import lightning_gans
from lightning_gans import DCGAN, GAN, NetworkStabilizer, Stabilizer, stabilizers
from lightning_gans.schedules import Linear

pytestmark = [pytest.mark.untrusted]


def define(base, **parts):
    return type(base)("Mine", (base,), parts)


def with_hook(name, function):
    """Train with a stabilizer of one hook, which gets the hook's values without the GAN."""
    with_method(name, lambda self, gan, *values: function(*values))


def with_method(name, method):
    """Train with a stabilizer of one hook, written as this method, which must be called."""
    stabilizer = define(Stabilizer, **{name: method})()
    called = Mock(wraps=getattr(stabilizer, name))
    setattr(stabilizer, name, called)
    trained(small_gan(), stabilizer)
    assert called.called


def with_callback(base):
    called = Mock(side_effect=lambda gan, fake, labels: fake)
    mine = define(base, on_fake_samples=lambda self, *values: called(*values))()
    fit(small_gan(), [torch.rand(8, 2)], callbacks=[mine])
    assert called.called


def among_the_stabilizers(one):
    gan = small_gan()
    gan.stabilizers.append(one)
    fit(gan, [torch.rand(8, 2)])


def with_term(made_of):
    def on_discriminator_loss(step, loss):
        step.terms["mine"] = made_of(step.fake_logits)
        return loss

    with_hook("on_discriminator_loss", on_discriminator_loss)


def without_a_gradient(step, loss):
    with torch.no_grad():
        return torch.tensor(loss.detach().numpy() + loss.item())


def with_parameters(*names):
    def on_targets(self, gan, real, fake):
        return real, fake

    assert [*signature(on_targets).parameters] == [*names]
    with_method("on_targets", on_targets)


def yields(self, gan, x):
    yield x


async def waits(self, gan):
    """A step's end that a call would not run."""


def with_attribute(name, function=lambda step, loss: loss):
    hook = lambda self, gan, *values: function(*values)  # noqa: E731
    trained(small_gan(), define(Stabilizer, **{name: True, "on_generator_loss": hook})())


def reads_real(step, loss):
    assert step.real is not None
    return loss


def with_noise(*args, **kwargs):
    fit(small_gan(), [torch.rand(8, 2)] * 2, callbacks=[stabilizers.InstanceNoise(Linear(*args, **kwargs))])


# ---------------------------------------------------------------- changed networks


class Activated(NetworkStabilizer):
    """Another activation in front of the discriminator's head."""

    def __init__(self, activation):
        self.activation = nn.LeakyReLU(activation) if isinstance(activation, float) else activation

    def change(self, gan):
        gan.discriminator.head = nn.Sequential(self.activation, gan.discriminator.head)


def saved(folder, stabilizer, name="good.ckpt"):
    gan = DCGAN((1, 8, 8), latent_dim=3, width=2)
    trainer = fit(gan, [torch.rand(4, 1, 8, 8) * 2 - 1], folder, callbacks=[stabilizer])
    trainer.save_checkpoint(folder / name)


def load(folder, name="good.ckpt"):
    gan = GAN.load_from_checkpoint(folder / name)
    assert len(gan.network_changes) == 1
    return gan


def with_changes(folder, changes, name):
    """Write a checkpoint with another list of what changed its networks."""
    saved(folder, stabilizers.SpectralNorm())
    content = torch.load(folder / "good.ckpt", weights_only=True)
    content["gan_network_changes"] = changes(content["gan_network_changes"])
    torch.save(content, folder / name)


def changed_by_a_module(folder, module):
    (folder / f"{module}.py").write_text("from lightning_gans.stabilizers import SpectralNorm as Base\n")
    with (folder / f"{module}.py").open("a") as file:
        file.write("class Mine(Base):\n    pass\n")
    with_changes(folder, lambda changes: [changes[0] | {"class_path": f"{module}.Mine"}], "mine.ckpt")


def load_changed_by_a_module(folder):
    changed_by_a_module(folder, "changed_in_python")
    load(folder, "mine.ckpt")


def load_after_import(module, name, folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        assert getattr(import_module(module), name)
        load(folder, "mine.ckpt")


def sample_changed_by_a_module(folder):
    changed_by_a_module(folder, "changed_on_the_command_line")
    command("sample", "--checkpoint=mine.ckpt")


def load_damaged(folder):
    with_changes(folder, lambda changes: "SpectralNorm", "damaged.ckpt")
    load(folder, "damaged.ckpt")


ELSEWHERE = {
    "has not changed the networks yet; without a Trainer": (
        "test_hooks.py::test_a_network_stabilizer_that_was_not_applied_is_refused"
    )
}
REMEDIES = {
    # ---------------------------------------------------------------- what is a stabilizer
    "is a hook of Stabilizer, but … is none": (
        lambda: with_callback(Callback),
        {"write class Mine({})": lambda base: with_callback(getattr(lightning_gans, base))},
    ),
    "hold the class": (
        lambda: among_the_stabilizers(stabilizers.R1Penalty),
        {"give an object of it: {}()": lambda name: among_the_stabilizers(getattr(stabilizers, name)())},
    ),
    "which is no Stabilizer": (
        lambda: among_the_stabilizers(Callback()),
        {
            "an object of a class that derives from {},": lambda base: among_the_stabilizers(
                define(getattr(lightning_gans, base))()
            ),
            "such as {}()": lambda name: among_the_stabilizers(getattr(stabilizers, name)()),
        },
    ),
    # ---------------------------------------------------------------- what a hook returns
    "into step.terms as": (
        lambda: with_term(lambda term: term),
        {
            "put term.mean().detach() there": lambda: with_term(lambda term: term.mean().detach()),
            "or torch.tensor(number)": lambda: with_term(lambda term: torch.tensor(term.mean().item())),
        },
    ),
    "without a gradient, so nothing would be trained": (
        lambda: with_hook("on_discriminator_loss", without_a_gradient),
        {
            "leave out detach(), item(), torch.no_grad() and numpy": lambda: with_hook(
                "on_discriminator_loss", lambda step, loss: loss + loss
            )
        },
    ),
    ": … returned …, expected …; …": (
        lambda: with_hook("on_fake_samples", lambda fake, labels: None),
        {"return the samples": lambda: with_hook("on_fake_samples", lambda fake, labels: fake * 1)},
    ),
    # ---------------------------------------------------------------- how a hook is written
    "expected …; leave the hook out where it does nothing": (
        lambda: define(Stabilizer, on_fake_samples=None),
        {"leave the hook out": lambda: trained(small_gan(), define(Stabilizer)())},
    ),
    "is a generator or a coroutine": (
        lambda: with_method("on_discriminator_input", yields),
        {"write it with return, without yield": lambda: with_method("on_discriminator_input", lambda self, gan, x: x)},
    ),
    "cannot be called as it is written": (
        lambda: with_method("on_targets", lambda self, real, fake: (real, fake)),
        {"expected on_targets({}, {}, {}, {}); give it these parameters": with_parameters},
    ),
    "has its parameters in another order": (
        lambda: with_method("on_targets", lambda self, gan, fake, real: (real, fake)),
        {"expected on_targets({}, {}, {}, {}); use this order": with_parameters},
    ),
    "is no part of …, so nothing reads it": (
        lambda: with_attribute("read_real", reads_real),
        {
            "did you mean {}?": lambda name: with_attribute(name, reads_real),
            "a name that is less like it": lambda: with_attribute("of_real_samples"),
        },
    ),
    # ---------------------------------------------------------------- schedules and changed networks
    "generator updates, but this run has": (
        lambda: with_noise(1.0, 0.0, updates=5),
        {
            "this run has {}; it stops at {}. Lower its `updates`": lambda updates, _: with_noise(
                1.0, 0.0, updates=int(updates)
            )
        },
    ),
    "expected plain values (numbers, texts, lists, dicts)": (
        lambda folder: saved(folder, Activated(nn.LeakyReLU(0.1))),
        {"make other things in its constructor": lambda folder: [saved(folder, Activated(0.1)), load(folder)]},
    ),
    "which is not an imported NetworkStabilizer": (load_changed_by_a_module, {"from {} import {};": load_after_import}),
    "the checkpoint's gan_network_changes hold": (load_damaged, {"use another": lambda folder: load(folder)}),
}

# of a second message with the words of a row above, or of one that the finder does not know
MORE = {
    "on_fake_samples returned torch.float32 of shape (3, 2)": (
        lambda: with_hook("on_fake_samples", lambda fake, labels: fake[:3]),
        {
            "return as many samples as it was given, in their shape": lambda: with_hook(
                "on_fake_samples", lambda fake, labels: fake.flip(0)
            )
        },
    ),
    "on_fake_samples returned torch.float32 of shape (8, 2) on meta": (
        lambda: with_hook("on_fake_samples", lambda fake, labels: torch.zeros(fake.shape, device="meta")),
        {
            "make what it adds on the device of the samples": lambda: with_hook(
                "on_fake_samples", lambda fake, labels: torch.zeros(fake.shape, device=fake.device)
            )
        },
    ),
    "on_discriminator_input returned torch.float64": (
        lambda: with_hook("on_discriminator_input", lambda x: x.double()),
        {
            "convert it: x.to(samples.dtype)": lambda: with_hook(
                "on_discriminator_input", lambda samples: samples.double().to(samples.dtype)
            )
        },
    ),
    "on_targets returned": (
        lambda: with_hook("on_targets", lambda real, fake: (0.9, 0.0)),
        {
            "return real, fake with one target for each logit": lambda: with_hook(
                "on_targets", lambda real, fake: (0.9 * real, fake)
            )
        },
    ),
    "on_discriminator_loss returned": (
        lambda: with_hook("on_discriminator_loss", lambda step, loss: loss + step.fake_logits.square()),
        {
            "return loss, with a mean over the batch added to it": lambda: with_hook(
                "on_discriminator_loss", lambda step, loss: loss + step.fake_logits.square().mean()
            )
        },
    ),
    "on_opponent returned": (
        lambda: with_hook("on_opponent", lambda discriminator: None),
        {
            "return the one that it was given": lambda: with_hook("on_opponent", lambda discriminator: discriminator),
            "or another": lambda: with_hook("on_opponent", lambda discriminator: small_gan(seed=1).discriminator),
        },
    ),
    "on_updates_per_batch returned": (
        lambda: with_hook("on_updates_per_batch", lambda discriminator, generator: discriminator),
        {
            "return discriminator, generator": lambda: with_hook(
                "on_updates_per_batch", lambda discriminator, generator: (discriminator, generator)
            )
        },
    ),
    "Mine.on_fake_sample is no hook of Stabilizer": (
        lambda: with_method("on_fake_sample", lambda self, gan, fake, labels: fake),
        {
            "did you mean {}?": lambda name: with_method(name, lambda self, gan, fake, labels: fake),
            "a name that does not begin with on_": lambda: with_attribute("fake_sample"),
        },
    ),
    "Mine.on_generator_step_end is a generator or a coroutine": (
        lambda: with_method("on_generator_step_end", waits),
        {"without yield and async": lambda: with_method("on_generator_step_end", lambda self, gan: None)},
    ),
    "Mine.on_weekends is no hook of Stabilizer": (
        lambda: with_method("on_weekends", lambda self, gan, *values: values),
        {
            "hooks are {}, {},": lambda _, name: with_method(name, lambda self, gan, *values: values),
            "a name that does not begin with on_": lambda: with_attribute("weekends"),
        },
    ),
    "sigma reaches its end after 7 generator updates": (
        lambda: with_noise(1.0, 0.0, updates=2, begin=5),
        {"Lower its `begin` and `updates`": lambda: with_noise(1.0, 0.0, updates=1, begin=1)},
    ),
    "changed_on_the_command_line.Mine, which is not an imported NetworkStabilizer": (
        sample_changed_by_a_module,
        {
            "on the command line --import {})": lambda name: command(
                "sample", "--checkpoint=mine.ckpt", "--import", name
            )
        },
    ),
}


test_a_remedy_works = each_row(REMEDIES | MORE)
