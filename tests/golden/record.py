"""Digests of what today's code computes, to hold a rewrite against: `python tests/golden/record.py digests.json`.

Temporary: it goes when the rewrite is done. Digests hold for one machine and one version of torch.
"""

import csv
import hashlib
import json
import math
import multiprocessing
import os
import socket
import sys
import tempfile
import warnings
from pathlib import Path

import torch
import torch.distributed as dist
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins import MixedPrecision
from torch import nn
from torch.optim.lr_scheduler import ExponentialLR
from torch.utils.data import DataLoader

from lightning_gans import DCGAN, GAN, SEPGAN, WGAN, WGANGP, UnrolledGAN, VanillaGAN, data, metrics, stabilizers
from lightning_gans import objectives as of
from lightning_gans.__main__ import main
from lightning_gans.callbacks import Evaluation, FailureMonitor
from lightning_gans.generation import arithmetic, interpolate, neighbours, sample
from lightning_gans.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    DigitClassifier,
    DigitFeatures,
    MLPDiscriminator,
    MLPGenerator,
    StochasticEnsembleGenerator,
    StochasticEnsembleMLPGenerator,
)
from lightning_gans.optimizers import SGD, Adam
from lightning_gans.schedules import Linear
from lightning_gans.targets import Classes, MarginalEntropy, PerRoute

GRAY = (1, 16, 16)
SMALL = {"latent_dim": 3, "generator_width": 8, "discriminator_width": 8}


def points(num_classes=0, kind=GAN, dropout=0.0, **kwargs):
    return kind(
        MLPGenerator((2,), 3, width=8, depth=1, num_classes=num_classes),
        MLPDiscriminator((2,), width=8, depth=1, dropout=dropout, num_classes=num_classes),
        **kwargs,
    )


def images(norm=nn.BatchNorm2d, **kwargs):
    return GAN(DCGANGenerator(GRAY, 3, width=2, norm=norm), DCGANDiscriminator(GRAY, width=2, norm=norm), **kwargs)


def sepgan(target=None, **kwargs):
    generator = StochasticEnsembleGenerator((1, 28, 28), width=2, groups=3)
    return SEPGAN(generator, DigitClassifier(), **({} if target is None else {"target": target}), **kwargs)


OBJECTIVES = [
    of.NonSaturating(),
    of.Minimax(),
    of.ZeroSum(),
    of.Wasserstein(),
    of.LeastSquares(),
    of.Hinge(),
    of.Relativistic(),
    of.Relativistic(of.LeastSquares()),
    of.RelativisticAverage(),
    of.RelativisticAverage(of.Hinge()),
]


def stack():
    return [
        stabilizers.R1Penalty(0.5),
        stabilizers.InstanceNoise(Linear(0.2, 0.0, updates=6)),
        stabilizers.ExperienceReplay(size=64),
        stabilizers.GeneratorEMA(half_life=5.0),
        stabilizers.LabelSmoothing(),
        stabilizers.FeatureMatching(0.3, replace=False),
        stabilizers.HistoricalAveraging(),
        stabilizers.CheckpointSwap(every=2, keep=2, probability=0.5, updates=1),
    ]


def quick(params):
    return Adam(params, lr=0.01)


SETUPS = {
    "gan": (points, {}),
    "conditional, schedules": (
        lambda: points(
            3,
            generator_scheduler=lambda o: ExponentialLR(o, 0.9),
            discriminator_scheduler=lambda o: ExponentialLR(o, 0.8),
        ),
        {},
    ),
    "vanilla": (lambda: VanillaGAN((2,), **SMALL), {}),
    "dcgan": (lambda: DCGAN(GRAY, latent_dim=3, width=2), {}),
    "wgan": (lambda: WGAN((2,), latent_dim=3, width=8, n_critic=2), {}),
    "wgan of images": (lambda: WGAN(GRAY, latent_dim=3, width=2, n_critic=2), {}),
    "wgan-gp": (lambda: WGANGP((2,), latent_dim=3, width=8, n_critic=3), {}),
    "unrolled, adam": (lambda: points(kind=UnrolledGAN, unroll_steps=3), {}),
    "unrolled, sgd, detached": (
        lambda: points(
            kind=UnrolledGAN, unroll_steps=2, detached=True, discriminator_optimizer=lambda p: SGD(p, lr=0.05)
        ),
        {},
    ),
    "sepgan": (sepgan, {}),
    "sepgan per route": (lambda: sepgan(PerRoute(), total_variation=0.1), {}),
    "sepgan classes": (lambda: sepgan(Classes([1, 2])), {}),
    "sepgan entropy": (lambda: sepgan(MarginalEntropy()), {}),
    "ensemble": (
        lambda: GAN(StochasticEnsembleMLPGenerator((2,), 3, width=4, groups=3), MLPDiscriminator((2,), width=4)),
        {},
    ),
    "stack": (
        lambda: points(
            n_critic=2,
            generator_clip=0.1,
            discriminator_clip=0.1,
            generator_accumulation=2,
            discriminator_accumulation=2,
        ),
        {"callbacks": stack},
    ),
    "balanced": (
        lambda: points(generator_clip=0.5),
        {"callbacks": lambda: [stabilizers.BalancedUpdates(), *stack()[:4]]},
    ),
    "bf16": (points, {"precision": "bf16-mixed"}),
    "bf16, images": (lambda: images(discriminator_clip=1.0), {"precision": "bf16-mixed"}),
    "float64": (points, {"precision": "64-true"}),
    "scaler": (lambda: points(discriminator_clip=1.0), {"scaler": True}),
    "monitored": (points, {"callbacks": lambda: [FailureMonitor(every_n_steps=2), stabilizers.GeneratorEMA(3.0)]}),
    "evaluated": (
        lambda: images(),
        {
            "callbacks": lambda: [
                Evaluation([metrics.FrechetDistance(), metrics.PairwiseDiversity()], num_samples=300, split="train")
            ],
            "module": lambda: data.Digits(size=16, batch_size=64),
            "limit_train_batches": 6,
        },
    ),
    "ring": (points, {"module": lambda: data.GaussianRing(batch_size=16), "limit_train_batches": 9}),
    "grid": (points, {"module": lambda: data.GaussianGrid(batch_size=16), "limit_train_batches": 9}),
    "lines": (points, {"module": lambda: data.ParallelLines(batch_size=16), "limit_train_batches": 9}),
    "digits": (
        lambda: DCGAN(GRAY, latent_dim=3, width=2, num_classes=10),
        {"module": lambda: data.Digits(size=16, batch_size=64, labels=True), "limit_train_batches": 9},
    ),
}
SETUPS |= {repr(one): (lambda one=one: points(objective=one), {}) for one in OBJECTIVES}
for name in stabilizers.__all__:
    kind = getattr(stabilizers, name)
    on_images = name in ("InstanceNorm", "VirtualBatchNorm", "DifferentiableAugmentation")
    arguments = (
        {"size": 8} if name == "VirtualBatchNorm" else {"size": 64} if name in ("ExperienceReplay", "ImagePool") else {}
    )
    SETUPS[name] = (
        images if on_images else lambda: points(dropout=0.2),
        {"callbacks": lambda kind=kind, arguments=arguments: [kind(**arguments)]},
    )


def digest(value):
    found = hashlib.sha256()

    def add(one):
        if isinstance(one, torch.Tensor):
            found.update(f"{one.dtype}{tuple(one.shape)}".encode())
            found.update(one.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        elif isinstance(one, dict):
            for key in sorted(one, key=str):
                found.update(str(key).encode())
                add(one[key])
        elif isinstance(one, list | tuple):
            for inner in one:
                add(inner)
        else:
            found.update(repr(one).encode())

    add(value)
    return found.hexdigest()[:16]


def keys(tree, depth=3):
    if isinstance(tree, dict) and depth:
        return {str(key): keys(value, depth - 1) for key, value in tree.items()}
    return type(tree).__name__


def rows(folder):
    file = next(iter(Path(folder).rglob("metrics.csv")), None)
    if file is None:
        return []
    with file.open() as lines:
        return [dict(sorted(row.items())) for row in csv.DictReader(lines)]


def batches(gan, num, size=16):
    source = torch.Generator().manual_seed(1)
    shape, classes = gan.generator.sample_shape, gan.generator.num_classes
    x = [torch.rand(size, *shape, generator=source) * 2 - 1 for _ in range(num)]
    return [(part, torch.arange(size) % classes) for part in x] if classes else x


def run(make, settings, folder, epochs=2, ckpt_path=None, num=6, world=1):
    settings = dict(settings)
    torch.manual_seed(0)
    gan = make()
    callbacks = settings.pop("callbacks", list)()
    module = settings.pop("module", None)
    if settings.pop("scaler", False):
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=3)
        settings["plugins"] = [MixedPrecision("16-mixed", "cpu", scaler=scaler)]
    saver = ModelCheckpoint(dirpath=Path(folder, "checkpoints"), save_last=True, filename="{epoch}", save_top_k=-1)
    trainer = Trainer(
        accelerator="cpu",
        devices=world,
        max_epochs=epochs,
        logger=CSVLogger(folder, name="", version="csv"),
        callbacks=[*callbacks, saver],
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        **settings,
    )
    torch.manual_seed(7)
    if module is None:
        every = batches(gan, num)
        if world > 1:
            own = slice(dist.get_rank(), None, world)
            every = [(x[0][own], x[1][own]) if isinstance(x, tuple) else x[own].clone() for x in every]
        trainer.fit(
            gan, DataLoader(every, batch_size=None), DataLoader(every[:2], batch_size=None), ckpt_path=ckpt_path
        )
    else:
        trainer.fit(gan, datamodule=module(), ckpt_path=ckpt_path)
    return gan, saver


def outcome(gan, saver, folder):
    state = {name: value for name, value in gan.state_dict().items() if isinstance(value, torch.Tensor)}
    saved = torch.load(saver.last_model_path, map_location="cpu", weights_only=True)
    saved.pop("loops")
    for callback in list(saved["callbacks"]):
        if "ModelCheckpoint" in callback:
            saved["callbacks"]["ModelCheckpoint"] = keys(saved["callbacks"].pop(callback), 1)
    extra = {key: value for key, value in saved["state_dict"].items() if not isinstance(value, torch.Tensor)}
    return {
        "weights": digest(state),
        "samples": digest(gan.predict_step(batches(gan, 1)[0], 0)) if gan.generator else "",
        "metrics": digest(rows(folder)),
        "keys": digest(keys(saved)),
        "callbacks": digest({k: v for k, v in saved["callbacks"].items() if "Monitor" not in k}),
        "extra": digest({"extra": extra, "hyper": saved.get("hyper_parameters"), "seed": saved.get("gan_seed")}),
        "optimizers": digest(saved["optimizer_states"]),
        "batches": trained(rows(folder)),
    }


def trained(found):
    return sum(1 for row in found if row.get("loss/generator") or row.get("loss/discriminator"))


def one(name):
    make, settings = SETUPS[name]
    with tempfile.TemporaryDirectory() as folder:
        return outcome(*run(make, settings, folder), folder)


def resumed(name):
    make, settings = SETUPS[name]
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as second:
        _, saver = run(make, settings, folder, epochs=1)
        return outcome(*run(make, settings, second, epochs=2, ckpt_path=saver.last_model_path), second)


def _process(rank, world, port, name, folder, pipe):
    torch.set_num_threads(1)
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(world),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "GROUP_RANK": "0",
        "LOCAL_WORLD_SIZE": str(world),
        "TORCHELASTIC_RUN_ID": "golden",
    }
    dist.init_process_group("gloo")
    make, settings = SETUPS[name]
    gan, saver = run(make, settings, folder, world=world)
    state = digest({name: value for name, value in gan.state_dict().items() if isinstance(value, torch.Tensor)})
    pipe.send({**(outcome(gan, saver, folder) if rank == 0 else {"samples": ""}), f"rank {rank}": state})
    dist.barrier()
    pipe.close()
    os._exit(0)


def two(name):
    context = multiprocessing.get_context("fork")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        pipes, children = [], []
        for rank in range(2):
            ours, theirs = context.Pipe(duplex=False)
            children.append(context.Process(target=_process, args=(rank, 2, port, name, folder, theirs)))
            children[-1].start()
            pipes.append(ours)
        answers = [pipe.recv() for pipe in pipes]
        for child in children:
            child.join()
    return answers[1] | answers[0]


def scores():
    found = {}
    source = torch.Generator().manual_seed(0)
    flat = torch.randn(2, 60, 2, generator=source)
    pictures = torch.rand(2, 60, 1, 28, 28, generator=source) * 2 - 1
    made = {
        "fd": (metrics.FrechetDistance(), flat),
        "kd": (metrics.KernelDistance(DigitFeatures(), subsets=3, subset_size=10), pictures),
        "is": (metrics.InceptionScore(DigitClassifier(), splits=2), pictures),
        "pr": (metrics.PrecisionRecall(DigitFeatures()), pictures),
        "dc": (metrics.DensityCoverage(DigitFeatures()), pictures),
        "ndb": (metrics.NDB(DigitFeatures(), num_bins=6), pictures),
        "diversity": (metrics.PairwiseDiversity(), flat),
        "neighbour": (metrics.NearestNeighbour(), flat),
        "ssim": (metrics.MultiScaleSSIM(20, betas=(0.5, 0.5)), pictures),
        "classes": (metrics.ClassCoverage(DigitClassifier()), pictures),
        "modes": (metrics.ModeCoverage([[0.0, 0.0], [0.5, 0.5]], 0.2), flat),
    }
    for name, (score, (real, fake)) in made.items():
        score.update(real, real=True)
        score.update(fake, real=False)
        found[name] = {key: repr(float(value)) for key, value in score.figures().items()}
    return found


def command_line():
    found, here = {}, Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            common = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--threads=1"]
            common += ["--trainer.enable_model_summary=false", "--report.enabled=false", "--experiment=x"]
            main(
                [
                    "fit",
                    f"--config={here}/configs/quickstart.yaml",
                    *common,
                    "--trainer.max_epochs=4",
                    "--trainer.limit_train_batches=8",
                    "--model.width=4",
                    "--model.latent_dim=8",
                    f"--config={here}/configs/stabilizers/generator_ema.yaml",
                    "--samples.every_n_epochs=2",
                ]
            )
            run_folder = Path("runs/x/version_0")
            found["metrics"] = digest(rows(run_folder))
            found["config"] = digest((run_folder / "config.yaml").read_text())
            last = run_folder / "checkpoints/last.ckpt"
            found["checkpoint"] = digest(torch.load(last, weights_only=True)["state_dict"])
            found["pictures"] = digest([p.read_bytes() for p in sorted((run_folder / "samples").glob("*.png"))])
            sample(str(last), out="grid.png", num=9, seed=3)
            interpolate(str(last), out="walk.png", seeds=[1, 2], steps=5)
            arithmetic(str(last), a=[1, 2], b=[3], c=[4], out="sum.png")
            neighbours(str(last), out="near.png", num=4)
            for name in ("grid.png", "walk.png", "sum.png", "near.png"):
                found[name] = digest(Path(name).read_bytes()) if Path(name).is_file() else "absent"
            main(["fit", f"--config={here}/configs/vanilla_ring.yaml", *common, "--trainer.max_steps=120", "--runs=r2"])
            found["ring"] = digest(rows("r2"))
        finally:
            os.chdir(here)
    return found


def record():
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    found = {f"two processes: {name}": two(name) for name in ("stack", "conditional, schedules", "dcgan", "wgan-gp")}
    for name in SETUPS:
        found[name] = one(name)
        print(name, found[name]["weights"], flush=True)
    for name in (
        "stack",
        "balanced",
        "dcgan",
        "unrolled, adam",
        "sepgan per route",
        "conditional, schedules",
        "scaler",
    ):
        found[f"resumed: {name}"] = resumed(name)
    found["scores"] = scores()
    found["command line"] = command_line()
    return found


if __name__ == "__main__":
    result = record()
    assert all(math.isfinite(float(value)) for score in result["scores"].values() for value in score.values())
    if len(sys.argv) > 2 and sys.argv[1] == "--check":
        kept = json.loads(Path(sys.argv[2]).read_text())
        wrong = [
            f"{name}: {part} {kept[name].get(part)} → {result.get(name, {}).get(part)}"
            for name in kept
            for part in {**kept[name], **result.get(name, {})}
            if kept[name].get(part) != result.get(name, {}).get(part)
        ]
        print("\n".join(wrong) or f"all {len(kept)} set-ups are bitwise identical")
        sys.exit(bool(wrong))
    Path(sys.argv[1]).write_text(json.dumps(result, indent=1) + "\n")
