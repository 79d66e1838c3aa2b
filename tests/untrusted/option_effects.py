"""Every option of models and data: a valid value as it is typed, and what it names, read from what was built.

A row is option → (text, read, expected): `read` takes the object that the command line builds with all of a class's
options at once, and returns what the option names; it must be `expected`, which the default is not.
"""

import torch
from helpers import sgds

from lightning_gans import GAN
from lightning_gans.cli.errors import Parser
from lightning_gans.data import GANData
from lightning_gans.optimizers import SGD


def typed(base, kind, **options):
    """Build an object from options as they are typed on a command line: `--x=DCGAN --x.width=2`."""
    parser = Parser(exit_on_error=False)
    parser.add_subclass_arguments(base, "x")
    settings = parser.parse_args([f"--x={kind}", *[f"--x.{name}={text}" for name, text in options.items()]])
    return parser.instantiate(settings).x


# ---------------------------------------------------------------- models


def batch_for(gan, size=8):
    torch.manual_seed(0)
    x, classes = torch.rand(size, *gan.generator.sample_shape) * 2 - 1, gan.generator.num_classes
    return (x, torch.arange(size) % classes) if classes else x


def optimizers(gan):
    return [(type(one).__name__, one.defaults["lr"]) for one in gan.configure_optimizers()[0]]


def gamma(gan, player):
    """Return by which factor a player's schedule changes its rate."""
    made, schedulers = gan.configure_optimizers()
    (scheduler,) = [one for one in schedulers if one.optimizer is made[player]]
    return scheduler.gamma


def norm_after_clipping(gan, player):
    """Return the largest norm of the gradient with which a player is updated, rounded.

    The discriminator is three times as steep for it: the gradient of a tiny generator may be below the bound itself.
    """
    with torch.no_grad():
        for parameter in gan.discriminator.parameters():
            parameter.mul_(3)
    gan.update(player, SGD(getattr(gan, player).parameters(), 0.01, momentum=0), batch_for(gan))
    grads = [parameter.grad for parameter in getattr(gan, player).parameters() if parameter.grad is not None]
    return round(float(torch.linalg.vector_norm(torch.stack([grad.norm() for grad in grads]))), 6)


def parts(gan, player):
    """Return in how many parts a player processes a batch."""
    made, step = [], getattr(gan, f"{player}_step")

    def counted(*args, **kwargs):
        made.append(1)
        return step(*args, **kwargs)

    setattr(gan, f"{player}_step", counted)
    try:
        gan.update(player, SGD(getattr(gan, player).parameters(), 0.01, momentum=0), batch_for(gan))
    finally:
        delattr(gan, f"{player}_step")
    return len(made)


def updates(gan, batches=6):
    """Return how many updates each player makes on six batches."""
    before = gan.discriminator_updates, gan.generator_updates
    for _ in range(batches):
        gan.train_batch(batch_for(gan), *sgds(gan, 1e-6))
    return gan.discriminator_updates - before[0], gan.generator_updates - before[1]


def layers(network, kind):
    return [module for module in network.modules() if isinstance(module, kind)]


def conv_width(gan):
    """Return the channels of the layers next to the image, of both networks."""
    last = layers(gan.generator, torch.nn.ConvTranspose2d)[-1]
    return last.in_channels, layers(gan.discriminator, torch.nn.Conv2d)[0].out_channels


def largest_weight(gan):
    sgd = sgds(gan, 10.0)
    for _ in range(6):
        gan.train_batch(batch_for(gan), *sgd)
    return round(max(float(parameter.detach().abs().max()) for parameter in gan.discriminator.parameters()), 6)


def penalty_of_a_flat_critic(gan):
    """Return the term of a critic without slope, whose penalty is the weight."""
    with torch.no_grad():
        for parameter in gan.discriminator.parameters():
            parameter.zero_()
    return float(gan.discriminator_step(batch_for(gan)).terms["gradient_penalty"])


def lookahead(gan, **change):
    """Return whether the generator's gradient differs once the option is changed, from the same random numbers."""
    gradients, before = [], {name: getattr(gan, name) for name in change}
    for settings in (before, change):
        for name, value in settings.items():
            setattr(gan, name, value)
        torch.manual_seed(0)
        gan.zero_grad()
        gan.generator_step(batch_for(gan)).loss.backward()
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in gan.generator.parameters()]))
    for name, value in before.items():
        setattr(gan, name, value)
    return not torch.equal(*gradients)


def term(gan, name):
    """Return by which factor a term of the loss exceeds that of weight 1."""
    weight, values = gan.priors.weights[name], []
    for one in (weight, 1.0):
        gan.priors.weights[name] = one
        torch.manual_seed(0)
        values.append(float(gan.generator_step(torch.zeros(4, *gan.generator.sample_shape)).terms[name]))
    gan.priors.weights[name] = weight
    return round(values[0] / values[1], 3)


def samples(gan):
    """Return the shape of two samples."""
    classes = gan.generator.num_classes
    return gan.generate(2, torch.arange(2) % classes if classes else None).shape


def first_width(gan):
    head = layers(gan.discriminator.head, torch.nn.Linear)
    return next(one for one in layers(gan.discriminator, torch.nn.Linear) if one not in head).out_features


def own_class(name):
    return lambda gan: type(getattr(gan, name)).__name__


ADAMW = "{class_path: torch.optim.AdamW, init_args: {lr: 0.5}}"
TORCH_SGD = "{class_path: torch.optim.SGD, init_args: {lr: 0.25}}"
DECAY = "{class_path: torch.optim.lr_scheduler.ExponentialLR, init_args: {gamma: 0.25}}"
STEPS = "{class_path: torch.optim.lr_scheduler.StepLR, init_args: {step_size: 3, gamma: 0.75}}"
OF_GAN = {
    "objective": ("Hinge", own_class("objective"), "Hinge"),
    "generator_optimizer": (ADAMW, lambda gan: optimizers(gan)[0], ("AdamW", 0.5)),
    "discriminator_optimizer": (TORCH_SGD, lambda gan: optimizers(gan)[1], ("SGD", 0.25)),
    "generator_scheduler": (DECAY, lambda gan: gamma(gan, 0), 0.25),
    "discriminator_scheduler": (STEPS, lambda gan: gamma(gan, 1), 0.75),
    "generator_clip": ("0.00001", lambda gan: norm_after_clipping(gan, "generator"), 1e-5),
    "discriminator_clip": ("0.00002", lambda gan: norm_after_clipping(gan, "discriminator"), 2e-5),
    "generator_accumulation": ("2", lambda gan: parts(gan, "generator"), 2),
    "discriminator_accumulation": ("4", lambda gan: parts(gan, "discriminator"), 4),
    "n_critic": ("3", updates, (6, 2)),
}
CLASSES = {
    "num_classes": ("3", lambda gan: (gan.generator.num_classes, gan.discriminator.num_classes), (3, 3)),
    "latent_dim": ("3", lambda gan: gan.sample_latents(2).shape, (2, 3)),
}
NETWORKS = {
    "generator": (
        "{class_path: MLPGenerator, init_args: {sample_shape: [2], latents: 3, width: 4}}",
        lambda gan: (type(gan.generator).__name__, gan.generator.latent_dim),
        ("MLPGenerator", 3),
    ),
    "discriminator": ("{class_path: MLPDiscriminator, init_args: {sample_shape: [2], width: 5}}", first_width, 5),
}
IMAGES = ("[1,8,8]", samples, (2, 1, 8, 8))
POINTS = ("[3]", samples, (2, 3))
MODELS = {
    "GAN": NETWORKS | OF_GAN,
    "DCGAN": {"image_shape": IMAGES, "width": ("2", conv_width, (2, 2)), **CLASSES},
    "VanillaGAN": {
        "sample_shape": POINTS,
        "generator_width": ("6", lambda gan: layers(gan.generator, torch.nn.Linear)[0].out_features, 6),
        "discriminator_width": ("5", lambda gan: gan.discriminator.num_features, 5),
        "maxout_pieces": ("3", first_width, 15),
        "dropout": ("0.25", lambda gan: layers(gan.discriminator, torch.nn.Dropout)[-1].p, 0.25),
        "input_dropout": ("0.125", lambda gan: layers(gan.discriminator, torch.nn.Dropout)[0].p, 0.125),
        **CLASSES,
    },
    "WGAN": {
        "sample_shape": IMAGES,
        "width": ("2", conv_width, (2, 2)),
        "clip": ("0.02", largest_weight, 0.02),
        **CLASSES,
    },
    "WGANGP": {
        "sample_shape": IMAGES,
        "width": ("2", conv_width, (2, 2)),
        "gradient_penalty": ("3", penalty_of_a_flat_critic, 3.0),
        **CLASSES,
    },
    "UnrolledGAN": {
        **NETWORKS,
        "unroll_steps": ("2", lambda gan: lookahead(gan, unroll_steps=0) and lookahead(gan, unroll_steps=1), True),
        "detached": ("true", lambda gan: lookahead(gan, detached=False), True),
        "inner_optimizer": (TORCH_SGD.replace("0.25", "2.0"), lambda gan: lookahead(gan, inner_optimizer=None), True),
    },
    "SEPGAN": {
        "generator": (
            "{class_path: StochasticEnsembleGenerator, init_args: {image_shape: [1,28,28], width: 2, groups: 2}}",
            lambda gan: gan.generator.num_routes,
            4,
        ),
        "classifier": ("DigitClassifier", lambda gan: type(gan.classifier.network).__name__, "DigitClassifier"),
        "target": ("OwnGuess", own_class("target"), "OwnGuess"),
        "total_variation": ("3", lambda gan: term(gan, "total_variation"), 3.0),
        "image_norm": ("4", lambda gan: term(gan, "image_norm"), 4.0),
        "batch_norm_statistics": ("2", lambda gan: term(gan, "batch_norm_statistics"), 2.0),
    },
}
REFUSED = {  # options of GAN that a model does not take, as it sets them itself
    "WGAN": {"objective"},
    "WGANGP": {"objective"},
    "SEPGAN": {name for name in OF_GAN if not name.startswith("generator_")},
}


def rows_of(model, parameters):
    """Return the rows of a model: its own, and those of GAN that its constructor takes."""
    rows = dict(MODELS[model])
    passes_on = "kwargs" in parameters
    for name, row in OF_GAN.items():
        if name in parameters or (passes_on and name not in REFUSED.get(model, ())):
            rows.setdefault(name, row)
    return rows


def model(name, rows):
    torch.manual_seed(0)
    return typed(GAN, name, **{option: text for option, (text, *_) in rows.items()})


# ---------------------------------------------------------------- data


def whole(data, split="train"):
    samples = data.load(split)
    return samples.__getitems__(range(len(samples)))


def first(data):
    data.prepare_data()
    data.setup("fit")
    torch.manual_seed(0)
    return next(iter(data.train_dataloader()))


def points(data, split="train"):
    found = whole(data, split)
    return found[0] if isinstance(found, tuple | list) else found


def same_twice(data):
    """Return whether two epochs have the same points."""
    samples = data.load("train")
    draws = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        one = samples.__getitems__(range(8))
        draws.append(one[0] if isinstance(one, tuple | list) else one)
    return torch.equal(*draws)


def spread(data):
    """Return the standard deviation of points around the nearest mode."""
    x = points(data, "val")
    away = x - data.means[torch.cdist(x, data.means).argmin(1)]
    return round(float(away.std()), 2)


def seeded(data):
    """Return whether another seed of the data gives other points."""
    options = {name: getattr(data, name, None) for name in ("num_val_samples",)}
    other = type(data)(data_seed=0, **{name: value for name, value in options.items() if value})
    return not torch.equal(points(data, "val")[:4], points(other, "val")[:4])


BATCHES = {
    "batch_size": ("6", lambda data: len(_x(first(data))), 6),
    "labels": ("true", lambda data: isinstance(first(data), tuple | list), True),
    "num_workers": ("1", lambda data: data.train_dataloader().num_workers, 1),
}
TOY = {
    **BATCHES,
    "num_samples": ("48", lambda data: len(data.load("train")), 48),
    "num_val_samples": ("2000", lambda data: len(data.load("val")), 2000),
    "num_test_samples": ("17", lambda data: len(data.load("test")), 17),
    "fresh": ("true", same_twice, False),
    "data_seed": ("3", seeded, True),
}
DATA = {
    "GaussianRing": {
        **TOY,
        "num_modes": ("5", lambda data: (data.num_classes, len(data.means)), (5, 5)),
        "radius": ("3", lambda data: round(float(points(data, "val").norm(dim=1).mean()), 1), 3.0),
        "sigma": ("0.05", spread, 0.05),
    },
    "GaussianGrid": {
        **TOY,
        "side": ("3", lambda data: len(data.means), 9),
        "spacing": ("4", lambda data: round(float(points(data, "val").max()) / 2), 2),
        "sigma": ("0.2", spread, 0.2),
    },
    "ParallelLines": {
        **{name: row for name, row in TOY.items() if name != "labels"},
        "offset": ("2.5", lambda data: float(points(data, "val")[:, 0].max()), 2.5),
    },
    "Blank": {
        "image_shape": ("[1,9,9]", lambda data: tuple(_x(first(data)).shape[1:]), (1, 9, 9)),
        "num_samples": ("12", lambda data: len(data.load("train")), 12),
        "num_classes": ("5", lambda data: data.load("train").y.unique().numel(), 5),
        "batch_size": BATCHES["batch_size"],
    },
    "Digits": {**BATCHES, "size": ("12", lambda data: tuple(_x(first(data)).shape[1:]), (1, 12, 12))},
}


def _x(batch):
    return batch[0] if isinstance(batch, tuple | list) else batch


def data(name):
    return typed(GANData, name, **{option: text for option, (text, *_) in DATA[name].items()})
