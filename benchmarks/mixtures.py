"""Train GANs on the ring of 8 and on the grid of 25 Gaussians, and count the modes by the protocol of PacGAN.

    python benchmarks/mixtures.py                                  # the best recipes, 10 seeds; an hour on one core
    python benchmarks/mixtures.py --methods all --seeds 3 --jobs 2 # every method
    python benchmarks/mixtures.py --tasks ring --methods GAN "packing 4"

Data: ring of radius 1, sigma 0.01; grid {-4, -2, 0, 2, 4}², sigma 0.05; the fixed 100,000 points of the protocol, but
fresh points at every step in the best recipes. Scored on 2,500 samples of the last checkpoint, drawn independently: a
sample is of high quality (HQ) within 3 sigma of the nearest mode; a mode is captured if it has one; reverse KL = ln K −
H(histogram of the HQ samples over the modes), in nats; sigma ratio: their spread within the modes over the true one. A
perfect generator scores 98.9 % HQ, a reverse KL of (K − 1) / 2N (.0014, .0050) and a sigma ratio of .974. CPU seconds
are those of the training, pictures and monitor included.

"best" is configs/best/ring.yaml and grid.yaml. All others have one set of networks, rates and steps, in which nothing
was tuned for any of them: G 2-128-128-128-2 ReLU from z ~ N(0, I), D 2-128-128-1 LeakyReLU 0.2, Adam 1e-3
(0.5, 0.999) for both, falling to 0 along a cosine, 4,000 batches of 256, non-saturating objective; each differs
in what its name says. Below 5 % HQ the number of modes means nothing: a cloud covers modes at random.
"""

from typing import Any

from training_runs import RESULTS, Run, fit, parser, perform, require_known, save_samples, sheet, table

from lightning_gans.data import GaussianGrid, GaussianRing
from lightning_gans.generation import draw
from lightning_gans.metrics import ModeCoverage

SAMPLES = 2_500
DATA = {"ring": GaussianRing, "grid": GaussianGrid}
STEPS = 4_000
BASE = [
    "--model=GAN",
    "--model.objective=NonSaturating",
    "--model.generator=MLPGenerator",
    "--model.generator.latents=2",
    "--model.generator.depth=3",
    "--model.discriminator=MLPDiscriminator",
    *(
        f"--model.{player}_{option}"
        for player in ("generator", "discriminator")
        for option in (
            "optimizer=lightning_gans.optimizers.Adam",
            "optimizer.lr=1e-3",
            "scheduler=torch.optim.lr_scheduler.CosineAnnealingLR",
            f"scheduler.T_max={STEPS}",
        )
    ),
    "--data.batch_size=256",
    f"--trainer.max_steps={STEPS}",
]


def with_callback(name: str, **settings: Any) -> list[str]:
    return [f"--trainer.callbacks+={name}", *(f"--trainer.callbacks.{key}={value}" for key, value in settings.items())]


def unrolled(steps: int) -> list[str]:
    return ["--model=UnrolledGAN", f"--model.unroll_steps={steps}", *BASE[2:]]


METHODS = {
    "best": [],
    "GAN": BASE,
    "zero-sum": [*BASE, "--model.objective=ZeroSum"],
    "least squares": [*BASE, "--model.objective=LeastSquares"],
    "hinge": [*BASE, "--model.objective=Hinge"],
    "relativistic": [*BASE, "--model.objective=Relativistic"],
    "relativistic average": [*BASE, "--model.objective=RelativisticAverage"],
    "WGAN, clipping": [*BASE, "--model.objective=Wasserstein", *with_callback("WeightClipping")],
    "WGAN-GP": [*BASE, "--model.objective=Wasserstein", *with_callback("GradientPenalty", weight=0.1)],
    "R1": [*BASE, *with_callback("R1Penalty", weight=0.1)],
    "R3GAN's loss": [
        *BASE,
        "--model.objective=Relativistic",
        *with_callback("R1Penalty", weight=0.1),
        *with_callback("R2Penalty", weight=0.1),
    ],
    "packing 2": [*BASE, *with_callback("Packing", samples=2)],
    "packing 4": [*BASE, *with_callback("Packing", samples=4)],
    "minibatch discrimination": [*BASE, *with_callback("MinibatchDiscrimination")],
    "minibatch stddev": [*BASE, *with_callback("MinibatchStdDev")],
    "instance noise": [
        *BASE,
        "--trainer.callbacks+=InstanceNoise",
        "--trainer.callbacks.sigma=Linear",
        "--trainer.callbacks.sigma.start=0.4",
        "--trainer.callbacks.sigma.end=0",
        f"--trainer.callbacks.sigma.updates={STEPS // 2}",
    ],
    "code": [*BASE, "--model.generator.latents=GaussianWithCode", "--model.generator.latents.gaussian_dim=2"],
    "stochastic ensemble": [
        one.replace("=MLP", "=StochasticEnsembleMLP") if "generator=" in one else one for one in BASE
    ],
    "unrolled 1": unrolled(1),
    "unrolled 5": unrolled(5),
    "unrolled 10": unrolled(10),
}
FIGURES = ["modes", "HQ %", "reverse KL", "sigma ratio", "CPU s"]


def work(run: Run) -> dict[str, Any]:
    """Train and score once; save a picture of the samples."""
    best = [f"--config=configs/best/{run.task}.yaml"]
    data = DATA[run.task]
    trained = fit(run, [f"--data={data.__name__}", *METHODS[run.method]] if METHODS[run.method] else best)
    samples, _ = draw(trained.gan, SAMPLES, seed=run.seed)
    score = ModeCoverage()
    score.fit_data(data())
    score.update(samples, real=False)
    found = {name: float(figure) for name, figure in score.compute().items()}
    save_samples(run, samples)
    return {
        "modes": int(found["modes"]),
        "HQ %": 100 * found["high_quality"],
        "reverse KL": found["reverse_kl"],
        "floor": found["reverse_kl_floor"],
        "sigma ratio": found["sigma_ratio"],
        "N": SAMPLES,
        "updates": trained.updates,
        "CPU s": round(trained.cpu_seconds),
    }


def main() -> None:
    made = parser(__doc__, seeds=10)
    options = made.parse_args()
    tasks = options.tasks or list(DATA)
    methods = list(METHODS) if options.methods == ["all"] else options.methods or ["best"]
    require_known(made, tasks, list(DATA))
    require_known(made, methods, list(METHODS))
    runs = [Run(task, method, seed) for seed in range(options.seeds) for task in tasks for method in methods]
    out = options.out or RESULTS / "mixtures.csv"
    rows = perform(runs, work, out, options.jobs)
    print(
        f"\n{SAMPLES} samples; floor of reverse KL: ring 0.0014, grid 0.0050; real data: 98.9 % HQ, sigma ratio 0.974"
    )
    table(rows, FIGURES)
    sheet(out, columns=6)


if __name__ == "__main__":
    main()
