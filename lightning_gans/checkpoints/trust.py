"""What a checkpoint may build: classes that a GAN is made of, and nothing else."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lightning_gans.checkpoints.identity import name_of, script_module, subclasses_named
from lightning_gans.checkpoints.reading import read_checkpoint
from lightning_gans.networks import Discriminator, Generator, Latents
from lightning_gans.objectives import Objective
from lightning_gans.schedules import Schedule
from lightning_gans.targets import Target

_OUR_BASES = (Generator, Discriminator, Latents, Objective, Schedule, Target)
_BASES = (nn.Module, Optimizer, LRScheduler)  # of which those of torch and of this library
_HOMES = ("lightning_gans.", "torch.nn.", "torch.optim.")
_INSTANTIATORS = (None, "lightning.pytorch.cli.instantiate_module", "pytorch_lightning.cli.instantiate_module")
# what YAML reads as nothing but words
_PLAIN_WORDS = re.compile(
    r"""(?![-?:](\s|$))(?!---)(?![\[\]{},#&*!|>'"%@`])(?!.*(:(\s|$)|\s\#))[^\n\r\x85\u2028\u2029]*"""
)
_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
_CLASS_KEYS = ("class_path", "_class_path")
_MOST = 20_000  # settings in a checkpoint; by references a file of a few bytes can hold billions
_DEEPEST = 50
_trusted: list[str] = []  # beginnings of module names, see `trust_module`


def class_of_checkpoint(path: Any, expected: type, trust: bool = False) -> type:
    """Return the class that made a checkpoint, after checking that its settings name only known classes.

    Args:
        path: a file on this machine, or an open one.
        expected: the class, or one above it.
        trust: import and build whatever classes the file names.
    """
    content = read_checkpoint(path)
    if not isinstance(path, str | Path):
        path.seek(0)
    if not trust:
        check_settings(content)
    return class_that_made(content, expected, trust)


def class_that_made(content: dict[str, Any], expected: type, trust: bool = False) -> type:
    """Return the class that the content of a checkpoint or of an exported generator names; arguments as above."""
    made_by = str(content.get("gan_class"))
    if made_by == "None":
        return expected
    home, _, name = made_by.rpartition(".")
    if home and (trust or (home.startswith("lightning_gans.") and _is_there(home))):
        _import_home(home)
    found = subclasses_named(made_by, expected)
    if expected in found or len(found) == 1:
        return expected if expected in found else found[0]
    if found:
        ours = " and ".join(sorted(map(name_of, found)))
        raise ValueError(
            f"the checkpoint was made by {made_by}, which may be any of {ours}; call load_from_checkpoint of the class "
            "that is meant."
        )
    if home in ("", "__main__") or "<locals>" in home:
        mend = f"define a class {name} again, or import it from its file, then load the checkpoint with it"
    else:
        mend = f"import it first (from {home} import {name}; on the command line --import {home})"
    raise ValueError(
        f"the checkpoint was made by {made_by}, which is no imported subclass of {expected.__name__}; {mend}, or load "
        "it with the class that made it."
    )


def _import_home(home: str) -> None:
    if home == script_module() or "<locals>" in home:  # which runs, and would run once more, or cannot be imported
        return
    try:
        import_module(home)
    except ImportError as error:
        raise ValueError(
            f"the checkpoint was made by a class of the module {home}, which cannot be imported ({error}); give "
            f"--import {home} in the folder of the module's file, or import it in Python first."
        ) from error


def trust_module(name: str) -> None:
    """Let checkpoints name the modules, optimizers, schedules and functions of a module that the user has named."""
    _trusted.append(f"{name}.")


def check_settings(content: dict[str, Any]) -> None:
    """Refuse a checkpoint whose hyperparameters would build, call or import anything but what a GAN is made of.

    Allowed are subclasses of this library's base classes, if they are imported already, and modules, optimizers and
    schedules of this library and of torch. The check itself imports nothing but parts of this library.

    Raises:
        ValueError: naming the setting and what it asks for.
    """
    names = ("hparams", "module_arguments", "hyper_parameters")  # the first two are those of old files
    sections = {name: content.get(name, {}) for name in names}
    for section, settings in sections.items():
        if not isinstance(settings, dict):
            raise ValueError(
                f"the checkpoint's {section} are {type(settings).__name__}, expected settings by name; it is damaged: "
                "give another checkpoint."
            )
    if not any("_instantiator" in settings for settings in sections.values()):
        return  # made in Python: the values are passed to the constructor as they are
    for settings in sections.values():
        if settings.get("_instantiator") not in _INSTANTIATORS:
            raise _refused("_instantiator", settings["_instantiator"])
        check_arguments({name: value for name, value in settings.items() if name != "_instantiator"})


def check_arguments(settings: Any) -> None:
    """Refuse nested arguments that name anything but what a GAN is made of.

    Raises:
        ValueError: naming the first such argument.
    """
    for number, (place, key, value) in enumerate(_leaves(settings)):
        if number > _MOST:
            raise ValueError(f"there are more than {_MOST} settings, more than any model of this library has.")
        known = _is_known if key in _CLASS_KEYS else _is_harmless
        if not known(value):
            raise _refused(place, value)


def _refused(place: str, value: Any) -> ValueError:
    shown = re.sub(r"\s+", " ", value if isinstance(value, str) else type(value).__name__)[:80]
    module = shown.rpartition(".")[0] if _DOTTED.fullmatch(shown) else "with the name of its module"
    return ValueError(
        f"its {place} asks for {shown!r}, which is not part of this library, of torch.nn or of torch.optim, nor an "
        f"imported part of a GAN; nothing was run. If it is yours, give --import {module}; if you know who made the "
        "file, say --trust true (trust=True in Python)."
    )


def _leaves(tree: Any, place: str = "", key: Any = "", depth: int = 0) -> Iterator[tuple[str, Any, Any]]:
    """Every value with its place and its key; keys are values too."""
    if depth > _DEEPEST:
        raise ValueError(f"its settings are nested more than {_DEEPEST} deep, deeper than any of this library.")
    if isinstance(tree, dict):
        for name, branch in tree.items():
            yield f"{place}.(key)".lstrip("."), "", name
            yield from _leaves(branch, f"{place}.{name}".lstrip("."), name, depth + 1)
    elif isinstance(tree, list | tuple) and key not in _CLASS_KEYS:
        yield place, "", len(tree)
        for branch in tree:
            yield from _leaves(branch, place, "", depth + 1)
    else:
        yield place, key, tree


def _is_known(name: Any) -> bool:
    """Whether a class path names something that a GAN is made of."""
    thing = find(name) if isinstance(name, str) else None
    home = f"{getattr(thing, '__module__', '')}."
    if isinstance(thing, type):
        return issubclass(thing, _OUR_BASES) or (issubclass(thing, _BASES) and home.startswith((*_HOMES, *_trusted)))
    is_public = inspect.isfunction(thing) and not thing.__name__.startswith("_")
    return is_public and home.startswith(("lightning_gans.networks.", *_trusted))  # such as efficientnet_lite0


def find(name: str) -> Any:
    """Return what a dotted name refers to, None if nothing; only modules of this library are imported for it."""
    home, _, last = name.rpartition(".")
    if home not in sys.modules and home.startswith("lightning_gans.") and _is_there(home):
        import_module(home)
    module = sys.modules.get("__main__" if home == script_module() else home)
    if home.partition(".")[0] == "lightning_gans":  # whose package looks names up when they are asked for
        return getattr(module, last, None)
    return None if module is None else vars(module).get(last)


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def _is_harmless(value: Any) -> bool:
    """Whether a value is neither a config in disguise nor the path of something that could be imported."""
    if not isinstance(value, str):
        return value is None or isinstance(value, bool | int | float | Tensor)
    if not _PLAIN_WORDS.fullmatch(value) or Path(value).suffix.lower() in (".yaml", ".yml", ".json"):
        return False
    return not _DOTTED.fullmatch(value) or _is_known(value) or not _is_there(value.partition(".")[0])
