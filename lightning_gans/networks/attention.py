"""Self-attention over the positions of a map."""

import torch
from torch import Tensor, nn

from lightning_gans import arguments


class SelfAttention(nn.Module):
    """Add to every position of a map what it gathers from all positions, weighted by how well they fit it.

        s_ij = f(x_i) · g(x_j),    β_ji = exp(s_ij) / Σ_k exp(s_kj),    o_j = v(Σ_i β_ji h(x_i)),    y_j = γ o_j + x_j

    f, g, h and v are 1 × 1 convolutions without bias; f, g and h make an eighth of the channels. γ is learned and
    starts at 0, at which the layer returns its input: the network first uses what is near, then what is far. It keeps
    (H · W)² numbers for each sample, so it stands at maps of 16 × 16 or 32 × 32.

    Args:
        channels: channels of the map, at least 1.

    Raises:
        ValueError: if an argument is out of its range.

    Reference:
        Zhang, Goodfellow, Metaxas, Odena, "Self-Attention Generative Adversarial Networks", ICML 2019,
        arXiv 1805.08318, equations 1 to 3.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        arguments.whole(self, 1, channels=channels)
        inner = max(channels // 8, 1)
        self.f = nn.Conv2d(channels, inner, 1, bias=False)
        self.g = nn.Conv2d(channels, inner, 1, bias=False)
        self.h = nn.Conv2d(channels, inner, 1, bias=False)
        self.v = nn.Conv2d(inner, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(1))
        for layer in (self.f, self.g, self.h, self.v):
            nn.init.xavier_uniform_(layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        f, g, h = (layer(x).flatten(2) for layer in (self.f, self.g, self.h))
        weights = torch.bmm(f.transpose(1, 2), g).softmax(1)  # a column for each j; it has a double backward
        gathered = torch.bmm(h, weights).unflatten(2, x.shape[2:])
        return x + self.gamma * self.v(gathered)
