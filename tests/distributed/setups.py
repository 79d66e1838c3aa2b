"""Set-ups of every model and every stabilizer, trained by one process on whole batches or by several on parts."""

import copy

import torch
import torch.distributed as dist
import torch.nn.functional as F
from helpers import ensemble, fixed_batches, small_gan
from lightning.pytorch import Trainer
from test_contract import EVERY, NETWORKS, ON_IMAGES, small
from torch.overrides import TorchFunctionMode
from torch.utils.data import DataLoader

from lightning_gans import DCGAN, GAN, SEPGAN, WGAN, WGANGP, UnrolledGAN, VanillaGAN
from lightning_gans.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    DigitClassifier,
    MLPDiscriminator,
    MLPGenerator,
    StochasticEnsembleGenerator,
    StochasticEnsembleMLPGenerator,
)
from lightning_gans.objectives import Minimax, RelativisticAverage
from lightning_gans.stabilizers import (
    DRAGANPenalty,
    ExperienceReplay,
    GeneratorEMA,
    ImagePool,
    InstanceNorm,
    MinibatchDiscrimination,
    MinibatchStdDev,
    VirtualBatchNorm,
)
from lightning_gans.targets import Classes, PerRoute

WHOLE = 40  # samples of a batch, of all processes together
GRAY = (1, 16, 16)
SMALL_VANILLA = {"latent_dim": 3, "generator_width": 8, "discriminator_width": 8}


def images(norm=None, num_classes=0, kind=GAN, generator_norm=False, **kwargs):
    of_generator = norm if generator_norm else None
    generator = DCGANGenerator(GRAY, 3, width=2, norm=of_generator, num_classes=num_classes)
    return kind(generator, DCGANDiscriminator(GRAY, width=2, norm=norm, num_classes=num_classes), **kwargs)


def sepgan(target=None, **kwargs):
    generator = StochasticEnsembleGenerator((1, 28, 28), width=2, groups=3)
    return SEPGAN(generator, DigitClassifier(), **({} if target is None else {"target": target}), **kwargs)


def unrolled(**kwargs):
    networks = MLPGenerator((2,), 3, width=8, depth=1), MLPDiscriminator((2,), width=8, depth=1)
    return UnrolledGAN(*networks, unroll_steps=3, **kwargs)


def with_stabilizers(gan, *stabilizers):
    """Return the GAN with stabilizers in its own list."""
    gan.stabilizers += stabilizers
    return gan


def smooth():
    """Return a GAN whose discriminator is smooth, so that its slope differs between any two points."""
    discriminator = MLPDiscriminator((2,), width=8, depth=1, activation=torch.nn.Tanh)
    return GAN(MLPGenerator((2,), 3, width=8, depth=1), discriminator)


MODELS = {  # several processes compute the losses of the whole batch
    "GAN": small_gan,
    "GAN, clipped, in parts, n_critic 2": lambda: small_gan(
        n_critic=2, generator_clip=0.1, discriminator_clip=0.1, generator_accumulation=2, discriminator_accumulation=2
    ),
    "GAN with RelativisticAverage": lambda: small_gan(objective=RelativisticAverage()),
    "GAN with DRAGANPenalty, smooth": lambda: with_stabilizers(smooth(), DRAGANPenalty()),
    "VanillaGAN": lambda: VanillaGAN((2,), **SMALL_VANILLA),
    "VanillaGAN, conditional": lambda: VanillaGAN((2,), num_classes=2, **SMALL_VANILLA),
    "DCGAN without BatchNorm": images,
    "DCGAN without BatchNorm, conditional": lambda: images(num_classes=2),
    "WGAN of MLPs": lambda: WGAN((2,), latent_dim=3, width=8, n_critic=2),
    "WGANGP": lambda: WGANGP((2,), latent_dim=3, width=8, n_critic=2),
    "UnrolledGAN": unrolled,
    "UnrolledGAN, Minimax with clipping": lambda: unrolled(objective=Minimax(), discriminator_clip=0.1),
    "UnrolledGAN with RelativisticAverage": lambda: unrolled(objective=RelativisticAverage()),
    "stochastic ensemble": lambda: GAN(
        StochasticEnsembleMLPGenerator((2,), 3, width=4, groups=3), MLPDiscriminator((2,), width=4)
    ),
    "SEPGAN": sepgan,
    "SEPGAN, a class per route": lambda: sepgan(PerRoute(), total_variation=0.1),
    "SEPGAN, classes": lambda: sepgan(Classes([1, 2])),
}
NORMED = {  # each process normalises its own part of the batch
    "DCGAN": lambda: DCGAN(GRAY, latent_dim=3, width=2),
    "DCGAN, conditional": lambda: DCGAN(GRAY, latent_dim=3, width=2, num_classes=2),
    "DCGAN with GeneratorEMA": lambda: with_stabilizers(
        DCGAN(GRAY, latent_dim=3, width=2), GeneratorEMA(half_life=2.0, ramp_up=None)
    ),
    "WGAN of images": lambda: WGAN(GRAY, latent_dim=3, width=2, n_critic=2),
    "UnrolledGAN with BatchNorm": lambda: images(
        torch.nn.BatchNorm2d, kind=UnrolledGAN, generator_norm=True, unroll_steps=1, detached=True
    ),
    "stochastic ensemble with BatchNorm": lambda: ensemble(),
}
PER_PROCESS = {ExperienceReplay, ImagePool, MinibatchDiscrimination, MinibatchStdDev}  # of one process's samples
STABILIZERS = {kind.__name__: kind for kind in EVERY}


def make(name):
    """Return the GAN of a model's or a stabilizer's name, and the stabilizers for the Trainer."""
    torch.manual_seed(0)
    if name not in STABILIZERS:
        return {**MODELS, **NORMED}[name](), []
    kind = STABILIZERS[name]
    norm = torch.nn.BatchNorm2d if kind in (InstanceNorm, VirtualBatchNorm) else None
    on_images, networks = kind in ON_IMAGES, NETWORKS.get(kind, {})
    return images(norm, generator_norm=kind is VirtualBatchNorm) if on_images else small_gan(dropout=0.2, **networks), [
        small(kind, size=WHOLE) if kind in (ExperienceReplay, ImagePool) else small(kind)
    ]


def train(name, shared_draws=False, batches=3, callbacks=(), ckpt_path=None, val=None, **settings):
    """Train a set-up on a few batches and return the GAN and its Trainer.

    Args:
        name: of the set-up.
        shared_draws: draw random numbers for the whole batch, of which each process takes its part.
        batches: how many.
        callbacks: more callbacks of the Trainer.
        ckpt_path: a checkpoint to resume from.
        val: a loader for validation.
        settings: other arguments of the Trainer.
    """
    gan, stabilizers = make(name)
    world = dist.get_world_size() if dist.is_initialized() else 1
    rank = dist.get_rank() if world > 1 else 0
    data = fixed_batches(batches, gan.generator.sample_shape, WHOLE, gan.generator.num_classes)
    data = [
        [x.chunk(world)[rank] for x in part] if isinstance(part, tuple) else part.chunk(world)[rank] for part in data
    ]
    if shared_draws:
        _share_draws(gan, rank, world)
    settings = {"max_epochs": 1, "logger": False, "enable_checkpointing": False, **settings}
    settings.setdefault("log_every_n_steps", 1 if settings["logger"] else 50)  # logging takes longer than a step
    trainer = Trainer(
        accelerator="cpu",
        devices=world,
        precision="64-true" if shared_draws else "32-true",
        use_distributed_sampler=False,
        **settings,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[*stabilizers, *callbacks],
    )
    torch.manual_seed(0)
    gan.initial = parameters_of(gan)
    trainer.fit(gan, DataLoader([copy.deepcopy(part) for part in data], batch_size=None), val, ckpt_path=ckpt_path)
    return gan, trainer


def _share_draws(gan, rank, world):
    train_batch, seeds = gan.train_batch, iter(range(1000))

    def seeded(*args):
        torch.manual_seed(next(seeds))
        with SharedDraws(rank, world):
            return train_batch(*args)

    gan.train_batch = seeded


class SharedDraws(TorchFunctionMode):
    """Draws random numbers for the whole batch and returns those of the samples of one process."""

    def __init__(self, rank, world):
        super().__init__()
        self.rank, self.world = rank, world

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is F.dropout:
            return args[0] * self._part(lambda shape: F.dropout(torch.ones(shape).to(args[0]), **kwargs), args[0].shape)
        if function in (torch.rand_like, torch.randn_like):
            draw = torch.rand if function is torch.rand_like else torch.randn
            return self._part(lambda shape: draw(shape, dtype=args[0].dtype), args[0].shape)
        if function in (torch.rand, torch.randn):
            shape = args if args and isinstance(args[0], int) else args[0]
            return self._part(lambda shape: function(shape, **kwargs), shape)
        if function is torch.randint:
            *bounds, shape = args
            return self._part(lambda shape: function(*bounds, shape, **kwargs), shape)
        return function(*args, **kwargs)

    def _part(self, draw, shape):
        """Return this process's part of a draw for the whole batch, along the dimension that has the batch's size."""
        shape = list(shape)
        ours = WHOLE // self.world
        sizes = [dim for dim, size in enumerate(shape) if size in (ours, ours // 2)]  # half where a batch is in parts
        if not sizes:
            return draw(shape)
        assert len(sizes) == 1, f"which dimension of {shape} is the batch?"
        shape[sizes[0]] *= self.world
        return draw(shape).chunk(self.world, sizes[0])[self.rank]


def parameters_of(gan):
    """Return all parameters as one vector."""
    return torch.cat([parameter.detach().flatten().double() for parameter in gan.parameters()]).numpy()


def state_of(gan):
    """Return all parameters and buffers, and the generator's evaluation weights, as one vector."""
    state = [value for value in gan.state_dict().values() if torch.is_tensor(value)]
    with gan.evaluation_weights():
        state += [value.clone() for value in gan.generator.state_dict().values()]
    return torch.cat([value.detach().flatten().double() for value in state]).numpy()
