"""Test whether unrolling prevents mode collapse on a ring of eight Gaussians, and measure its cost.

    python benchmarks/unrolled.py                     # the paper's ring, 5 seeds; half an hour on two CPU cores
    python benchmarks/unrolled.py --setting notebook  # the authors' notebook, where the plain GAN does not collapse
    python benchmarks/unrolled.py --setting sharp     # a mode collapse that unrolling does not prevent
    python benchmarks/unrolled.py --cost              # milliseconds per step; needs an idle machine
    python benchmarks/unrolled.py --quick             # a smoke test; its figures mean nothing

Every run trains one GAN from one seed by `gan.train_batch`, with K look-ahead steps, either unrolled (the generator's
gradient passes through them) or detached. They are compared with a plain GAN (K = 0) whose generator is a stochastic
ensemble of 16 × 16 routes, and, as its control, the same with one route. Learning rates fall to 0 along a cosine.
Scored on 2,500 samples: a sample is of high quality (HQ) within 3 sigma of the nearest mode; a mode is captured if it
has an HQ sample; reverse KL = ln 8 − H(histogram of the HQ samples), whose floor for a perfect generator is 0.0014. The
number of modes alone is misleading: below 5 % HQ they are not really captured. A run without any HQ sample has no KL,
and is left out of that mean only.

Settings:
- paper: appendix A of Metz et al., as quoted: generator 256-128-128-2, discriminator 2-128-1 on x/4, both
  ReLU, orthogonal weights × 0.8, zero-sum objective, beta1 0.5, ring of radius 2 and sigma 0.02. Different: learning
  rate 1e-3 instead of 1e-4, for 6,000 steps, and batches of 128.
- notebook: the authors' notebook: both 128-128 tanh, orthogonal × 1.4, generator 1e-3, discriminator 1e-4, batches
  of 512, constant rates. Different: 5,000 steps of its 25,000.
- sharp: generator 16-128-128-2, discriminator 2-128-128-1, both ReLU from He's weights, non-saturating objective,
  rate 1e-3 for both, constant, batches of 64, ring of radius 1 and sigma 0.01, 3,000 steps.
"""

import argparse
import csv
import logging
import math
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from PIL import Image, ImageDraw
from torch import Tensor, nn

from lightning_gans import UnrolledGAN
from lightning_gans.data import GaussianRing
from lightning_gans.generation import picture
from lightning_gans.networks import MLPDiscriminator, MLPGenerator, StochasticEnsembleMLPGenerator
from lightning_gans.objectives import NonSaturating, Objective, ZeroSum
from lightning_gans.optimizers import Adam

RESULTS = Path(__file__).parent / "results"
SAMPLES, MODES = 2_500, 8
HEADER = ["setting", "method", "K", "seed", "modes", "HQ %", "reverse KL", "seconds"]
SUMMARY = "{:<28}{:>14}{:>16}{:>18}{:>14}"


@dataclass
class Setting:
    """Networks, objective, learning rates and ring of a run."""

    latent_dim: int = 256
    activation: type[nn.Module] = nn.ReLU
    gain: float = 0.8  # of orthogonal weights; 0 keeps He's
    depth: int = 1  # of the discriminator
    input_scale: float = 0.25
    objective: Objective = ZeroSum()  # noqa: RUF009 - it has no state
    generator_lr: float = 1e-3
    discriminator_lr: float = 1e-3
    cosine: bool = True
    batch_size: int = 128
    steps: int = 6_000
    radius: float = 2.0
    sigma: float = 0.02


SETTINGS = {
    "paper": Setting(),
    "notebook": Setting(
        activation=nn.Tanh,
        gain=1.4,
        depth=2,
        input_scale=1.0,
        discriminator_lr=1e-4,
        cosine=False,
        batch_size=512,
        steps=5_000,
    ),
    "sharp": Setting(
        latent_dim=16,
        gain=0.0,
        depth=2,
        input_scale=1.0,
        objective=NonSaturating(),
        cosine=False,
        batch_size=64,
        steps=3_000,
        radius=1.0,
        sigma=0.01,
    ),
}
FULL, DETACHED, ENSEMBLE, ONE_ROUTE = "unrolled", "detached", "ensemble of 256 routes", "ensemble of 1 route"
METHODS = {
    "paper": [
        *((FULL, steps) for steps in (0, 1, 5, 10)),
        *((DETACHED, steps) for steps in (1, 5, 10)),
        (ENSEMBLE, 0),
        (ONE_ROUTE, 0),
    ],
    "notebook": [(FULL, 0), (FULL, 5)],
    "sharp": [(FULL, 0), (FULL, 5), (FULL, 10), (ENSEMBLE, 0), (ONE_ROUTE, 0)],
}


def make(setting: Setting, method: str, steps: int) -> UnrolledGAN:
    """Return an untrained GAN; torch must be seeded."""
    routed = partial(StochasticEnsembleMLPGenerator, (2,), setting.latent_dim)
    if method == ENSEMBLE:
        generator: Any = routed(groups=16)
    elif method == ONE_ROUTE:
        generator = routed(groups=1)
    else:
        generator = MLPGenerator((2,), setting.latent_dim, activation=setting.activation)
    discriminator = MLPDiscriminator(
        (2,), activation=setting.activation, depth=setting.depth, input_scale=setting.input_scale
    )
    for network in (discriminator,) if method in (ENSEMBLE, ONE_ROUTE) else (generator, discriminator):
        for module in network.modules() if setting.gain else ():
            if isinstance(module, nn.Linear):
                nn.init.orthogonal_(module.weight, setting.gain)
    return UnrolledGAN(
        generator,
        discriminator,
        unroll_steps=steps,
        detached=method == DETACHED,
        objective=setting.objective,
        generator_optimizer=lambda params: Adam(params, lr=setting.generator_lr),
        discriminator_optimizer=lambda params: Adam(params, lr=setting.discriminator_lr),
    )


def modes(setting: Setting) -> Tensor:
    angles = torch.arange(MODES) * (2 * math.pi / MODES)
    return setting.radius * torch.stack([angles.cos(), angles.sin()], 1)


def real(setting: Setting, count: int) -> Tensor:
    return modes(setting)[torch.randint(MODES, (count,))] + setting.sigma * torch.randn(count, 2)


def score(samples: Tensor, setting: Setting) -> tuple[int, float, float]:
    """Return the number of captured modes, the percentage of HQ samples, and the reverse KL in nats."""
    distance, nearest = torch.cdist(samples, modes(setting)).min(1)
    good = distance < 3 * setting.sigma
    share = torch.bincount(nearest[good], minlength=MODES).double() / max(1, int(good.sum()))
    kl = math.log(MODES) + float(torch.special.xlogy(share, share).sum()) if good.any() else math.nan
    return int((share > 0).sum()), 100 * good.double().mean().item(), kl


def run(name: str, method: str, steps: int, seed: int, length: int | None) -> tuple[list, Tensor]:
    """Train once; return the row of the table and the samples."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    setting = SETTINGS[name]
    length = length or setting.steps
    gan = make(setting, method, steps)
    optimizers, _ = gan.configure_optimizers()
    schedules = [torch.optim.lr_scheduler.CosineAnnealingLR(one, length) for one in optimizers if setting.cosine]
    started = time.process_time()
    for _ in range(length):
        gan.train_batch(real(setting, setting.batch_size), *optimizers)
        for schedule in schedules:
            schedule.step()
    seconds = time.process_time() - started
    with torch.no_grad():
        samples = gan.generate(SAMPLES)
    captured, quality, kl = score(samples, setting)
    return [name, method, steps, seed, captured, round(quality, 2), round(kl, 4), round(seconds, 1)], samples


def label(method: str, steps: int) -> str:
    return f"{method}, K = {steps}" if method in (FULL, DETACHED) else method


def spread(values: Iterable[float], digits: int = 1) -> str:
    """Return the mean ± standard error of the values that are not NaN."""
    kept = [value for value in values if not math.isnan(value)]
    error = statistics.stdev(kept) / math.sqrt(len(kept)) if len(kept) > 1 else math.nan
    return f"{statistics.mean(kept):.{digits}f} ± {error:.{digits}f}" if kept else "none"


def quality(arguments: argparse.Namespace) -> None:
    name, rows, pictures = arguments.setting, [], {}
    methods = METHODS[name][-1:] + METHODS[name][:1] if arguments.quick else METHODS[name]
    length = 20 if arguments.quick else None
    jobs = [(name, method, steps, seed, length) for seed in range(arguments.seeds) for method, steps in methods]
    jobs.sort(key=lambda job: -job[2])  # the long ones first
    with ProcessPoolExecutor(arguments.workers) as pool:
        for done in as_completed([pool.submit(run, *job) for job in jobs]):
            row, samples = done.result()
            rows.append(row)
            print(f"{len(rows)}/{len(jobs)}", *row, flush=True)
            if row[3] == 0:
                pictures[row[1], row[2]] = samples
    rows.sort(key=lambda row: ([*methods].index((row[1], row[2])), row[3]))
    print(f"\n{name}, {arguments.seeds} seeds, N = {SAMPLES}, floor of reverse KL 0.0014; mean ± standard error")
    print(SUMMARY.format("", "modes", "HQ %", "reverse KL", ">= 7 and > 20 %"))
    for method, steps in methods:
        found = [row for row in rows if (row[1], row[2]) == (method, steps)]
        saved = sum(row[4] >= 7 and row[5] > 20 for row in found)
        print(
            SUMMARY.format(
                label(method, steps),
                spread(row[4] for row in found),
                spread(row[5] for row in found),
                spread((row[6] for row in found), 3),
                f"{saved} of {len(found)}",
            )
        )
    if arguments.quick:
        return
    write(f"unrolled_{name}.csv", HEADER, rows)
    draw(RESULTS / f"unrolled_{name}.png", SETTINGS[name], pictures, methods)


def draw(path: Path, setting: Setting, pictures: dict, methods: list[tuple[str, int]]) -> None:
    """Draw the samples of seed 0 over the real points, one plot for each method."""
    torch.manual_seed(0)
    points, side = real(setting, SAMPLES), 240
    columns = math.ceil(len(methods) / 2) if len(methods) > 4 else len(methods)
    sheet = Image.new("RGB", (columns * side, math.ceil(len(methods) / columns) * (side + 20)), "white")
    for place, method in enumerate(methods):
        corner = (place % columns * side, place // columns * (side + 20))
        plot = Image.fromarray(picture(pictures[method], points).numpy()).resize((side, side))
        sheet.paste(plot, (corner[0], corner[1] + 20))
        ImageDraw.Draw(sheet).text((corner[0] + 8, corner[1] + 5), label(*method), fill="black")
    sheet.save(path)


def cost(arguments: argparse.Namespace) -> None:
    """Print milliseconds per step in a Trainer, K = 0, 1, 5 and 10 interleaved, and their ratio to K = 0."""
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    rows = []
    for name in ("paper", "notebook", "sharp"):
        setting, times = SETTINGS[name], {}
        methods = [(FULL, 0), (FULL, 1), (FULL, 5), (FULL, 10), (DETACHED, 5), (DETACHED, 10)]
        for _ in range(1 if arguments.quick else 7):
            for method, steps in methods:
                times.setdefault((method, steps), []).append(
                    timed(setting, method, steps, 10 if arguments.quick else 40)
                )
        for method, steps in methods:
            ratios = [one / plain for one, plain in zip(times[method, steps], times[FULL, 0], strict=True)]
            middle = statistics.median(times[method, steps])
            rows.append([name, method, steps, round(middle, 2), round(statistics.median(ratios), 2)])
            print(*rows[-1], sep="\t", flush=True)
    if not arguments.quick:
        write("unrolled_cost.csv", ["setting", "method", "K", "ms", "ratio to K = 0"], rows)


class BatchTimes(Callback):
    """Records the CPU time at the end of each batch."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_batch_end(self, *args: Any) -> None:
        self.times.append(time.process_time())


def timed(setting: Setting, method: str, steps: int, batches: int) -> float:
    """Return milliseconds of CPU time per batch of one run, without its first ten batches."""
    torch.manual_seed(0)
    gan, recorded = make(setting, method, steps), BatchTimes()
    data = GaussianRing(batch_size=setting.batch_size, radius=setting.radius, sigma=setting.sigma)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            accelerator="cpu",
            max_steps=batches + 10,
            limit_val_batches=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
            callbacks=[recorded],
        )
        trainer.fit(gan, data)
    return 1e3 * (recorded.times[-1] - recorded.times[9]) / batches


def write(name: str, header: list[str], rows: list[list]) -> None:
    about = {"torch": torch.__version__, "threads": 1}
    with open(RESULTS / name, "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([[*header, *about], *([*row, *about.values()] for row in rows)])
    print(f"written to {(RESULTS / name).relative_to(Path(__file__).parents[1])}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=sys.modules[__name__].__doc__.splitlines()[0])
    parser.add_argument("--setting", choices=SETTINGS, default="paper")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("--cost", action="store_true", help="measure time instead of quality")
    parser.add_argument("--quick", action="store_true")
    chosen = parser.parse_args()
    cost(chosen) if chosen.cost else quality(chosen)
