"""The house: what an import brings in, what may import what, and that every public name is documented."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import lightning_gans

ROOT = Path(lightning_gans.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))


def name_of(path):
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = [
    importlib.import_module(module.name)
    for module in pkgutil.walk_packages(lightning_gans.__path__, "lightning_gans.")
    if not module.name.endswith("__main__")
]
PUBLIC = {
    f"{kind.__module__}.{kind.__qualname__}": kind
    for module in MODULES
    for name, kind in vars(module).items()
    if inspect.isclass(kind) and kind.__module__.startswith("lightning_gans.") and not name.startswith("_")
}
every_class = pytest.mark.parametrize("kind", PUBLIC.values(), ids=PUBLIC)


# ---------------------------------------------------------------- what an import costs


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import lightning_gans", ["torch", "lightning", "torchvision", "wandb"]),
        (
            "import lightning_gans.networks, lightning_gans.objectives, lightning_gans.optimizers",
            ["lightning", "torchvision", "wandb", "sklearn"],
        ),
        (
            "from lightning_gans import *; import lightning_gans.callbacks, lightning_gans.generation, "
            "lightning_gans.data, lightning_gans.models, lightning_gans.metrics, lightning_gans.stabilizers",
            ["wandb", "sklearn", "tensorboard"],  # Lightning itself imports torchvision where it is installed
        ),
    ],
    ids=["package", "networks", "everything"],
)
def test_an_import_brings_in_only_what_it_uses(statement, absent):
    program = f"{statement}; import sys; print([name for name in {absent} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT.parent)
    assert done.stdout.strip() == "[]", done.stderr


@every_file
def test_heavy_libraries_are_imported_where_they_are_used(path):
    heavy = {"torchvision", "wandb", "wandb_workspaces", "sklearn", "tensorboard", "matplotlib"}
    assert not heavy & {name.split(".")[0] for name in imports(path, ast.parse(path.read_text()).body)}


def test_names_are_found_when_they_are_asked_for():
    assert set(lightning_gans.__all__) == set(lightning_gans._HOMES) and set(lightning_gans.__all__) <= set(
        dir(lightning_gans)
    )
    for name in lightning_gans.__all__:
        assert getattr(lightning_gans, name).__name__ == name
    with pytest.raises(AttributeError, match="module 'lightning_gans' has no attribute 'DGCAN'"):
        _ = lightning_gans.DGCAN


def test_the_version_is_that_of_the_project():
    project = (ROOT.parent / "pyproject.toml").read_text()
    assert f'\nversion = "{lightning_gans.__version__}"\n' in project


# ---------------------------------------------------------------- what imports what

# each floor and what it may import of the package; a floor may always import itself
FLOORS = {
    "networks": set(),
    "processes": set(),
    "objectives": {"processes"},
    "optimizers": set(),
    "schedules": set(),
    "targets": {"processes"},
    "stabilizer": {"schedules"},
    "checks": {"networks", "stabilizer"},
    "finite": set(),
    "saving": set(),
    "checkpoints": {"networks", "objectives", "schedules", "stabilizer", "targets"},
    "run": {"checkpoints", "checks", "finite", "networks", "objectives", "processes", "stabilizer"},
    "gan": {"checks", "networks", "objectives", "optimizers", "processes", "run", "stabilizer"},
    "stabilizers": {"networks", "objectives", "processes", "schedules", "stabilizer"},
    "models": {"checks", "gan", "networks", "objectives", "optimizers", "stabilizer", "stabilizers", "targets"},
    "metrics": {"networks"},
    "data": set(),
    "generation": {"checkpoints", "checks", "data", "gan", "metrics", "networks"},
    "callbacks": {"checks", "finite", "gan", "generation", "metrics", "networks", "stabilizer"},
}


def imports(path, nodes=None):
    """The modules that a file imports when it runs, or some of its nodes; those for typing alone are left out."""
    tree = ast.parse(path.read_text())
    typing = [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    skipped = {ast.unparse(inner) for node in typing for inner in node.body}
    for node in ast.walk(tree) if nodes is None else nodes:
        if isinstance(node, ast.Import | ast.ImportFrom) and ast.unparse(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            whole = node.module == "lightning_gans"
            yield from (f"lightning_gans.{alias.name}" for alias in node.names) if whole else [node.module]


@every_file
def test_no_arrow_points_up(path):
    floor = name_of(path).split(".")[1] if "." in name_of(path) else "top"
    if floor not in {"top", "__main__"} and not floor.startswith("cli"):
        below = {name.split(".")[1] for name in imports(path) if name.startswith("lightning_gans.")}
        assert below <= {*FLOORS[floor], floor}


@every_file
def test_nothing_private_of_lightning_is_imported(path):
    private = [name for name in imports(path) if name.startswith("lightning.") and "._" in name]
    assert not private


# ---------------------------------------------------------------- how it reads


@every_file
def test_files_are_short(path):
    assert len(path.read_text().splitlines()) <= 500
    assert path.name != "utils.py"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_what_a_package_exports_is_there(module):
    assert module.__doc__
    for name in getattr(module, "__all__", []):
        assert hasattr(module, name)


def documented(kind, name):
    """In the class's own words or those of a parent: `Arguments are those of X` is enough for a variant."""
    for parent in kind.__mro__:
        if parent.__module__.startswith("lightning_gans") and parent.__doc__:
            if re.search(rf"^\s*{name}: |`{name}`", parent.__doc__, re.M):
                return True
        elif "__init__" in vars(parent) and name in inspect.signature(parent.__init__).parameters:
            return True  # by torch or Lightning
    return False


@every_class
def test_every_class_says_what_it_is_and_takes(kind):
    assert vars(kind)["__doc__"], "a docstring of its own"
    if "__init__" in vars(kind) and not issubclass(kind, BaseException):
        own = list(inspect.signature(kind.__init__).parameters.values())[1:]
        unsaid = [one.name for one in own if one.kind is not one.VAR_POSITIONAL and not documented(kind, one.name)]
        assert not unsaid, "arguments are documented"


@every_class
def test_every_public_method_says_what_it_does(kind):
    for name, member in vars(kind).items():
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if inspect.isfunction(function) and not name.startswith("_"):
            assert function.__doc__, name


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_public_function_says_what_it_does(module):
    for name, function in vars(module).items():
        if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_"):
            assert function.__doc__, name


def test_optimizers_do_not_look_for_a_driver_that_is_not_there():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU, for whose processes Lightning sets the variable")
    code = "import os, lightning_gans.gan; print(os.environ.get('PYTORCH_NVML_BASED_CUDA_CHECK'))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "None"
