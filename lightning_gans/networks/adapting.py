"""Plain torch modules that were given to a GAN: what they need to become its generator and discriminator."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from lightning_gans.networks.frozen import HiddenNetwork
from lightning_gans.networks.plain import PlainDiscriminator, PlainGenerator
from lightning_gans.networks.probing import kind_of

_WIDTHS = ("latent_dim", "z_dim", "nz", "noise_dim", "latent_size", "dim_z", "z_size")
_CLASSES = ("num_classes", "n_classes", "nclasses", "num_class", "n_class")


def adapt_networks(generator: Any, discriminator: Any) -> tuple[Any, Any]:
    """Return a GAN's networks, plain torch modules as `PlainGenerator` and `PlainDiscriminator`; others as they are.

    Raises:
        ValueError: where the width of the latents or the number of classes cannot be found, with the code to write.
    """
    if _is_plain(generator, "sample_shape", "num_classes", "latents"):
        generator = _adapted_generator(generator)
    if _is_plain(discriminator, "sample_shape", "num_classes"):
        shape: Any = getattr(generator, "sample_shape", None)
        classes = _classes_of(discriminator) if _takes_labels(discriminator) else 0
        if classes is None:
            classes = getattr(generator, "num_classes", 0)
        discriminator = PlainDiscriminator(discriminator, shape, classes)
    return generator, discriminator


def _is_plain(network: Any, *known: str) -> bool:
    """Whether a network knows nothing of GANs; `SEPGAN` has a classifier, which is hidden, as discriminator."""
    if not isinstance(network, nn.Module):
        raise ValueError(f"{kind_of(network)} as a network of the GAN; expected a torch.nn.Module.")
    return not isinstance(network, HiddenNetwork) and not all(hasattr(network, name) for name in known)


def _adapted_generator(module: nn.Module) -> PlainGenerator:
    name = type(module).__name__
    labelled = _takes_labels(module)
    classes = _classes_of(module) if labelled else 0
    if classes is None:
        raise ValueError(
            f"{name} takes labels, and the number of classes cannot be found; write GAN(PlainGenerator({name}(...), "
            f"latents=100, num_classes=10), ...) with the width of its z and its number of classes."
        )
    reason = "it has no linear layer or convolution"
    for width in _widths_of(module, classes):
        try:
            return PlainGenerator(module, width, num_classes=classes)
        except ValueError as error:
            reason = str(error)
            if "does not take such latents" not in reason:
                raise
            reason = reason[reason.index("(for z") + 1 :].rpartition(");")[0]
    raise ValueError(
        f"{name} is a plain torch module, and the width of its latents z cannot be found ({reason}); write "
        f"GAN(PlainGenerator({name}(...), latents=100{f', num_classes={classes}' if classes else ''}), ...) with it."
    )


def _takes_labels(module: nn.Module) -> bool:
    """Whether the forward of a module has a second argument that must be given, or that is named as labels are."""
    try:
        parameters = list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):  # compiled by torch.jit
        return False
    positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    if len(positional) < 2:
        return False
    named = positional[1].name in ("labels", "label", "y", "c", "cls", "classes", "class_labels", "targets")
    return positional[1].default is inspect.Parameter.empty or (named and _classes_of(module) is not None)


def _classes_of(module: nn.Module) -> int | None:
    """Return the number of classes by an attribute of a module or by its first embedding; None where it has neither."""
    given = [getattr(module, name, None) for name in _CLASSES]
    embeddings = [one.num_embeddings for one in module.modules() if isinstance(one, nn.Embedding)]
    return next((one for one in (*given, *embeddings) if isinstance(one, int) and one > 0), None)


def _widths_of(module: nn.Module, classes: int) -> list[int]:
    """Return what the width of a module's latents may be: an attribute, or the input of its first layer."""
    widths = [getattr(module, name, None) for name in _WIDTHS]
    first = [getattr(one, "in_features", getattr(one, "in_channels", None)) for one in module.modules()]
    layer = next((one for one in first if isinstance(one, int)), None)
    if layer is not None:
        embedded = [one.embedding_dim for one in module.modules() if isinstance(one, nn.Embedding)] if classes else []
        widths += [layer, *(layer - one for one in (*embedded, *([classes] if classes else [])))]
    return list(dict.fromkeys(one for one in widths if isinstance(one, int) and one > 0))
