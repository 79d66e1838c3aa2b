"""Several stabilizers that change one discriminator: every order trains, or names which must come first."""

from itertools import permutations

import pytest
import torch
from helpers import slow

from lightning_gans import GAN, UnrolledGAN
from lightning_gans.optimizers import SGD
from lightning_gans.stabilizers import (
    Dropout,
    InstanceNorm,
    MinibatchDiscrimination,
    MinibatchStdDev,
    OrthogonalInitialization,
    Packing,
    SpectralNorm,
    VirtualBatchNorm,
    WeightNorm,
)

CHANGES = {
    "pack": lambda: Packing(2),
    "virtual": lambda: VirtualBatchNorm(size=3),
    "minibatch": lambda: MinibatchDiscrimination(2, 30),
    "spectral": lambda: SpectralNorm(generator=True),
}


def refused(order):
    """What is said of an order, by what comes too late."""
    late = {("virtual", "pack"), ("spectral", "pack"), ("spectral", "minibatch")}
    return any((one, two) in late for k, one in enumerate(order) for two in order[k + 1 :])


def players(gan):
    return [SGD(player.parameters(), 0.01) for player in (gan.generator, gan.discriminator)]


@pytest.mark.parametrize(
    "order", [slow(one) if number % 4 else one for number, one in enumerate(permutations(CHANGES))], ids="-".join
)
@pytest.mark.parametrize("unrolled", [False, True], ids=["plain", "unrolled"])
def test_any_order_trains_or_names_what_must_come_first(make_image_gan, batches, weights, order, unrolled):
    gan = make_image_gan(size=16, num_classes=2)
    if unrolled:
        gan = UnrolledGAN(gan.generator, gan.discriminator, unroll_steps=2, detached=True)
    if refused(order):
        with pytest.raises(ValueError, match=r"(Packing|MinibatchDiscrimination).*(come first|before|come later)"):
            for name in order:
                CHANGES[name]().apply_to(gan)
        return
    for name in order:
        CHANGES[name]().apply_to(gan)
    optimizers = players(gan)
    for batch in batches(3, (1, 16, 16), num_classes=2):
        steps = gan.train_batch(batch, *optimizers)
    assert weights(gan).isfinite().all() and steps["discriminator"].real_logits.shape == (4,)
    assert gan.discriminator.inner.reference.shape == (3, 2, 16, 16)


def test_a_stack_is_rebuilt_from_a_checkpoint(make_image_gan, fit, weights, tmp_path):
    gan = make_image_gan(size=16)
    stack = [Packing(2), VirtualBatchNorm(size=3), MinibatchStdDev(), Dropout(0.5, 0.5), SpectralNorm()]
    fit(gan, 3, callbacks=[OrthogonalInitialization(), *stack]).save_checkpoint(tmp_path / "run.ckpt")
    fresh = make_image_gan(size=16, seed=1)
    again = GAN.load_from_checkpoint(
        tmp_path / "run.ckpt", generator=fresh.generator, discriminator=fresh.discriminator
    )
    assert torch.equal(weights(again), weights(gan))
    x = torch.rand(8, 1, 16, 16)
    assert torch.equal(again.eval().discriminator(x), gan.eval().discriminator(x)), "its reference too"


def test_two_norms_for_one_place_are_refused(make_image_gan):
    for first, second in permutations([InstanceNorm(), VirtualBatchNorm(generator=False)]):
        gan = make_image_gan(size=16)
        first.apply_to(gan)
        with pytest.raises(ValueError, match=type(second).__name__):
            second.apply_to(gan)
    for first, second in permutations([SpectralNorm(), WeightNorm()]):
        gan = make_image_gan(size=16)
        first.apply_to(gan)
        with pytest.raises(ValueError, match=f"{type(second).__name__}.*parametrised already"):
            second.apply_to(gan)
