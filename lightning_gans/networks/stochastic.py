"""Stochastic ensembles: a convolutional and a fully connected generator with routes through banks of filters."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.networks.convolutions import Crop
from lightning_gans.networks.dcgan import as_image_shape, stage_widths
from lightning_gans.networks.latents import Latents, Uniform, as_latents
from lightning_gans.networks.mlp import initialize_he
from lightning_gans.networks.routes import StochasticGenerator
from lightning_gans.networks.stochastic_layers import SLOPE, StochasticConvTranspose2d, StochasticLinear


class _LearnedMap(nn.Module):
    """Appends a learned map, the same for every sample, to the channels of a map."""

    def __init__(self, channels: int, size: Sequence[int]) -> None:
        super().__init__()
        self.map = nn.Parameter(torch.randn(channels, *size))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.map.expand(len(x), -1, -1, -1)], 1)


class StochasticEnsembleGenerator(StochasticGenerator):
    """Convolutional stochastic ensemble, map of noise → L × stochastic doubling → shared doublings → tanh.

    The map of z is ⌈H/2ⁿ⌉ × ⌈W/2ⁿ⌉ for n doublings, each cropped as in `DCGANGenerator`. All doublings are
    weight-normalised transposed convolutions (kernel 4, stride 2), and a PReLU follows every one but the last.
    The map next to the image has `width` channels and each smaller map twice as many, at most 8 · width. A
    128 × 128 image with width 144 has the paper's 8 × 8 input, its 576 channels at 16 × 16, and its 4096 routes.

    The paper states: filters drawn at each use in the first layers and shared in the later ones; kernel, stride,
    PReLUs that start at 0.2, weight normalisation, the 8 × 8 map of U(−1, 1), 4096 routes, and 576 as the size of
    the first stochastic layer. Inferred are: that a layer draws one whole group, 16 groups in 3 layers, 576 as the
    channels in use rather than those of the bank, the channels of the other layers, one route per sample, one
    channel of noise, the shared bias and the initial gains.

    A map of noise has no position, and convolutions have none but at their borders: such an ensemble makes textures.
    With `learned_channels` a learned map beside it gives it a sense of place, so that it can draw.

    Args:
        image_shape: (C, H, W), H and W at least 13.
        latents: distribution of z, as wide as the map of input_channels · h · w; None is U(−1, 1). With `Constant`
            all variety comes from the routes.
        width: channels of the map next to the image.
        groups: number R of filter groups in a stochastic layer, at least 1; 1 is an ordinary network.
        stochastic_layers: number L of stochastic doublings, from 1 to doublings − 1; None is 3 or as many as fit.
        routes_per_batch: number of routes drawn for a batch, each for one chunk of it; None draws one per sample.
        input_channels: channels of the map of z.
        doublings: number n, at least 2, such that the shorter side of the map of z is 4 or more; None is the paper's
            4 or as many as fit.
        num_classes: number of labels; 0 is an unconditional generator. Each class is a constant map beside that of z.
        class_norm: Euclidean norm of that map, above 0; that of z is √(d / 3) for U(−1, 1) of width d.
        learned_channels: channels of a learned map beside that of z, the same for all samples; 0 is none.
        plain_last: whether all doublings are normalised and activated, the last one to `width` channels, and a plain
            3 × 3 convolution makes the image; the last doubling may then be stochastic too.

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
        class_norm: float = 1.0,
        learned_channels: int = 0,
        plain_last: bool = False,
    ) -> None:
        arguments.whole(self, 1, width=width, input_channels=input_channels)
        arguments.whole(self, 2, doublings=doublings)
        arguments.whole(self, 0, learned_channels=learned_channels)
        arguments.positive(self, class_norm=class_norm)
        channels, *size = as_image_shape(self, image_shape, 13, "StochasticEnsembleMLPGenerator")
        widths = stage_widths(min(size), width)
        most = len(widths)
        name, shape = type(self).__name__, (channels, *size)
        n = min(4, most) if doublings is None else doublings
        if n > most:
            raise ValueError(f"{name}(doublings={n}): expected 2 to {most} for image_shape {shape}; lower it.")
        limit = n if plain_last else n - 1
        count = min(3, limit) if stochastic_layers is None else stochastic_layers
        if count > limit:
            shared = "" if plain_last else ", as the last one is shared"
            raise ValueError(
                f"{name}(stochastic_layers={count}): expected at most {limit} for image_shape {shape} and {n} "
                f"doublings{shared}; lower it."
            )
        sizes = [tuple(-(-side >> k) for side in size) for k in range(n, -1, -1)]
        dim = input_channels * math.prod(sizes[0])
        latents = Uniform(dim) if latents is None else as_latents(latents)
        if latents.dim != dim:
            raise ValueError(
                f"{name}(latents={latents}): expected width {dim}, for a map of {input_channels} × {sizes[0][0]} × "
                f"{sizes[0][1]}; use Uniform({dim}) or Constant({dim})."
            )
        super().__init__(image_shape, latents, groups, count, routes_per_batch, num_classes)
        self.class_norm = class_norm
        self._positions = math.prod(sizes[0])
        before = input_channels + num_classes
        layers: list[nn.Module] = [nn.Unflatten(1, (before, *sizes[0]))]
        if learned_channels:
            layers.append(_LearnedMap(learned_channels, sizes[0]))
            before += learned_channels
        for k, after in enumerate(widths[:n][::-1] if plain_last else [*widths[: n - 1][::-1], channels]):
            layers.append(StochasticConvTranspose2d(before, after, groups if k < count else 1))
            if sizes[k + 1] != tuple(2 * side for side in sizes[k]):
                layers.append(Crop(*sizes[k + 1]))
            layers.append(nn.PReLU(init=SLOPE))
            before = after
        layers = [*layers, nn.Conv2d(before, channels, 3, padding=1)] if plain_last else layers[:-1]
        self.layers = nn.ModuleList([*layers, nn.Tanh()])

    @property
    @override
    def input_dim(self) -> int:
        return self.latent_dim + self.num_classes * self._positions

    @override
    def class_weights(self, labels: Tensor, dtype: torch.dtype) -> Tensor:
        maps = super().class_weights(labels, dtype).repeat_interleave(self._positions, dim=1)
        return maps * (self.class_norm / self._positions**0.5)


class StochasticEnsembleMLPGenerator(StochasticGenerator):
    """Fully connected stochastic ensemble, depth × [Linear → PReLU] → Linear (→ tanh), for points and small images.

    The first L hidden layers are stochastic, the other ones and the output layer are shared. The paper has images only.

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
        arguments.whole(self, 1, width=width, depth=depth)
        count = depth if stochastic_layers is None else stochastic_layers
        super().__init__(sample_shape, latents, groups, count, routes_per_batch, num_classes)
        if count > depth:
            raise ValueError(
                f"{type(self).__name__}(stochastic_layers={count}): expected at most the depth, {depth}; lower it, or "
                "raise depth."
            )
        widths = [self.input_dim] + [width] * depth
        layers: list[nn.Module] = []
        for k in range(depth):
            layers.append(StochasticLinear(widths[k], width, groups if k < count else 1))
            layers.append(nn.PReLU(init=SLOPE))
        last = nn.Linear(width, math.prod(self.sample_shape))
        initialize_he(last)
        layers += [last, nn.Tanh()] if (len(self.sample_shape) == 3 if bounded is None else bounded) else [last]
        self.layers = nn.ModuleList([*layers, nn.Unflatten(1, self.sample_shape)])
