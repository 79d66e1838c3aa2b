"""Classes that samples reach, by a classifier: the 10 of MNIST, the 1000 of stacked MNIST."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lightning_gans.metrics.score import Score, whole
from lightning_gans.networks.classifier import DigitClassifier, FrozenClassifier


class ClassCoverage(Score):
    """How many of K classes a classifier sees in the fakes, and how unevenly.

        classes            classes of at least one fake, by the largest logit
        kl_uniform         KL(histogram of the fakes ‖ uniform) = ln K − H, in nats
        kl_real            KL(histogram of the fakes ‖ histogram of the reals); left out where no reals were seen
        confident          share of fakes of which the classifier is sure: probability above `confidence`, 0–1
        confident_classes  classes of at least one such fake

    `kl_uniform` is what is published for stacked MNIST, with 26,000 samples. A generator of uniform classes has about
    (K − 1) / 2N, printed as `kl_uniform_floor`; real digits, which are not quite uniform, have 0.0236. `kl_real` adds
    half a count to each class of the reals, so that it is finite; its floor is (K − 1) (1/N + 1/N_r) / 2. The numbers
    of classes flatter: a classifier names every image, noise too, which `confident` shows, and one misread fake is
    enough (of MNIST without four of its digits 8 are counted in 2,500), which the divergences show. Costs a forward
    of the classifier.

    Args:
        classifier: maps images to logits, through `FrozenClassifier`; None is the digit classifier that ships.
        channels: 1 classifies whole images, of any channels that the classifier takes; with more, as 3 for stacked
            MNIST, each channel is an image of its own, and a class is a tuple of so many: 10³ = 1000, first channel
            first.
        confidence: probability above which a fake counts as confident, for each of its channels, 0–1.

    Raises:
        ValueError: if an argument is out of its range, or images do not have the channels.

    Reference:
        Metz, Poole, Pfau, Sohl-Dickstein, "Unrolled Generative Adversarial Networks", ICLR 2017, arXiv 1611.02163;
        Lin, Khetan, Fanti, Oh, "PacGAN: The Power of Two Samples in Generative Adversarial Networks", NeurIPS 2018,
        arXiv 1712.04086.
    """

    name = "classes"
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
        super().__init__()
        if not 0 <= confidence < 1:
            raise ValueError(f"ClassCoverage(confidence={confidence}): expected a probability, at least 0 and below 1.")
        self.classifier = frozen(classifier)
        self.channels = whole(self, "channels", channels, 1)
        self.confidence = confidence
        classes = self.classifier.num_classes**channels
        if classes > 1_000_000:
            raise ValueError(
                f"ClassCoverage(channels={channels}): {self.classifier.num_classes} classes in each make {classes:,}; "
                "expected at most a million; use fewer channels."
            )
        for name in ("real_counts", "fake_counts", "fake_confident_counts"):
            self.add_state(name, torch.zeros(classes, dtype=torch.long), dist_reduce_fx="sum")

    @property
    def network(self) -> nn.Module:
        """The classifier."""
        return self.classifier.network

    def fit_data(self, data: Any) -> None:
        """Classify one blank sample of the data's shape."""
        if hasattr(data, "sample_shape"):
            self._classify(torch.zeros(1, *data.sample_shape, device=self.device))

    def update(self, samples: Tensor, real: bool) -> None:
        """Classify and count images (N, C, H, W) of one kind."""
        self.check_samples(samples)
        classes, confident = self._classify(samples.detach().float())
        size = len(self.fake_counts)
        if real:
            self.real_counts += torch.bincount(classes, minlength=size)
        else:
            self.fake_counts += torch.bincount(classes, minlength=size)
            self.fake_confident_counts += torch.bincount(classes[confident], minlength=size)

    def compute(self) -> dict[str, Tensor]:
        """The figures by name."""
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
        """Class and confidence of each image; with several channels the class is a number with a digit for each."""
        if self.channels > 1:
            if x.dim() != 4 or x.shape[1] != self.channels:
                raise ValueError(
                    f"ClassCoverage(channels={self.channels}): samples of shape {tuple(x.shape[1:])}; expected images "
                    f"({self.channels}, H, W); use channels=1 to classify images as a whole."
                )
            x = x.flatten(0, 1).unsqueeze(1)
        probability, classes = self.classifier(x).softmax(1).max(1)
        base = self.classifier.num_classes ** torch.arange(self.channels - 1, -1, -1, device=x.device)
        tuples = classes.view(-1, self.channels)
        return (tuples * base).sum(1), (probability.view(-1, self.channels) > self.confidence).all(1)


def frozen(classifier: nn.Module | None) -> FrozenClassifier:
    """The classifier, frozen; None is the digit classifier that ships."""
    if isinstance(classifier, FrozenClassifier):
        return classifier
    if classifier is not None:
        return FrozenClassifier(classifier)
    with torch.random.fork_rng(devices=[]):  # of the weights that the pretrained ones replace
        return FrozenClassifier(DigitClassifier())


def _divergence(counts: Tensor, shares: Tensor) -> Tensor:
    """KL of a histogram from shares, in nats."""
    own = counts.double() / counts.sum()
    return torch.special.xlogy(own, own / shares).sum().clamp(min=0)
