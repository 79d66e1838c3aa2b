"""What every stabilizer promises; a new one is covered as soon as its file exists."""

import copy
import importlib
import inspect
import pickle
import pkgutil

import pytest
import torch

import lightning_gans.stabilizers
from lightning_gans import Stabilizer
from lightning_gans.optimizers import SGD
from lightning_gans.stabilizers import GradientPenalty, WeightClipping

# by class, arguments with which it does nothing; None for a class that has no such arguments
NEUTRAL = {GradientPenalty: {"weight": 0.0}, WeightClipping: {"limit": 1e9}}


def walk():
    for module in pkgutil.walk_packages(lightning_gans.stabilizers.__path__, "lightning_gans.stabilizers."):
        for kind in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(kind) and issubclass(kind, Stabilizer) and kind.__module__ == module.name:
                yield kind


EVERY = sorted(walk(), key=lambda kind: kind.__name__)
every_stabilizer = pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)


def parameters(kind):
    return inspect.signature(kind).parameters


def altered(value):
    """Another value of the same kind, in range wherever the default is."""
    return not value if isinstance(value, bool) else value + 1 if isinstance(value, int) else value / 2


def test_the_package_is_walked():
    assert {GradientPenalty, WeightClipping} <= set(EVERY)
    assert sorted(kind.__name__ for kind in EVERY if not kind.__name__.startswith("_")) == sorted(
        lightning_gans.stabilizers.__all__
    )


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
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_it_fits_points_and_images(make_gan, make_image_gan, fit, weights, recwarn, kind, precision):
    for gan in (make_gan(num_classes=2), make_image_gan(norm=None)):
        before = weights(gan)
        fit(gan, callbacks=[kind()], precision=precision)
        assert weights(gan).isfinite().all() and not torch.equal(weights(gan), before)


@every_stabilizer
def test_it_fits_every_objective_without_a_trainer(make_gan, batches, weights, objective, kind):
    gan, stabilizer = make_gan(objective=objective), kind()
    gan.stabilizers.append(stabilizer)
    stabilizer.apply_to(gan)
    stabilizer.apply_to(gan)  # it may be called twice, as Lightning does for fit and then test
    optimizers = [SGD(player.parameters()) for player in (gan.generator, gan.discriminator)]
    before = weights(gan)
    for batch in batches(3):
        steps = gan.alternate(batch, *optimizers)
    assert weights(gan).isfinite().all() and not torch.equal(weights(gan), before)
    assert all(step.loss.isfinite() for step in steps.values())


@every_stabilizer
def test_it_can_be_used_twice_in_the_modules_own_list_and_the_trainers(make_gan, fit, kind):
    gan = make_gan()
    gan.stabilizers.append(kind())
    fit(gan, callbacks=[kind()])
    assert len(gan.active_stabilizers) == 2


@every_stabilizer
def test_its_state_is_tensors_and_plain_types(make_gan, fit, tmp_path, kind):
    stabilizer, fresh = kind(), kind()
    fit(make_gan(), callbacks=[stabilizer]).save_checkpoint(tmp_path / "run.ckpt")
    torch.load(tmp_path / "run.ckpt", weights_only=True)
    torch.save(stabilizer.state_dict(), tmp_path / "state.pt")
    fresh.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    torch.testing.assert_close(fresh.state_dict(), stabilizer.state_dict(), atol=0, rtol=0)


@every_stabilizer
@pytest.mark.parametrize("place", ["trainer", "module"])
def test_an_interrupted_run_equals_the_uninterrupted_one(make_gan, fit, weights, tmp_path, kind, place):
    def run(epochs, **kwargs):
        gan = make_gan(n_critic=2)
        if place == "module":
            gan.stabilizers.append(kind())
        trainer = fit(gan, 3, max_epochs=epochs, callbacks=[kind()] if place == "trainer" else [], **kwargs)
        return gan, trainer

    run(2)[1].save_checkpoint(tmp_path / "half.ckpt")
    assert torch.equal(weights(run(4, ckpt_path=tmp_path / "half.ckpt")[0]), weights(run(4)[0]))


@every_stabilizer
def test_it_can_be_copied_and_pickled(kind):
    changed = {name: altered(parameter.default) for name, parameter in parameters(kind).items()}
    stabilizer = kind(**changed)
    for twin in (copy.deepcopy(stabilizer), pickle.loads(pickle.dumps(stabilizer))):
        assert type(twin) is kind and twin is not stabilizer
        assert repr(twin) == repr(stabilizer) == twin.state_key
        assert all(getattr(twin, name) == value for name, value in changed.items())


@every_stabilizer
def test_a_module_that_holds_it_can_be_copied(make_gan, batches, fit, weights, kind):
    gan = make_gan()
    gan.stabilizers.append(kind())
    fit(gan)
    twin, before = copy.deepcopy(gan), weights(gan)
    twin.alternate(batches(1)[0], *(SGD(player.parameters()) for player in (twin.generator, twin.discriminator)))
    assert torch.equal(weights(gan), before) and twin.stabilizers[0] is not gan.stabilizers[0]


@every_stabilizer
def test_different_arguments_have_different_places_in_a_checkpoint(kind):
    keys = [kind().state_key]
    keys += [kind(**{name: altered(parameter.default)}).state_key for name, parameter in parameters(kind).items()]
    assert len(set(keys)) == len(keys) and all(kind.__name__ in key for key in keys)


# ---------------------------------------------------------------- doing nothing, bit for bit


@pytest.fixture
def run(make_gan, fit, weights):
    """The weights at the end of a seeded run with some stabilizers."""

    def run(*stabilizers, **kwargs):
        gan = make_gan(dropout=0.2, **kwargs)
        fit(gan, 5, callbacks=list(stabilizers))
        return weights(gan)

    return run


@pytest.mark.parametrize("n_critic", [1, 5])
def test_a_stabilizer_that_does_nothing_leaves_the_run_alone(run, objective, n_critic):
    game = {"objective": objective, "n_critic": n_critic}
    assert torch.equal(run(Stabilizer(), **game), run(**game))


@every_stabilizer
@pytest.mark.parametrize("n_critic", [1, 5])
def test_neutral_settings_leave_the_run_alone(run, kind, n_critic):
    assert kind in NEUTRAL, f"say in NEUTRAL with which arguments {kind.__name__} does nothing, or None"
    if NEUTRAL[kind] is not None:
        assert torch.equal(run(kind(**NEUTRAL[kind]), n_critic=n_critic), run(n_critic=n_critic))


@every_stabilizer
def test_default_settings_change_the_run(run, kind):
    assert not torch.equal(run(kind()), run())


@every_stabilizer
def test_every_argument_changes_the_run(run, kind):
    for name, parameter in parameters(kind).items():
        assert not torch.equal(run(kind(**{name: altered(parameter.default)})), run(kind())), name
