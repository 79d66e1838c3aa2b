"""What scores given samples: which scores fit together, how many samples they need, and their figures."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lightning_gans.callbacks.evaluation.real_statistics import network_name
from lightning_gans.metrics import Score

MOST_SAMPLES = 10_000  # of a kind, unless a number is asked for


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


def try_score(score: Score, samples: Tensor) -> float:
    """Update a score with a few samples and reset it, to refuse before training what it does not take.

    Returns:
        The seconds that they took as fakes.
    """
    begun = 0.0
    try:
        for real in (True, False):
            begun = time.perf_counter()
            score.update(samples, real=real)
    except (RuntimeError, TypeError, IndexError, AssertionError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"{title(score)} does not take samples of shape {tuple(samples.shape[1:])} ({reason}); use another score "
            "or feature network."
        ) from None
    if samples.is_cuda:
        torch.cuda.synchronize(samples.device)
    seconds = time.perf_counter() - begun
    score.reset()
    return seconds


def figure_names(scores: Sequence[Score]) -> list[str] | None:
    """Return the names of the figures of scores, in order; None where a score of the user does not declare its own."""
    names: list[str] = []
    for score in scores:
        own = score.figure_names
        if not own and not type(score).__module__.startswith("lightning_gans."):
            return None
        names += _unlike(list(own or [score.name]), names, score)
    return names


def _unlike(computed: Iterable[str], before: Iterable[str], score: Score) -> list[str]:
    """Return the names of a score's figures, with its network in them where an earlier score has one of the same."""
    own = list(computed)
    suffix = f"_{network_name(score) or 'samples'}" if set(own) & set(before) else ""
    return [f"{name}{suffix}" for name in own]


def sample_counts(
    scores: Sequence[Score], num_samples: int | None, available: int, trial: bool, source: str
) -> tuple[int, int]:
    """Return how many real samples to use and how many fakes to generate.

    Args:
        scores: all of them.
        num_samples: the number of fakes that is asked for; None for as many as there are real samples, at most 10,000.
        available: number of real samples.
        trial: whether to use as few as the scores allow.
        source: where the real samples come from, for the message.

    Raises:
        ValueError: where scores need more, naming all of them.
    """
    fake = max(score.least_samples for score in scores) if trial else num_samples or min(available, MOST_SAMPLES)
    real = min(fake, available)
    faults, remedies = [], ["give more (num_samples, data or another split)"]
    for score in scores:
        for kind, count in (("real", real), ("generated", fake)):
            if count < score.least_samples and (score.uses_real or kind == "generated"):
                short = f"{title(score)} needs at least {score.least_samples} {kind} samples, but would get {count}"
                remedy = f"{type(score).__name__}: {score.for_fewer_samples}"
                faults.append(short)
                remedies += [remedy] if score.for_fewer_samples and remedy not in remedies else []
                break
    if faults:
        raise ValueError(
            f"Evaluation(num_samples={num_samples}): {'; '.join(faults)}, and the {source} has {available}; "
            f"{', or '.join(remedies)}."
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
        names = _unlike(computed, figures.values, score)
        network = network_name(score)
        figures.values |= {name: float(value) for name, value in zip(names, computed.values(), strict=True)}
        figures.networks |= {name: network for name in names if network}
    return figures
