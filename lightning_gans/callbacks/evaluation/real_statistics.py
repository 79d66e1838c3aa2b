"""Statistics of real samples on disk; each file names the data and the feature network that it was made from."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lightning_gans.callbacks.evaluation.real_samples import RealSamples
from lightning_gans.metrics import Score

_NOT_SAMPLES = ("batch_size", "labels", "num_workers", "flips")  # arguments of data that leave its samples as they are


class RealStatistics:
    """The statistics that one score keeps of the real samples, in a file that other runs on the same data find.

    The file is a safetensors file; its name gives data, split, number of samples, score and feature network, and ends
    in a short hash of all their settings. Its metadata hold hashes of a few samples, of the network's weights
    and of the statistics themselves, so that a file of other data, of another network or with other numbers is refused.
    It is written as a whole or not at all.

    Args:
        folder: where files are kept.
        score: whose statistics they are.
        samples: the real samples; without a data module, whose settings are known, the name depends on `few`.
        count: how many real samples.
        few: a few of them, (n, …), by which the data is recognised.
    """

    def __init__(self, folder: str | Path, score: Score, samples: RealSamples, count: int, few: Tensor):
        self.folder = Path(folder)
        self.score = score
        self.samples = samples
        self.count = count
        self.few = few
        self.marks = {
            "split": samples.split,
            "count": str(count),
            "shape": json.dumps(list(few.shape[1:])),
            "data": fingerprint([few]),
            "network": fingerprint(weights(score)),
        }

    @property
    def path(self) -> Path:
        """The file."""
        data, split = self.samples.data, self.samples.split
        settings = [describe(self.score), split, self.count, list(self.few.shape[1:]), describe(data, _NOT_SAMPLES)]
        if data is None or not _keeps_arguments(data):  # the samples identify it
            settings.append(self.marks["data"])
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
        parts = [self.samples.data_name, split, self.count, type(self.score).__name__, network_name(self.score), digest]
        return self.folder / ("_".join(str(part) for part in parts if part) + ".safetensors")

    def read(self) -> dict[str, Tensor] | None:
        """Return the statistics, or None where there is no file yet.

        Raises:
            ValueError: for a file that cannot be read, or was made of other data or by another network.
        """
        from safetensors import SafetensorError, safe_open

        if not self.path.is_file():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                marks = file.metadata() or {}
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
        except (SafetensorError, OSError, ValueError) as error:
            raise ValueError(
                f"the statistics of real samples in '{self.path}' cannot be read ({type(error).__name__}); delete the "
                "file, and it is made again."
            ) from None
        for mark, what in (("network", "by another feature network"), ("data", "of other data"), (None, "otherwise")):
            if any(marks.get(name) != own for name, own in self.marks.items() if mark in (name, None)):
                raise ValueError(
                    f"the statistics of real samples in '{self.path}' were made {what} than this run's; delete the "
                    "file, or give Evaluation another folder (its `statistics`)."
                )
        if "content" not in marks:  # of an older version, which kept no hash of the statistics themselves
            return None
        if marks["content"] != _fingerprint_by_name(state):
            raise ValueError(
                f"the statistics of real samples in '{self.path}' were changed after they were written; delete the "
                "file, and it is made again."
            )
        return state

    def write(self, state: dict[str, Tensor]) -> None:
        """Write the statistics; of two runs that do so at once, one is kept."""
        from safetensors.torch import save

        state = {name: value.detach().cpu().contiguous() for name, value in state.items()}
        content = save(state, {**self.marks, "content": _fingerprint_by_name(state)})
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, part = tempfile.mkstemp(dir=self.folder, suffix=".part")
        except OSError as error:
            raise ValueError(
                f"Evaluation(statistics={str(self.folder)!r}): expected a folder to write to ({error.strerror}); give "
                "another, or None (null in YAML) to keep nothing."
            ) from None
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.chmod(part, 0o644)  # mkstemp's files are for one user only
            os.replace(part, self.path)
        finally:
            Path(part).unlink(missing_ok=True)


def network_name(score: Score) -> str:
    """Return the class of a score's feature network; "" where it has none."""
    return "" if score.network is None else type(score.network).__name__


def describe(thing: Any, without: tuple[str, ...] = (), depth: int = 4) -> Any:
    """Return an object as its class and arguments, which it keeps as attributes; tensors as their hash."""
    if thing is None or isinstance(thing, bool | int | float | str):
        return thing
    if isinstance(thing, Tensor):
        return fingerprint([thing])
    if isinstance(thing, list | tuple):
        return [describe(one, without, depth) for one in thing]
    if isinstance(thing, dict):
        return {str(key): describe(value, without, depth) for key, value in thing.items()}
    name = f"{type(thing).__module__}.{type(thing).__qualname__}"
    if depth == 0 or (callable(thing) and not isinstance(thing, nn.Module)):
        return getattr(thing, "__qualname__", name)
    names = [one for one in inspect.signature(type(thing).__init__).parameters if one not in without]
    arguments = {one: describe(getattr(thing, one), (), depth - 1) for one in names if hasattr(thing, one)}
    return [name, arguments]


def _keeps_arguments(thing: Any) -> bool:
    parameters = inspect.signature(type(thing).__init__).parameters.values()
    named = [one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    return all(hasattr(thing, name) for name in named[1:])


def weights(thing: Any, seen: set[int] | None = None) -> Iterator[Tensor]:
    """Yield every weight of a score's networks, also of those that a tuple keeps out of checkpoints."""
    seen = set() if seen is None else seen
    if isinstance(thing, tuple | list):
        for one in thing:
            yield from weights(one, seen)
    elif isinstance(thing, nn.Module) and id(thing) not in seen:
        seen.add(id(thing))
        for name, value in vars(thing).items():
            if name in ("_parameters", "_buffers"):
                yield from (tensor for tensor in value.values() if tensor is not None)
            elif name == "_modules":
                yield from weights(list(value.values()), seen)
            elif isinstance(value, tuple | nn.Module):
                yield from weights(value, seen)


def _fingerprint_by_name(state: dict[str, Tensor]) -> str:
    return "-".join(f"{name}:{fingerprint([state[name]])}" for name in sorted(state))


def fingerprint(tensors: Iterable[Tensor]) -> str:
    """Return a hash of the values, shapes and types of tensors."""
    digest = hashlib.sha256()
    for tensor in tensors:
        value = tensor.detach().cpu().contiguous()
        digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
        digest.update(value.flatten().view(torch.uint8).numpy().tobytes() if value.numel() else b"")
    return digest.hexdigest()[:16]
