"""What several processes do together in a step: means over all their batches, of gradients too, and equal buffers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

_synchronized = False


@contextmanager
def synchronized(network: nn.Module | None) -> Iterator[None]:
    """A step that all processes play at the same time; what is below acts in here, and nowhere else.

    What one process computes alone, such as an observer's figures, would wait for the others for ever. DDP is kept
    from averaging gradients itself: in every backward it waits for those of both players, of whom one moves.

    Args:
        network: what the Trainer's strategy has made of the module; only what DDP wraps is played together.
    """
    global _synchronized
    before, _synchronized = _synchronized, isinstance(network, DistributedDataParallel) and dist.get_world_size() > 1
    try:
        with network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext():
            yield
    finally:
        _synchronized = before


def mean(x: Tensor) -> Tensor:
    """The mean of a tensor over the processes, all of whose losses it then moves; `x` itself where there is one.

    Losses are averaged over processes through their gradients, so a loss that is a mean over samples needs nothing. A
    function of a mean over samples is that of the whole batch only with this one.
    """
    return _Mean.apply(x) if _synchronized else x


def mean_of_logarithms(x: Tensor) -> Tensor:
    """The logarithm of the mean over the processes of exp(x), which may be out of a number's range."""
    if not _synchronized:
        return x
    dist.all_reduce(most := x.detach().clone(), dist.ReduceOp.MAX)
    return most + mean((x - most).exp()).clamp_min(torch.finfo(x.dtype).tiny).log()


class _Mean(torch.autograd.Function):
    """Its derivative is the mean of the derivatives, and can be differentiated again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Add up and divide."""
        dist.all_reduce(x := x.clone(memory_format=torch.contiguous_format))
        return x.div_(dist.get_world_size())

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        """The same."""
        return _Mean.apply(slope)


@torch.no_grad()
def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace gradients by their means over the processes: one message for each precision.

    A parameter without a gradient counts as one with zeros, but keeps none where no process has one.
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
    """Give all processes the first one's buffers, such as the statistics of BatchNorm, whose batches differ."""
    kinds = defaultdict(list)
    for buffer in module.buffers() if _synchronized else ():
        kinds[buffer.dtype].append(buffer)
    for members in kinds.values():
        flat = torch.cat([buffer.flatten() for buffer in members])
        dist.broadcast(flat, src=0)
        parts = flat.split([buffer.numel() for buffer in members])
        torch._foreach_copy_(members, [part.view_as(buffer) for part, buffer in zip(parts, members, strict=True)])


def gathered(state: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """Such tensors of all processes by rank, on the CPU, in the first process; nothing in the others.

    All processes must ask at the same time.
    """
    states: list[Any] = [None] * dist.get_world_size()
    dist.gather_object({name: tensor.cpu() for name, tensor in state.items()}, states if dist.get_rank() == 0 else None)
    return states if dist.get_rank() == 0 else []
