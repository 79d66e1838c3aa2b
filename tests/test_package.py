"""The package: what an import loads, what may import what, and that every public name is documented."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from helpers import slow

import lightning_gans

ROOT = Path(lightning_gans.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
TREES = {path: ast.parse(path.read_text()) for path in FILES}


def short(path):
    return str(path.relative_to(ROOT))


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


def members_of_classes():
    """Every class with its members, and the function behind each."""
    for kind in PUBLIC.values():
        for name, member in vars(kind).items():
            yield kind, name, member.fget if isinstance(member, property) else getattr(member, "__func__", member)


# ---------------------------------------------------------------- what an import costs


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import lightning_gans", ["torch", "lightning", "torchvision", "wandb"]),
        (
            "import lightning_gans.networks, lightning_gans.objectives, lightning_gans.optimizers",
            ["lightning", "torchvision", "wandb", "sklearn"],
        ),
        slow(
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


def test_heavy_libraries_are_imported_where_they_are_used():
    heavy = {"torchvision", "wandb", "wandb_workspaces", "sklearn", "tensorboard", "matplotlib"}
    imported = [
        (short(path), name)
        for path, tree in TREES.items()
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (getattr(node, "module", None), *(one.name for one in node.names))
        if name and name.split(".")[0] in heavy
    ]
    assert not imported


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

LAYERS = [  # a part of the package may import the layers above its own in this list, and itself
    {"arguments", "randomness", "distributed", "attached", "constructor", "overriding"},
    {"step", "batches", "optimizers", "ranges", "attacks"},
    {"networks", "objectives", "schedules", "targets", "data"},
    {"checkpoints", "training", "metrics"},
    {"stabilizer", "base"},
    {"hooks"},
    {"gan"},
    {"stabilizers", "generation"},
    {"models", "callbacks"},
    {"trials"},
    {"cli"},
    {"__main__"},
]
EXCEPTIONS = {("stabilizer", "gan"), ("hooks", "gan")}  # for typing alone, as Lightning's Callback names the Trainer


def imports(path):
    """Every module that a file imports anywhere in it, for typing too; names of the package with their part."""
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "lightning_gans":
            yield from (f"lightning_gans.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def parts_of(path):
    return [name.split(".")[1] for name in imports(path) if name.startswith("lightning_gans.")]


def allowed_to(own):
    """The parts that a part of the package may import."""
    below = {own, "__version__"} | {there for here, there in EXCEPTIONS if here == own}
    for layer in LAYERS:
        if own in layer:
            return below
        below |= layer
    raise AssertionError(f"{own} is in no layer")


def test_imports_point_one_way():
    inner = [path for path in FILES if path != ROOT / "__init__.py"]
    wrong = {short(path): set(parts_of(path)) - allowed_to(name_of(path).split(".")[1]) for path in inner}
    assert not {path: parts for path, parts in wrong.items() if parts}


def test_no_exception_is_stale():
    used = {((*name_of(path).split("."), "")[1], there) for path in FILES for there in parts_of(path)}
    assert used >= EXCEPTIONS


@pytest.mark.parametrize("package", sorted({path.parent for path in FILES} - {ROOT}), ids=lambda path: path.name)
def test_no_circle_within_a_package(package):
    def files_of(path):
        names = [name for name in imports(path) if name.startswith(f"{name_of(package / '__init__.py')}.")]
        steps = [package / Path(*name.split(".")[len(package.relative_to(ROOT.parent).parts) :]) for name in names]
        return {file for step in steps for file in (step.with_suffix(".py"), step / "__init__.py") if file.is_file()}

    files = sorted(package.glob("*.py"))
    graph = {path: files_of(path) & set(files) - {path} for path in files if path.name != "__init__.py"}
    TopologicalSorter(graph).prepare()  # which raises CycleError


PRIVATE = (
    r"from lightning\S*\._|import lightning\S*\._|\b(self|cls|trainer|cli)\._parser\b|checkpoint_connector|_pytree"
)


def test_nothing_private_of_lightning_is_used():
    assert not [(short(path), match[0]) for path in FILES for match in re.finditer(PRIVATE, path.read_text())]
    private = [
        (short(path), f"{node.value.id}.{node.attr}")
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
        if isinstance(node.value, ast.Name) and node.value.id in ("trainer", "checkpoint_callback", "strategy")
    ]
    assert not private


# ---------------------------------------------------------------- how it reads

LONGEST = {"gan.py": 420}


def test_files_are_short():
    limits = {path: LONGEST.get(short(path), 250) for path in FILES}
    limits |= dict.fromkeys(Path(__file__).parent.rglob("*.py"), 400)
    lengths = {path: len(path.read_text().splitlines()) for path in limits}
    assert not {str(path): lines for path, lines in lengths.items() if lines > limits[path]}
    assert not [path for path in FILES if path.name == "utils.py"]


def test_what_a_package_exports_is_there():
    assert not [module.__name__ for module in MODULES if not module.__doc__]
    exports = [(module, name) for module in MODULES for name in getattr(module, "__all__", [])]
    assert not [(module.__name__, name) for module, name in exports if not hasattr(module, name)]


def documented(kind, name):
    """In the class's own words or those of a parent: `Arguments are those of X` is enough for a variant."""
    for parent in kind.__mro__:
        if parent.__module__.startswith("lightning_gans") and parent.__doc__:
            if re.search(rf"^\s*{name}: |`{name}`", parent.__doc__, re.M):
                return True
        elif "__init__" in vars(parent) and name in inspect.signature(parent.__init__).parameters:
            return True  # by torch or Lightning
    return False


def test_every_class_says_what_it_is_and_takes():
    assert not [path for path, kind in PUBLIC.items() if not vars(kind)["__doc__"]], "a docstring of its own"
    unsaid = [
        (path, one.name)
        for path, kind in PUBLIC.items()
        if "__init__" in vars(kind) and not issubclass(kind, BaseException)
        for one in list(inspect.signature(kind.__init__).parameters.values())[1:]
        if one.kind is not one.VAR_POSITIONAL and not documented(kind, one.name)
    ]
    assert not unsaid, "arguments are documented"


def test_every_public_method_says_what_it_does():
    silent = [
        (kind.__qualname__, name)
        for kind, name, function in members_of_classes()
        if inspect.isfunction(function) and not name.startswith("_") and not hasattr(function, "__override__")
        if not function.__doc__
    ]
    assert not silent


def test_overrides_override_something():
    lonely = [
        (kind.__qualname__, name)
        for kind, name, function in members_of_classes()
        if getattr(function, "__override__", False) and not any(name in vars(parent) for parent in kind.__mro__[1:])
    ]
    assert not lonely


def test_every_public_function_says_what_it_does():
    silent = [
        (module.__name__, name)
        for module in MODULES
        for name, function in vars(module).items()
        if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_")
        if not function.__doc__
    ]
    assert not silent
