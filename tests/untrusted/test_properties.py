"""Randomised tests: for any shapes, batch sizes, numbers and options a step works, or is refused in one line."""

import math
import sys
from pathlib import Path

import pytest
import torch
from helpers import OBJECTIVES, sgds
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as some
from torch import nn

from lightning_gans import DCGAN, GAN, WGAN, WGANGP, Stabilizer, UnrolledGAN, VanillaGAN, generation, stabilizers
from lightning_gans.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    Gaussian,
    GaussianWithCode,
    MLPDiscriminator,
    MLPGenerator,
    StochasticEnsembleMLPGenerator,
    Uniform,
)

sys.path.insert(0, str(Path(__file__).parents[1] / "metrics"))
from all_scores import EVERY

pytestmark = [pytest.mark.untrusted, pytest.mark.filterwarnings("ignore")]
FEW = settings(derandomize=True, deadline=None, max_examples=8, suppress_health_check=list(HealthCheck))
MANY = settings(FEW, max_examples=200)

numbers = some.one_of(
    some.integers(-2, 70), some.floats(-2, 2), some.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 1e300])
)


def mostly(good, *bad):
    """Draw from `good`, and once in forty times one of the invalid values; a GAN has about twenty arguments."""
    return some.integers(0, 39).flatmap(lambda number: some.sampled_from(bad) if number == 39 else good)


widths = mostly(some.integers(1, 9), 0, -1)
depths = mostly(some.integers(0, 3), -1)
classes = mostly(some.sampled_from([0, 0, 0, 1, 2, 3]), -1)
latents = some.one_of(
    mostly(some.integers(1, 5), 0, -1),
    some.builds(lambda dim: Gaussian(dim), some.integers(1, 5)),
    some.builds(lambda dim: Uniform(dim), some.integers(1, 5)),
    some.builds(lambda dim, codes: GaussianWithCode(dim, codes), some.integers(1, 3), some.integers(2, 4)),
)
points = some.tuples(some.integers(1, 4))
images = some.tuples(some.integers(1, 4), some.integers(1, 20), some.integers(1, 20))
sides = mostly(some.sampled_from([8, 9, 12, 13, 16, 20]), 1, 7)
square = sides.flatmap(lambda size: some.tuples(some.integers(1, 4), some.just(size), some.just(size)))
norms = some.sampled_from([None, nn.BatchNorm2d, lambda n: nn.GroupNorm(1, n), nn.InstanceNorm2d])
flat_norms = some.sampled_from([None, None, nn.BatchNorm1d, nn.LayerNorm])


@some.composite
def networks(draw):
    """Draw two networks of one family that mostly fit each other; some are refused."""
    num_classes = draw(classes)
    d_classes = draw(mostly(some.just(num_classes), 0, 5))
    if draw(some.booleans()):
        shape = draw(mostly(square, (2, 8, 9), (1, 3, 3)))
        generator = DCGANGenerator(shape, draw(latents), draw(widths), draw(norms), num_classes=num_classes)
        return generator, DCGANDiscriminator(shape, draw(widths), draw(norms), num_classes=d_classes)
    shape = draw(some.one_of(points, images))
    if draw(some.booleans()):
        size = draw(widths), draw(depths)
        generator = MLPGenerator(shape, draw(latents), *size, norm=draw(flat_norms), num_classes=num_classes)
    else:
        generator = StochasticEnsembleMLPGenerator(shape, draw(latents), draw(widths), 2, 3, num_classes=num_classes)
    options = {
        "maxout_pieces": draw(mostly(some.sampled_from([0, 2]), -1)),
        "dropout": draw(mostly(some.sampled_from([0.0, 0.5]), 1.5, math.nan)),
    }
    return generator, MLPDiscriminator(shape, draw(widths), 1, norm=draw(flat_norms), num_classes=d_classes, **options)


KINDS = [getattr(stabilizers, name) for name in stabilizers.__all__]
KINDS = [kind for kind in KINDS if isinstance(kind, type) and issubclass(kind, Stabilizer)]


@some.composite
def stabilizer(draw):
    """Draw a stabilizer, sometimes with a random value of one argument."""
    import inspect

    kind = draw(some.sampled_from(KINDS))
    defaults = {name: one.default for name, one in inspect.signature(kind).parameters.items()}
    numeric = sorted(name for name, value in defaults.items() if isinstance(value, int | float))
    arguments = {}
    if numeric and draw(some.integers(0, 3)) == 0:
        name = draw(some.sampled_from(numeric))
        if isinstance(defaults[name], bool):
            arguments[name] = draw(some.booleans())
        elif isinstance(defaults[name], int):
            arguments[name] = draw(some.integers(-2, 70))
        else:
            arguments[name] = draw(numbers)
    return kind(**arguments)


def refused_in_one_line(error):
    text = str(error)
    assert "\n" not in text and len(text) > 15, text


def finite(tensors):
    return all(torch.isfinite(tensor).all() for tensor in tensors if tensor.is_floating_point())


def a_gan_trains_or_is_refused(data):
    """Make a random GAN, train on two batches of different sizes, and generate samples."""
    torch.manual_seed(0)
    sizes = data.draw(some.sampled_from([(1, 1), (4, 1), (4, 3), (2, 2), (7, 2), (8, 5)]), label="sizes")
    dtype = data.draw(some.sampled_from([torch.float32, torch.float32, torch.float64, torch.bfloat16]), label="dtype")
    try:
        players = data.draw(networks(), label="networks")
        gan = GAN(
            *players,
            objective=data.draw(some.sampled_from(OBJECTIVES), label="objective"),
            n_critic=data.draw(mostly(some.integers(1, 2), 0), label="n_critic"),
            generator_accumulation=data.draw(mostly(some.sampled_from([1, 2, 3]), 0), label="accumulation"),
            discriminator_accumulation=data.draw(some.sampled_from([1, 1, 2, 9]), label="accumulation"),
        ).to(dtype)
        gan.stabilizers += data.draw(some.lists(stabilizer(), max_size=1), label="stabilizers")
        for one in gan.stabilizers:
            one.apply_to(gan)
        optimizers = sgds(gan, 1e-3)
        shape, num_classes = gan.generator.sample_shape, gan.generator.num_classes
        for size in sizes:
            x = torch.rand(size, *shape).to(dtype) * 2 - 1
            batch = (x, torch.arange(size) % num_classes) if num_classes else x
            steps = gan.train_batch(batch, *optimizers)
            for step in steps.values():
                assert step.loss.shape == () and torch.isfinite(step.loss)
                assert step.fake.shape[1:] == shape and step.fake_logits.dim() == 1
        assert gan.discriminator_updates >= 1
        samples, _ = generation.draw(gan, 3, seed=0)
        assert samples.shape == (3, *shape) and finite([samples])
    except ValueError as error:
        refused_in_one_line(error)
        event("refused")
        return
    assert finite(gan.parameters())
    event("trained")


@FEW
@given(some.data())
def test_a_gan_trains_or_is_refused_in_one_line(data):
    a_gan_trains_or_is_refused(data)


@pytest.mark.slow
@MANY
@given(some.data())
def test_any_gan_trains_or_is_refused_in_one_line(data):
    a_gan_trains_or_is_refused(data)


def a_model_trains_or_is_refused(data):
    """Make a model of a paper with random arguments, and train on one batch."""
    torch.manual_seed(0)
    kind = data.draw(some.sampled_from([VanillaGAN, DCGAN, WGAN, WGANGP, UnrolledGAN]), label="kind")
    shape = data.draw(some.one_of(points, square, images, some.just(()), some.just((0, 4, 4)), some.just((-1,))))
    try:
        if kind is UnrolledGAN:
            networks = MLPGenerator(shape, 3, 4), MLPDiscriminator(shape, 4)
            gan = kind(*networks, unroll_steps=data.draw(some.integers(-1, 2)), detached=data.draw(some.booleans()))
        else:
            width = {} if kind is VanillaGAN else {"width": data.draw(widths)}
            gan = kind(shape, latent_dim=data.draw(some.integers(-1, 4)), num_classes=data.draw(classes), **width)
        size = data.draw(some.integers(1, 5))
        x = torch.rand(size, *gan.generator.sample_shape) * 2 - 1
        num_classes = gan.generator.num_classes
        batch = (x, torch.arange(size) % num_classes) if num_classes else x
        steps = gan.train_batch(batch, *sgds(gan, 1e-3))
        assert all(torch.isfinite(step.loss) for step in steps.values())
    except ValueError as error:
        refused_in_one_line(error)


@FEW
@given(some.data())
def test_a_model_trains_or_is_refused_in_one_line(data):
    a_model_trains_or_is_refused(data)


@pytest.mark.slow
@settings(MANY, max_examples=100)
@given(some.data())
def test_any_model_trains_or_is_refused_in_one_line(data):
    a_model_trains_or_is_refused(data)


def a_score_is_finite_or_refused(data):
    """Give a score random samples: few or many, equal or not, of other shapes, NaN or huge."""
    name = data.draw(some.sampled_from(sorted(EVERY)), label="score")
    score = EVERY[name]()
    assert score is not None
    flat = name == "modes"
    shape = data.draw(some.sampled_from([(2,)] * 9 + [(3,)] if flat else [(1, 12, 12)] * 6 + [(3, 12, 12), (2,)]))
    sizes = some.sampled_from([0, 1, 2, 11, 20])
    content = data.draw(some.sampled_from(["noise", "noise", "equal", "nan", "huge"]), label="content")
    try:
        for real in (True, False):
            for size in data.draw(some.lists(sizes, min_size=1, max_size=2), label="sizes"):
                x = torch.rand(size, *shape, generator=torch.Generator().manual_seed(size)) * 2 - 1
                if content == "equal":
                    x[:] = 0.5
                elif content == "nan" and size and not real:
                    x[0] = math.nan
                elif content == "huge" and not real:
                    x = x * 1e30
                score.update(x, real=real)
        figures = score.compute()
    except ValueError as error:
        refused_in_one_line(error)
        return
    figures = figures if isinstance(figures, dict) else {name: figures}
    if content in ("noise", "equal"):
        assert all(torch.as_tensor(value).isfinite().all() for value in figures.values()), figures


@FEW
@given(some.data())
def test_a_score_is_finite_or_refused(data):
    a_score_is_finite_or_refused(data)


@pytest.mark.slow
@settings(MANY, max_examples=100)
@given(some.data())
def test_any_score_is_finite_or_refused(data):
    a_score_is_finite_or_refused(data)


@pytest.mark.parametrize("dropout", [math.nan, -0.1, 1.0, 1.5])
def test_dropout_out_of_range_is_refused(dropout):
    """A randomised test found that a dropout of NaN was accepted, and made every loss NaN."""
    for make in (
        lambda: MLPDiscriminator((2,), dropout=dropout),
        lambda: MLPDiscriminator((2,), input_dropout=dropout),
        lambda: DCGANDiscriminator((1, 8, 8), dropout=dropout),
        lambda: DCGANGenerator((1, 8, 8), dropout=dropout),
    ):
        with pytest.raises(ValueError, match=r"dropout=.*\): expected a number in \[0, 1\), such as 0\.0\.$"):
            make()
