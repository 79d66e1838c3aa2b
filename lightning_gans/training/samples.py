"""What the samples of a first batch must be: of the networks' shape, finite, images in [−1, 1]."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_gans.ranges import has_images, is_outside, remedy_of_range, spans


def check_samples(x: Tensor, sample_shape: Sequence[int], kind: str = "training") -> tuple[float, float]:
    """Require samples of the networks' shape, finite and, if they are images, in [−1, 1]; return their ends.

    Raises:
        ValueError: naming the shape or range of a first batch of this kind, and the remedy.
    """
    came, expected = tuple(x.shape[1:]), tuple(sample_shape)
    if came != expected:
        raise ValueError(
            f"the data has samples of shape {came}, but the networks are made for {expected}; "
            f"{_remedy_of_shape(tuple(x.shape), expected)}."
        )
    if not torch.isfinite(x).all():
        bad = int((~torch.isfinite(x)).flatten(1).any(1).sum())
        raise ValueError(f"{bad} of the {len(x)} samples in the first batch hold NaN or infinity; clean the data.")
    low, high = (float(end) for end in x.aminmax())
    if has_images(x) and is_outside(low, high):
        of = "" if kind == "training" else f" of {kind}"
        raise ValueError(
            f"images must lie in [-1, 1], but the first batch{of} spans {spans(low, high)}; scale them: "
            f"{remedy_of_range(low, high)}."
        )
    return low, high


def _remedy_of_shape(batch: tuple[int, ...], expected: tuple[int, ...]) -> str:
    came = batch[1:]
    if batch == expected:
        return "this is one sample without a batch dimension: give the DataLoader a batch_size"
    if len(came) == 3 and (came[2], *came[:2]) == expected:
        return "the channels come last: x.permute(0, 3, 1, 2)"
    if len(came) == 3 and came[:2] == expected[1:] and (came[2], expected[0]) == (4, 3):
        return "the channels come last, and the fourth is transparency: x[..., :3].permute(0, 3, 1, 2)"
    if len(came) == 3 and came[1:] == expected[1:] and (came[0], expected[0]) == (4, 3):
        return 'the fourth channel is transparency: image.convert("RGB") before ToTensor(), or x[:, :3]'
    if (1, *came) == expected:
        return "the channel is missing: x.unsqueeze(1)"
    if came == (1, *expected):
        return "there is a dimension too many: x.squeeze(1)"
    return "give the model the data's shape, or let the data module resize (its `size`)"
