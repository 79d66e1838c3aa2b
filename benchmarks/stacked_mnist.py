"""Train GANs on stacked MNIST, and count its 1000 modes by the protocols of the unrolled GAN and of PacGAN.

    python benchmarks/stacked_mnist.py                           # the recipe for D = 1/4, 5 seeds of ten minutes each
    python benchmarks/stacked_mnist.py --tasks quarter half      # D = 1/2 too
    python benchmarks/stacked_mnist.py --methods all --seeds 3   # beside them the published set-up, for as many steps

An image is three random digits of MNIST, in red, green and blue: 10³ modes. Constrained (Metz et al. 2017): G has
287,875 parameters, D a quarter or a half of its channels, 585 or 1,889 parameters. Scored on 25,600 samples of the
last checkpoint, by the digit classifier of this library: the modes with a sample, KL(samples ‖ uniform) in nats,
whose floor for a perfect generator is 0.0196; "strict" modes have a sample all of whose channels the classifier is
sure of by more than 0.8, and "confident %" is the share of such samples. The first line has the scores of as many
real images. A classifier assigns a class to every image, noise too: read the strict count beside the other.

What the recipes change in the published set-up: D has no BatchNorm and gets packs of four images (`Packing(4)`, so 719
parameters for 585), R1 of weight 0.025 at every step, Adam 1e-3 for G and 8e-3 for D (published 1e-4 and 2e-4), three
codes of ten values among the 256 latents, an average of G's weights; 5,000 steps of the published 500,000.
"""

from typing import Any

import torch
from training_runs import RESULTS, Run, fit, parser, perform, require_known, save_samples, sheet, table

from lightning_gans.data import StackedMNIST
from lightning_gans.generation import draw
from lightning_gans.metrics import ClassCoverage

SAMPLES = 25_600
REAL = "real images"
CHANNELS = {"quarter": 2, "half": 4}  # of D's first layer
METHODS = ["best", "published"]
FIGURES = ["modes", "KL", "strict modes", "confident %", "CPU s"]


def published(task: str) -> list[str]:
    """Return the changes that turn the recipe into the set-up of Metz et al., for the same number of steps."""
    adam = "optimizer=lightning_gans.optimizers.Adam"
    players = [("generator", "1e-4"), ("discriminator", "2e-4")]
    settings = [
        f"--model.{player}_{one}" for player, lr in players for one in (adam, f"optimizer.lr={lr}", "scheduler=null")
    ]
    return [
        "--config=configs/best/stacked_mnist_quarter.yaml",
        f"--model.discriminator.width={CHANNELS[task]}",
        "--model.discriminator.norm=torch.nn.BatchNorm2d",
        "--model.discriminator.norm_first=true",
        "--model.discriminator.redundant_biases=true",
        *settings,
        "--trainer.callbacks=[]",
    ]


def work(run: Run) -> dict[str, Any]:
    """Train and score once; save a picture of samples."""
    updates, taken = 0, 0.0
    if run.method == REAL:
        data = StackedMNIST(num_samples=SAMPLES, batch_size=256)
        data.prepare_data()
        data.setup("fit")
        torch.manual_seed(run.seed)
        samples = torch.cat(list(data.train_dataloader()))
    else:
        recipe = [f"--config=configs/best/stacked_mnist_{run.task}.yaml"]
        trained = fit(run, published(run.task) if run.method == "published" else recipe)
        updates, taken = trained.updates, trained.cpu_seconds
        samples, _ = draw(trained.gan, SAMPLES, seed=run.seed)
    score = ClassCoverage(channels=3)
    for part in samples.split(256):
        score.update(part, real=False)
    found = {name: float(figure) for name, figure in score.compute().items()}
    save_samples(run, samples[:64])
    return {
        "modes": int(found["classes"]),
        "KL": found["kl_uniform"],
        "floor": found["kl_uniform_floor"],
        "strict modes": int(found["confident_classes"]),
        "confident %": 100 * found["confident"],
        "N": len(samples),
        "updates": updates,
        "CPU s": round(taken),
    }


def main() -> None:
    made = parser(__doc__, seeds=5)
    options = made.parse_args()
    tasks = options.tasks or ["quarter"]
    methods = METHODS if options.methods == ["all"] else options.methods or ["best"]
    require_known(made, tasks, list(CHANNELS))
    require_known(made, methods, METHODS)
    runs = [Run(task, REAL, 0) for task in tasks]
    runs += [Run(task, method, seed) for seed in range(options.seeds) for task in tasks for method in methods]
    out = options.out or RESULTS / "stacked_mnist.csv"
    rows = perform(runs, work, out, options.jobs)
    print(f"\n{SAMPLES:,} samples; floor of KL 0.0196")
    table(rows, FIGURES)
    sheet(out, columns=3)


if __name__ == "__main__":
    main()
