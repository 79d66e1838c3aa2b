"""What holds for every stabilizer; a new one is covered as soon as its file exists."""

import copy
import inspect
import pickle

import pytest
import torch
from every_stabilizer import (
    ALONE,
    EVERY,
    IN_COLOR,
    NETWORKS,
    NEUTRAL,
    ON_IMAGES,
    OTHER,
    REFUSES,
    SMALL,
    parameters,
    small,
)
from helpers import OBJECTIVES, few, slow
from lightning.pytorch import Trainer

import lightning_gans.stabilizers
from lightning_gans import GAN, SEPGAN, Stabilizer, UnrolledGAN
from lightning_gans.networks import DCGANGenerator, DigitClassifier
from lightning_gans.optimizers import SGD
from lightning_gans.schedules import Schedule
from lightning_gans.stabilizers import (
    AdaptiveAugmentation,
    BalancedUpdates,
    CheckpointSwap,
    ExperienceReplay,
    GeneratorEMA,
    GradientPenalty,
    SpectralNorm,
    VirtualBatchNorm,
    WeightClipping,
)
from lightning_gans.training import undeclared_terms

every_stabilizer = pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)


def altered(kind, name):
    """Another value of an argument, of the same kind and in range wherever the first is."""
    value = SMALL.get(kind, {}).get(name, parameters(kind)[name].default)
    if name in OTHER.get(kind, {}):
        return OTHER[kind][name]
    if isinstance(value, Schedule):
        return type(value)(value.start / 2, value.end, value.updates, value.begin)
    return not value if isinstance(value, bool) else value + 1 if isinstance(value, int) else value / 2


def variants(kind):
    """The stabilizer, then one for each argument with another value."""
    return [small(kind), *(small(kind, **{name: altered(kind, name)}) for name in parameters(kind))]


@pytest.fixture
def gan_for(make_gan, make_image_gan):
    """A small GAN that a stabilizer can be used with."""

    def gan_for(kind, **kwargs):
        kwargs = {**NETWORKS.get(kind, {}), **kwargs}
        if kind not in ON_IMAGES:
            return make_gan(**kwargs)
        kwargs = {name: value for name, value in kwargs.items() if name != "dropout"}
        return make_image_gan(size=16, channels=3 if kind in IN_COLOR else 1, **kwargs)

    return gan_for


def test_every_stabilizer_is_found():
    assert {GradientPenalty, WeightClipping} <= set(EVERY)
    assert sorted(kind.__name__ for kind in EVERY) == sorted(lightning_gans.stabilizers.__all__)


# ---------------------------------------------------------------- each


@every_stabilizer
def test_its_arguments_are_attributes_with_defaults(kind):
    stabilizer = kind()
    for name, parameter in parameters(kind).items():
        assert getattr(stabilizer, name) == parameter.default, "a default is visible in the signature"


@every_stabilizer
def test_its_documentation_is_complete(kind):
    text = inspect.getdoc(kind)
    assert "Reference:" in text and "arXiv" in text
    for name in parameters(kind):
        assert f"\n    {name}: " in text, f"{name} is documented"
    assert "Raises:" in text or not parameters(kind)


@every_stabilizer
@pytest.mark.parametrize("precision", ["32-true", slow("bf16-mixed"), "bf16-true"])
def test_it_fits_points_and_images(make_gan, make_image_gan, gan_for, fit, weights, recwarn, kind, precision):
    networks = NETWORKS.get(kind, {})
    labelled = {**networks, "num_classes": 2}
    gans = [gan_for(kind)] if kind in ON_IMAGES else [make_gan(**labelled), make_image_gan(norm=None, **networks)]
    for gan in gans:
        before = weights(gan)
        fit(gan, callbacks=[small(kind)], precision=precision)
        after = weights(gan)
        assert after.isfinite().all() and not (after.shape == before.shape and torch.equal(after, before))


def train(gan, batches, weights):
    optimizers = [SGD(player.parameters()) for player in (gan.generator, gan.discriminator)]
    before = weights(gan)
    for batch in batches(3, gan.generator.sample_shape, num_classes=gan.generator.num_classes):
        steps = gan.train_batch(batch, *optimizers)
    assert weights(gan).isfinite().all() and not torch.equal(weights(gan), before)
    assert all(step.loss.isfinite() for step in steps.values())


@every_stabilizer
@pytest.mark.parametrize(
    "objective", few(OBJECTIVES, "NonSaturating()", "Wasserstein()", "Relativistic(LeastSquares())")
)
def test_it_fits_every_objective_without_a_trainer(gan_for, batches, weights, recwarn, objective, kind):
    gan, stabilizer = gan_for(kind, objective=objective), small(kind)
    gan.stabilizers.append(stabilizer)
    base = getattr(objective, "base", objective)
    if {type(objective), type(base)} & REFUSES.get(kind, set()):
        with pytest.raises(ValueError, match=type(base).__name__):
            stabilizer.apply_to(gan)
        return
    stabilizer.apply_to(gan)
    changed = [name for name, _ in gan.named_parameters()]
    stabilizer.apply_to(gan)  # it may be called twice, as Lightning does for fit and then test
    assert [name for name, _ in gan.named_parameters()] == changed
    train(gan, batches, weights)


@every_stabilizer
def test_it_declares_the_terms_that_it_adds_to_a_loss(gan_for, batches, recwarn, kind):
    """So that a run knows the names of all metrics before it begins."""
    neutral = () if NEUTRAL[kind] is None else (kind(**NEUTRAL[kind]),)
    for stabilizer in (small(kind), *neutral):
        gan = gan_for(kind)
        gan.stabilizers.append(stabilizer)
        stabilizer.apply_to(gan)
        optimizers = [SGD(player.parameters()) for player in (gan.generator, gan.discriminator)]
        added = set()
        for batch in batches(3, gan.generator.sample_shape, num_classes=gan.generator.num_classes):
            added |= {name for step in gan.train_batch(batch, *optimizers).values() for name in step.terms}
        assert added == set(getattr(stabilizer, "loss_terms", ()))
        assert not undeclared_terms(Trainer(logger=False), gan)


@every_stabilizer
def test_it_trains_an_unrolled_gan(gan_for, batches, weights, recwarn, kind):
    plain = gan_for(kind)
    gan = UnrolledGAN(plain.generator, plain.discriminator, unroll_steps=2, detached=kind in ON_IMAGES)
    stabilizer = small(kind)
    gan.stabilizers.append(stabilizer)
    stabilizer.apply_to(gan)
    train(gan, batches, weights)


@every_stabilizer
def test_it_trains_sepgan_or_is_refused_by_name(weights, recwarn, kind):
    gan = SEPGAN(DCGANGenerator((1, 28, 28), width=2), DigitClassifier())
    stabilizer = small(kind)
    gan.stabilizers.append(stabilizer)
    optimizer, before = SGD(gan.generator.parameters()), weights(gan)
    try:
        stabilizer.apply_to(gan)
        gan.train_batch(torch.zeros(8, 1, 28, 28), optimizer)
    except ValueError as error:
        assert kind.__name__ in str(error)
    else:
        after = weights(gan)
        assert after.isfinite().all() and not (after.shape == before.shape and torch.equal(after, before))


@every_stabilizer
def test_it_can_be_used_twice_in_the_modules_own_list_and_the_trainers(gan_for, fit, recwarn, kind):
    gan = gan_for(kind)
    gan.stabilizers.append(small(kind))
    if kind in ALONE:
        with pytest.raises(ValueError, match=kind.__name__):
            fit(gan, callbacks=[small(kind)])
        return
    fit(gan, callbacks=[small(kind)])
    assert len(gan.active_stabilizers) == 2


@every_stabilizer
def test_its_state_is_tensors_and_plain_types(gan_for, fit, tmp_path, recwarn, kind):
    stabilizer, fresh = small(kind), small(kind)
    fit(gan_for(kind), callbacks=[stabilizer]).save_checkpoint(tmp_path / "run.ckpt")
    torch.load(tmp_path / "run.ckpt", weights_only=True)
    torch.save(stabilizer.state_dict(), tmp_path / "state.pt")
    fresh.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    torch.testing.assert_close(fresh.state_dict(), stabilizer.state_dict(), atol=0, rtol=0)


WITH_STATE = {
    AdaptiveAugmentation,
    BalancedUpdates,
    CheckpointSwap,
    ExperienceReplay,
    GeneratorEMA,
    SpectralNorm,
    VirtualBatchNorm,
}


@pytest.mark.parametrize(
    ("kind", "place"),
    [(kind, "trainer") for kind in EVERY]
    + [(kind, "module") if kind in WITH_STATE else slow(kind, "module") for kind in EVERY],
    ids=lambda one: getattr(one, "__name__", one),
)
def test_an_interrupted_run_equals_the_uninterrupted_one(gan_for, fit, ends, tmp_path, recwarn, kind, place):
    def run(epochs, **kwargs):
        gan = gan_for(kind, n_critic=2)
        if place == "module":
            gan.stabilizers.append(small(kind))
        trainer = fit(gan, 3, max_epochs=epochs, callbacks=[small(kind)] if place == "trainer" else [], **kwargs)
        return gan, trainer

    run(1)[1].save_checkpoint(tmp_path / "half.ckpt")  # between two updates of the generator
    assert torch.equal(ends(run(2, ckpt_path=tmp_path / "half.ckpt")[0]), ends(run(2)[0]))


@every_stabilizer
def test_its_networks_are_rebuilt_from_a_checkpoint(gan_for, fit, weights, tmp_path, recwarn, kind):
    """A loaded GAN has the evaluation weights, and networks with the same changes."""
    gan = gan_for(kind)
    trainer = fit(gan, 3, callbacks=[small(kind)])
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    fresh = gan_for(kind, seed=1)
    again = GAN.load_from_checkpoint(
        tmp_path / "run.ckpt", generator=fresh.generator, discriminator=fresh.discriminator
    )
    with gan.evaluation_weights():
        assert torch.equal(weights(again), weights(gan))


@every_stabilizer
def test_it_can_be_copied_and_pickled(kind):
    changed = {name: altered(kind, name) for name in parameters(kind)}
    stabilizer = kind(**changed)
    for twin in (copy.deepcopy(stabilizer), pickle.loads(pickle.dumps(stabilizer))):
        assert type(twin) is kind and twin is not stabilizer
        assert repr(twin) == repr(stabilizer) == twin.state_key
        assert all(getattr(twin, name) == value for name, value in changed.items())


@every_stabilizer
def test_a_module_that_holds_it_can_be_copied(gan_for, batches, fit, weights, recwarn, kind):
    gan = gan_for(kind)
    gan.stabilizers.append(small(kind))
    fit(gan)
    twin, before = copy.deepcopy(gan), weights(gan)
    train(twin, batches, weights)
    assert torch.equal(weights(gan), before) and twin.stabilizers[0] is not gan.stabilizers[0]


@every_stabilizer
def test_different_arguments_have_different_places_in_a_checkpoint(kind):
    keys = [variant.state_key for variant in variants(kind)]
    assert len(set(keys)) == len(keys) and all(kind.__name__ in key for key in keys)


# ---------------------------------------------------------------- neutral settings, bit for bit


@pytest.fixture
def ends(weights):
    """The weights at the end of a run: the training weights and the evaluation weights."""

    def ends(gan):
        training = weights(gan)
        with gan.evaluation_weights():
            return torch.cat([training, weights(gan.generator)])

    return ends


@pytest.fixture
def run(gan_for, fit, ends):
    """The weights at the end of a seeded run with some stabilizers, of a GAN for a class of them."""

    def run(kind, *stabilizers, **kwargs):
        gan = gan_for(kind, dropout=0.2, **kwargs)
        fit(gan, 5, callbacks=list(stabilizers))
        return ends(gan)

    return run


def differ(one, other):
    return one.shape != other.shape or not torch.equal(one, other)


@pytest.mark.parametrize("n_critic", [1, slow(5)])
def test_a_stabilizer_that_does_nothing_leaves_the_run_unchanged(run, objective, n_critic):
    settings = {"objective": objective, "n_critic": n_critic}
    assert torch.equal(run(None, Stabilizer(), **settings), run(None, **settings))


@every_stabilizer
@pytest.mark.parametrize("n_critic", [1, slow(5)])
def test_neutral_settings_leave_the_run_unchanged(run, recwarn, kind, n_critic):
    assert kind in NEUTRAL, f"say in NEUTRAL with which arguments {kind.__name__} does nothing, or None"
    if NEUTRAL[kind] is not None:
        neutral = small(kind, **NEUTRAL[kind])
        assert torch.equal(run(kind, neutral, n_critic=n_critic), run(kind, n_critic=n_critic))


@every_stabilizer
def test_it_changes_the_run(run, recwarn, kind):
    assert differ(run(kind, small(kind)), run(kind))


@every_stabilizer
def test_every_argument_changes_the_run(run, recwarn, kind):
    first, *others = variants(kind)
    end = run(kind, first)
    for other in others:
        assert differ(run(kind, other), end), other
