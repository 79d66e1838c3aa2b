"""Generative adversarial networks as Lightning modules, with every stabilizer as a callback that stacks.

Names are imported where they are first used, so that `import lightning_gans.networks` needs torch alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from lightning_gans.gan import GAN
    from lightning_gans.models import DCGAN, SEPGAN, WGAN, WGANGP, UnrolledGAN, VanillaGAN
    from lightning_gans.stabilizer import NetworkStabilizer, Stabilizer
    from lightning_gans.step import Step

_HOMES = {
    "GAN": "gan",
    "Step": "step",
    "NetworkStabilizer": "stabilizer",
    "Stabilizer": "stabilizer",
    "VanillaGAN": "models",
    "DCGAN": "models",
    "WGAN": "models",
    "WGANGP": "models",
    "SEPGAN": "models",
    "UnrolledGAN": "models",
}

__all__ = [
    "DCGAN",
    "GAN",
    "SEPGAN",
    "WGAN",
    "WGANGP",
    "NetworkStabilizer",
    "Stabilizer",
    "Step",
    "UnrolledGAN",
    "VanillaGAN",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
