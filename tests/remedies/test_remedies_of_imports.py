"""Every remedy for classes of a user's own, in checkpoints and on the command line, works when it is typed."""

import gc
import importlib
import runpy
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest
import torch
from remedied import command, each_row, fit

from lightning_gans import DCGAN, GAN, checkpoints
from lightning_gans.networks import MLPDiscriminator, MLPGenerator

pytestmark = pytest.mark.untrusted

CLASS = "from lightning_gans import DCGAN\n\n\nclass {}(DCGAN): ...\n"
SCRIPT = """\
import torch
from lightning_gans import DCGAN
from remedied import fit

class Mine(DCGAN): ...

if __name__ == "__main__":
    fit(Mine((1, 8, 8), latent_dim=3, width=2), [torch.zeros(2, 1, 8, 8)]).save_checkpoint("m.ckpt")
"""
PARTS = """\
from lightning_gans import GAN
from lightning_gans.networks import MLPDiscriminator, MLPGenerator

class WithParts(GAN):
    def __init__(self, width):
        super().__init__(MLPGenerator((2,), 3, width), MLPDiscriminator((2,), width))
"""
STEP = ["--data=Digits", "--trainer.max_steps=1", "--trainer.barebones=true", "--trainer.accelerator=cpu"]
OF_TWO = [type("OfTwo", (DCGAN,), {"__module__": f"{home}.file_of_two"}) for home in ("left", "right")]


@pytest.fixture(autouse=True)
def _forget(monkeypatch, tmp_path):
    """Forget what a row imports from its folder."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(checkpoints.trust, "_trusted", [])
    yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def write(file, text):
    Path(file).parent.mkdir(exist_ok=True)
    Path(file).write_text(text)
    importlib.invalidate_caches()


def imported(module, name, folder="."):
    """Return a class as `from module import name` gives it, in a program that is run in a folder."""
    sys.path.insert(0, str(Path(folder).resolve()))
    return getattr(importlib.import_module(module), name)


def small(kind=DCGAN):
    return kind((1, 8, 8), latent_dim=3, width=2)


def save(gan, path="m.ckpt"):
    fit(gan, [torch.zeros(2, *gan.generator.sample_shape)], Path.cwd()).save_checkpoint(path)
    return gan


@cache
def saved_once():
    with tempfile.TemporaryDirectory() as folder:
        save(small(), f"{folder}/m.ckpt")
        return torch.load(f"{folder}/m.ckpt", weights_only=True)


def checkpoint_of(name):
    torch.save(saved_once() | {"gan_class": name}, "m.ckpt")


def load(kind=GAN, **arguments):
    return kind.load_from_checkpoint("m.ckpt", **arguments)


def load_unknown(name, **arguments):
    checkpoint_of(name)
    load(**arguments)


def draw_by(name, module):
    command(name, "--checkpoint=m.ckpt", "--num=4", "--import", module)


# ---------------------------------------------------------------- where a class of a checkpoint is defined


def inside_a_function():
    class Local(DCGAN): ...

    save(small(Local))


def moved_to_a_file(file, module, name, call):
    gc.collect()  # another program does not have the class
    write(file, CLASS.format(name))
    kind = imported(module, name)
    assert type(eval(f"{call})", {name: kind, "path": "m.ckpt"})) is type(load(trust=True)) is kind
    draw_by("sample", module)
    save(small(kind))


def run_script():
    write("train_this.py", SCRIPT)
    runpy.run_path("train_this.py", run_name="__main__")


def imported_without_training():
    Path("m.ckpt").unlink()
    del sys.modules["train_this"]
    imported("train_this", "Mine")
    assert not Path("m.ckpt").exists()


def load_with_parts(call):
    names = {"path": "m.ckpt", "GAN": GAN, "generator": MLPGenerator((2,), 3, 4)}
    eval(f"{call}, generator=generator, discriminator=discriminator)", names | {"discriminator": critic()})


def critic():
    return MLPDiscriminator((2,), 4)


def build_inside():
    write("my_parts.py", PARTS)
    save(imported("my_parts", "WithParts")(4))


def defined_again(name):
    load(type(name, (DCGAN,), {"__module__": "__main__"}))


def from_its_file():
    write("my_cells.py", CLASS.format("OfCell"))
    load(imported("my_cells", "OfCell"))


def in_its_folder(module):
    write(f"below/{module}.py", CLASS.format("Trusted"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir("below")
        command("sample", "--checkpoint=../m.ckpt", "--trust=true", "--num=4", "--import", module)


def imported_first():
    del sys.modules["my_trusted"]
    kind = imported("my_trusted", "Trusted", "below")
    assert type(load(trust=True)) is kind


# ---------------------------------------------------------------- --import


def train(module, model="DCGAN"):
    command("fit", f"--import={module}", f"--model={model}", "--model.width=2", "--model.latent_dim=3", *STEP)


def import_file(text):
    write("my_faulty.py", text)
    train("my_faulty")


def own_model(module):
    write(f"{module}.py", CLASS.format(f"Of{module}"))
    train(module, f"Of{module}")


def shown_by_python(module):
    done = subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True, text=True)
    assert "line 2" in done.stderr and "ZeroDivisionError" in done.stderr


REMEDIES = {
    "where other programs cannot import it": (
        inside_a_function,
        {"move it to the top of a file such as {}, and write\n    from {} import {}\n    gan = {})": moved_to_a_file},
    ),
    "is defined in the script …. To load checkpoints": (
        run_script,
        {
            "write\n    from {} import {}\n    gan = {})": lambda module, name, call: eval(
                f"{call})", {name: imported(module, name), "path": "m.ckpt"}
            ),
            "commands such as lightning-gans {} the option --import {}.": draw_by,
            'must be below `if __name__ == "__main__":`': imported_without_training,
        },
    ),
    "Checkpoints of this run do not hold": (
        lambda: save(GAN(MLPGenerator((2,), 3, 4), critic())),
        {
            "Pass the same again: {}, generator=generator, discriminator=discriminator)": load_with_parts,
            "build them inside the constructor of a subclass, from arguments that are plain values": build_inside,
            "`lightning-gans {} --import` can load them too": lambda name: draw_by(name, "my_parts"),
        },
    ),
    "which may be any of": (
        lambda: load_unknown("file_of_two.OfTwo"),
        {"call load_from_checkpoint of the class that is meant": lambda: [load(kind) for kind in OF_TWO]},
    ),
    "define a class … again": (
        lambda: load_unknown("__main__.OfCell"),
        {"define a class {} again": defined_again, "or import it from its file": from_its_file},
    ),
    "made by a class of the module": (
        lambda: load_unknown("my_trusted.Trusted", trust=True),
        {
            "give --import {} in the folder of the module's file": in_its_folder,
            "or import it in Python first": imported_first,
        },
    ),
    "which is not installed; add it": (
        lambda: import_file("import my_missing_part"),
        {
            "add it to this environment": lambda: (
                write("my_missing_part.py", ""),
                import_file("import my_missing_part"),
            )
        },
    ),
    "nor an installed module of that name": (
        lambda: train("my_nowhere"),
        {"give the name of a Python file in this folder, without .py": lambda: own_model("my_own")},
    ),
    "expected the name of a module": (lambda: train(""), {"such as {} for my_gans.py": own_model}),
    "the module ends the program": (
        lambda: import_file("raise SystemExit(3)"),
        {
            'what it runs belongs below `if __name__ == "__main__":`': lambda: import_file(
                'if __name__ == "__main__":\n    raise SystemExit(3)\n'
            )
        },
    ),
    "the module cannot be imported": (
        lambda: import_file("x = 1\ny = 1 / 0\n"),
        {"python -c 'import {}' shows where": shown_by_python, "change it": lambda: import_file("x = 1\n")},
    ),
}
MORE = {  # of messages that library_messages does not find
    "which is no imported subclass of": (
        lambda: load_unknown("my_unknown.Unknown"),
        {
            "import it first (from {} import {};": lambda module, name: [
                write(f"{module}.py", CLASS.format(name)),
                imported(module, name),
                load(),
            ],
            "on the command line --import {})": lambda module: draw_by("sample", module),
            "load it with the class that made it": lambda: load(imported("my_unknown", "Unknown")),
        },
    )
}
ELSEWHERE = {
    "If it is yours, give --import": (
        "cli/test_imports.py::test_modules_and_functions_of_an_imported_module_are_built_from_a_checkpoint"
    ),
    "say --trust true (trust=True in Python)": "untrusted/test_malicious_files.py::test_trust_accepts_other_classes",
}


test_a_remedy_works = each_row(REMEDIES | MORE)
