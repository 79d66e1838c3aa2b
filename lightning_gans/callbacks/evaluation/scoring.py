"""What scores given samples: which scores fit together, how many samples they need, and their figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from lightning_gans.callbacks.evaluation.real_statistics import network_name
from lightning_gans.metrics import Score


@dataclass
class Figures:
    """The figures of several scores.

    Attributes:
        values: by name.
        networks: the feature network of each figure that has one.
        trouble: why some or all figures are missing, in words; "" where none is.
    """

    values: dict[str, float] = field(default_factory=dict)
    networks: dict[str, str] = field(default_factory=dict)
    trouble: str = ""


def title(score: Score) -> str:
    """Return how messages call a score: its class, and its feature network if it has one."""
    network = network_name(score)
    return type(score).__name__ + (f" through {network}" if network else "")


def check_scores(scores: Sequence[Score]) -> None:
    """Refuse to evaluate without scores, and two scores of one class with the same feature network."""
    if not scores:
        raise ValueError("Evaluation(metrics=[]): expected at least one score; give some, such as FrechetDistance.")
    titles = list(map(title, scores))
    for name in titles:
        if titles.count(name) > 1:
            raise ValueError(f"Evaluation(metrics): {name} is there twice; expected each score once, leave one out.")


def try_score(score: Score, samples: Tensor) -> None:
    """Update a score with a few samples and reset it, to refuse before training what it does not take."""
    try:
        for real in (True, False):
            score.update(samples, real=real)
    except (RuntimeError, TypeError, IndexError, AssertionError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"{title(score)} does not take samples of shape {tuple(samples.shape[1:])} ({reason}); use another score "
            "or feature network."
        ) from None
    score.reset()


def sample_counts(
    scores: Sequence[Score], num_samples: int | None, available: int, trial: bool, source: str
) -> tuple[int, int]:
    """Return how many real samples to use and how many fakes to generate.

    Args:
        scores: all of them.
        num_samples: the number that is asked for; None for as many as there are real samples.
        available: number of real samples.
        trial: whether to use as few as the scores allow.
        source: where the real samples come from, for the message.

    Raises:
        ValueError: where a score needs more.
    """
    least = max(score.least_samples for score in scores)
    fake = least if trial else num_samples or available
    real = min(fake, available)
    for score in scores:
        for kind, count in (("real", real), ("generated", fake)):
            if count < score.least_samples and (score.uses_real or kind == "generated"):
                raise ValueError(
                    f"Evaluation(num_samples={num_samples}): {title(score)} needs at least {score.least_samples} "
                    f"{kind} samples, but would get {count}, and the {source} has {available}; give more, or use fewer "
                    "features."
                )
    return real, fake


def compute_figures(scores: Sequence[Score], strict: bool) -> Figures:
    """Return the figures of scores that have seen their samples.

    Args:
        scores: all of them.
        strict: whether a score that cannot be computed raises its ValueError; otherwise it is the trouble.
    """
    figures = Figures()
    for score in scores:
        try:
            computed = score.figures()
        except ValueError as error:
            if strict:
                raise
            figures.trouble = str(error)
            continue
        network = network_name(score)
        suffix = f"_{network or 'samples'}" if set(computed) & set(figures.values) else ""  # a score's second network
        figures.values |= {f"{name}{suffix}": float(value) for name, value in computed.items()}
        figures.networks |= {f"{name}{suffix}": network for name in computed if network}
    return figures
