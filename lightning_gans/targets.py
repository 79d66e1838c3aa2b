"""Targets of pseudo-adversarial training: the classes that a generator is to show a frozen classifier."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.distributed import mean_of_logarithms


class Target(ABC):
    """The generator's loss of the classifier's logits of its samples; its minimum is 0.

    A subclass defines `loss`, and sets `reads` to what it needs beside the logits.
    """

    reads: str | None = None
    """What `choice` is: "labels" of the batch, "groups" of the samples in the last stochastic layer, or nothing."""

    @abstractmethod
    def loss(self, logits: Tensor, choice: Tensor | None) -> Tensor:
        """Return the mean loss of logits (N, K), a scalar.

        Args:
            logits: the classifier's, (N, K).
            choice: int64 (N,), as `reads` says; None where that is None.
        """

    @property
    def needs_whole_batch(self) -> tuple[str, ...]:
        """The player, "generator", where the loss is another function of its batch than a mean over samples."""
        return ()

    def check(self, num_classes: int, labels: int) -> None:  # noqa: B027 - most fit any classifier
        """Raise `ValueError` if the target does not fit.

        Args:
            num_classes: the classifier's.
            labels: number of classes of the generator, 0 for one without labels.
        """

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        given = (f"{name}={value!r}" for name, value in vars(self).items() if value is not None)
        return f"{type(self).__name__}({', '.join(given)})"


class CrossEntropy(Target):
    """A class wanted for each sample: cross-entropy, with a background beside the classes if its logit is given.

        −log( e^{l_y} / (Σ_k e^{l_k} + e^b) ),    l the logits, y the class, b the background's logit

    A softmax compares classes alone: where all logits are low but one is less so, as on a blank image, it is certain
    of that one. With a background the logit of the class has to be high itself, as it is on the classifier's data.

    Args:
        background: its logit b, finite; two thirds of the mean logit that the classifier gives real images of a
            class is a good start. None is a softmax over the classes.

    Raises:
        ValueError: for a background that is not finite.

    Reference:
        The sum of e^{l_k} as a density of images: Grathwohl et al., Your Classifier is Secretly an Energy Based Model
        and You Should Treat it Like One, ICLR 2020, arXiv 1912.03263; the background is ours.
    """

    def __init__(self, background: float | None = None):
        arguments.finite(self, background=background)
        self.background = background

    @abstractmethod
    def wanted(self, logits: Tensor, choice: Tensor | None) -> Tensor:
        """Return the class wanted for each sample, int64 (N,)."""

    @override
    def loss(self, logits: Tensor, choice: Tensor | None) -> Tensor:
        wanted = self.wanted(logits, choice)
        if self.background is not None:
            logits = torch.cat([logits, logits.new_full((len(logits), 1), self.background)], 1)
        return F.cross_entropy(logits, wanted)


class Classes(CrossEntropy):
    """One class, or one drawn for each sample from a list: cross-entropy −log p(class).

    The generator cannot know which class is drawn for a sample, so for several classes the best image is a mixture of
    all of them. For variety over classes use `PerRoute`, `Labels` or `MarginalEntropy`.

    Args:
        classes: the classes, counted from 0; None draws from all of them.
        background: logit of a background beside the classes, finite; None is none, see `CrossEntropy`.

    Raises:
        ValueError: for an empty list or a background that is not finite; in use, for a class that the classifier does
            not have.
    """

    def __init__(self, classes: Sequence[int] | None = None, background: float | None = None):
        super().__init__(background)
        if classes is not None and len(classes) == 0:
            raise ValueError("Classes(classes=[]): expected at least one class; leave it out for all of them.")
        self.classes = None if classes is None else list(classes)

    @override
    def check(self, num_classes: int, labels: int) -> None:
        for one in self.classes or []:
            if not 0 <= one < num_classes:
                raise ValueError(
                    f"{self}: the classifier has no class {one}; give classes from 0 to {num_classes - 1}."
                )

    @override
    def wanted(self, logits: Tensor, choice: Tensor | None) -> Tensor:
        if self.classes is None:
            return torch.randint(logits.shape[1], (len(logits),), device=logits.device)
        classes = torch.tensor(self.classes, device=logits.device)
        return classes[torch.randint(len(classes), (len(logits),), device=logits.device)]


class Labels(CrossEntropy):
    """The label that a conditional generator was given: cross-entropy −log p(label); the data must have labels."""

    reads = "labels"

    @override
    def check(self, num_classes: int, labels: int) -> None:
        if not 0 < labels <= num_classes:
            raise ValueError(
                f"{self} asks for a conditional generator with at most the classifier's {num_classes} classes, but "
                f"this one has {labels}; give it data with such labels (--data.labels true)."
            )

    @override
    def wanted(self, logits: Tensor, choice: Tensor | None) -> Tensor:
        assert choice is not None
        return choice


class PerRoute(CrossEntropy):
    """One class per route of a stochastic ensemble: the route's group in the last stochastic layer, modulo K.

    All routes through one group of that layer share its class; with fewer groups than classes only the first classes
    are targets.
    """

    reads = "groups"

    @override
    def wanted(self, logits: Tensor, choice: Tensor | None) -> Tensor:
        assert choice is not None
        return choice % logits.shape[1]


class OwnGuess(CrossEntropy):
    """The class that the classifier already assigns to a sample: −log max p, which only raises its confidence."""

    @override
    def wanted(self, logits: Tensor, choice: Tensor | None) -> Tensor:
        return logits.argmax(1)


class MarginalEntropy(Target):
    """Confidence on each sample, and equal shares of all classes: mean H(p_i) + weight · (log K − H(mean p_i)).

    The p_i are softmax(logits / temperature). A classifier is confident about noise too, mostly of one class, and a
    saturated softmax passes no gradient: at temperature 1 a generator stays on that class. At weight and temperature 1
    the loss is log K minus the logarithm of the batch's Inception score. The batch should be larger than the number of
    classes to cover; with several processes it is the batch of all of them. It cannot be taken in parts
    (`generator_accumulation`).

    Args:
        weight: weight of the entropy over the batch, at least 0.
        temperature: temperature of the softmax, above 0.

    Raises:
        ValueError: for a number out of range.

    Reference:
        Springenberg, Unsupervised and Semi-Supervised Learning with Categorical Generative Adversarial Networks,
        ICLR 2016, arXiv 1511.06390; the temperature is ours.
    """

    def __init__(self, weight: float = 2.0, temperature: float = 4.0):
        arguments.at_least(self, 0, weight=weight)
        arguments.positive(self, temperature=temperature)
        self.weight = weight
        self.temperature = temperature

    @property
    @override
    def needs_whole_batch(self) -> tuple[str, ...]:
        return ("generator",) if self.weight else ()

    @override
    def loss(self, logits: Tensor, choice: Tensor | None) -> Tensor:
        logs = (logits / self.temperature).log_softmax(1)
        each = -(logs.exp() * logs).sum(1).mean()
        marginal = mean_of_logarithms(logs.logsumexp(0) - math.log(len(logs)))
        return each + self.weight * (math.log(logits.shape[1]) + (marginal.exp() * marginal).sum())
