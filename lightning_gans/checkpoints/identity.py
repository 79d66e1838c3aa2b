"""The name by which a class is recorded in a checkpoint, and the class that such a name means later."""

from __future__ import annotations

import sys
from pathlib import Path

_SCRIPT = ("__main__", "__mp_main__")  # the script that runs, and its copy in a process that it has spawned


def name_of(kind: type) -> str:
    """Return the import path of a class; one of the script that runs is named after the script's file.

    `Mine` of `python train.py` is `train.Mine`, by which `from train import Mine` finds it again, and which is also its
    name where `train` is imported. In a notebook, which has no module, it is `__main__.Mine`.
    """
    return f"{home_of(kind)}.{kind.__qualname__}"


def home_of(kind: type) -> str:
    """Return the module of a class, by the name under which it can be imported."""
    return (script_module(kind.__module__) if kind.__module__ in _SCRIPT else None) or kind.__module__


def script_module(name: str = "__main__") -> str | None:
    """Return the name under which the script that runs can be imported, None where it has none."""
    script = sys.modules.get(name)
    spec = getattr(script, "__spec__", None)
    if spec is not None and name == "__main__":
        return str(spec.name)  # of python -m package.train
    stem = Path(getattr(script, "__file__", None) or "").stem
    return stem if stem.isidentifier() else None


def is_importable(kind: type) -> bool:
    """Return whether another process can import a class by its name."""
    return home_of(kind) not in _SCRIPT and "<locals>" not in kind.__qualname__


def portable(settings: object) -> object:
    """Return nested settings with the name of the script's file in class paths that begin with `__main__`."""
    home = script_module()
    if isinstance(settings, dict):
        return {key: portable(value) for key, value in settings.items()}
    if isinstance(settings, list | tuple):
        return type(settings)(map(portable, settings))
    if isinstance(settings, str) and settings.startswith("__main__.") and home:
        return home + settings.removeprefix("__main__")
    return settings


def subclasses_named(name: str, base: type) -> list[type]:
    """Return the imported subclasses of a class, itself included, that a recorded name may mean; nothing is imported.

    Where none has the name itself, those of the same qualified name whose module ends in the recorded one, or the
    other way round: `train.Mine` and `project.train.Mine` are one file. The module `__main__`, of a notebook or an old
    file, may be any, as may the function in which a class was defined. Of several definitions by one name, as of a cell
    that was run again, the latest is meant.
    """
    known = [base]
    for kind in known:  # grows as it goes: subclasses of subclasses too
        own: list[type] = kind.__subclasses__()
        known += [one for one in own if one not in known]
    exact = [kind for kind in known if name in (name_of(kind), f"{kind.__module__}.{kind.__qualname__}")]
    if base in exact:
        return [base]
    return exact[-1:] or list({name_of(kind): kind for kind in known if _may_be(name, kind)}.values())


def _may_be(name: str, kind: type) -> bool:
    home = name.removesuffix(f".{kind.__qualname__}")
    if home == name:
        return False
    own = home_of(kind)
    same_file = f".{own}".endswith(f".{home}") or f".{home}".endswith(f".{own}")
    anywhere = home in _SCRIPT or home.endswith("<locals>")
    return not own.startswith("lightning_gans.") and (anywhere or same_file)


def how_to_load(kind: type, left_out: list[str]) -> str | None:
    """Return what a user must know to load the checkpoints of a run, None where `load_from_checkpoint` finds all of it.

    Args:
        kind: the class of the model.
        left_out: arguments of its constructor that a checkpoint cannot hold, since they are no plain values.
    """
    name, home = kind.__name__, home_of(kind)
    again = "".join(f", {argument}={argument}" for argument in left_out)
    load = f"{name}.load_from_checkpoint(path{again})"
    lines = []
    if not is_importable(kind):
        inside = "inside a function" if "<locals>" in kind.__qualname__ else "in a notebook or in a file without a name"
        lines.append(
            f"The class {name} is defined {inside}, where other programs cannot import it. To load checkpoints of this "
            f"run elsewhere, move it to the top of a file such as my_gans.py, and write\n"
            f"    from my_gans import {name}\n    gan = {load}"
        )
    elif kind.__module__ in _SCRIPT:
        lines.append(
            f"The class {name} is defined in the script {home}. To load checkpoints of this run in another program, "
            f"in the same folder, write\n    from {home} import {name}\n    gan = {load}\n"
            f"or give commands such as lightning-gans sample the option --import {home}. What the script runs must be "
            'below `if __name__ == "__main__":`.'
        )
    if left_out:
        listed = ", ".join(left_out)
        lines.append(
            f"Checkpoints of this run do not hold {listed} of {name}, which cannot be saved as plain values. Pass the "
            f"same again: {load}, or build them inside the constructor of a subclass, from arguments that are plain "
            "values; then `lightning-gans sample --import` can load them too."
        )
    return "\n".join(lines) or None
