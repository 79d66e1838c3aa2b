"""Classes of a user's own: under which name a checkpoint records them, how they are found again, and what is said."""

import runpy
import sys
import warnings

import pytest
import torch
from helpers import small_gan

from lightning_gans import DCGAN, GAN, NetworkStabilizer
from lightning_gans.checkpoints import name_of, subclasses_named
from lightning_gans.networks import MLPDiscriminator, MLPGenerator
from lightning_gans.objectives import Hinge

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning")
SCRIPT = """\
import torch
from lightning.pytorch import Trainer
from lightning_gans import DCGAN, NetworkStabilizer
from torch.utils.data import DataLoader

class Half(NetworkStabilizer):
    def __init__(self, factor=0.5):
        self.factor = factor

    def change(self, gan):
        gan.discriminator.head.append(torch.nn.Hardtanh(-self.factor, self.factor))

class Mine(DCGAN):
    def __init__(self, shape, note="none", **kwargs):
        super().__init__(shape, width=2, latent_dim=3, **kwargs)
        self.note = note

class Outer:
    class Inner(Mine):
        pass

if __name__ == "__main__":
    trainer = Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, callbacks=[Half(0.25)],
                      enable_progress_bar=False, enable_model_summary=False)
    trainer.fit(KIND((1, 8, 8), note="mine", n_critic=2), DataLoader(torch.rand(4, 1, 8, 8), batch_size=2))
    trainer.save_checkpoint("m.ckpt")
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Return a function that runs a script in a folder of its own, as `python` does."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def run(name, kind="Mine"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(SCRIPT.replace("KIND", kind))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            runpy.run_path(str(tmp_path / name), run_name="__main__")
        return "\n".join(
            str(one.message) for one in caught if "script" in str(one.message) or "class" in str(one.message)
        )

    yield run
    for module in [
        module for module in sys.modules if module.partition(".")[0] in ("train_mine", "train_other", "project_mine")
    ]:
        del sys.modules[module]


def saved():
    return torch.load("m.ckpt", weights_only=True)


@pytest.mark.parametrize("kind", ["Mine", "Outer.Inner"])
def test_the_class_of_a_script_is_found_where_the_script_is_imported(script, kind):
    said = script("train_mine.py", kind=kind)
    name = kind.split(".")[-1]
    assert saved()["gan_class"] == f"train_mine.{kind}"
    assert f"The class {name} is defined in the script train_mine." in said and "--import train_mine" in said
    import train_mine

    for line in said.splitlines():  # the lines that mend it, as they are written
        if line.startswith("    from"):
            assert line.strip() == f"from train_mine import {name}"
    loaded = GAN.load_from_checkpoint("m.ckpt")
    assert name_of(type(loaded)) == f"train_mine.{kind}" and loaded.note == "mine" and loaded.n_critic == 2
    assert type(train_mine.Mine.load_from_checkpoint("m.ckpt")) is type(loaded)
    assert isinstance(loaded.discriminator.head[-1], torch.nn.Hardtanh), "and its stabilizer, by the same name"
    assert loaded.network_changes == [{"class_path": "train_mine.Half", "init_args": {"factor": 0.25}}]


def test_the_class_of_a_script_is_not_imported_by_itself(script):
    script("train_other.py")
    with pytest.raises(
        ValueError, match=r"made by train_other\.Mine.*from train_other import Mine.*--import train_other"
    ):
        GAN.load_from_checkpoint("m.ckpt")
    assert "train_other" not in sys.modules
    assert type(GAN.load_from_checkpoint("m.ckpt", trust=True)).__module__ == "train_other"


def test_a_script_in_a_package_is_the_same_file_when_it_is_imported_from_above(script, tmp_path):
    script("project_mine/train_below.py")
    from project_mine import train_below

    assert type(GAN.load_from_checkpoint("m.ckpt")) is train_below.Mine


def test_a_script_whose_name_cannot_be_imported_is_said(script):
    said = script("train-mine.py")
    assert "in a notebook or in a file without a name" in said and "from my_gans import Mine" in said


def test_trust_in_a_module_that_is_missing_is_one_line(script):
    script("train_mine.py")
    torch.save(saved() | {"gan_class": "nowhere_at_all.Mine"}, "m.ckpt")
    with pytest.raises(ValueError, match=r"nowhere_at_all, which cannot be imported .*--import nowhere_at_all"):
        GAN.load_from_checkpoint("m.ckpt", trust=True)


def of_main(kind):
    """Return a class as a notebook or an old checkpoint names it."""
    kind.__module__, kind.__qualname__ = "__main__", kind.__name__
    return kind


def test_the_class_of_a_notebook_is_found_where_it_is_defined_again_or_imported(monkeypatch):
    class OfNotebook(DCGAN):
        pass

    assert subclasses_named("__main__.OfNotebook", GAN) == []
    OfNotebook.__qualname__ = "OfNotebook"
    assert subclasses_named("__main__.OfNotebook", GAN) == [OfNotebook]
    monkeypatch.delattr(sys.modules["__main__"], "__spec__", raising=False)
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    assert name_of(of_main(OfNotebook)) == "__main__.OfNotebook"
    assert subclasses_named("__main__.OfNotebook", GAN) == [OfNotebook]
    assert subclasses_named("__main__.DCGAN", GAN) == [], "never a class of this library"


def test_of_a_class_that_is_defined_again_the_latest_is_meant():
    first, second = (type("Again", (DCGAN,), {"__module__": "train_again"}) for _ in range(2))
    assert subclasses_named("train_again.Again", GAN) == [second]
    assert subclasses_named("again.train_again.Again", GAN) == [second]
    assert subclasses_named("train_again.Again", first) == [first], "but the one that was asked for"


def test_of_two_classes_that_may_be_meant_neither_is_guessed():
    one, two = (type("Twice", (DCGAN,), {"__module__": f"{home}.train_twice"}) for home in ("left", "right"))
    content = {"gan_class": "train_twice.Twice"}
    from lightning_gans.checkpoints import class_that_made

    with pytest.raises(ValueError, match=r"may be any of left\.train_twice\.Twice and right\.train_twice\.Twice"):
        class_that_made(content, GAN)
    assert class_that_made(content, two) is two and class_that_made(content, one) is one


# ---------------------------------------------------------------- arguments


class Narrow(DCGAN):
    def __init__(self, shape):
        super().__init__(shape, width=2, latent_dim=3)


class NarrowWithMore(DCGAN):
    def __init__(self, size=8, **kwargs):
        kwargs["n_critic"] = kwargs.get("n_critic", 1) + 1
        size = (1, size, size)
        super().__init__(size, width=2, latent_dim=3, **kwargs)


class Nested(NarrowWithMore):
    def __init__(self, factor=2, *, extra="a", **kwargs):
        super().__init__(size=4 * factor, **kwargs)
        self.extra = extra


class Plain(DCGAN):
    """It has no constructor of its own."""


class Forwarding(DCGAN):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)


class Saving(DCGAN):
    """It saves its hyperparameters once more, as many Lightning modules do, the function among them."""

    def __init__(self, shape, width, note=None, function=print):
        super().__init__(shape, width=2 * width, latent_dim=3)
        self.save_hyperparameters()


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: Narrow((1, 8, 8)), {"shape": (1, 8, 8)}),
        (lambda: NarrowWithMore(16, n_critic=3), {"size": 16, "n_critic": 3}),
        (lambda: NarrowWithMore(), {"size": 8}),
        (lambda: Nested(extra="b", generator_clip=1.0), {"factor": 2, "extra": "b", "generator_clip": 1.0}),
        (lambda: Plain((1, 8, 8), latent_dim=3, width=2), {"image_shape": (1, 8, 8), "width": 2}),
        (lambda: Forwarding((1, 8, 8), latent_dim=3, width=2), {"image_shape": (1, 8, 8), "width": 2}),
        (lambda: Saving((1, 8, 8), 1, note="n"), {"shape": (1, 8, 8), "width": 1, "note": "n"}),
    ],
)
def test_a_subclass_is_made_again_from_its_own_arguments(make, expected, fit, tmp_path, weights):
    gan = make()
    fit(gan).save_checkpoint(tmp_path / "a.ckpt")
    settings = torch.load(tmp_path / "a.ckpt", weights_only=True)["hyper_parameters"]
    assert {name: settings.get(name) for name in expected} == expected
    if type(gan) in (Narrow, NarrowWithMore, Nested, Saving):
        assert settings.keys() - expected.keys() <= {"function"}
    loaded = type(gan).load_from_checkpoint(tmp_path / "a.ckpt")
    assert torch.equal(weights(loaded), weights(gan)) and loaded.n_critic == gan.n_critic


def test_hyperparameters_of_classes_of_the_library_are_as_they_were():
    assert dict(DCGAN((1, 8, 8), latent_dim=3, width=2).hparams) == {
        "image_shape": (1, 8, 8),
        "latent_dim": 3,
        "width": 2,
        "num_classes": 0,
        "generator_clip": None,
        "discriminator_clip": None,
        "generator_accumulation": 1,
        "discriminator_accumulation": 1,
        "n_critic": 1,
        "generator_scheduler": None,
        "discriminator_scheduler": None,
    }


# ---------------------------------------------------------------- what is said


def warned(recwarn, words="heckpoints of this run"):
    return [str(one.message) for one in recwarn if words in str(one.message)]


@pytest.mark.parametrize("checkpoints", [True, False])
def test_arguments_that_a_checkpoint_cannot_hold_are_said_before_training_or_when_it_is_saved(
    checkpoints, fit, tmp_path, recwarn
):
    gan = small_gan(objective=Hinge())
    trainer = fit(gan, enable_checkpointing=checkpoints)
    assert len(warned(recwarn)) == checkpoints
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    (said,) = warned(recwarn)
    call = "GAN.load_from_checkpoint(path, generator=generator, discriminator=discriminator, objective=objective)"
    assert "do not hold generator, discriminator, objective of GAN" in said and call in said
    with pytest.raises(
        ValueError, match=r"does not make a GAN .*generator.*pass .*generator=generator, discriminator=discriminator\)"
    ):
        GAN.load_from_checkpoint(tmp_path / "a.ckpt")
    path, generator, discriminator = tmp_path / "a.ckpt", MLPGenerator((2,), 3, 8, 1), MLPDiscriminator((2,), 8, 1)
    loaded = eval(
        call,
        {"GAN": GAN, "path": path, "generator": generator, "discriminator": discriminator} | {"objective": Hinge()},
    )
    assert isinstance(loaded.objective, Hinge), "and the line works as it is written"


def test_nothing_is_said_of_a_class_that_is_found_again(fit, recwarn):
    fit(DCGAN((1, 8, 8), latent_dim=3, width=2), enable_checkpointing=True)
    fit(Narrow((1, 8, 8)), enable_checkpointing=True)
    assert not warned(recwarn)


def test_a_class_that_is_defined_inside_a_function_is_said(fit, recwarn):
    class Local(DCGAN):
        pass

    fit(Local((1, 8, 8), latent_dim=3, width=2), enable_checkpointing=True)
    (said,) = warned(recwarn, "inside a function")
    assert "from my_gans import Local\n    gan = Local.load_from_checkpoint(path)" in said


def test_a_network_stabilizer_with_an_argument_that_no_checkpoint_can_hold_is_refused():
    class WithModule(NetworkStabilizer):
        def __init__(self, kind):
            self.kind = kind

        def change(self, gan):
            """Change nothing."""

    gan = small_gan()
    with pytest.raises(ValueError, match=r"WithModule\(kind=.*Hinge.*\): expected plain values"):
        WithModule(Hinge()).apply_to(gan)
    WithModule("Hinge").apply_to(gan)
