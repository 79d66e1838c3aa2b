"""The set-ups of `remedies.py` and `rescue.py`, most of which fail, as arguments of `lightning-gans fit`."""

from __future__ import annotations


def rates(g: float, d: float) -> list[str]:
    return [f"--model.generator_optimizer.lr={g}", f"--model.discriminator_optimizer.lr={d}"]


def mlps(data: str, *more: str, g: float = 1e-3, d: float = 1e-3) -> list[str]:
    """Two MLPs with ReLU on points."""
    networks = ["--model=GAN", "--model.generator=MLPGenerator", "--model.discriminator=MLPDiscriminator"]
    small = ["--model.generator.latents=16", "--model.discriminator.activation=torch.nn.ReLU"]
    return [*networks, *small, f"--data={data}", "--data.batch_size=64", *rates(g, d), *more]


def dcgan(*more: str, g: float = 1e-3, d: float = 4e-4) -> list[str]:
    """A small DCGAN on 16 × 16 digits."""
    return [
        *("--model=DCGAN", "--model.width=16", "--model.latent_dim=32", "--data=Digits", "--data.size=16"),
        *("--data.batch_size=64", *rates(g, d), *more),
    ]


def mnist(*more: str, g: float = 1e-3, d: float = 4e-4) -> list[str]:
    """A small DCGAN on MNIST at 16 × 16."""
    return dcgan("--data=MNIST", "--data.size=16", *more, g=g, d=d)


def few(withheld: int, *more: str, d: float = 4e-4) -> list[str]:
    """All of MNIST's training images but `withheld`."""
    return mnist(f"--data.val_size={withheld}", *FEW, *more, d=d)


def codes(categories: int, gaussian: int = 2, scale: float = 4.0) -> list[str]:
    """Latents with a one-hot code."""
    options = {"categories": categories, "gaussian_dim": gaussian, "scale": scale}
    arguments = [f"--model.generator.latents.{name}={value}" for name, value in options.items()]
    return ["--model.generator.latents=GaussianWithCode", *arguments]


FEW = ["--trainer.limit_val_batches=2"]  # an epoch is one batch or two, and nearly all images are held out
WASSERSTEIN = ["--model.objective=Wasserstein"]
PAPER = [  # the ring of the unrolled GAN's paper, on which players chase each other
    *("--model.generator.latents=256", "--model.generator.orthogonal_gain=0.8", "--model.discriminator.depth=1"),
    *("--model.discriminator.input_scale=0.25", "--model.discriminator.orthogonal_gain=0.8", "--data.sigma=0.02"),
    *("--model.objective=ZeroSum", "--data.batch_size=128"),
]
DIGIT_MLPS = [
    *("--model=GAN", "--model.generator=MLPGenerator", "--model.discriminator=MLPDiscriminator"),
    *("--data=Digits", "--data.size=16", "--data.batch_size=64"),
]
MNIST_MLPS = ["--data=MNIST" if one == "--data=Digits" else one for one in DIGIT_MLPS]
SET_UPS: dict[str, list[str]] = {
    "ring": mlps("GaussianRing"),
    "grid": mlps("GaussianGrid"),
    "ring of 5": mlps("GaussianRing", "--data.num_modes=5"),
    "wide ring": mlps("GaussianRing", "--data.sigma=0.05"),
    "ring of the paper": mlps("GaussianRing", *PAPER, "--data.radius=2.0"),
    "grid of 9, zero sum": mlps("GaussianGrid", *PAPER, "--data.side=3"),
    "vanilla_ring.yaml": ["--config=configs/vanilla_ring.yaml"],
    "mixed_ring.yaml without code": ["--config=configs/mixed_ring.yaml", "--model.generator.latents=16"],
    "wgan_gp_ring.yaml": ["--config=configs/wgan_gp_ring.yaml"],
    "ring, minimax, fast D": mlps("GaussianRing", "--model.objective=Minimax", g=1e-5, d=1e-2),
    "grid of 9, minimax, fast D": mlps("GaussianGrid", "--model.objective=Minimax", "--data.side=3", g=1e-5, d=1e-2),
    "digits, minimax, fast D": dcgan("--model.objective=Minimax", g=1e-5, d=5e-3),
    "digits, least squares, fast D": dcgan("--model.objective=LeastSquares", g=1e-5, d=1e-2),
    "ring, slow D": mlps("GaussianRing", g=1e-3, d=1e-6),
    "digits, slow D": dcgan(d=1e-6),
    "digits, MLPs, slow D": [*DIGIT_MLPS, *rates(2e-3, 1e-5)],
    "digits, MLPs": [*DIGIT_MLPS, *rates(1e-3, 1e-3)],
    "ring, high rates": mlps("GaussianRing", g=0.1, d=0.05),
    "grid, Wasserstein without a bound": mlps("GaussianGrid", "--model.objective=Wasserstein"),
    "ring, Wasserstein without a bound": mlps("GaussianRing", "--model.objective=Wasserstein"),
    "digits, high rates": dcgan(g=3e-2, d=3e-2),
    "digits, hinge, high rates": dcgan("--model.objective=Hinge", g=2e-2, d=2e-2),
    "digits, RpGAN, no penalty": dcgan("--model.objective=Relativistic", g=1e-3, d=1e-3),
    "ring, float16": mlps("GaussianRing", "--trainer.precision=16-true"),
    "digits, float16": dcgan("--trainer.precision=16-true"),
    "ring of 5, hinge, float16": mlps(
        "GaussianRing", "--data.num_modes=5", "--model.objective=Hinge", "--trainer.precision=16-true"
    ),
    # partial collapse: fewer codes than modes
    "ring, 4 codes": mlps("GaussianRing", *codes(4)),
    "grid, 12 codes": mlps("GaussianGrid", *codes(12)),
    "grid of 9, 5 codes": mlps("GaussianGrid", "--data.side=3", *codes(5)),
    # collapse inside classes
    "digits with labels, one latent": dcgan("--data.labels=true", "--model.latent_dim=1"),
    "MNIST with labels, one latent": mnist("--data.labels=true", "--model.latent_dim=1"),
    "wide ring, codes alone": mlps("GaussianRing", "--data.sigma=0.05", *codes(64, 1, 32)),
    "SEP-GAN, one class, one group": [
        "--config=configs/sepgan_digits.yaml",
        "--model.generator.groups=1",
        "--model.target=Classes",
        "--model.target.classes=[3]",
    ],
    # D memorises; copies
    "60 of MNIST": few(59_940, "--data.batch_size=30"),
    "100 of MNIST, width 32": few(59_900, "--model.width=32"),
    "100 of Fashion-MNIST": few(59_900, "--data=FashionMNIST", "--data.size=16", d=1e-3),
    "250 of MNIST, MLPs": [*MNIST_MLPS, "--data.val_size=59750", *FEW, *rates(2e-4, 2e-4)],
    # exploding gradients
    "ring of 5, Wasserstein without a bound": mlps("GaussianRing", "--data.num_modes=5", *WASSERSTEIN),
    "digits, Wasserstein without a bound": dcgan(*WASSERSTEIN),
    "ring, hinge, rates of .02": mlps("GaussianRing", "--model.objective=Hinge", g=2e-2, d=2e-2),
    # smeared
    "wgan_ring.yaml": ["--config=configs/wgan_ring.yaml"],
    "unrolled_ring.yaml": ["--config=configs/unrolled_ring.yaml"],
    "ring, stochastic ensemble": mlps("GaussianRing", "--model.generator=StochasticEnsembleMLPGenerator"),
    # stalled
    "digits, WGAN-GP, slow": dcgan("--model=WGANGP", g=2e-5, d=2e-5),
    "MNIST, WGAN-GP, batches of 4": mnist("--model=WGANGP", "--data.batch_size=4", g=2e-4, d=2e-4),
    "digits, both rates 2e-5": dcgan(g=2e-5, d=2e-5),
    # noisy
    "digits, dropout of .9 in G": dcgan(
        *("--trainer.callbacks+=Dropout", "--trainer.callbacks.generator=0.9", "--trainer.callbacks.discriminator=0.0")
    ),
    "digits, least squares, high rates": dcgan("--model.objective=LeastSquares", g=1e-2, d=1e-2),
}
