"""Fully connected generator and discriminator, for points and small images."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from lightning_gans import arguments
from lightning_gans.networks.base import Discriminator, Generator, as_shape, cancels_bias
from lightning_gans.networks.latents import Latents
from lightning_gans.networks.weights import redraw, weighted_layers


class MLPGenerator(Generator):
    """Fully connected generator, depth × [Linear → norm → activation] → Linear (→ tanh).

    Args:
        sample_shape: shape of one sample, (D,) for points, (C, H, W) for images.
        latents: distribution of z; an integer is the width of Gaussian latents.
        width: units of a hidden layer.
        depth: number of hidden layers, at least 0.
        activation: makes the activation of a hidden layer.
        norm: makes the normalisation of a hidden layer from its width, like `nn.BatchNorm1d`; None is none.
        bounded: whether a tanh bounds the samples to (−1, 1); None bounds images and leaves points free.
        num_classes: number of labels; 0 is an unconditional generator.
        orthogonal_gain: factor on orthogonal initial weights, above 0; None draws He's, which suit rectifiers.

    Raises:
        ValueError: if an argument is out of its range.

    Reference:
        Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014, arXiv 1406.2661.
    """

    def __init__(
        self,
        sample_shape: Sequence[int],
        latents: Latents | int = 100,
        width: int = 128,
        depth: int = 2,
        activation: Callable[[], nn.Module] = nn.ReLU,
        norm: Callable[[int], nn.Module] | None = None,
        bounded: bool | None = None,
        num_classes: int = 0,
        orthogonal_gain: float | None = None,
    ) -> None:
        super().__init__(sample_shape, latents, num_classes)
        arguments.whole(self, 1, width=width)
        arguments.whole(self, 0, depth=depth)
        arguments.positive(self, orthogonal_gain=orthogonal_gain)
        widths = [self.input_dim] + [width] * depth
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += dense(before, after, activation, norm)
        layers.append(nn.Linear(widths[-1], math.prod(self.sample_shape)))
        if len(self.sample_shape) == 3 if bounded is None else bounded:
            layers.append(nn.Tanh())
        self.layers = nn.Sequential(*layers)
        initialize_he(self) if orthogonal_gain is None else initialize_orthogonal(self, orthogonal_gain)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map z (N, latent_dim) and labels (N,) to samples (N, *sample_shape)."""
        return self.layers(self.condition(z, labels)).unflatten(1, self.sample_shape)


class MLPDiscriminator(Discriminator):
    """Fully connected discriminator, depth × [Linear → norm → activation → dropout] → Linear.

    Args:
        sample_shape: shape of one sample; samples of any shape are flattened.
        width: units of a hidden layer.
        depth: number of hidden layers, at least 0.
        activation: makes the activation of a hidden layer; unused with maxout.
        norm: makes the normalisation of a hidden layer from its width, like `nn.LayerNorm`; None is none.
        maxout_pieces: pieces of a `Maxout` in place of Linear and activation, at least 2; 0 is no maxout.
        dropout: probability of dropping a hidden unit, in [0, 1].
        input_dropout: probability of dropping an input of the first layer, in [0, 1].
        fourier_frequencies: sines and cosines to add to every coordinate, see `FourierFeatures`; 0 adds none.
        max_frequency: highest of their frequencies, radians per unit of scaled input, at least 1.
        input_scale: factor on the samples; 0.25 brings points in [−4, 4] to [−1, 1].
        num_classes: number of labels; 0 is an unconditional discriminator.
        orthogonal_gain: factor on orthogonal initial weights, above 0; None draws He's, which suit rectifiers.

    Raises:
        ValueError: if an argument is out of its range.

    Reference:
        Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014, arXiv 1406.2661.
    """

    def __init__(
        self,
        sample_shape: Sequence[int],
        width: int = 128,
        depth: int = 2,
        activation: Callable[[], nn.Module] = lambda: nn.LeakyReLU(negative_slope=0.2),
        norm: Callable[[int], nn.Module] | None = None,
        maxout_pieces: int = 0,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        fourier_frequencies: int = 0,
        max_frequency: float = 100.0,
        input_scale: float = 1.0,
        num_classes: int = 0,
        orthogonal_gain: float | None = None,
    ) -> None:
        arguments.whole(self, 1, width=width)
        arguments.whole(self, 0, depth=depth, maxout_pieces=maxout_pieces, fourier_frequencies=fourier_frequencies)
        arguments.fraction(self, include_one=False, dropout=dropout, input_dropout=input_dropout)
        arguments.positive(self, orthogonal_gain=orthogonal_gain)
        if maxout_pieces == 1:
            raise ValueError(
                "MLPDiscriminator(maxout_pieces=1) makes the network linear; use 2 or more, or 0 for no maxout."
            )
        inputs = math.prod(as_shape(self, sample_shape)) * (1 + 2 * fourier_frequencies)
        widths = [inputs] + [width] * depth
        super().__init__(sample_shape, num_features=widths[-1], num_classes=num_classes)
        self.input_scale = input_scale
        layers: list[nn.Module] = []
        if fourier_frequencies:
            layers.append(FourierFeatures(fourier_frequencies, max_frequency))
        if input_dropout:
            layers.append(nn.Dropout(input_dropout))
        for before, after in pairwise(widths):
            if maxout_pieces:
                layers.append(Maxout(before, after, maxout_pieces))
                layers += [norm(after)] if norm else []
            else:
                layers += dense(before, after, activation, norm)
            layers += [nn.Dropout(dropout)] if dropout else []
        self.layers = nn.Sequential(*layers)
        initialize_he(self) if orthogonal_gain is None else initialize_orthogonal(self, orthogonal_gain)

    def features(self, x: Tensor) -> Tensor:
        """Map samples (N, *sample_shape) to the last hidden layer (N, num_features)."""
        x = x.flatten(1)
        return self.layers(x if self.input_scale == 1 else x * self.input_scale)


def dense(
    before: int, after: int, activation: Callable[[], nn.Module], norm: Callable[[int], nn.Module] | None
) -> list[nn.Module]:
    """Make the modules of one hidden layer; the Linear has no bias where the norm would cancel it."""
    normalisation = norm(after) if norm else None
    linear = nn.Linear(before, after, bias=not cancels_bias(normalisation))
    return [linear, *([normalisation] if normalisation else []), activation()]


def initialize_he(network: nn.Module) -> None:
    """Draw the weights of every Linear from N(0, 2/fan_in), which keeps the scale through rectifiers; biases are 0.

    With torch's smaller default weights the first samples of a deep generator almost coincide.

    Reference:
        He, Zhang, Ren, Sun, "Delving Deep into Rectifiers", ICCV 2015, arXiv 1502.01852.
    """
    for linear in (module for module in network.modules() if isinstance(module, nn.Linear)):
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        if linear.bias is not None:
            nn.init.zeros_(linear.bias)


def initialize_orthogonal(network: nn.Module, gain: float) -> None:
    """Make every weight `gain` times a random matrix with orthonormal rows or columns; biases are 0.

    A convolution's matrix has a row for each entry of the weight's first dimension: the output channels, or the
    input channels of a transposed one. A layer that widens much, such as the first one on points, gets far smaller
    weights than with He's initialisation. Embeddings keep theirs.

    Args:
        network: network or part of one.
        gain: factor on the weights, above 0.

    Raises:
        ValueError: for a gain out of range.

    Reference:
        Saxe, McClelland, Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear neural
        networks", ICLR 2014, arXiv 1312.6120.
    """
    arguments.positive("initialize_orthogonal", gain=gain)
    for _, layer in weighted_layers(network):
        redraw(layer, lambda weight: nn.init.orthogonal_(weight, gain))


class Maxout(nn.Module):
    """Layer of maxima of affine maps, h_i(x) = max_j (w_ij · x + b_ij), j = 1 … pieces.

    Args:
        in_features: width of the input.
        out_features: width of the output.
        pieces: affine maps behind every output, at least 1.

    Raises:
        ValueError: if `pieces` is out of its range.

    Reference:
        Goodfellow, Warde-Farley, Mirza, Courville, Bengio, "Maxout Networks", ICML 2013, arXiv 1302.4389.
    """

    def __init__(self, in_features: int, out_features: int, pieces: int = 5) -> None:
        super().__init__()
        arguments.whole(self, 1, pieces=pieces)
        self.pieces = pieces
        self.linear = nn.Linear(in_features, pieces * out_features)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_features) to (N, out_features)."""
        return self.linear(x).unflatten(-1, (self.pieces, -1)).amax(-2)


class FourierFeatures(nn.Module):
    """Coordinates x beside their sines and cosines, [x, sin(f₁x), …, sin(f_k x), cos(f₁x), …, cos(f_k x)].

    The frequencies are spaced evenly on a log scale from 1 to `max_frequency`. A network on plain
    coordinates learns sharp functions slowly; with these it resolves modes that are narrow relative to the range.

    Args:
        frequencies: number k of frequencies, at least 1; with k = 1 the frequency is 1.
        max_frequency: highest frequency, radians per unit of input, at least 1; the period 2π/f should not be
            much shorter than the finest detail of the data.

    Raises:
        ValueError: if an argument is out of its range.

    Reference:
        Tancik et al., "Fourier Features Let Networks Learn High Frequency Functions in Low Dimensional
        Domains", NeurIPS 2020, arXiv 2006.10739.
    """

    frequencies: Tensor

    def __init__(self, frequencies: int = 8, max_frequency: float = 100.0) -> None:
        super().__init__()
        arguments.whole(self, 1, frequencies=frequencies)
        arguments.at_least(self, 1, max_frequency=max_frequency)
        spaced = torch.logspace(0, math.log10(max_frequency), frequencies)
        self.register_buffer("frequencies", spaced, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, D) to (N, D · (1 + 2k))."""
        angles = (x.unsqueeze(1) * self.frequencies.unsqueeze(1)).flatten(1)
        return torch.cat([x, angles.sin(), angles.cos()], dim=1)
