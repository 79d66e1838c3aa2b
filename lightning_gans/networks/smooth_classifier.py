"""A small classifier without corners, for adversarial training, and one of digits whose weights ship."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from lightning_gans import arguments
from lightning_gans.networks.dcgan import as_image_shape

WEIGHTS = Path(__file__).with_name("robust_digit_classifier.safetensors")


class SmoothClassifier(nn.Module):
    """Small convolutional classifier with SiLU and no normalisation, whose gradients are smooth.

        2 × [4 × 4 convolution, stride 2] → 3 × 3 convolution → Linear → Linear, with SiLU after each but the last

    of `width`, 2 · width, 4 · width channels and 4 · width features. On 28 × 28 grey images of ten classes with width
    16 it has 228,410 parameters.

    Attributes:
        input_shape: shape (C, H, W) of an image in [−1, 1].
        num_features: width of the features.

    Args:
        image_shape: (C, H, W), H and W at least 8.
        num_classes: number of classes, at least 2.
        width: channels of the first layer.

    Raises:
        ValueError: if an argument is out of its range.
    """

    def __init__(self, image_shape: Sequence[int], num_classes: int, width: int = 16) -> None:
        super().__init__()
        arguments.whole(self, 2, num_classes=num_classes)
        arguments.whole(self, 1, width=width)
        self.input_shape = channels, height, breadth = as_image_shape(self, image_shape)
        self.num_classes, self.num_features = num_classes, 4 * width
        positions = (height // 4) * (breadth // 4)
        self.layers = nn.Sequential(
            *(nn.Conv2d(channels, width, 4, 2, 1), nn.SiLU()),
            *(nn.Conv2d(width, 2 * width, 4, 2, 1), nn.SiLU()),
            *(nn.Conv2d(2 * width, 4 * width, 3, 1, 1), nn.SiLU()),
            *(nn.Flatten(), nn.Linear(4 * width * positions, self.num_features), nn.SiLU()),
        )
        self.head = nn.Linear(self.num_features, num_classes)

    def features(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) in [−1, 1] to features (N, num_features)."""
        return self.layers(x)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) in [−1, 1] to logits (N, num_classes)."""
        return self.head(self.features(x))


class RobustDigitClassifier(SmoothClassifier):
    """A `SmoothClassifier` of handwritten digits that was trained on MNIST against attacks.

    Its gradient points at strokes, not at textures: a generator that it teaches draws digits. The weights come with
    the library, in half precision; nothing is downloaded. `lightning-gans fit --config
    configs/robust_classifier_mnist.yaml` trained them; the file's metadata give its accuracy, on test digits as they
    are and on attacked ones.

    Args:
        pretrained: whether to load the weights that ship with the library; else they are random.

    Raises:
        FileNotFoundError: if the file with the weights is absent.

    Reference:
        Santurkar et al., "Image Synthesis with a Single (Robust) Classifier", NeurIPS 2019, arXiv 1906.09453; Engstrom
        et al., "Adversarial Robustness as a Prior for Learned Representations", 2019, arXiv 1906.00945.
    """

    def __init__(self, pretrained: bool = True) -> None:
        super().__init__((1, 28, 28), 10)
        if pretrained:
            from safetensors.torch import load_file

            if not WEIGHTS.is_file():
                raise FileNotFoundError(
                    f"the weights {WEIGHTS} are missing; reinstall lightning-gans, or pretrained=False"
                )
            self.load_state_dict({name: one.to(torch.float32) for name, one in load_file(WEIGHTS).items()})
