"""Consistency regularisation: its terms against plain numbers, what is augmented, schedules, and refusals."""

import pytest
import torch
from helpers import small_gan, small_image_gan
from torch import nn

from lightning_gans import GAN, Stabilizer
from lightning_gans.networks import MLPDiscriminator, MLPGenerator
from lightning_gans.schedules import Linear
from lightning_gans.stabilizers import (
    ConsistencyRegularization,
    DifferentiableAugmentation,
    InstanceNoise,
    Packing,
    RandomAffine,
)
from lightning_gans.step import Step


class Doubled(Stabilizer):
    """x → 2x, so that D(x) = 3 x₀ changes by 3 x₀."""

    def on_discriminator_input(self, gan, x):
        return 2 * x


def first_value(x, labels=None):
    return 3 * x[:, 0]


def terms_of(*arguments, gan=None):
    """Return the terms for D(x) = 3 x₀, and the loss with them less the loss without."""
    real, fake = torch.arange(1.0, 5.0)[:, None], torch.full((4, 1), 2.0)
    step = Step(torch.tensor(7.0), fake, first_value(fake), real, first_value(real), None, first_value)
    loss = ConsistencyRegularization([Doubled()], *arguments).on_discriminator_loss(gan or small_gan(), step, step.loss)
    return {name: term.item() for name, term in step.terms.items()}, loss.item() - 7


REAL, FAKE = 9 * (1 + 4 + 9 + 16) / 4, 9 * 4  # the mean squared changes of the logits


@pytest.mark.parametrize(("real", "fake"), [(10.0, 0.0), (0.0, 5.0), (1.0, 2.0), (0.0, 0.0)])
def test_each_term_is_its_weight_times_the_mean_squared_difference_of_logits(real, fake):
    terms, added = terms_of(real, fake)
    expected = {"real_consistency": real * REAL, "fake_consistency": fake * FAKE}
    assert terms == pytest.approx({name: term for name, term in expected.items() if term})
    assert added == pytest.approx(real * REAL + fake * FAKE, rel=1e-5)
    assert ConsistencyRegularization([], real, fake).loss_terms == list(terms)


def test_weights_follow_schedules():
    gan = small_gan()
    for gan.generator_updates, share in ((0, 1.0), (1, 0.5), (2, None)):
        terms, _ = terms_of(Linear(4.0, 0.0, updates=2), gan=gan)
        assert terms == ({} if share is None else {"real_consistency": pytest.approx(4 * share * REAL)})


def test_the_gradient_passes_through_both_logits(batches):
    gan, x = small_gan(), batches(1)[0]
    gan.stabilizers.append(ConsistencyRegularization([Doubled()], 1.0))
    fake = torch.rand(8, 2)
    found = torch.autograd.grad(gan.discriminator_step(x, fake).loss, list(gan.discriminator.parameters()))
    plain = small_gan()
    difference = plain.discriminator(x) - plain.discriminator(Doubled().on_discriminator_input(None, x))
    loss = plain.discriminator_step(x, fake).loss + (difference**2).sum() / 8
    expected = torch.autograd.grad(loss, list(plain.discriminator.parameters()))
    torch.testing.assert_close(found, expected)


def test_the_logits_of_patches_count_as_their_mean():
    x = torch.rand(2, 1, 4, 4)

    def patches(x, labels=None):
        return x.flatten(2).unsqueeze(1).repeat(1, 1, 2, 1)

    step = Step(torch.zeros(()), x, patches(x), x, patches(x), None, patches)
    gan = small_image_gan(size=8)
    ConsistencyRegularization([RandomAffine(0.0, 0.0, 0.0, flip=1.0)], 1.0, 1.0).on_discriminator_loss(
        gan, step, step.loss
    )
    assert max(term.abs().item() for term in step.terms.values()) < 1e-10, "a mirror image has the same mean"


def test_by_default_images_are_mirrored_and_shifted_by_whole_pixels():
    seen = []

    def record(x, labels=None):
        seen.append(x)
        return x.flatten(1).sum(1)

    real = torch.rand(64, 1, 16, 16) + 1
    step = Step(torch.zeros(()), real, record(real), real, record(real), None, record)
    ConsistencyRegularization().on_discriminator_loss(small_image_gan(size=16), step, step.loss)
    kinds = set()
    for image, old in zip(seen[-1][:, 0], real[:, 0], strict=True):
        found = [
            (flip, down, right)
            for flip in (False, True)
            for down in range(-2, 3)
            for right in range(-2, 3)
            if torch.equal(image, shifted(old.flip(1) if flip else old, down, right))
        ]
        assert len(found) == 1
        kinds |= set(found)
    assert {kind[0] for kind in kinds} == {True, False} and len(kinds) > 20


def shifted(image, down, right):
    """An image moved by whole pixels, with zeros where nothing was."""
    padded = nn.functional.pad(image, (2, 2, 2, 2))
    return padded[2 - down : 18 - down, 2 - right : 18 - right]


def test_labels_and_packs_are_passed_on(batches):
    gan = small_gan(num_classes=2)
    consistency = ConsistencyRegularization([InstanceNoise(0.5)], 1.0, 1.0)
    for one in (Packing(2), consistency):
        gan.stabilizers.append(one)
        one.apply_to(gan)
    step = gan.discriminator_step(batches(1, num_classes=2)[0])
    assert set(step.terms) == set(consistency.loss_terms) and all(term > 0 for term in step.terms.values())


def test_small_images_are_mirrored_alone_and_points_need_augmentations_of_their_own():
    shape = (1, 4, 4)
    gan = GAN(MLPGenerator(shape, 3, width=4), MLPDiscriminator(shape, width=4))
    ConsistencyRegularization().apply_to(gan)
    ConsistencyRegularization([InstanceNoise()]).apply_to(small_gan())
    with pytest.raises(ValueError, match=r"ConsistencyRegularization augments images \(C, H, W\) by default, but the"):
        ConsistencyRegularization().apply_to(small_gan())
    with pytest.raises(ValueError, match="DifferentiableAugmentation changes images"):
        ConsistencyRegularization([DifferentiableAugmentation()]).apply_to(small_gan())
    with pytest.raises(ValueError, match=r"ConsistencyRegularization\(augmentations=…\): Packing is no augmentation"):
        ConsistencyRegularization([Packing()])


@pytest.mark.parametrize("name", ["real", "fake"])
def test_weights_out_of_range_are_refused(name):
    with pytest.raises(ValueError, match=rf"ConsistencyRegularization\({name}=-1.0\): expected a number of at least 0"):
        ConsistencyRegularization(**{name: -1.0})
