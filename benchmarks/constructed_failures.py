"""Show the failure monitor samples with a known defect, without any training, and see what it says.

    python benchmarks/constructed_failures.py                  # points, digits, MNIST, Fashion-MNIST; half an hour
    python benchmarks/constructed_failures.py --pictures PATH  # and colour pictures, a folder for each class
    python benchmarks/constructed_failures.py --data ring --draws 100

Each case is thirty readings whose samples are real ones, held out, with one defect; nothing else is wrong: D is right
in 70 % of pairs, gradients are moderate, nothing moves. A case names the states that are correct. "real samples" are
data against data, in `--draws` draws, each with a pool of its own: all must be healthy. The CSV has the verdict, its
evidence, and every measure; data that have rows in it are not repeated.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from metrics import blurred
from torch import Tensor
from tqdm import tqdm
from training_runs import append, rows_of

from lightning_gans.callbacks.health.diagnosis import diagnose
from lightning_gans.callbacks.health.readings import Reading
from lightning_gans.callbacks.health.real_reference import RealReference, mean_of_pairs
from lightning_gans.callbacks.health.states import (
    BLURRED,
    COLLAPSE_IN_CLASSES,
    COPIES,
    EXPLODING_GRADIENTS,
    HEALTHY,
    LABELS_IGNORED,
    MODE_COLLAPSE,
    NOISY,
    PARTIAL_COLLAPSE,
    STALLED,
    State,
)
from lightning_gans.callbacks.health.survey import Survey
from lightning_gans.data import MNIST, Digits, FashionMNIST, GANData, GaussianGrid, GaussianRing, ImageFolder

OUT = Path(__file__).parent / "results" / "constructed_failures.csv"
POOL = 1_024
FAR = (STALLED, BLURRED, NOISY)  # how samples that are nowhere near the data may be called


@dataclass(frozen=True)
class Case:
    """Samples with one defect.

    Attributes:
        name: of the defect.
        x: the samples.
        expected: the states that are correct.
        labels: for which the samples were made, of a conditional generator.
    """

    name: str
    x: Tensor
    expected: tuple[State, ...]
    labels: Tensor | None = None


def verdict(survey: Survey, real: Tensor, case: Case) -> tuple[State, str, dict[str, float]]:
    """Return the state that the monitor names, its evidence, and the figures."""
    figures = survey.compare(case.x, case.labels)
    fake, few = case.x.flatten(1), slice(len(case.x))
    plain = RealReference(real[few]).figures(fake, mean_of_pairs(torch.cdist(fake, fake)), None)
    diversity = plain["diversity"].item()
    reading = Reading(
        500,
        energy=plain["energy"].item(),
        diversity=diversity,
        sensitivity=diversity,
        shift=0.0,
        movement=0.2,
        separation=0.7,
        advantage=0.2,
        pull=0.6,
        generator_gradient=5.0,
        discriminator_gradient=2.0,
        real_slope=2.0,
        fake_slope=2.0,
        generator_loss=1.0,
        discriminator_loss=1.0,
        **survey.of_modes(),
        **figures,
    )
    state, evidence = diagnose([reading] * 30)
    return state, evidence, {"energy": reading.energy, "diversity": reading.diversity, **figures}


# ---------------------------------------------------------------- points


def draw_mixture(
    centres: Tensor, sigma: float, number: int, source: torch.Generator, weights: Tensor | None = None
) -> Tensor:
    """Draw from Gaussians with these centres."""
    weights = torch.ones(len(centres)) if weights is None else weights
    chosen = torch.multinomial(weights, number, replacement=True, generator=source)
    return centres[chosen] + sigma * torch.randn(number, centres.shape[1], generator=source)


def of_points(centres: Tensor, sigma: float, source: torch.Generator, number: int = 512) -> Iterator[Case]:
    """Yield the cases of a mixture of Gaussians."""
    count = len(centres)

    def draw(weights: Tensor | None = None, at: Tensor = centres, width: float = 1.0) -> Tensor:
        return draw_mixture(at, width * sigma, number, source, weights)

    def only(*kept: int) -> Tensor:
        return torch.isin(torch.arange(count), torch.tensor(kept)).float()

    yield Case("one mode dropped", draw(1 - only(0)), (PARTIAL_COLLAPSE,))
    yield Case("two modes dropped", draw(1 - only(0, count // 2)), (PARTIAL_COLLAPSE,))
    yield Case("half of the modes", draw(only(*range(0, count, 2))), (PARTIAL_COLLAPSE,))
    yield Case("two opposite modes", draw(only(0, count // 2)), (PARTIAL_COLLAPSE, MODE_COLLAPSE))
    yield Case("one mode", draw(only(1)), (MODE_COLLAPSE,))
    yield Case("one point", centres[:1].repeat(number, 1), (MODE_COLLAPSE,))
    yield Case("one mode has four fifths", draw(1 + only(0) * (4 * count - 1)), (PARTIAL_COLLAPSE, MODE_COLLAPSE))
    merged = centres.clone()
    merged[:2] = centres[:2].mean(0)
    yield Case("two modes merged", draw(at=merged), (PARTIAL_COLLAPSE,))
    yield Case("a point for each mode", draw(width=0), (COLLAPSE_IN_CLASSES,))
    yield Case("modes a fifth as wide", draw(width=0.2), (COLLAPSE_IN_CLASSES,))
    for factor in (4, 10, 20):
        yield Case(f"modes {factor} times as wide", draw(width=factor), (BLURRED,))
    poor = torch.rand(number, 1, generator=source) < 0.65
    yield Case("two thirds smeared", torch.where(poor, draw(width=12), draw()), (BLURRED,))
    yield Case("one cloud", centres.std() * torch.randn(number, 2, generator=source), (BLURRED,))
    yield Case("shifted by ten widths", draw() + 7 * sigma, (STALLED,))
    yield Case("a tenth of the size", draw() / 10, (STALLED, MODE_COLLAPSE))
    yield Case("ten times the size", 10 * draw(), (EXPLODING_GRADIENTS, *FAR))


# ---------------------------------------------------------------- images


def of_images(
    x: Tensor, y: Tensor, pool: Tensor, source: torch.Generator, classes_are_seen: bool, number: int = 256
) -> Iterator[Case]:
    """Yield the cases of images x (N, C, H, W) of classes y, none of which is in the pool.

    Args:
        x: images.
        y: their classes.
        pool: the training images that the monitor knows.
        source: of random numbers.
        classes_are_seen: whether the monitor knows the classes; else no case drops one.
        number: of samples in a case.
    """

    def some(mask: Tensor) -> Tensor:
        rows = mask.nonzero().flatten()
        order = torch.randperm(len(rows), generator=source).repeat(-(-number // len(rows)))[:number]
        return x[rows[order]]

    def noise(scale: float, like: Tensor) -> Tensor:
        return scale * torch.randn(like.shape, generator=source)

    all_of, size = torch.ones(len(x), dtype=torch.bool), x.shape[1:]
    held = x[torch.randperm(len(x), generator=source)[:number]]
    if classes_are_seen:
        yield Case("one class", some(y == 1), (MODE_COLLAPSE,))
        yield Case("a class dropped", some(y != 3), (PARTIAL_COLLAPSE,))
        yield Case("two classes dropped", some((y != 3) & (y != 7)), (PARTIAL_COLLAPSE,))
        yield Case("half of the classes", some(y < 5), (PARTIAL_COLLAPSE,))
        often = (torch.rand(number, generator=source) < 0.8)[:, None, None, None]
        yield Case(
            "one class has four fifths",
            torch.where(often, some(y == 0), some(all_of)),
            (PARTIAL_COLLAPSE, MODE_COLLAPSE),
        )
    yield Case("one image", x[:1].repeat(number, 1, 1, 1), (MODE_COLLAPSE,))
    few = x[torch.randint(8, (number,), generator=source)]
    yield Case("eight images", few + noise(0.01, few), (MODE_COLLAPSE, COLLAPSE_IN_CLASSES))
    few = x[torch.randint(40, (number,), generator=source)]
    yield Case("forty images", few + noise(0.01, few), (MODE_COLLAPSE, COLLAPSE_IN_CLASSES))
    labels = torch.arange(number) % 10
    first = torch.stack([x[y == label][0] for label in range(10)])[labels]
    allowed = (COLLAPSE_IN_CLASSES,) if classes_are_seen else (COLLAPSE_IN_CLASSES, MODE_COLLAPSE)
    yield Case("an image for each class", first + noise(0.01, first), allowed)
    yield Case("grey", torch.zeros(number, *size), (MODE_COLLAPSE,))
    mean = x.mean(0, keepdim=True).repeat(number, 1, 1, 1)
    yield Case("the mean image", mean + noise(0.02, mean), (MODE_COLLAPSE, BLURRED))
    for sigma in (1.0, 2.0):
        yield Case(f"blurred by {sigma:g} pixels", blurred(held, sigma), (BLURRED,))
    yield Case("noisy", (held + noise(0.5, held)).clamp(-1, 1), FAR)
    yield Case("noise alone", noise(1, held).clamp(-1, 1), FAR)
    mixed = torch.rand(held.shape, generator=source).argsort(0)
    yield Case("pixels from different images", held.gather(0, mixed), FAR)
    order = torch.randperm(held[0].numel(), generator=source)
    yield Case("pixels out of place", held.flatten(1)[:, order].view_as(held), FAR)
    yield Case("means of two images", (held + some(all_of)) / 2, (*FAR, PARTIAL_COLLAPSE))
    yield Case("in [0, 1]", held / 2 + 0.5, FAR)
    yield Case("half of the contrast", held / 2, FAR)
    yield Case("training images", pool[torch.randint(len(pool), (number,), generator=source)], (COPIES,))
    few = pool[torch.randint(32, (number,), generator=source)]
    yield Case("32 training images", few, (COPIES, MODE_COLLAPSE, COLLAPSE_IN_CLASSES))


def of_classes(x: Tensor, y: Tensor, source: torch.Generator, number: int = 256) -> Iterator[Case]:
    """Yield the cases of a conditional generator, whose labels go through all classes in turn."""
    labels = torch.arange(number) % 10

    def of(wanted: Tensor, at_most: int | None = None) -> Tensor:
        rows = [(y == label).nonzero().flatten()[:at_most] for label in range(10)]
        left = [row[torch.randperm(len(row), generator=source)].repeat(number).tolist() for row in rows]
        return x[[left[label].pop() for label in wanted.tolist()]]

    one = torch.stack([x[y == label][0] for label in range(10)])[labels]
    tiny = 0.01 * torch.randn(one.shape, generator=source)
    yield Case("conditional, an image for each class", one + tiny, (COLLAPSE_IN_CLASSES,), labels)
    yield Case("conditional, four images for each class", of(labels, 4), (COLLAPSE_IN_CLASSES, MODE_COLLAPSE), labels)
    collapsed = torch.where((labels == 4)[:, None, None, None], one + tiny, of(labels))
    yield Case("conditional, one class is one image", collapsed, (COLLAPSE_IN_CLASSES,), labels)
    near = 0.75 * one + 0.25 * of(labels)
    yield Case("conditional, near one image for each class", near, (COLLAPSE_IN_CLASSES,), labels)
    yield Case(
        "conditional, labels ignored", of(labels[torch.randperm(number, generator=source)]), (LABELS_IGNORED,), labels
    )


# ---------------------------------------------------------------- the data


@dataclass(frozen=True)
class Data:
    """Real samples and the cases made of them.

    Attributes:
        draw: returns a pool and, of images, the others with all labels, from a source.
        cases: yields the cases.
        number: of samples in a case.
    """

    draw: Callable[[torch.Generator], tuple[Tensor, Tensor | None, Tensor, Tensor | None]]
    cases: Callable[..., Iterator[Case]]
    number: int


def mixture(centres: Tensor, sigma: float) -> Data:
    """Return a mixture of Gaussians."""

    def draw(source: torch.Generator) -> tuple[Tensor, None, Tensor, None]:
        return (draw_mixture(centres, sigma, POOL, source), None, draw_mixture(centres, sigma, 4 * POOL, source), None)

    def cases(source: torch.Generator, *_: object) -> Iterator[Case]:
        return of_points(centres, sigma, source)

    return Data(draw, cases, 512)


def pictures(data: GANData, labelled: bool, classes_are_seen: bool, number: int = 256) -> Data:
    """Return images, of which the monitor knows the labels or not."""
    kept: list[tuple[Tensor, Tensor]] = []

    def draw(source: torch.Generator) -> tuple[Tensor, Tensor | None, Tensor, Tensor | None]:
        if not kept:
            data.prepare_data()
            data.setup("fit")
            torch.manual_seed(0)
            batches = [batch for batch, _ in zip(data.train_dataloader(), range(80), strict=False)]
            kept.append((torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])))
        x, y = kept[0]
        order = torch.randperm(len(x), generator=source)
        pool, others = order[: min(POOL, len(x) * 2 // 3)], order[min(POOL, len(x) * 2 // 3) :]
        return x[pool], y[pool] if labelled else None, x[others], y[others]

    def cases(source: torch.Generator, pool: Tensor, x: Tensor, y: Tensor) -> Iterator[Case]:
        if labelled:
            return of_classes(x, y, source, number)
        return of_images(x, y, pool, source, classes_are_seen, number)

    return Data(draw, cases, number)


def known(root: str | None) -> dict[str, Data]:
    """Return all data by name."""
    uneven = torch.tensor([[0.0, 0.0], [3.0, 0.5], [1.0, 4.0], [-3.0, 2.0], [-2.0, -3.0]])
    data = {
        "ring": mixture(GaussianRing().means, 0.01),
        "grid": mixture(GaussianGrid().means, 0.05),
        "five": mixture(uneven, 0.2),
        "digits": pictures(Digits(size=16, labels=True), False, True, 160),
        "digits with labels": pictures(Digits(size=16, labels=True), True, True, 160),
        "mnist": pictures(MNIST(labels=True), False, True),
        "mnist with labels": pictures(MNIST(labels=True), True, True),
        "three": mixture(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]]), 0.1),
        "twelve": mixture(GaussianRing(num_modes=12, radius=2.0).means, 0.12),
        "fashion": pictures(FashionMNIST(labels=True), False, False),
        "fashion with labels": pictures(FashionMNIST(labels=True), True, True),
    }
    if root is not None:
        colour = ImageFolder(root, size=32, labels=True, num_workers=0)
        data |= {"pictures": pictures(colour, False, False), "pictures with labels": pictures(colour, True, True)}
    return data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", help="only these")
    parser.add_argument("--draws", type=int, default=100, help="of real samples against real samples; default 100")
    parser.add_argument("--pictures", help="a folder of colour pictures, in train/ with a folder for each class")
    parser.add_argument("--out", type=Path, default=OUT, help="the CSV; default results/constructed_failures.csv")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = known(options.pictures)
    if unknown := set(options.data or ()) - set(data):
        parser.error(f"unknown {', '.join(sorted(unknown))}; expected some of {', '.join(data)}.")
    for name in options.data or data:
        if any(row["data"] == name for row in rows_of(options.out)):
            print(f"  {name:<22}has rows in {options.out.name}; delete them to repeat it.")
            continue
        for row in examined(name, data[name], options.draws):
            append(options.out, row)
    named = [row for row in rows_of(options.out) if row["verdict"]]
    print(f"\n{sum(int(row['right']) for row in named)} of {len(named)} constructed failures are named correctly.")


def examined(name: str, data: Data, draws: int) -> list[dict[str, str]]:
    """Return the rows of one data set: each case, and real samples against real samples."""
    source, rows = torch.Generator().manual_seed(1), []
    pool, labels, x, y = data.draw(source)
    survey = Survey(pool, labels)
    for case in data.cases(source, pool, x, y):
        state, evidence, figures = verdict(survey, pool, case)
        right = state in case.expected
        expected = " or ".join(state.name for state in case.expected)
        row = {"data": name, "case": case.name, "right": str(int(right)), "verdict": state.name, "expected": expected}
        rows.append(row | {key: f"{value:.3g}" for key, value in figures.items()} | {"evidence": evidence})
        print(f"{'  ' if right else 'X '}{name:<22}{case.name:<42}{state.name}: {evidence}")
    alarms = []
    for _ in tqdm(range(draws), desc=f"{name}, real samples", leave=False, disable=None):
        pool, labels, x, y = data.draw(source)
        order = torch.randperm(len(x), generator=source)[: data.number]
        held = Case("real", x[order], (HEALTHY,), y[order] if labels is not None and y is not None else None)
        state, evidence, _ = verdict(Survey(pool, labels), pool, held)
        alarms += [f"{state.name}: {evidence}"] if state != HEALTHY else []
    print(f"  {name:<22}{'real samples':<42}healthy in {draws - len(alarms)} of {draws} draws")
    for alarm in alarms[:5]:
        print(f"X {alarm}")
    right = f"{draws - len(alarms)} of {draws}"
    return [*rows, dict.fromkeys(rows[0], "") | {"data": name, "case": "real samples", "right": right}]


if __name__ == "__main__":
    main()
