"""Train the Dirac-GAN with each objective and penalty; draw its trajectories and compare its eigenvalues with theory.

    python benchmarks/dirac.py     # a minute on one core; writes results/dirac.csv and dirac.png

The Dirac-GAN (Mescheder et al., "Which Training Methods for GANs do actually Converge?", ICML 2018, arXiv 1801.04406)
has all real data at 0, a generator that makes one point theta, and D(x) = psi x. The solution is (0, 0). Players take
alternating steps of plain gradient descent with rate 0.1 from (1, 1), 1,000 of the generator.

"distance" is the largest |(theta, psi)| of the last 100 steps; it converges where that is below 0.01, or, with noise in
the loss, below 0.2. "measured" is an eigenvalue of the map of one step of both players at (0, 0), by central
differences of `GAN.train_batch` at a rate of h = 0.001: (eigenvalue − 1) / h. "theory" is the paper's, of gradient
flow, whose real part is the rate of convergence: with f the loss of the logit, f'(0) = 1/2 (Wasserstein: 1),
±i f'(0) without a penalty; −γ/2 ± √(γ²/4 − f'(0)²) with R1 or R2 of weight γ; the same with γ = σ²/2 for noise σ on the
inputs, and with γ/2 for the regularizer of Roth et al. WGAN-GP's penalty has no derivative at psi = 0.
"""

import argparse
import cmath
import csv
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor, nn

from lightning_gans import GAN, Stabilizer
from lightning_gans.networks import Discriminator, Generator
from lightning_gans.objectives import Minimax, NonSaturating, Objective, Relativistic, Wasserstein
from lightning_gans.optimizers import SGD
from lightning_gans.stabilizers import (
    GradientPenalty,
    HistoricalAveraging,
    InstanceNoise,
    JSRegularizer,
    R1Penalty,
    R2Penalty,
    WeightClipping,
)

RESULTS = Path(__file__).parent / "results"
RATE, STEPS, BATCH = 0.1, 1_000, 64


class Point(Generator):
    """G(z) = theta."""

    def __init__(self, theta: float):
        super().__init__((1,), 1)
        self.theta = nn.Parameter(torch.tensor([theta]))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.theta.expand(len(z), 1)


class Slope(Discriminator):
    """D(x) = psi x."""

    def __init__(self, psi: float):
        super().__init__((1,), 1)
        self.features = nn.Identity()
        self.head = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Flatten(0))
        nn.init.constant_(self.head[0].weight, psi)


@dataclass(frozen=True)
class Method:
    """One way of training, and its eigenvalue by theory: friction γ against the slope f'(0) of the loss."""

    objective: Objective = Minimax()  # noqa: RUF009 - it has no state
    stabilizers: Callable[[], tuple[Stabilizer, ...]] = tuple
    slope: float = 0.5
    friction: float | None = 0.0  # None: the map has no derivative at the solution, or no closed form here
    n_critic: int = 1
    noisy: bool = False

    @property
    def eigenvalue(self) -> complex | None:
        """The eigenvalue with the larger real part."""
        if self.friction is None:
            return None
        return -self.friction / 2 + cmath.sqrt(self.friction**2 / 4 - self.slope**2)


METHODS = {
    "minimax": Method(),
    "non-saturating": Method(NonSaturating()),
    "relativistic": Method(Relativistic()),
    "WGAN, clipping 1": Method(Wasserstein(), lambda: (WeightClipping(1.0),), slope=1.0),
    "WGAN-GP 1, n_critic 5": Method(Wasserstein(), lambda: (GradientPenalty(1.0),), friction=None, n_critic=5),
    "instance noise 0.7": Method(stabilizers=lambda: (InstanceNoise(0.7),), friction=0.7**2 / 2, noisy=True),
    "R1 0.5": Method(stabilizers=lambda: (R1Penalty(0.5),), friction=0.5),
    "R1 1": Method(stabilizers=lambda: (R1Penalty(1.0),), friction=1.0),
    "R1 4": Method(stabilizers=lambda: (R1Penalty(4.0),), friction=4.0),
    "R2 0.5": Method(stabilizers=lambda: (R2Penalty(0.5),), friction=0.5),
    "R3GAN's loss 0.25": Method(Relativistic(), lambda: (R1Penalty(0.25), R2Penalty(0.25)), friction=0.5),
    "Wasserstein, R1 1": Method(Wasserstein(), lambda: (R1Penalty(1.0),), slope=1.0, friction=1.0),
    "Roth's regularizer 1": Method(stabilizers=lambda: (JSRegularizer(1.0),), friction=0.5),
    "historical averaging 0.2": Method(stabilizers=lambda: (HistoricalAveraging(0.2, 0.2),), friction=None),
}


def make(method: Method, theta: float, psi: float, rate: float) -> tuple[GAN, list[SGD]]:
    gan = GAN(Point(theta), Slope(psi), method.objective, n_critic=method.n_critic)
    gan.stabilizers += method.stabilizers()
    for stabilizer in gan.stabilizers:
        stabilizer.apply_to(gan)
    return gan, [SGD(player.parameters(), lr=rate, momentum=0) for player in (gan.generator, gan.discriminator)]


def place(gan: GAN) -> tuple[float, float]:
    return gan.generator.theta.item(), gan.discriminator.head[0].weight.item()


def trajectory(method: Method) -> list[tuple[float, float]]:
    """Return the places (theta, psi) after every step of the generator."""
    torch.manual_seed(0)
    gan, optimizers = make(method, 1.0, 1.0, RATE)
    path = [place(gan)]
    for step in range(STEPS * method.n_critic):
        gan.train_batch(torch.zeros(BATCH, 1), *optimizers)
        if (step + 1) % method.n_critic == 0:
            path.append(place(gan))
    return path


def measured(method: Method, rate: float = 1e-3, distance: float = 1e-2) -> complex | None:
    """Return the eigenvalue of one step of both players at (0, 0) with the larger real part, as a rate of flow."""
    if method.eigenvalue is None:
        return None
    batch = torch.zeros(200_000 if method.noisy else 4, 1, dtype=torch.float64)

    def step(theta: float, psi: float) -> Tensor:
        torch.manual_seed(0)
        gan, optimizers = make(method, theta, psi, rate)
        gan.double()
        gan.train_batch(batch, *optimizers)
        return torch.tensor(place(gan), dtype=torch.float64)

    columns = [
        (step(*(distance * one)) - step(*(-distance * one))) / (2 * distance)
        for one in torch.eye(2, dtype=torch.float64)
    ]
    found = (torch.linalg.eigvals(torch.stack(columns, 1)) - 1) / rate
    return max(map(complex, found.tolist()), key=lambda value: (round(value.real, 6), value.imag))


def shown(value: complex | None) -> str:
    if value is None:
        return "-"
    return f"{value.real:.3f}" if abs(value.imag) < 1e-3 else f"{value.real:.3f} ± {abs(value.imag):.3f}i"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder of dirac.csv and dirac.png")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    rows, paths = [], {}
    print(f"{'':<26}{'theory':>18}{'measured':>18}{'distance':>12}  converges")
    for name, method in METHODS.items():
        path = paths[name] = trajectory(method)
        distance = max(math.hypot(*one) for one in path[-100:])
        row = [name, shown(method.eigenvalue), shown(measured(method)), f"{distance:.2g}"]
        row.append("yes" if distance < (0.2 if method.noisy else 0.01) else "no")
        print(f"{row[0]:<26}{row[1]:>18}{row[2]:>18}{row[3]:>12}  {row[4]}", flush=True)
        rows.append(row)
    options.out.mkdir(parents=True, exist_ok=True)
    with open(options.out / "dirac.csv", "w", newline="") as file:
        header = ["method", "theory", "measured", "distance", "converges"]
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    draw(options.out / "dirac.png", paths)


def draw(path: Path, paths: dict[str, list[tuple[float, float]]]) -> None:
    """Draw the first 300 steps of every trajectory in the plane of theta and psi, from light to dark."""
    columns = 5
    rows = math.ceil(len(paths) / columns)
    figure = Figure(figsize=(2.4 * columns, 2.6 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for i, (name, points) in enumerate(paths.items()):
        axes = figure.add_subplot(rows, columns, i + 1)
        theta, psi = zip(*points[:300], strict=True)
        axes.plot(theta, psi, color="0.8", linewidth=0.8)
        axes.scatter(theta, psi, c=range(len(theta)), cmap="viridis_r", s=3)
        axes.plot(0, 0, "r+", markersize=9)
        axes.set(xlim=(-2.2, 2.2), ylim=(-2.2, 2.2), aspect="equal", xticks=(-1, 0, 1), yticks=(-1, 0, 1))
        axes.set_title(name, fontsize=9)
    figure.supxlabel("theta, the generator's point")
    figure.supylabel("psi, the slope of D")
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main()
