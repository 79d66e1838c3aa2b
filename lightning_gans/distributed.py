"""Collective operations of a training step: means over the batches of all processes, and equal buffers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from typing_extensions import override

_synchronized = False


@contextmanager
def synchronized(network: nn.Module | None) -> Iterator[None]:
    """Run a step in all processes together: the functions of this file communicate inside the block, and only there.

    Outside, a process that computes something alone, such as the figures of a callback, would wait for the others for
    ever. DDP is kept from averaging gradients itself: in every backward it waits for the gradients of both players, and
    only one is updated.

    Args:
        network: what the Trainer's strategy made of the module; processes communicate where DDP wraps it.
    """
    global _synchronized
    before, _synchronized = _synchronized, isinstance(network, DistributedDataParallel) and dist.get_world_size() > 1
    try:
        with network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext():
            yield
    finally:
        _synchronized = before


def mean(x: Tensor) -> Tensor:
    """Return the mean of a tensor over the processes, differentiably; `x` itself where there is one process.

    Gradients are averaged over processes, so a loss that is a mean over samples needs nothing else. A loss that is
    another function of a mean over samples equals that of the whole batch only with this mean.
    """
    return _Mean.apply(x) if _synchronized else x


def mean_of_logarithms(x: Tensor) -> Tensor:
    """Return the logarithm of the mean over the processes of exp(x), without overflow or underflow of exp."""
    if not _synchronized:
        return x
    dist.all_reduce(most := x.detach().clone(), dist.ReduceOp.MAX)
    return most + mean((x - most).exp()).clamp_min(torch.finfo(x.dtype).tiny).log()


class _Mean(torch.autograd.Function):
    """The mean over processes; its derivative is the mean of the derivatives, and can be differentiated again."""

    @staticmethod
    @override
    def forward(ctx: Any, x: Tensor) -> Tensor:
        dist.all_reduce(x := x.clone(memory_format=torch.contiguous_format))
        return x.div_(dist.get_world_size())

    @staticmethod
    @override
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Mean.apply(gradient)


@torch.no_grad()
def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace gradients by their means over the processes, with one message for each dtype.

    A parameter without a gradient counts as one with zeros, but keeps None where no process has a gradient.
    """
    kinds = defaultdict(list)
    for parameter in parameters if _synchronized else ():
        if parameter.requires_grad:
            kinds[parameter.dtype].append(parameter)
    for members in kinds.values():
        missing = [index for index, member in enumerate(members) if member.grad is None]
        parts = [torch.zeros_like(one) if one.grad is None else one.grad for one in members]
        there = torch.ones(len(members))
        there[missing] = 0
        flat = torch.cat([part.flatten() for part in parts] + [there.to(parts[0])])
        dist.all_reduce(flat.div_(dist.get_world_size()))
        *means, there = flat.split([part.numel() for part in parts] + [len(members)])
        torch._foreach_copy_(parts, [mean.view_as(part) for mean, part in zip(means, parts, strict=True)])
        for index in missing:
            if there[index]:
                members[index].grad = parts[index]


@torch.no_grad()
def broadcast_buffers(module: nn.Module) -> None:
    """Copy the buffers of the first process to all, such as the statistics of BatchNorm, whose batches differ."""
    kinds = defaultdict(list)
    for buffer in module.buffers() if _synchronized else ():
        kinds[buffer.dtype].append(buffer)
    for members in kinds.values():
        flat = torch.cat([buffer.flatten() for buffer in members])
        dist.broadcast(flat, src=0)
        parts = flat.split([buffer.numel() for buffer in members])
        torch._foreach_copy_(members, [part.view_as(buffer) for part, buffer in zip(parts, members, strict=True)])


def gathered(state: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """Return the tensors of all processes by rank, on the CPU, in the first process, and an empty list in the others.

    All processes must call it at the same time.
    """
    states: list[Any] = [None] * dist.get_world_size()
    dist.gather_object({name: tensor.cpu() for name, tensor in state.items()}, states if dist.get_rank() == 0 else None)
    return states if dist.get_rank() == 0 else []
