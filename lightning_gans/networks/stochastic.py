"""Stochastic ensembles: generators that send every sample along a route of its own through banks of filters."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lightning_gans.networks.base import Generator
from lightning_gans.networks.dcgan import Crop, as_image_shape, stage_widths
from lightning_gans.networks.latents import Latents, Uniform, as_latents, at_least
from lightning_gans.networks.mlp import initialize_he
from lightning_gans.networks.stochastic_layers import (
    SLOPE,
    StochasticConvTranspose2d,
    StochasticLayer,
    StochasticLinear,
)


class StochasticGenerator(Generator):
    """Generator with stochastic layers; the groups that a sample meets on its way are its route.

        route = r₀ + r₁ R + … + r_{L−1} R^{L−1},    r_l = group in stochastic layer l, from the input on

    Each of the R^L routes is a network of its own that shares its parts with the others. The same z on the
    same route gives the same sample. A subclass fills `layers`, a list of modules from the output of `condition`
    to the samples, of which L are stochastic.

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
        at_least("groups", groups, 1)
        at_least("stochastic_layers", stochastic_layers, 1)
        if routes_per_batch is not None:
            at_least("routes_per_batch", routes_per_batch, 1)
        if groups**stochastic_layers > 2**62:
            raise ValueError(
                f"{groups} groups in {stochastic_layers} layers are {groups**stochastic_layers} routes, expected "
                "at most 2**62; lower groups or stochastic_layers"
            )
        self.routes_per_batch = routes_per_batch

    @property
    def num_routes(self) -> int:
        """Number of routes, R^L."""
        return math.prod(layer.groups for layer in self.layers if isinstance(layer, StochasticLayer))

    def draw_routes(
        self, n: int, device: torch.device | str | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw the routes of n samples, every group uniformly and independently of the others.

        Args:
            n: number of samples.
            device: where they are made; None is the default device.
            generator: random numbers of this generator (on `device`) instead of the global ones.

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
        """The group of each of n samples in the last stochastic layer, (n,), on routes (M,)."""
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
                them. The values are checked, for which a GPU waits, but not in a compiled graph.

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
        """Return the route as a tensor (M,) on `device`, checked for n samples."""
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


class StochasticEnsembleGenerator(StochasticGenerator):
    """Convolutional stochastic ensemble, map of noise → L × stochastic doubling → shared doublings → tanh.

    The map of z is ⌈H/2ⁿ⌉ × ⌈W/2ⁿ⌉ for n doublings, each cropped as in `DCGANGenerator`. All doublings are
    weight-normalised transposed convolutions (kernel 4, stride 2), and a PReLU follows every one but the last.
    The maps have `width` channels next to the image and twice as many at each halving, at most 8 · width. A
    128 × 128 image with width 144 has the paper's 8 × 8 input, its 576 channels at 16 × 16, and its 4096 routes.

    Stated in the paper: filters drawn anew at each use in the deep layers and shared ones above; kernel, stride,
    PReLUs that start at 0.2, weight normalisation, the 8 × 8 map of U(−1, 1), 4096 routes, and 576 as the size of
    the first stochastic layer. Inferred: that a layer draws one whole group, 16 groups in 3 layers, 576 as the
    channels in use rather than the bank, the channels of the other layers, one route per sample, one channel of
    noise, the shared bias and the initial gains.

    Args:
        image_shape: (C, H, W), H and W at least 13.
        latents: distribution of z, as wide as the map of input_channels · h · w; None is U(−1, 1). `Constant`
            leaves all variety to the routes.
        width: channels of the map next to the image.
        groups: number R of filter groups in a stochastic layer, at least 1; 1 is an ordinary network.
        stochastic_layers: number L of stochastic doublings, from 1 to doublings − 1; None is 3 or as many as fit.
        routes_per_batch: number of routes drawn for a batch, each for one chunk of it; None draws one per sample.
        input_channels: channels of the map of z.
        doublings: number n, at least 2; None is the paper's 4. The shorter side of the map of z must
            be 4 or more; None takes fewer doublings where it would not be.
        num_classes: number of labels; 0 is an unconditional generator. The embedding is a map beside that of z.

    Raises:
        ValueError: if an argument is out of its range; in use, if the route does not fit.

    Reference:
        Chaplygin, Chacksfield, "Stochastic Deconvolutional Neural Network Ensemble Training on Generative
        Pseudo-Adversarial Networks", 2018, arXiv 1802.02436.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        latents: Latents | None = None,
        width: int = 64,
        groups: int = 16,
        stochastic_layers: int | None = None,
        routes_per_batch: int | None = None,
        input_channels: int = 1,
        doublings: int | None = None,
        num_classes: int = 0,
    ) -> None:
        channels, height, across = as_image_shape(image_shape)
        at_least("input_channels", input_channels, 1)
        widths = stage_widths(min(height, across), width)
        most = len(widths)
        if most < 2:
            raise ValueError(
                f"image_shape is {(channels, height, across)}, expected H and W of at least 13; resize the data, "
                "or use StochasticEnsembleMLPGenerator"
            )
        n = min(4, most) if doublings is None else at_least("doublings", doublings, 2)
        if n > most:
            raise ValueError(f"doublings is {n} for {height} × {across} images, expected 2 to {most}; lower it")
        count = min(3, n - 1) if stochastic_layers is None else stochastic_layers
        if count > n - 1:
            raise ValueError(
                f"stochastic_layers is {count} for {height} × {across} images with {n} doublings, expected at most "
                f"{n - 1}, as the last is shared; set it to {n - 1} or less"
            )
        sizes = [(-(-height >> k), -(-across >> k)) for k in range(n, -1, -1)]
        dim = input_channels * math.prod(sizes[0])
        latents = Uniform(dim) if latents is None else as_latents(latents)
        if latents.dim != dim:
            raise ValueError(
                f"latents have width {latents.dim}, expected {dim} for a map of {input_channels} × {sizes[0][0]} × "
                f"{sizes[0][1]}; use Uniform({dim}) or Constant({dim})"
            )
        super().__init__(image_shape, latents, groups, count, routes_per_batch, num_classes)
        before = self.input_dim // math.prod(sizes[0])
        layers: list[nn.Module] = [nn.Unflatten(1, (before, *sizes[0]))]
        for k, after in enumerate([*widths[: n - 1][::-1], channels]):
            layers.append(StochasticConvTranspose2d(before, after, groups if k < count else 1))
            if sizes[k + 1] != tuple(2 * side for side in sizes[k]):
                layers.append(Crop(*sizes[k + 1]))
            layers.append(nn.Tanh() if k == n - 1 else nn.PReLU(init=SLOPE))
            before = after
        self.layers = nn.ModuleList(layers)


class StochasticEnsembleMLPGenerator(StochasticGenerator):
    """Fully connected stochastic ensemble, depth × [Linear → PReLU] → Linear (→ tanh), for points and small images.

    The first L hidden layers are stochastic, the others and the last are shared. The paper has images only.

    Args:
        sample_shape: shape of one sample, (D,) for points, (C, H, W) for images.
        latents: distribution of z; an integer is the width of Gaussian latents.
        width: units of a hidden layer.
        depth: number of hidden layers, at least 1.
        groups: number R of weights in a stochastic layer, at least 1; 1 is an ordinary network.
        stochastic_layers: number L of stochastic layers, from 1 to depth; None is all hidden layers.
        routes_per_batch: number of routes drawn for a batch, each for one chunk of it; None draws one per sample.
        bounded: whether a tanh bounds the samples to (−1, 1); None bounds images and leaves points free.
        num_classes: number of labels; 0 is an unconditional generator.

    Raises:
        ValueError: if an argument is out of its range; in use, if the route does not fit.

    Reference:
        Chaplygin, Chacksfield, "Stochastic Deconvolutional Neural Network Ensemble Training on Generative
        Pseudo-Adversarial Networks", 2018, arXiv 1802.02436.
    """

    def __init__(
        self,
        sample_shape: Sequence[int],
        latents: Latents | int = 16,
        width: int = 128,
        depth: int = 2,
        groups: int = 16,
        stochastic_layers: int | None = None,
        routes_per_batch: int | None = None,
        bounded: bool | None = None,
        num_classes: int = 0,
    ) -> None:
        at_least("width", width, 1)
        count = at_least("depth", depth, 1) if stochastic_layers is None else stochastic_layers
        super().__init__(sample_shape, latents, groups, count, routes_per_batch, num_classes)
        if count > depth:
            raise ValueError(f"stochastic_layers is {count}, expected at most depth {depth}; lower it, or raise depth")
        widths = [self.input_dim] + [width] * depth
        layers: list[nn.Module] = []
        for k in range(depth):
            layers.append(StochasticLinear(widths[k], width, groups if k < count else 1))
            layers.append(nn.PReLU(init=SLOPE))
        last = nn.Linear(width, math.prod(self.sample_shape))
        initialize_he(last)
        layers += [last, nn.Tanh()] if (len(self.sample_shape) == 3 if bounded is None else bounded) else [last]
        self.layers = nn.ModuleList([*layers, nn.Unflatten(1, self.sample_shape)])
