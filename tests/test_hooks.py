"""What hooks return is checked: a wrong value is named with its stabilizer and hook, and changes nothing in silence."""

import pytest
import torch
from helpers import sgds, small_gan, small_image_gan
from lightning.pytorch import Callback
from torch.nn import functional as F

from lightning_gans import GAN, Stabilizer, UnrolledGAN
from lightning_gans.networks import Discriminator, Generator, MLPDiscriminator, MLPGenerator
from lightning_gans.stabilizers import InstanceNoise, R1Penalty, SpectralNorm


def with_hook(name, function):
    """Return a stabilizer with one hook, which gets the hook's values without the GAN."""
    return type("Mine", (Stabilizer,), {name: lambda self, gan, *values: function(*values)})()


def train(*stabilizers, gan=None, x=None):
    gan = small_gan() if gan is None else gan
    gan.stabilizers += stabilizers
    gan.train_batch(torch.rand(16, 2) if x is None else x, *sgds(gan))
    return gan


def nothing(*values):
    """Return nothing, as a hook without a return statement does."""


WRONG = {
    "fakes: none": ("on_fake_samples", nothing, "returned None, expected .*16, 2.* return the samples"),
    "fakes: 3 of 16": ("on_fake_samples", lambda fake, _: fake[:3], r"shape \(3, 2\).*return as many samples"),
    "fakes: another shape": ("on_fake_samples", lambda fake, _: fake.flatten(), r"shape \(32,\).*expected .*\(16, 2\)"),
    "fakes: another type": ("on_fake_samples", lambda fake, _: fake.double(), "returned torch.float64.* x.to"),
    "fakes: whole numbers": ("on_fake_samples", lambda fake, _: fake.long(), "returned torch.int64"),
    "fakes: a list": ("on_fake_samples", lambda fake, _: list(fake), "returned 16 values"),
    "fakes: numpy": ("on_fake_samples", lambda fake, _: fake.numpy(), "returned ndarray"),
    "fakes: with labels": ("on_fake_samples", lambda fake, labels: (fake, labels), "returned 2 values"),
    "fakes: elsewhere": ("on_fake_samples", lambda fake, _: fake.to("meta"), "on meta.* on the device of the samples"),
    "input: none": ("on_discriminator_input", nothing, "returned None"),
    "input: another type": ("on_discriminator_input", lambda x: x + torch.zeros(2).double(), "torch.float64"),
    "input: one sample": ("on_discriminator_input", lambda x: x[:1], r"shape \(1, 2\)"),
    "input: without a gradient": ("on_discriminator_input", lambda x: x.detach(), "without a gradient.*detach"),
    "targets: none": ("on_targets", nothing, "returned None, expected two tensors"),
    "targets: one": ("on_targets", lambda real, fake: real, r"expected two tensors of shapes \(16,\) and \(16,\)"),
    "targets: three": ("on_targets", lambda real, fake: (real, fake, real), "returned 3 values"),
    "targets: numbers": ("on_targets", lambda real, fake: (0.9, 0.0), r"returned 2 values \(0.9, 0.0\)"),
    "targets: a column": ("on_targets", lambda real, fake: (real[:, None], fake), r"shape \(16, 1\)"),
    "targets: too few": ("on_targets", lambda real, fake: (real, fake[:3]), r"shape \(3,\)"),
    "D's loss: none": ("on_discriminator_loss", nothing, "returned None, expected a scalar loss"),
    "D's loss: a number": ("on_discriminator_loss", lambda step, loss: loss.item(), "expected a scalar loss"),
    "D's loss: per sample": ("on_discriminator_loss", lambda step, loss: step.fake_logits, "expected a scalar loss"),
    "D's loss: detached": ("on_discriminator_loss", lambda step, loss: loss.detach(), "a loss without a gradient"),
    "D's loss: with a name": ("on_discriminator_loss", lambda step, loss: (loss, "x"), "returned 2 values"),
    "opponent: none": ("on_opponent", nothing, "returned None, expected a discriminator that can be called"),
    "opponent: logits": ("on_opponent", lambda d: "D", "returned 'D'"),
    "G's loss: none": ("on_generator_loss", nothing, "returned None, expected a scalar loss"),
    "G's loss: per sample": ("on_generator_loss", lambda step, loss: step.fake_logits, "expected a scalar loss"),
    "G's loss: detached": ("on_generator_loss", lambda step, loss: loss.detach(), "a loss without a gradient"),
    "updates: none": ("on_updates_per_batch", nothing, "returned None, expected two whole numbers"),
    "updates: one": ("on_updates_per_batch", lambda d, g: d, "returned 1, expected two whole numbers"),
    "updates: fractions": ("on_updates_per_batch", lambda d, g: (d, 0.5), r"2 values \(1, 0.5\)"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_value_of_a_hook_is_named(fault):
    hook, function, says = WRONG[fault]
    with pytest.raises(ValueError, match=rf"^Mine\(\): {hook} .*{says}") as error:
        train(with_hook(hook, function))
    assert "\n" not in str(error.value)


def test_a_wrong_value_of_the_second_of_two_is_named_with_its_own_arguments():
    with pytest.raises(ValueError, match=r"^Second\(share=0\.5\): on_discriminator_input"):

        class Second(Stabilizer):
            def __init__(self, share=0.5):
                self.share = share

            def on_discriminator_input(self, gan, x):
                return x[: int(len(x) * self.share)]

        train(InstanceNoise(0.1), Second())


def test_what_a_hook_returns_in_validation_is_checked_too():
    gan = small_gan()
    gan.stabilizers.append(with_hook("on_discriminator_input", lambda x: x[:3]))
    with pytest.raises(ValueError, match=r"on_discriminator_input returned .*return as many samples as it was given"):
        gan.evaluation_metrics(torch.rand(16, 2))


def test_a_term_that_is_no_tensor_is_named():
    def add(step, loss):
        step.terms["mine"] = 0.5
        return loss

    with pytest.raises(ValueError, match=r"on_generator_loss put 0\.5 into step\.terms as mine, expected a scalar"):
        train(with_hook("on_generator_loss", add))


def test_a_loss_of_one_element_is_a_scalar():
    gan = train(with_hook("on_discriminator_loss", lambda step, loss: loss[None] + torch.ones(1)))
    assert gan.last_steps["discriminator"].loss.shape == ()


def test_hooks_may_change_precision_under_autocast():
    halves = with_hook("on_discriminator_input", lambda x: x.to(torch.bfloat16))
    with torch.autocast("cpu", torch.bfloat16):
        train(halves)
        with pytest.raises(ValueError, match=r"returned torch.float64"):
            train(with_hook("on_discriminator_input", lambda x: x.double()))
    with pytest.raises(ValueError, match=r"returned torch.bfloat16"):
        train(halves)


def test_the_gradient_of_a_lookahead_must_stay():
    gan = UnrolledGAN(MLPGenerator((2,), 3, width=4), MLPDiscriminator((2,), width=4), unroll_steps=1)
    with pytest.raises(ValueError, match="on_fake_samples returned samples without a gradient"):
        train(with_hook("on_fake_samples", lambda fake, labels: fake.detach() + 0), gan=gan)


# ---------------------------------------------------------------- what is no stabilizer


def test_a_class_in_place_of_an_object_is_refused(fit):
    gan = small_gan()
    gan.stabilizers.append(R1Penalty)
    with pytest.raises(ValueError, match=r"hold the class R1Penalty; give an object of it: R1Penalty\(\)"):
        gan.train_batch(torch.rand(4, 2), *sgds(gan))
    with pytest.raises(ValueError, match=r"hold the class R1Penalty; give an object of it: R1Penalty\(\)"):
        fit(gan)
    with pytest.raises(ValueError, match=r"the Trainer's callbacks hold the class R1Penalty"):
        fit(small_gan(), callbacks=[R1Penalty])


def test_another_object_among_the_stabilizers_is_refused():
    with pytest.raises(ValueError, match=r"gan\.stabilizers hold Callback, which is no Stabilizer"):
        train(Callback())


def test_a_callback_with_the_hooks_of_a_stabilizer_is_refused(fit):
    class Mine(Callback):
        def on_fake_samples(self, gan, fake, labels):
            return fake * 0

    with pytest.raises(ValueError, match=r"Mine\.on_fake_samples is a hook of Stabilizer.*class Mine\(Stabilizer\)"):
        fit(small_gan(), callbacks=[Mine()])


def test_a_network_stabilizer_that_was_not_applied_is_refused():
    gan = small_gan()
    with pytest.raises(ValueError, match=r"SpectralNorm\(.*\) has not changed the networks yet.*apply_to\(gan\)"):
        train(SpectralNorm(), gan=gan)
    gan.stabilizers[0].apply_to(gan)
    train(gan=gan)


# ---------------------------------------------------------------- networks


class Wrong(Generator):
    def __init__(self, make):
        super().__init__((2,), 3)
        self.layer, self.make = torch.nn.Linear(3, 2), make

    def forward(self, z, labels=None):
        return self.make(self.layer(z))


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda x: None, "NoneType"),
        (lambda x: x[:3], r"shape \(3, 2\)"),
        (lambda x: F.pad(x, (0, 1)), r"shape \(16, 3\)"),
        (lambda x: x[None], r"shape \(1, 16, 2\)"),
        (lambda x: (x, x), "tuple"),
    ],
)
def test_a_generator_that_does_not_do_what_it_says_is_named(make, found):
    gan = GAN(Wrong(make), MLPDiscriminator((2,), width=4))
    with pytest.raises(
        ValueError, match=rf"Wrong returned {found} for 16 latents, expected samples of shape \(16, 2\)"
    ):
        train(gan=gan)


def test_a_discriminator_without_features_is_named_when_the_gan_is_made():
    class Headless(Discriminator):
        def __init__(self):
            super().__init__((2,), 4)
            self.layers = torch.nn.Linear(2, 4)

    with pytest.raises(ValueError, match=r"Headless has no features.*define features"):
        GAN(MLPGenerator((2,), 3), Headless())


def test_checked_hooks_change_no_number(weights):
    """The same training, with and without hooks that return what they are given."""
    same = type("Same", (Stabilizer,), {"on_discriminator_input": lambda self, gan, x: x})
    ours, theirs = (small_image_gan() for _ in range(2))
    for gan, stabilizers in ((ours, [same()]), (theirs, [])):
        torch.manual_seed(1)
        train(*stabilizers, gan=gan, x=torch.rand(4, 1, 8, 8))
    assert torch.equal(weights(ours), weights(theirs))
