"""What a loader gives, as samples and labels: the one place that reads batches, cuts them and says what they lack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

SAMPLE_KEYS = (
    *("image", "images", "img", "imgs", "pixel_values", "x", "data", "sample", "samples", "input", "inputs"),
    *("real", "point", "points"),
)
LABEL_KEYS = ("label", "labels", "y", "target", "targets", "class", "classes")


def samples_and_labels(
    batch: Any, num_classes: int = 0, dtype: torch.dtype | None = None
) -> tuple[Tensor, Tensor | None]:
    """Return the samples of a batch, and its labels as class indices.

    A batch is a tensor of samples, alone or in a tuple or list of one; a pair (samples, labels); or a mapping with
    samples under one of `SAMPLE_KEYS` and labels under one of `LABEL_KEYS`, in upper or lower case. Labels are indices
    (N,) or (N, 1) of any type that holds whole numbers, or one-hot rows (N, num_classes). Their values are checked on
    the CPU only, since it would have to wait for another device.

    Args:
        batch: what a loader gives.
        num_classes: number of labels; with 0 labels are left out.
        dtype: precision of the networks, to which samples are converted; float32 samples are not converted to less, and
            None converts nothing.

    Returns:
        Samples (N, …), floating point, and labels (N,), integers in 0 … num_classes − 1, or None where there are none.

    Raises:
        ValueError: for anything else, saying what came and what is taken.
    """
    x, labels = _entries(batch, bool(num_classes))
    if not isinstance(x, Tensor) or x.dim() == 0:
        raise _not_taken(batch)
    if len(x) == 0:
        raise ValueError(
            f"the loader gave a batch without samples, of shape {tuple(x.shape)}; leave empty batches out."
        )
    x = _as_floats(x, dtype)
    return x, None if labels is None or not num_classes else _as_indices(labels, num_classes, len(x))


def _entries(batch: Any, labelled: bool) -> tuple[Any, Any]:
    if isinstance(batch, Tensor):
        return batch, None
    if isinstance(batch, Mapping):
        return _entry(batch, SAMPLE_KEYS), _entry(batch, LABEL_KEYS) if labelled else None
    if isinstance(batch, tuple | list) and len(batch) in (1, 2):
        return batch[0], batch[1] if len(batch) == 2 else None
    raise _not_taken(batch)


def _entry(batch: Mapping[Any, Any], keys: tuple[str, ...]) -> Any:
    """Return the one entry under a usual key, None where there is none."""
    found = [key for key in batch if str(key).lower() in keys]
    if len(found) > 1:
        raise ValueError(
            f"the loader gave {describe(batch)}, of which {' and '.join(map(repr, found))} could be meant; leave all "
            "but one out, or override unpack_batch of the model, which returns (samples, labels)."
        )
    return batch[found[0]] if found else None


def _not_taken(batch: Any) -> ValueError:
    return ValueError(
        f"the loader gave {describe(batch)}; expected a tensor of samples (N, ...), a pair (samples, labels), or a "
        "dict with samples under image, x, data, ... and labels under label, y, target, ...; change the data set or "
        "its collate_fn, or override unpack_batch of the model, which returns (samples, labels)."
    )


def describe(thing: Any, depth: int = 2) -> str:
    """Return in a few words what something is, such as "a dict with the keys 'image', 'path'"."""
    if isinstance(thing, Tensor):
        return f"a tensor {tuple(thing.shape)}"
    if isinstance(thing, Mapping):
        keys = [repr(key) for key in thing]
        return f"a {type(thing).__name__} with the keys {', '.join(keys[:8])}{', ...' if len(keys) > 8 else ''}"
    if isinstance(thing, tuple | list) and depth:
        kinds = [describe(one, depth - 1) for one in thing[:4]]
        more = ", ..." if len(thing) > 4 else ""
        return f"a {type(thing).__name__} of {len(thing)} ({', '.join(kinds)}{more})"
    return f"a {type(thing).__name__}"


def _as_floats(x: Tensor, dtype: torch.dtype | None) -> Tensor:
    if not x.is_floating_point():
        scaled = {torch.uint8: "x.float() / 127.5 - 1", torch.bool: "x.float() * 2 - 1"}
        remedy = scaled.get(x.dtype, "x.float(), images scaled to [-1, 1]") if x.dim() > 2 else "x.float()"
        raise ValueError(
            f"the loader gave samples of dtype {x.dtype}; expected floating point, images in [-1, 1]; convert them: "
            f"{remedy}."
        )
    if dtype in (None, x.dtype) or (x.dtype == torch.float32 and dtype in (torch.float16, torch.bfloat16)):
        return x
    return x.to(torch.promote_types(dtype, torch.float32))


def _as_indices(labels: Any, num_classes: int, n: int) -> Tensor:
    """Return labels as class indices (n,)."""
    expected = f"expected class indices ({n},) in 0 ... {num_classes - 1}, or one-hot rows ({n}, {num_classes})"
    if not isinstance(labels, Tensor):
        raise ValueError(f"the loader gave {describe(labels)} as labels; {expected}; number the classes from 0.")
    if labels.shape == (n, 1):
        labels = labels[:, 0]
    elif labels.shape == (n, num_classes):
        if labels.device.type == "cpu" and not ((labels != 0).sum(1).eq(1) & (labels == 1).any(1)).all():
            raise ValueError(
                f"the loader gave labels {tuple(labels.shape)} that are not one-hot (one 1 and else 0 in each row); "
                f"{expected}; pass the class of each sample: labels.argmax(1)."
            )
        labels = labels.to(torch.uint8).argmax(1)
    elif labels.shape != (n,):
        raise ValueError(f"the loader gave labels of shape {tuple(labels.shape)}; {expected}.")
    if labels.is_complex():
        raise ValueError(f"the loader gave labels of dtype {labels.dtype}; {expected}; convert them: labels.long().")
    indices = labels if labels.dtype in (torch.int64, torch.int32) else labels.long()
    if labels.device.type == "cpu":
        if labels.is_floating_point() and not torch.equal(indices.to(labels.dtype), labels):
            raise ValueError(f"the loader gave labels that are no whole numbers, such as {_odd(labels)}; {expected}.")
        low, high = (int(end) for end in indices.aminmax())
        if low < 0 or high >= num_classes:
            raise ValueError(
                f"the labels of a batch lie in {low} ... {high}; {expected}; {_remedy(low, high, num_classes)}."
            )
    return indices


def _odd(labels: Tensor) -> float:
    return float(labels[labels.frac() != 0][0]) if labels.isfinite().all() else float("nan")


def _remedy(low: int, high: int, num_classes: int) -> str:
    if low > 0 and high <= num_classes:
        return "subtract 1 from labels that begin at 1: y - 1"
    if low < 0:
        return "leave out samples without a class, or number the classes from 0"
    return f"number the classes from 0, or build the networks with num_classes={high + 1}"


# ---------------------------------------------------------------- one reading of a batch


@contextmanager
def reading(gan: Any, batch: Any, known: Any = None) -> Iterator[Any]:
    """Read a batch once for everything inside the block; yield the samples and labels that `read` returns there.

    Args:
        gan: whose `unpack_batch` reads it; its `last_samples` become the samples of the outermost block.
        batch: what the loader gave; blocks of the same batch inside one another share one reading.
        known: its samples and labels, such as those of a part of a batch; None for what `unpack_batch` returns.
    """
    before = gan.batch_in_hand
    if before is None or before[0] is not batch:
        gan.batch_in_hand = batch, gan.unpack_batch(batch) if known is None else known
    if before is None:
        gan.last_samples = gan.batch_in_hand[1][0]
    try:
        yield gan.batch_in_hand[1]
    finally:
        gan.batch_in_hand = before


def read(gan: Any, batch: Any) -> Any:
    """Return the samples and labels of a batch, as `reading` has them inside its block, else as `unpack_batch` does."""
    held = gan.batch_in_hand
    return held[1] if held is not None and held[0] is batch else gan.unpack_batch(batch)


# ---------------------------------------------------------------- parts of a batch


def parts(batch: Any, number: int, size: int) -> Iterator[tuple[Any, float]]:
    """Yield a batch, of whatever structure, in at most `number` parts of it, each with its share of the samples.

    What has `size` entries is cut; the rest, such as a scale or a matrix of the classes, is in every part as it is.

    Args:
        batch: tensors, and whatever else a loader gives, in tuples, lists and dicts.
        number: of parts, at least 1.
        size: number of samples in it, at least 1.
    """
    if number == 1:
        yield batch, 1.0
        return
    start = 0
    for piece in torch.empty(size).tensor_split(min(number, size)):
        yield _rows(batch, start, start + len(piece), size), len(piece) / size
        start += len(piece)


def _rows(batch: Any, start: int, stop: int, size: int) -> Any:
    """Return the samples from `start` to `stop` of everything in a batch that has one entry per sample."""
    if isinstance(batch, Tensor):
        return batch[start:stop] if batch.dim() and len(batch) == size else batch
    if isinstance(batch, Mapping):
        return {key: _rows(value, start, stop, size) for key, value in batch.items()}
    if not isinstance(batch, tuple | list):
        return batch
    if not _has_tensor(batch):  # names and the like, one for each sample
        return batch[start:stop] if len(batch) == size else batch
    rows = [_rows(one, start, stop, size) for one in batch]
    return type(batch)(*rows) if hasattr(batch, "_fields") else rows


def _has_tensor(batch: Any) -> bool:
    inner = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, tuple | list) else ()
    return isinstance(batch, Tensor) or any(map(_has_tensor, inner))
