"""Trained generators: loaded from a checkpoint, or exported to a file that contains nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from lightning.pytorch.cli import instantiate_module
from torch import Tensor

from lightning_gans import checkpoints
from lightning_gans.gan import GAN
from lightning_gans.networks import Generator
from lightning_gans.stabilizer import rebuild_network_changes

_FORMAT = "lightning_gans generator 1"
_RECIPE = ("gan_class", "hyper_parameters", "gan_network_changes")


def load(checkpoint: str | Path, trust: bool = False) -> GAN:
    """Load the GAN of a checkpoint of `lightning-gans fit`, on the CPU and in evaluation mode.

    Only tensors and plain types are read from the file; its class must be a `GAN`, and only the classes that a GAN is
    made of are built. For an exported generator the discriminator is untrained.

    Args:
        checkpoint: a checkpoint, or a generator.safetensors of `lightning-gans export`.
        trust: import and build whatever classes the file names, once you know who made it.

    Raises:
        FileNotFoundError: where there is no such file.
        ValueError: where the file is not a checkpoint of a GAN made by the command line, or names unknown classes.
    """
    if not Path(checkpoint).is_file():
        raise FileNotFoundError(
            f"no checkpoint at '{checkpoint}'; runs keep theirs in runs/<experiment>/<version>/checkpoints/."
        )
    try:
        if _is_exported(checkpoint):
            gan = _gan_of_export(checkpoint, trust)
        else:
            gan = GAN.load_from_checkpoint(checkpoint, map_location="cpu", trust=trust)
    except Exception as error:  # an unknown class, a missing network, a refused argument
        raise ValueError(f"'{checkpoint}' cannot be rebuilt as a GAN: {checkpoints.reason_of(error)}") from error
    return gan.eval()


def load_generator(path: str | Path, trust: bool = False) -> Generator:
    """Load the generator of an exported file or of a checkpoint, on the CPU and in evaluation mode.

    Draw samples with `generator(generator.latents.sample(n))`, or with labels (n,) where it has classes.

    Args:
        path: such as generator.safetensors.
        trust: import and build whatever classes the file names, once you know who made it.

    Raises:
        FileNotFoundError: where there is no such file.
        ValueError: where the file is neither, or names unknown classes.
    """
    return load(path, trust).generator


def export(checkpoint: str, out: str = "generator.safetensors", trust: bool = False) -> None:
    """Write the generator of a checkpoint, without the rest, to a file that is safe to share and to load.

    The file is in the format safetensors, which cannot contain code: the weights of the generator (their average, with
    GeneratorEMA) and, as JSON in the file's header, the classes and arguments from which it is built. It is a fraction
    of the checkpoint's size. All commands for trained generators accept it as `--checkpoint`; in Python, load it by

      generator = lightning_gans.generation.load_generator("generator.safetensors")

    Args:
        checkpoint: a checkpoint of `lightning-gans fit`, such as runs/<experiment>/<version>/checkpoints/last.ckpt.
        out: the file to write, with the ending .safetensors. An existing file is replaced.
        trust: import and build whatever classes the checkpoint names, once you know who made it.
    """
    from safetensors.torch import save

    if not _is_exported(out):
        raise ValueError(f"out='{out}': expected a name that ends in .safetensors.")
    if _is_exported(checkpoint):
        raise ValueError(f"'{checkpoint}' is an exported generator already; give a checkpoint.")
    gan = load(checkpoint, trust)
    content = checkpoints.read_checkpoint(checkpoint)
    recipe = {name: content[name] for name in _RECIPE if name in content}
    recipe["generator_updates"] = gan.generator_updates
    state = {name: tensor for name, tensor in gan.generator.state_dict().items() if isinstance(tensor, Tensor)}
    data = save(
        {name: tensor.detach().clone().contiguous() for name, tensor in state.items()},
        {"format": _FORMAT, "recipe": json.dumps(recipe)},
    )
    part = Path(f"{out}.part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        os.replace(part, out)  # so that the file is complete or as before
    finally:
        part.unlink(missing_ok=True)
    print(
        f"The generator of {type(gan).__name__} after {gan.generator_updates} generator updates, "
        f"{sum(map(Tensor.numel, state.values())):,} numbers: {out}"
    )


def _is_exported(path: str | Path) -> bool:
    return Path(path).suffix.lower() == ".safetensors"


def _gan_of_export(path: str | Path, trust: bool) -> GAN:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        marks = file.metadata() or {}
        if marks.get("format") != _FORMAT:
            raise ValueError("it is not a generator of `lightning-gans export`; give one, or a checkpoint.")
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    recipe: Any = json.loads(marks.get("recipe", ""))
    if not isinstance(recipe, dict):
        raise ValueError("its recipe does not hold settings by name; the file is damaged: export it again.")
    if not trust:
        checkpoints.check_settings(recipe)
    kind: Any = checkpoints.class_that_made(recipe, GAN, trust)
    settings = dict(recipe.get("hyper_parameters", {}))
    by_config = settings.pop("_instantiator", None) is not None
    gan = instantiate_module(kind, settings) if by_config else kind(**settings)
    for change in rebuild_network_changes(recipe):
        change.apply_to(gan)
    gan.generator.load_state_dict(state)
    gan.generator_updates = int(recipe.get("generator_updates", 0))
    return gan
