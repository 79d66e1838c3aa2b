"""Loading a file runs no code from it, whatever it holds; each attack would create a file if it succeeded."""

import json
import sys

import attacks
import pytest
import torch
from safetensors.torch import save_file

from lightning_gans import DCGAN, GAN, checkpoints, generation
from lightning_gans.__main__ import main
from lightning_gans.generation.training_data import data_of
from lightning_gans.stabilizer import rebuild_network_changes

pytestmark = [pytest.mark.untrusted, pytest.mark.filterwarnings("ignore::UserWarning:lightning")]


@pytest.fixture
def sentinel(tmp_path, monkeypatch):
    """Return the file that an attack would create; it must not exist afterwards, nor the trap's module be imported."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "it_ran"
    (tmp_path / "trap_for_gans.py").write_text(attacks.TRAP.format(sentinel=str(path)))
    (tmp_path / "payload.yaml").write_text("class_path: trap_for_gans.Trap\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield path
    sys.modules.pop("trap_for_gans", None)


def is_one_line(error):
    text = str(error.value)
    return "\n" not in text and len(text) < 700


def refuse(path, sentinel, match=None):
    """Require that the file is refused in one line and that no code has run."""
    with pytest.raises(ValueError, match=match) as refused:
        generation.load(path)
    assert is_one_line(refused)
    assert not sentinel.exists() and "trap_for_gans" not in sys.modules


@pytest.mark.parametrize("attack", attacks.pickles(""))
def test_a_pickle_is_not_run(attack, sentinel, capsys):
    path = sentinel.with_name("evil.ckpt")
    path.write_bytes(attacks.pickles(sentinel)[attack])
    refuse(path, sentinel)
    for load in (checkpoints.read_checkpoint, GAN.load_from_checkpoint):
        with pytest.raises(ValueError, match="is not a checkpoint of Lightning"):
            load(path)
    assert not sentinel.exists()


def test_the_pickle_runs_code_where_it_is_loaded_unsafely(sentinel):
    path = sentinel.with_name("evil.ckpt")
    path.write_bytes(attacks.pickles(sentinel)["in the weights"])
    torch.load(path, weights_only=False)
    assert sentinel.exists(), "the attack works where nothing prevents it"


def with_settings(settings, path):
    content = attacks.base_checkpoint()
    content["hyper_parameters"] |= settings
    torch.save(content, path)
    return path


def test_the_checkpoint_that_attacks_modify_is_valid(tmp_path):
    gan = generation.load(with_settings({}, tmp_path / "good.ckpt"))
    assert type(gan) is DCGAN and gan.generator.latent_dim == 3


@pytest.mark.parametrize("attack", attacks.class_paths(""))
def test_a_class_path_is_not_imported_or_called(attack, sentinel):
    settings = attacks.class_paths(sentinel)[attack]
    path = with_settings(settings, sentinel.with_name("evil.ckpt"))
    refuse(path, sentinel, "nothing was run.*--trust true")


@pytest.mark.parametrize("section", ["hparams", "module_arguments"])
def test_settings_of_old_checkpoints_are_checked(section, sentinel):
    content = attacks.base_checkpoint()
    content[section] = {**content.pop("hyper_parameters"), "objective": {"class_path": "trap_for_gans.Trap"}}
    torch.save(content, sentinel.with_name("evil.ckpt"))
    refuse(sentinel.with_name("evil.ckpt"), sentinel)
    content[section] = 3
    torch.save(content, sentinel.with_name("evil.ckpt"))
    refuse(sentinel.with_name("evil.ckpt"), sentinel)


def test_the_class_path_is_imported_with_trust(sentinel):
    path = with_settings({"objective": {"class_path": "trap_for_gans.Trap"}}, sentinel.with_name("evil.ckpt"))
    with pytest.raises(ValueError, match="cannot be rebuilt"):  # it is not an objective, but its module has run
        generation.load(path, trust=True)
    assert sentinel.exists(), "the attack works where nothing prevents it"


@pytest.mark.parametrize("bomb", attacks.bombs())
def test_huge_and_endless_settings_are_refused_at_once(bomb, sentinel):
    content = attacks.base_checkpoint()
    content["hyper_parameters"] |= attacks.bombs()[bomb]
    with pytest.raises(ValueError, match=r"more than (20000 settings|50 deep)"):
        checkpoints.check_settings(content)


@pytest.mark.parametrize("attack", attacks.changes(""))
def test_network_changes_are_not_imported_or_called(attack, sentinel):
    with pytest.raises(ValueError) as refused:
        rebuild_network_changes({"gan_network_changes": attacks.changes(sentinel)[attack]})
    assert is_one_line(refused) and not sentinel.exists() and "trap_for_gans" not in sys.modules


@pytest.mark.parametrize("attack", list(attacks.changes(""))[::4])
def test_a_checkpoint_with_such_network_changes_is_refused(attack, sentinel):
    content = attacks.base_checkpoint() | {"gan_network_changes": attacks.changes(sentinel)[attack]}
    torch.save(content, sentinel.with_name("evil.ckpt"))
    refuse(sentinel.with_name("evil.ckpt"), sentinel)


@pytest.mark.parametrize("name", ["trap_for_gans.Trap", "os.system", "lightning_gans.nowhere.GAN", "", "...", "a b.c"])
def test_the_class_of_the_model_is_not_imported(name, sentinel):
    content = attacks.base_checkpoint()
    content["gan_class"] = name
    torch.save(content, sentinel.with_name("evil.ckpt"))
    refuse(sentinel.with_name("evil.ckpt"), sentinel)


def exported(path, recipe, **marks):
    state = {
        key: value for key, value in attacks.base_checkpoint()["state_dict"].items() if key.startswith("generator.")
    }
    state = {key.removeprefix("generator."): value.contiguous() for key, value in state.items()}
    text = recipe if isinstance(recipe, str) else json.dumps(recipe)
    save_file(state, path, {"format": "lightning_gans generator 1", "recipe": text, **marks})
    return path


def recipe(**replaced):
    content = attacks.base_checkpoint()
    return {key: content[key] for key in ("gan_class", "hyper_parameters", "gan_network_changes")} | replaced


@pytest.mark.parametrize("attack", list(attacks.class_paths(""))[::5])
def test_a_class_path_in_an_exported_generator_is_not_imported_or_called(attack, sentinel):
    settings = attacks.class_paths(sentinel)[attack]
    path = exported(
        sentinel.with_name("evil.safetensors"),
        recipe(hyper_parameters=attacks.base_checkpoint()["hyper_parameters"] | settings),
    )
    with pytest.raises(ValueError, match=r"nothing was run.*--trust true") as refused:
        generation.load_generator(path)
    assert is_one_line(refused) and not sentinel.exists() and "trap_for_gans" not in sys.modules


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("", {}),
        ("[1, 2]", {}),
        ("{", {}),
        ("[" * 100_000, {}),
        ("{}", {}),
        (recipe(), {"format": "something else"}),
        (recipe(hyper_parameters=[1]), {}),
        (recipe(gan_network_changes=3), {}),
        (recipe(generator_updates="many"), {}),
        (recipe(gan_class="trap_for_gans.Trap"), {}),
        (recipe(hyper_parameters=attacks.base_checkpoint()["hyper_parameters"] | {"width": 3}), {}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_broken_exported_generator_is_refused_in_one_line(text, marks, sentinel):
    path = exported(sentinel.with_name("evil.safetensors"), text, **marks)
    with pytest.raises(ValueError, match=r"cannot be rebuilt as a GAN: .+") as refused:
        generation.load_generator(path)
    assert is_one_line(refused) and not sentinel.exists()


@pytest.mark.parametrize("attack", attacks.configs(""))
def test_a_class_path_in_the_config_beside_a_checkpoint_is_not_imported_or_called(attack, sentinel):
    (sentinel.parent / "config.yaml").write_text(attacks.configs(sentinel)[attack])
    with pytest.raises(ValueError, match="does not say which data") as refused:
        data_of(str(sentinel.with_name("some.ckpt")))
    assert is_one_line(refused) and not sentinel.exists() and "trap_for_gans" not in sys.modules


def test_hyperparameters_in_another_file_are_not_read(tmp_path):
    path = with_settings({}, tmp_path / "good.ckpt")
    for arguments in ({"args": ("cpu", "other.yaml")}, {"kwargs": {"hparams_file": "other.yaml"}}):
        with pytest.raises(ValueError, match="leave the file out, or say trust=True"):
            GAN.load_from_checkpoint(path, *arguments.get("args", ()), **arguments.get("kwargs", {}))


# ---------------------------------------------------------------- what is accepted


TRUSTED = """\
from lightning_gans.models import DCGAN
from lightning_gans.objectives import Hinge
class Mine(Hinge): ...
class Own(DCGAN): ...
def objective(): return Hinge()
"""


def test_trust_accepts_other_classes(tmp_path, monkeypatch, capsys):
    for name in ("their_own_gans", "their_other_gans"):
        (tmp_path / f"{name}.py").write_text(TRUSTED)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    path = with_settings({"objective": {"class_path": "their_own_gans.Mine"}}, tmp_path / "theirs.ckpt")
    try:
        with pytest.raises(ValueError, match=r"its objective\.class_path asks for 'their_own_gans.Mine'"):
            generation.load(path)
        with pytest.raises(SystemExit):
            main(["sample", "--checkpoint=theirs.ckpt"])
        assert "--trust true" in capsys.readouterr().err and "their_own_gans" not in sys.modules
        main(["sample", "--checkpoint=theirs.ckpt", "--trust=true", "--num=4"])
        assert (tmp_path / "grid.png").is_file()
        assert type(generation.load(path, trust=True).objective).__name__ == "Mine"
        assert type(generation.load(path).objective).__name__ == "Mine", "it is imported by now, and an objective"
        content = attacks.base_checkpoint() | {"gan_class": "their_other_gans.Own"}
        content["hyper_parameters"]["_class_path"] = "their_other_gans.Own"
        torch.save(content, path)
        assert type(GAN.load_from_checkpoint(path, trust=True)).__name__ == "Own"
    finally:
        for name in ("their_own_gans", "their_other_gans"):
            sys.modules.pop(name, None)


def test_trust_does_not_run_pickles(sentinel):
    path = sentinel.with_name("evil.ckpt")
    for content in attacks.pickles(sentinel).values():
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is not a checkpoint"):
            generation.load(path, trust=True)
    assert not sentinel.exists()


KNOWN = {
    "generator_optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.1}},
    "discriminator_scheduler": {"class_path": "torch.optim.lr_scheduler.ExponentialLR", "init_args": {"gamma": 0.5}},
    "objective": {
        "class_path": "lightning_gans.objectives.Relativistic",
        "init_args": {"base": {"class_path": "lightning_gans.objectives.Hinge"}},
    },
}


def test_classes_of_torch_and_of_this_library_are_built(tmp_path):
    gan = generation.load(with_settings(KNOWN, tmp_path / "known.ckpt"))
    assert type(gan.objective.base).__name__ == "Hinge"
    assert type(gan.generator_optimizer(gan.generator.parameters())) is torch.optim.AdamW


@pytest.mark.parametrize(
    "name",
    [
        "lightning_gans.networks.efficientnet_lite0",
        "lightning_gans.networks.DigitClassifier",
        "lightning_gans.targets.PerRoute",
        "lightning_gans.networks.GaussianWithCode",
        "torch.nn.BatchNorm2d",
        "torch.nn.LeakyReLU",
        "lightning_gans.DCGAN",
    ],
)
def test_class_paths_of_the_parts_of_a_gan_are_accepted(name):
    checkpoints.check_arguments({"some": {"class_path": name}})


@pytest.mark.parametrize(
    "text", ["", "DCGAN", "data/MNIST", "/a/folder (old)/x", "weights.pth", "C:\\data", "two words", "1e-4", "-1"]
)
def test_plain_text_is_accepted(text):
    checkpoints.check_arguments({"root": text})


def test_arguments_given_in_python_are_not_interpreted(tmp_path, fit):
    class Named(DCGAN):
        def __init__(self, note: str = "", **kwargs):
            super().__init__(**{"image_shape": (1, 8, 8), "latent_dim": 3, "width": 2} | kwargs)

    Named.__qualname__ = "Named"
    fit(Named(note="{class_path: os.system}", n_critic=2)).save_checkpoint(tmp_path / "a.ckpt")
    loaded = GAN.load_from_checkpoint(tmp_path / "a.ckpt")
    assert loaded.hparams.note == "{class_path: os.system}", "it is not read as a class path"


def test_a_checkpoint_may_be_an_open_file_or_at_a_url(tmp_path):
    path = with_settings({}, tmp_path / "good.ckpt")
    with path.open("rb") as file:
        assert type(GAN.load_from_checkpoint(file)) is DCGAN
    assert type(GAN.load_from_checkpoint(path.as_uri())) is DCGAN
    evil = with_settings({"objective": {"class_path": "os.system"}}, tmp_path / "evil.ckpt")
    with evil.open("rb") as file, pytest.raises(ValueError, match="nothing was run"):
        GAN.load_from_checkpoint(file)
    with pytest.raises(ValueError, match="nothing was run"):
        GAN.load_from_checkpoint(evil.as_uri())
