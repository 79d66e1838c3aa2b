"""Generators in which every sample takes its own route through stochastic layers."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lightning_gans import arguments
from lightning_gans.networks.base import Generator
from lightning_gans.networks.latents import Latents
from lightning_gans.networks.stochastic_layers import StochasticLayer


class StochasticGenerator(Generator):
    """Generator with stochastic layers; the groups that a sample uses are its route.

        route = r₀ + r₁ R + … + r_{L−1} R^{L−1},    r_l = group in stochastic layer l, counted from the input

    Each of the R^L routes is a network that shares its parts with the others. The same z on the same route gives
    the same sample. A subclass fills `layers`, a list of modules from the output of `condition` to the samples;
    L of them are stochastic.

    Args:
        sample_shape: shape of one sample, (C, H, W) for images, (D,) for points.
        latents: distribution of z; an integer is the width of Gaussian latents.
        groups: number R of groups in a stochastic layer, at least 1; 1 is an ordinary network.
        stochastic_layers: number L of stochastic layers, at least 1.
        routes_per_batch: number of routes drawn for a batch, each for one chunk of it; None draws one per sample.
        num_classes: number of labels; 0 is an unconditional generator.

    Raises:
        ValueError: if an argument is out of its range; in use, if the route does not fit.

    Reference:
        Chaplygin, Chacksfield, "Stochastic Deconvolutional Neural Network Ensemble Training on Generative
        Pseudo-Adversarial Networks", 2018, arXiv 1802.02436.
    """

    layers: nn.ModuleList

    def __init__(
        self,
        sample_shape: Sequence[int],
        latents: Latents | int,
        groups: int = 16,
        stochastic_layers: int = 3,
        routes_per_batch: int | None = None,
        num_classes: int = 0,
    ) -> None:
        super().__init__(sample_shape, latents, num_classes)
        arguments.whole(self, 1, groups=groups, stochastic_layers=stochastic_layers, routes_per_batch=routes_per_batch)
        if groups**stochastic_layers > 2**62:
            raise ValueError(
                f"{type(self).__name__}: {groups} groups in {stochastic_layers} layers are "
                f"{groups**stochastic_layers} routes, expected at most 2**62; lower groups or stochastic_layers."
            )
        self.routes_per_batch = routes_per_batch

    @property
    def num_routes(self) -> int:
        """Number of routes, R^L."""
        return math.prod(layer.groups for layer in self.layers if isinstance(layer, StochasticLayer))

    def draw_routes(
        self, n: int, device: torch.device | str | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw the routes of n samples, every group uniformly and independently.

        Args:
            n: number of samples.
            device: where they are made; None is the default device.
            generator: source of the random numbers, on `device`; None is torch's default generator.

        Returns:
            int64 of shape (n,), or (min(routes_per_batch, n),).
        """
        size = (n if self.routes_per_batch is None else min(self.routes_per_batch, n),)
        route = torch.zeros(size, dtype=torch.int64, device=device)
        for layer in reversed(self.layers):
            if isinstance(layer, StochasticLayer) and layer.groups > 1:
                route = route * layer.groups + torch.randint(layer.groups, size, device=device, generator=generator)
        return route

    def last_group(self, route: Tensor, n: int) -> Tensor:
        """Return the group (n,) of each of n samples in the last stochastic layer, on routes (M,)."""
        banks = [layer.groups for layer in self.layers if isinstance(layer, StochasticLayer) and layer.groups > 1]
        chunks = zip(route, torch.empty(n).tensor_split(len(route)), strict=True)
        each = route if len(route) == n else torch.cat([one.expand(len(chunk)) for one, chunk in chunks])
        return each // (self.num_routes // banks[-1]) if banks else each

    def forward(self, z: Tensor, labels: Tensor | None = None, route: Tensor | int | None = None) -> Tensor:
        """Map z to samples.

        Args:
            z: latents (N, latent_dim).
            labels: class indices (N,), if the generator is conditional.
            route: int64 (M,), values in [0, num_routes). M = N is one route per sample, M = 1 or an integer one
                for all; otherwise the batch is cut into M chunks as by `torch.tensor_split`. None draws
                them. The values are checked, which waits for the device, except in a compiled graph.

        Returns:
            samples (N, *sample_shape).
        """
        x = self.condition(z, labels)
        route = self.draw_routes(len(z), z.device) if route is None else self.as_route(route, len(z), z.device)
        for layer in self.layers:
            if isinstance(layer, StochasticLayer):
                x = layer(x, route % layer.groups)
                route = route // layer.groups
            else:
                x = layer(x)
        return x

    def as_route(self, route: Tensor | int, n: int, device: torch.device) -> Tensor:
        """Return the route as a tensor (M,) on `device`, after checking that it fits n samples."""
        route = torch.tensor([route], device=device) if isinstance(route, int) else route
        if route.dtype != torch.int64:
            raise ValueError(f"route has dtype {route.dtype}, expected torch.int64; convert with route.long()")
        if route.dim() != 1 or not 1 <= len(route) <= n:
            raise ValueError(
                f"route has shape {tuple(route.shape)}, expected ({n},), (1,) or less than {n} for chunks; "
                f"draw it with generator.draw_routes({n})"
            )
        if not torch.compiler.is_compiling():
            outside = route[(route < 0) | (route >= self.num_routes)]
            if len(outside):
                raise ValueError(
                    f"route is {outside[0].item()}, expected 0 to {self.num_routes - 1}; draw it with "
                    f"generator.draw_routes({n})"
                )
        return route.to(device)
