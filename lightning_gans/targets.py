"""What a generator is asked to show a frozen classifier: the targets of the pseudo-adversarial game."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_gans.distributed import mean_of_logarithms


class Target(ABC):
    """What a generator pays for the classifier's logits of its samples; 0 is the least.

    To write one, define `loss`, and set `reads` to what it needs beside the logits.
    """

    reads: str | None = None
    """What `choice` is: "labels" (those of the batch), "groups" (each sample's in the last stochastic layer)."""

    @abstractmethod
    def loss(self, logits: Tensor, choice: Tensor | None) -> Tensor:
        """The mean loss of logits (N, K), a scalar; `choice` is int64 (N,), what `reads` asks for, or None."""

    def check(self, num_classes: int) -> None:  # noqa: B027 - most fit any classifier
        """Raise a ValueError where the target does not fit a classifier of that many classes."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


class Classes(Target):
    """One class, or one drawn for each sample from a list: cross-entropy −log p(class).

    A class that is drawn anew for each sample tells the generator nothing that it could know: the best answer to a
    list is then an image that is a little of each. For variety over classes take `PerRoute`, `Labels` or
    `MarginalEntropy`.

    Args:
        classes: the classes, from 0; None is all of them, uniformly.

    Raises:
        ValueError: for an empty list, or a class that the classifier does not have.
    """

    def __init__(self, classes: Sequence[int] | None = None):
        if classes is not None and len(classes) == 0:
            raise ValueError("Classes(classes=[]): expected at least one class; leave it out for all of them.")
        self.classes = None if classes is None else list(classes)

    def check(self, num_classes: int) -> None:
        """Every class must exist."""
        for one in self.classes or []:
            if not 0 <= one < num_classes:
                raise ValueError(
                    f"{self}: the classifier has no class {one}; give classes from 0 to {num_classes - 1}."
                )

    def loss(self, logits: Tensor, choice: Tensor | None) -> Tensor:
        """Cross-entropy towards classes drawn now."""
        if self.classes is None:
            drawn = torch.randint(logits.shape[1], (len(logits),), device=logits.device)
        else:
            classes = torch.tensor(self.classes, device=logits.device)
            drawn = classes[torch.randint(len(classes), (len(logits),), device=logits.device)]
        return F.cross_entropy(logits, drawn)


class Labels(Target):
    """The class that the generator was given: a conditional generator, and data with labels."""

    reads = "labels"

    def loss(self, logits: Tensor, choice: Tensor | None) -> Tensor:
        """Cross-entropy towards the labels."""
        assert choice is not None
        return F.cross_entropy(logits, choice)


class PerRoute(Target):
    """One class per route of a stochastic ensemble: the route's group in the last stochastic layer, modulo K.

    All routes through one group of that layer share its class; with fewer groups than classes only the
    first classes are asked for.
    """

    reads = "groups"

    def loss(self, logits: Tensor, choice: Tensor | None) -> Tensor:
        """Cross-entropy towards the routes' classes."""
        assert choice is not None
        return F.cross_entropy(logits, choice % logits.shape[1])


class OwnGuess(Target):
    """Whatever the classifier takes a sample for already: −log max p, which only asks it to be sure."""

    def loss(self, logits: Tensor, choice: Tensor | None) -> Tensor:
        """Cross-entropy towards the largest logit."""
        return F.cross_entropy(logits, logits.argmax(1))


class MarginalEntropy(Target):
    """Sure of each sample, and all classes alike over the batch: mean H(p_i) + weight · (log K − H(mean p_i)).

    The p_i are softmax(logits / temperature). A classifier is sure of noise already, mostly of one class, and
    where a softmax is saturated it passes no gradient: at temperature 1 a generator stays on that class. At
    weight and temperature 1 the loss is log K minus the logarithm of the batch's Inception score. The batch
    should be larger than the number of classes that one hopes for; with several processes it is that of all of them.

    Args:
        weight: of the entropy over the batch, at least 0.
        temperature: of the softmax, above 0.

    Raises:
        ValueError: for a number out of range.

    Reference:
        Springenberg, Unsupervised and Semi-Supervised Learning with Categorical Generative Adversarial Networks,
        ICLR 2016, arXiv 1511.06390; the temperature is ours.
    """

    def __init__(self, weight: float = 2.0, temperature: float = 4.0):
        if not weight >= 0:
            raise ValueError(f"MarginalEntropy(weight={weight}): expected a number of at least 0.")
        if not temperature > 0:
            raise ValueError(f"MarginalEntropy(temperature={temperature}): expected a number above 0.")
        self.weight = weight
        self.temperature = temperature

    def loss(self, logits: Tensor, choice: Tensor | None) -> Tensor:
        """The entropies, in nats."""
        logs = (logits / self.temperature).log_softmax(1)
        each = -(logs.exp() * logs).sum(1).mean()
        marginal = mean_of_logarithms(logs.logsumexp(0) - math.log(len(logs)))
        return each + self.weight * (math.log(logits.shape[1]) + (marginal.exp() * marginal).sum())
