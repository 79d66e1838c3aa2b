"""Every remedy of an augmentation, and of what applies several, works when it is done."""

import pytest
from helpers import small_gan, small_image_gan
from remedied import each_row
from small import mlp, trained

from lightning_gans import GAN, networks
from lightning_gans import objectives as obj
from lightning_gans import stabilizers as st
from lightning_gans.networks import MLPDiscriminator, MLPGenerator, StochasticEnsembleMLPGenerator

pytestmark = [pytest.mark.untrusted]


def with_latents(text):
    name, dim = text.rstrip(")").split("(")
    return GAN(MLPGenerator((2,), getattr(networks, name)(int(dim)), 4), MLPDiscriminator((2,), 4))


def routed():
    return GAN(StochasticEnsembleMLPGenerator((2,), 3, width=4), MLPDiscriminator((2,), 4))


REMEDIES = {
    "DifferentiableAugmentation changes images": (
        lambda: trained(small_gan(), st.DifferentiableAugmentation()),
        {"leave it out": lambda: trained(small_gan())},
    ),
    "RandomAffine turns images": (
        lambda: trained(small_gan(), st.RandomAffine()),
        {"leave it out": lambda: trained(small_gan())},
    ),
    "RandomColor changes images of 1 or 3 channels": (
        lambda: trained(small_gan(), st.RandomColor()),
        {"leave it out": lambda: trained(small_gan())},
    ),
    "is no augmentation; give a list of objects": (
        lambda: trained(small_image_gan(size=16, norm=None), st.AdaptiveAugmentation([st.Packing(2)])),
        {
            "such as {}(), {}(), {}() or {}()": lambda *names: trained(
                small_image_gan(size=16, norm=None), st.AdaptiveAugmentation([getattr(st, name)() for name in names])
            )
        },
    ),
    "by default, but the samples are": (
        lambda: trained(small_gan(), st.AdaptiveAugmentation()),
        {
            "such as [{}({})]": lambda name, sigma: trained(
                small_gan(), st.AdaptiveAugmentation([getattr(st, name)(float(sigma))])
            )
        },
    ),
    "AdaptiveAugmentation with …: expected logits with a threshold": (
        lambda: trained(mlp((2,), obj.Wasserstein()), st.AdaptiveAugmentation([st.InstanceNoise()])),
        {
            "use an augmentation without it, such as {},": lambda name: trained(
                small_image_gan(size=16, norm=None, objective=obj.Wasserstein()), getattr(st, name)()
            ),
            "or another objective, such as {}.": lambda name: trained(
                mlp((2,), getattr(obj, name)()), st.AdaptiveAugmentation([st.InstanceNoise()])
            ),
        },
    ),
    "LatentConsistency moves latents, but": (
        lambda: trained(with_latents("Constant(3)"), st.LatentConsistency()),
        {
            "use others, such as {}": lambda latents: trained(with_latents(latents), st.LatentConsistency()),
            "or leave it out": lambda: trained(with_latents("Constant(3)")),
        },
    ),
    "LatentConsistency compares samples of near latents": (
        lambda: trained(routed(), st.LatentConsistency()),
        {
            "give a generator without routes": lambda: trained(small_gan(), st.LatentConsistency()),
            "or leave it out": lambda: trained(routed()),
        },
    ),
    "are not square; use": (
        lambda: trained(mlp((1, 4, 6)), st.RandomAffine(quarter_turns=0.5)),
        {
            "use {}, and": lambda none: trained(mlp((1, 4, 6)), st.RandomAffine(quarter_turns=float(none))),
            "rotation for turns": lambda: trained(mlp((1, 4, 6)), st.RandomAffine(rotation=180.0)),
        },
    ),
    "is less than a pixel of images of": (
        lambda: trained(small_image_gan(), st.DifferentiableAugmentation(translation=0.05)),
        {
            "expected a larger share": lambda: trained(
                small_image_gan(), st.DifferentiableAugmentation(translation=0.2)
            ),
            "or {} for none": lambda none: trained(
                small_image_gan(), st.DifferentiableAugmentation(translation=float(none))
            ),
        },
    ),
}
test_a_remedy_works = each_row(REMEDIES)
