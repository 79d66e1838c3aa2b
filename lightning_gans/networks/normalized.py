"""A discriminator whose logits are divided by their slope."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from lightning_gans.networks.packs import samples_in_pack
from lightning_gans.networks.wrappers import DiscriminatorWrapper
from lightning_gans.step import per_sample


class NormalizedDiscriminator(DiscriminatorWrapper):
    """Discriminator that divides each logit by the norm of its gradient with respect to the input, and its own size.

        D̂(x) = D(x) / (‖∇ₓD(x)‖₂ + |D(x)|)

    Logits are in [−1, 1], and 0 where D(x) is. With packs the gradient is that of the pack; of a discriminator of
    patches it is that of the mean logit, and each logit is divided. The gradient is computed in evaluation too, and in
    the precision of the weights, autocast off.

    Args:
        inner: the discriminator to wrap; packs and a reference batch have to be inside.

    Raises:
        ValueError: for a discriminator that overrides `forward`.
    """

    def features(self, x: Tensor) -> Tensor:
        """Map samples (N, *sample_shape) to the features of the wrapped discriminator."""
        return self.inner.features(x)

    @override
    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        with_graph = torch.is_grad_enabled()
        with torch.inference_mode(False), torch.enable_grad(), torch.autocast(x.device.type, enabled=False):
            weight = next(self.parameters(), x)
            if not with_graph:  # in inference mode tensors cannot be part of a graph, and copies can
                x, labels = x.detach().clone(), None if labels is None else labels.clone()
            x = x.to(weight.dtype)  # then x alone, and not what weights in a lookahead have from it
            x = x.view_as(x) if x.requires_grad else x.detach().requires_grad_()
            logits = super().forward(x, labels)
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
            (gradient,) = torch.autograd.grad(per_sample(logits).sum(), x, create_graph=with_graph)
            rows = len(logits)
            gradient = gradient[: rows * samples_in_pack(self.inner)].reshape(rows, -1)  # without an unfinished pack
            slopes = _norms(gradient.to(logits.dtype)).view(-1, *[1] * (logits.dim() - 1))
            sizes = slopes + logits.abs()
            normalized = logits / torch.where(sizes > 0, sizes, 1)
        return normalized if with_graph else normalized.detach()


def _norms(rows: Tensor) -> Tensor:
    """Return the norms (N,) of rows, with a derivative of 0 where a row is 0."""
    squares = rows.square().sum(1)
    positive = squares > 0
    return torch.where(positive, torch.where(positive, squares, 1).sqrt(), 0)
