"""Misspelled parts of a class, and hooks that cannot be called as they are written, are refused where it is defined."""

import pytest
from lightning.pytorch import Callback

from lightning_gans import NetworkStabilizer, Stabilizer
from lightning_gans.metrics import Score
from lightning_gans.networks import Discriminator, Generator
from lightning_gans.objectives import Objective


def define(base, **parts):
    return type(base)("Mine", (base,), parts)


def same(self, gan, value):
    return value


MISSPELLED = {
    "on_fake_sample": "on_fake_samples",
    "on_fakes_samples": "on_fake_samples",
    "on_fakesamples": "on_fake_samples",
    "on_discriminator_inputs": "on_discriminator_input",
    "on_target": "on_targets",
    "on_discriminator_losses": "on_discriminator_loss",
    "on_generator_step_ends": "on_generator_step_end",
    "on_update_per_batch": "on_updates_per_batch",
    "on_train_batch_ends": "on_train_batch_end",
}


@pytest.mark.parametrize("name", MISSPELLED)
def test_a_misspelled_hook_is_refused_by_name(name):
    with pytest.raises(ValueError, match=rf"Mine\.{name} is no hook .* did you mean {MISSPELLED[name]}\?") as error:
        define(Stabilizer, **{name: same})
    assert "\n" not in str(error.value)
    assert define(Stabilizer, **{f"_{name}": same}), "a method of one's own may have a name without on_"


def test_a_hook_that_is_like_no_other_is_refused_with_the_list_of_hooks():
    with pytest.raises(
        ValueError, match=r"Mine\.on_weekends .* hooks are .*on_fake_samples, .*on_generator_step_end\."
    ):
        define(Stabilizer, on_weekends=same)


def test_a_misspelled_hook_of_a_mixin_is_refused_and_other_methods_of_it_are_not():
    class Helper:
        def on_fake_sample(self, gan, fake, labels):
            return fake

    class Watcher:
        def on_modified(self, event):
            """A method of another library."""

    with pytest.raises(ValueError, match="did you mean on_fake_samples"):
        type("Mine", (Helper, Stabilizer), {})
    assert type("Mine", (Watcher, Stabilizer), {})()


def test_hooks_of_lightning_and_of_the_guard_are_known():
    hooks = {name: same for name in dir(Callback) if name.startswith("on_")}
    assert define(Stabilizer, **hooks, on_non_finite=same)()


@pytest.mark.parametrize(
    ("name", "method", "says"),
    [
        ("on_fake_samples", lambda self, gan, fake: fake, r"expected on_fake_samples\(self, gan, fake, labels\)"),
        ("on_targets", lambda self, real, fake: (real, fake), r"expected on_targets\(self, gan, real, fake\)"),
        (
            "on_targets",
            lambda self, gan, fake, real: (real, fake),
            r"another order .* on_targets\(self, gan, real, fake\)",
        ),
        ("on_generator_loss", lambda self, gan, loss, step: loss, r"another order .*\(self, gan, step, loss\)"),
        ("on_generator_step_end", lambda gan: None, r"expected on_generator_step_end\(self, gan\)"),
        ("on_fake_samples", None, "is None, expected on_fake_samples"),
    ],
)
def test_a_hook_with_other_parameters_is_refused(name, method, says):
    with pytest.raises(ValueError, match=says):
        define(Stabilizer, **{name: method})


def test_a_hook_that_yields_or_is_async_is_refused():
    def yields(self, gan, x):
        yield x

    async def waits(self, gan):
        """It would never run."""

    for hook in ({"on_discriminator_input": yields}, {"on_generator_step_end": waits}):
        with pytest.raises(ValueError, match="which a call does not run; write it with return"):
            define(Stabilizer, **hook)


def test_parameters_may_have_other_names_defaults_and_stars():
    assert define(Stabilizer, on_fake_samples=lambda self, g, x, y: x)()
    assert define(Stabilizer, on_fake_samples=lambda self, gan, fake, labels=None, share=0.5: fake)()
    assert define(Stabilizer, on_fake_samples=lambda self, *args: args[1])()


@pytest.mark.parametrize(
    ("base", "name", "meant"),
    [
        (Stabilizer, "read_real", "reads_real"),
        (Stabilizer, "evaluation_weight", "evaluation_weights"),
        (NetworkStabilizer, "changes", "change"),
        (Objective, "generators_loss", "generator_loss"),
        (Objective, "needs_real_logit", "needs_real_logits"),
        (Score, "least_sample", "least_samples"),
        (Score, "use_real", "uses_real"),
        (Generator, "foward", "forward"),
        (Discriminator, "feature", "features"),
    ],
)
def test_a_misspelled_part_is_refused_by_name(base, name, meant):
    with pytest.raises(ValueError, match=rf"Mine\.{name} is no part .* did you mean {meant}\?"):
        define(base, **{name: same})
    assert define(base, **{name: same, meant: same}), "where the part itself is there, it is another attribute"
    assert define(base, **{f"_{name}": same})
