"""A message of the parser, which is nested and names internal types, as one line with a remedy."""

from __future__ import annotations

import difflib
import inspect
import re

from lightning.pytorch import callbacks, loggers

from lightning_gans import callbacks as our_callbacks
from lightning_gans import data, metrics, models, networks, objectives, optimizers, stabilizers
from lightning_gans.gan import GAN
from lightning_gans.training.checks import PLATEAU

_NOISE = re.compile(
    r"^(Subtypes: .*|Errors:|Given value( type)?: .*|- Expected a <class 'NoneType'>.*|- Expected a path but .*)$"
    r"|^- Not a valid subclass of \w+$|^Subclass types expect one of:$|^- a (class path|dict) .*$"
    r"|Does not validate against any of the Union subtypes|Call to compute_fn of link .*? failed: "
)
_NUMBER = re.compile(r"^- Expected a <class '(?:float|int)'>.*$", re.MULTILINE)  # where a class would do as well
_CLASS = re.compile(r"^- Expected a dot import path string: .*$", re.MULTILINE)


# where an argument is missing, as `model: GAN: generator: PlainGenerator: `, and which ones
_REQUIRED = re.compile(r"((?:[\w.]+: \w+: )*)\s*[\w ]*arguments are required: ([\w.]+(?:, [\w.]+)*)")
_REMEDIES = [
    (r"barebones=True, (\w+)=", r"leave out --trainer.\1 or --trainer.barebones"),
    (r"pip install", "install it, or leave this option out"),
    (
        r"\(save_top_k=\d+, monitor=None\)",
        "give a --checkpoint.monitor, such as val/fd of an Evaluation (configs/metrics/), or --checkpoint.save_top_k 1 "
        "or -1",
    ),
    (r"arguments are required: (?:\w+\.)?model$", "name a model, such as --model DCGAN, or give a --config"),
    (r"^(\w+): (\w+): .*Option '\w+' is not accepted", r"`lightning-gans fit --\1.help \2` lists the options"),
    (r"unrecognized arguments|does not accept option", "`--help` after the command lists the options"),
    (
        r"Import path ([\w.]+) does not correspond to a subclass of (Generator|Discriminator)",
        r"give a plain torch module in a Plain\2: {class_path: Plain\2, init_args: {module: {class_path: \1}}}",
    ),
    (
        r"to be a subclass of|correspond to a subclass of|to be a function that returns|Not a valid subclass of",
        "give the import path of a class of that kind",
    ),
    (r"File does not exist", "give the path of a config"),
    (r"codec can't decode", "a config is a text file; a checkpoint is given as --ckpt_path"),
    (r"No supported gpu backend|No CUDA GPUs|the accelerator is not available", "use --trainer.accelerator cpu"),
]


def one_line(message: str) -> str:
    """Return a parser's nested message without its internal details, and with a remedy."""
    message = "\n".join(line.strip() for line in message.splitlines())
    if re.search(
        r"(?:subclasses with name |Given value: (?:Namespace\(class_path=')?[\w.]*\b)ReduceLROnPlateau\b", message
    ):
        return PLATEAU
    refused = re.search(r"^- (\w+\([^\n]*\)?:? [^\n]*expected [^\n]*)$", message, re.MULTILINE)
    if refused:  # by a constructor, whose message is complete
        return refused[1]
    if _NUMBER.search(message) and _CLASS.search(message):
        message = _CLASS.sub("", message)
    unknown = re.search(
        r"(?:Expected a dot import path string|Unexpected import path format|No module named): ?'?(\w+)", message
    )
    if unknown and unknown[1] == "None":  # jsonargparse reads null below two classes as the name of one
        return "null cannot be given on the command line in place of a network's class; write it in a --config file."
    if unknown:
        if unknown[1] in class_names():
            place = re.match(r"(?:Parser key \")?([\w.]+)", message)
            where = f"{place[1]}: " if place else ""
            return f"{where}the class '{unknown[1]}' is of another kind than expected here; give one that fits."
        close = difflib.get_close_matches(unknown[1], class_names(), 3, 0.5)
        meant = (
            f"did you mean {' or '.join(close)}?" if close else "give a class of this library or a full import path."
        )
        return f"unknown class '{unknown[1]}'; {meant}"
    lines = [_NOISE.sub("", line) for line in message.splitlines()]
    text = " ".join(re.sub(r"^- ", "", line).strip() for line in lines if line) or message
    text = re.sub(r"Parser key \"([^\"]+)\":", r"\1:", text.strip())
    text = re.sub(r"Problem with given class_path '(?:\w+\.)*(\w+)':", r"\1:", text)
    text = re.sub(r"Type \S.*? expects a function or a callable class: ", "", text)
    text = re.sub(r"\.*\s*Got value: (Namespace\(|\{'(class_path|init_args)).*", "", text)
    given = re.search(r"Given value: (?!\[?(?:Namespace|NestedArg))(.+)", message)
    if given and "Got value" not in text and "subclass of" not in text:
        text += f". Got value: {given[1]}"
    for pattern, remedy in _REMEDIES:
        found = re.search(pattern, text)
        if found and (advice := found.expand(remedy)) not in text:  # it has been through this, in another process
            return f"{text.rstrip('.')}; {advice}."
    required = _REQUIRED.match(text)
    if required:
        prefix = "".join(f"{name}." for name in required[1].split(": ")[:-1:2])
        remedy = "give " + " and ".join(f"--{prefix}{name}" for name in required[2].split(", "))
        return f"{required[0]}; {remedy}."
    return text


def class_names() -> list[str]:
    """Return the short class names that a config may use."""
    homes = (models, data, networks, stabilizers, our_callbacks, metrics, objectives, optimizers, callbacks, loggers)
    kinds = {"GAN": GAN} | {name: kind for home in homes for name, kind in vars(home).items()}
    return sorted(name for name, kind in kinds.items() if _is_concrete(kind))


def _is_concrete(kind: object) -> bool:
    ours = isinstance(kind, type) and kind.__module__.startswith(("lightning_gans", "lightning.pytorch"))
    return ours and not inspect.isabstract(kind)
