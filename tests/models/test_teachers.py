"""Whether a classifier's gradient has structure: against plain loops, and what is said of it."""

import pytest
import torch
from torch import nn

from lightning_gans import SEPGAN
from lightning_gans.models.teachers import gradient_correlation
from lightning_gans.networks import DigitClassifier, RobustDigitClassifier, StochasticEnsembleGenerator
from lightning_gans.targets import OwnGuess


class Fixed(nn.Module):
    """A classifier whose logits are products of the image with two fixed pictures."""

    input_shape = (1, 6, 5)

    def __init__(self, first, second):
        super().__init__()
        self.weight = nn.Parameter(torch.stack([first, second]).double(), requires_grad=False)

    def forward(self, x):
        return x.double().flatten(1) @ self.weight.flatten(1).T


def by_loops(g):
    rows = g.tolist()
    pairs = sum(rows[i][j] * rows[i + 1][j] for i in range(len(rows) - 1) for j in range(len(rows[0])))
    pairs += sum(rows[i][j] * rows[i][j + 1] for i in range(len(rows)) for j in range(len(rows[0]) - 1))
    return pairs / 2 / sum(x * x for row in rows for x in row)


def test_it_equals_plain_loops():
    """The gradient is a multiple of the difference of the two pictures, whichever class is wanted."""
    pictures = torch.randn(2, 6, 5)
    expected = by_loops(pictures[0] - pictures[1])
    assert gradient_correlation(Fixed(*pictures), torch.rand(4, 1, 6, 5)) == pytest.approx(expected, rel=1e-5)


def test_flat_gradients_correlate_and_checkers_do_the_opposite():
    flat, checkers = torch.ones(6, 5), (torch.arange(6)[:, None] + torch.arange(5)) % 2 * 2.0 - 1
    zero, x = torch.zeros(6, 5), torch.rand(4, 1, 6, 5)
    assert gradient_correlation(Fixed(flat, zero), x) == pytest.approx((5 * 5 + 6 * 4) / 2 / 30)
    assert gradient_correlation(Fixed(checkers, zero), x) == pytest.approx(-(5 * 5 + 6 * 4) / 2 / 30)
    assert gradient_correlation(Fixed(zero, zero), x) == 0


@pytest.mark.parametrize(("classifier", "said"), [(DigitClassifier, True), (RobustDigitClassifier, False)])
def test_an_ordinary_teacher_is_said_to_make_textures_before_training(fit, caplog, classifier, said):
    caplog.set_level("INFO", logger="lightning.pytorch.utilities.rank_zero")
    torch.manual_seed(0)
    gan = SEPGAN(StochasticEnsembleGenerator((1, 28, 28), width=4, groups=2), classifier(), OwnGuess())
    fit(gan, 1)
    found = [line for line in caplog.messages if line.startswith("SEPGAN: the gradient of DigitClassifier hardly")]
    assert len(found) == said and all("RobustClassifier trains one" in line for line in found)
