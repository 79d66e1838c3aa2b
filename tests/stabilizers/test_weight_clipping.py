"""Weight clipping: where it bounds, when, and what it leaves alone."""

import math

import pytest
import torch

from lightning_gans import Stabilizer
from lightning_gans.objectives import Minimax, Wasserstein
from lightning_gans.stabilizers import GradientPenalty, SpectralNorm, WeightClipping, WeightNorm


def largest(network):
    return max(parameter.abs().max().item() for parameter in network.parameters())


@pytest.mark.parametrize("limit", [0.01, 0.05])
def test_the_weights_of_the_discriminator_are_within_the_limit(make_gan, fit, limit):
    gan = make_gan()
    free = largest(gan.generator)
    fit(gan, callbacks=[WeightClipping(limit)])
    assert largest(gan.discriminator) == pytest.approx(limit)
    assert largest(gan.generator) == pytest.approx(free, rel=0.01) and free > 0.1


def test_it_clamps_each_weight_and_nothing_else(make_image_gan):
    gan = make_image_gan(size=16)
    buffers = {name: buffer.clone() for name, buffer in gan.discriminator.named_buffers()}
    before = [parameter.detach().clone() for parameter in gan.discriminator.parameters()]
    WeightClipping(0.02).on_discriminator_step_end(gan)
    for parameter, old in zip(gan.discriminator.parameters(), before, strict=True):
        assert torch.equal(parameter, old.clamp(-0.02, 0.02)) and parameter.requires_grad
    assert buffers and all(torch.equal(buffer, buffers[name]) for name, buffer in gan.discriminator.named_buffers())


def test_the_generator_faces_the_clipped_weights(make_gan, fit):
    class Look(Stabilizer):
        def on_generator_loss(self, gan, step, loss):
            seen.append(largest(gan.discriminator))
            return loss

    seen = []
    fit(make_gan(), callbacks=[WeightClipping(0.01), Look()])
    assert seen == [pytest.approx(0.01)] * 2


@pytest.mark.parametrize("limit", [0.0, -1.0, math.nan])
def test_a_limit_out_of_range_is_refused(limit):
    with pytest.raises(
        ValueError, match=rf"WeightClipping\(limit={limit}\): expected a finite number above 0, such as 0.01"
    ):
        WeightClipping(limit=limit)


@pytest.mark.slow
def test_it_bounds_the_dirac_gan_without_leading_it_to_the_point(dirac):
    path = dirac(WeightClipping(0.5), objective=Wasserstein(), n_critic=5)
    assert path[:, 1].abs().max() <= 0.5 and path.abs().max() < 2
    assert path[-500:, 0].abs().max() > 0.02, "θ goes to and fro"


def test_without_it_the_dirac_gan_goes_in_circles(dirac):
    for objective in (Minimax(), Wasserstein()):
        distance = dirac(objective=objective).norm(dim=1)
        assert distance[-100:].min() > 0.9, "from √2, never nearer"


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(("kind", "said"), [(SpectralNorm, 1), (WeightNorm, 1), (GradientPenalty, 0)])
def test_weights_that_a_norm_rescales_are_warned_of_in_either_order(make_gan, fit, recwarn, kind, said, place):
    callbacks = [kind()]
    callbacks.insert(place, WeightClipping())
    fit(make_gan(), callbacks=callbacks)
    assert sum("which bounds nothing; leave out one" in str(w.message) for w in recwarn) == said
