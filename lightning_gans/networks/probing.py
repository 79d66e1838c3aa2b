"""One forward of a torch module that disturbs nothing: which inputs it takes, and what it returns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lightning_gans.networks.modes import evaluating


@contextmanager
def undisturbed(module: nn.Module) -> Iterator[None]:
    """Run a module in evaluation mode inside the block; its mode, its buffers and random numbers are as before."""
    lazy = any(is_lazy(one) for one in (*module.parameters(), *module.buffers()))  # drawn now, by the run's seed
    buffers = {} if lazy else {name: buffer.clone() for name, buffer in module.named_buffers()}
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    try:
        with evaluating(module), torch.random.fork_rng(devices, enabled=not lazy):
            yield
    finally:
        with torch.no_grad():
            for name, buffer in module.named_buffers():
                if name in buffers and not torch.equal(buffer, buffers[name]):
                    buffer.copy_(buffers[name])


def _arguments(module: nn.Module, shape: Sequence[int], num_classes: int) -> tuple[Tensor, ...]:
    """Return two inputs of a shape, and two labels where there are classes, where and as the module takes them."""
    floats = (one for one in module.parameters() if one.is_floating_point() and not is_lazy(one))
    like = next(floats, torch.empty(0))
    x = torch.full((2, *shape), 0.5, device=like.device, dtype=like.dtype)
    return (x, torch.zeros(2, dtype=torch.int64, device=like.device)) if num_classes else (x,)


def shape_of_samples(
    owner: nn.Module, module: nn.Module, shapes: Sequence[tuple[int, ...]], num_classes: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shape of a generator's samples, and the first shape of latents that it takes."""
    require_module(owner, module)
    reasons = []
    for shape in shapes:
        try:
            with undisturbed(module), torch.no_grad():
                samples = module(*_arguments(module, shape, num_classes))
        except Exception as error:  # a module of the user's may raise anything
            reasons.append(f"for z of shape (2, {', '.join(map(str, shape))}): {_line(error)}")
            continue
        if not isinstance(samples, Tensor) or samples.dim() < 2 or len(samples) != 2:
            raise ValueError(
                f"{type(module).__name__} returns {kind_of(samples)} for two latents, expected samples (2, ...); let "
                "its forward return the samples alone."
            )
        return tuple(samples.shape[1:]), shape
    labels, given = (" and labels (2,)", f", num_classes={num_classes}") if num_classes else ("", "")
    raise ValueError(
        f"{type(module).__name__} does not take such latents{labels} ({'; '.join(reasons)}); give the width of its z, "
        f"or its shape: PlainGenerator({type(module).__name__}(...), latents=100, latent_shape=(25, 2, 2){given})."
    )


def has_patch_logits(owner: nn.Module, module: nn.Module, shape: tuple[int, ...], num_classes: int) -> bool:
    """Return whether a discriminator returns a logit for each of several patches of a sample, not one for a sample."""
    require_module(owner, module)
    name = type(module).__name__
    try:
        with undisturbed(module), torch.enable_grad():
            x, *labels = _arguments(module, shape, num_classes)
            logits = module(x.requires_grad_(), *labels)
    except Exception as error:  # a module of the user's may raise anything
        labelled = ", and labels (2,)" if num_classes else ""
        raise ValueError(
            f"{name} does not take samples of shape {shape}{labelled} ({_line(error)}); build it for them, or write "
            f"PlainDiscriminator({name}(...), sample_shape, num_classes)."
        ) from None
    is_tensor = isinstance(logits, Tensor) and logits.dim() > 0 and len(logits) == 2
    if not is_tensor or (logits.numel() != 2 and (logits.dim() < 3 or (logits.dim() > 3 and logits.shape[1] != 1))):
        raise ValueError(
            f"{name} returns {kind_of(logits)} for two samples, expected logits (2,), (2, 1) or, of patches, "
            "(2, 1, H, W); let its forward return those alone."
        )
    if _ends_in_sigmoid(logits):
        raise ValueError(
            f"{name} ends in a sigmoid, and objectives take logits, to which they apply one themselves; leave it out."
        )
    return logits.numel() != 2


_RESHAPING = ("View", "Reshape", "Squeeze", "Unsqueeze", "Select", "Mean", "Clone", "AsStrided", "ToCopy")


def _ends_in_sigmoid(output: Tensor) -> bool:
    """Return whether nothing but reshaping and means follows a sigmoid, by the graph of the output."""
    node = output.grad_fn
    while node is not None and node.name().lstrip("_").removeprefix("Unsafe").startswith(_RESHAPING):
        node = next((parent for parent, _ in node.next_functions if parent is not None), None)
    return node is not None and node.name().startswith(("Sigmoid", "LogSigmoid"))


def require_module(owner: nn.Module, module: Any) -> None:
    """Require a torch module as an argument of the owner."""
    if not isinstance(module, nn.Module):
        raise ValueError(f"{type(owner).__name__}(module={kind_of(module)}): expected a torch.nn.Module.")


def kind_of(thing: Any) -> str:
    """Return the shape of a tensor, or the class of anything else, in words."""
    return f"shape {tuple(thing.shape)}" if isinstance(thing, Tensor) else f"a {type(thing).__name__}"


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).partition("\n")[0][:160].rstrip(" .")
