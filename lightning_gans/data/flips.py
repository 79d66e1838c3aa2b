"""Random horizontal flips of training images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def flipped(batch: Any) -> Any:
    """Return images, each mirrored left to right with probability ½ by torch's default generator.

    Args:
        batch: images (N, C, H, W) or one (C, H, W), alone or as a pair with labels.
    """
    x, *labels = (batch,) if isinstance(batch, Tensor) else batch
    mirrored = torch.rand(x.shape[:-3]) < 0.5
    x = torch.where(mirrored[..., None, None, None], x.flip(-1), x)
    return (x, *labels) if labels else x
