"""Class coverage by a classifier: the 10 classes of MNIST, the 1000 of stacked MNIST."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.metrics.classifier_score import ClassifierScore


class ClassCoverage(ClassifierScore):
    """How many of K classes a classifier finds in the fakes, and how unevenly.

        classes            number of classes with at least one fake, by the largest logit
        kl_uniform         KL(histogram of the fakes ‖ uniform) = ln K − H, in nats
        kl_real            KL(histogram of the fakes ‖ histogram of the reals), in nats; left out without reals
        confident          share of fakes with a class probability above `confidence`, 0–1
        confident_classes  number of classes with at least one such fake

    `kl_uniform` is the figure published for stacked MNIST, on 26,000 samples. A generator of uniform classes has about
    (K − 1) / 2N, reported as `kl_uniform_floor`; real digits, which are not quite uniform, have 0.0236. `kl_real` adds
    half a count to each class of the reals, so that it is finite; its floor is (K − 1) (1/N + 1/N_r) / 2. The numbers
    of classes are optimistic: a classifier assigns a class to every image, noise too, which `confident` shows, and one
    misclassified fake is enough (of MNIST without four of its digits 8 are counted in 2,500), which the divergences
    show. Costs a forward of the classifier.

    Args:
        classifier: maps images to logits, through `FrozenClassifier`; None is the digit classifier of this library.
        channels: 1 classifies whole images, of any channels that the classifier takes. With more, such as 3 for stacked
            MNIST, each channel is classified as an image of its own, and a class is a tuple of their classes: 10³ =
            1000, the first channel being the first digit.
        confidence: probability above which a fake counts as confident, in each of its channels, in [0, 1).

    Raises:
        ValueError: if an argument is out of its range, or images do not have the channels.

    Reference:
        Metz, Poole, Pfau, Sohl-Dickstein, "Unrolled Generative Adversarial Networks", ICLR 2017, arXiv 1611.02163;
        Lin, Khetan, Fanti, Oh, "PacGAN: The Power of Two Samples in Generative Adversarial Networks", NeurIPS 2018,
        arXiv 1712.04086.
    """

    name = "classes"
    figure_names = (
        "classes",
        "kl_uniform",
        "kl_uniform_floor",
        "kl_real",
        "kl_real_floor",
        "confident",
        "confident_classes",
    )
    captions: ClassVar[dict[str, str]] = {
        "classes": "How many classes the generator makes, by a classifier. Higher is better.",
        "kl_uniform": "How unevenly samples are spread over the classes, in nats. Lower is better; the floor is what a "
        "perfect generator reaches.",
        "kl_real": "How far the shares of classes are from those of real samples, in nats. Lower is better.",
        "confident": "The share of samples of which the classifier is sure: their quality. Higher is better, up to 1.",
        "confident_classes": "How many classes have a sample of which the classifier is sure. Higher is better.",
    }
    least_samples = 1
    real_counts: Tensor
    fake_counts: Tensor
    fake_confident_counts: Tensor

    def __init__(self, classifier: nn.Module | None = None, channels: int = 1, confidence: float = 0.8) -> None:
        super().__init__(classifier)
        arguments.fraction(self, include_one=False, confidence=confidence)
        arguments.whole(self, 1, channels=channels)
        self.channels = channels
        self.confidence = confidence
        classes = self.classifier.num_classes**channels
        if classes > 1_000_000:
            raise ValueError(
                f"ClassCoverage(channels={channels}): {self.classifier.num_classes} classes in each make {classes:,}; "
                "expected at most a million; use fewer channels."
            )
        for name in ("real_counts", "fake_counts", "fake_confident_counts"):
            self.add_state(name, torch.zeros(classes, dtype=torch.long), dist_reduce_fx="sum")

    @override
    def try_classifier(self, samples: Tensor) -> None:
        self._classify(samples)

    @override
    def update(self, samples: Tensor, real: bool) -> None:
        self.check_samples(samples, real)
        classes, confident = self._classify(samples.detach().float())
        size = len(self.fake_counts)
        if real:
            self.real_counts += torch.bincount(classes, minlength=size)
        else:
            self.fake_counts += torch.bincount(classes, minlength=size)
            self.fake_confident_counts += torch.bincount(classes[confident], minlength=size)

    @override
    def compute(self) -> dict[str, Tensor]:
        count = int(self.fake_counts.sum())
        self.check_count("fake", count)
        size = len(self.fake_counts)
        uniform = torch.full((size,), 1 / size, dtype=torch.float64, device=self.fake_counts.device)
        figures = {
            "classes": (self.fake_counts > 0).sum(),
            "kl_uniform": _divergence(self.fake_counts, uniform),
            "kl_uniform_floor": uniform.new_tensor((size - 1) / (2 * count)),
        }
        if self.real_counts.any():
            reals = self.real_counts.double() + 0.5
            figures["kl_real"] = _divergence(self.fake_counts, reals / reals.sum())
            figures["kl_real_floor"] = (size - 1) / 2 * (1 / count + 1 / self.real_counts.sum().double())
        figures["confident"] = self.fake_confident_counts.sum().double() / count
        figures["confident_classes"] = (self.fake_confident_counts > 0).sum()
        return figures

    @torch.no_grad()
    def _classify(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return each image's class, with several channels a number of one digit each, and whether it is confident."""
        if self.channels > 1:
            if x.dim() != 4 or x.shape[1] != self.channels:
                raise ValueError(
                    f"ClassCoverage(channels={self.channels}): samples of shape {tuple(x.shape[1:])}; expected images "
                    f"({self.channels}, H, W); use channels=1 to classify images as a whole, or leave this score out."
                )
            x = x.flatten(0, 1).unsqueeze(1)
        probability, classes = self.classifier(x).softmax(1).max(1)
        base = self.classifier.num_classes ** torch.arange(self.channels - 1, -1, -1, device=x.device)
        tuples = classes.view(-1, self.channels)
        return (tuples * base).sum(1), (probability.view(-1, self.channels) > self.confidence).all(1)


def _divergence(counts: Tensor, shares: Tensor) -> Tensor:
    """Return KL(histogram ‖ shares), in nats."""
    own = counts.double() / counts.sum()
    return torch.special.xlogy(own, own / shares).sum().clamp(min=0)
