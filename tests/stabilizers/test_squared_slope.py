"""R1 and R2 on a share of the batch, and by a finite difference: closed forms, derivatives, and where D(x) is read."""

import math

import pytest
import torch
from penalties import LinearDiscriminator, QuadraticDiscriminator, assert_derivative, gan_with, smooth
from test_penalty import LABELS, NAMES, Packs
from torch import nn

from lightning_gans import GAN
from lightning_gans.networks import MLPDiscriminator, MLPGenerator
from lightning_gans.stabilizers import Packing, R1Penalty, R2Penalty, SpectralNorm

both_penalties = pytest.mark.parametrize("kind", [R1Penalty, R2Penalty], ids=lambda kind: kind.__name__)


def term(gan, kind, real, fake, seed=1):
    """The penalty of a step, whose first random numbers are those of the difference."""
    torch.manual_seed(seed)
    return gan.discriminator_step(real, fake).terms[NAMES[kind]]


def by_seed(x, seed=1):
    torch.manual_seed(seed)
    return torch.randn_like(x)


# ---------------------------------------------------------------- the finite difference


@both_penalties
@pytest.mark.parametrize("sigma", [1e-2, 3.0])
def test_of_a_linear_discriminator_it_is_the_squared_slope_along_the_difference(kind, sigma):
    w, x = torch.tensor([3.0, -4.0], dtype=torch.float64), torch.rand(5, 2, dtype=torch.float64)
    gan = gan_with(LinearDiscriminator(w), kind(0.7, sigma=sigma)).double()
    expected = 0.7 / 2 * (by_seed(x) @ w).square().mean()
    torch.testing.assert_close(term(gan, kind, x, x), expected)


@both_penalties
def test_of_a_linear_discriminator_value_and_gradient_have_the_exact_mean(kind):
    w, x = torch.tensor([3.0, -4.0], dtype=torch.float64), torch.rand(100_000, 2, dtype=torch.float64)
    gan = gan_with(LinearDiscriminator(w), kind(0.7, sigma=0.1)).double()
    plain = gan.discriminator_step(x, x)
    gan.stabilizers.clear()
    loss = plain.loss - gan.discriminator_step(x, x).loss
    (slope,) = torch.autograd.grad(loss, gan.discriminator.head[0].weight)
    error = 5 * math.sqrt(2 / len(x))  # relative, five standard errors
    torch.testing.assert_close(loss.item(), 0.7 / 2 * 25, rtol=error, atol=0)
    torch.testing.assert_close(slope[0], 0.7 * w, rtol=0, atol=2 * error * 0.7 * 5)


@pytest.mark.parametrize("dim", [1, 4])
def test_its_bias_is_that_of_the_documentation(dim):
    """D(x) = ½‖x‖² has H = I: ½ sigma² (¼ dim² + ½ dim)."""
    sigma, x = 0.8, torch.ones(100_000, dim, dtype=torch.float64)
    gan = gan_with(QuadraticDiscriminator((dim,)), R1Penalty(1.0, sigma=sigma)).double()
    expected = 0.5 * (dim + sigma**2 * (dim**2 / 4 + dim / 2))
    assert term(gan, R1Penalty, x, x).item() == pytest.approx(expected, rel=0.03)
    assert abs(expected - 0.5 * dim) > 0.1 * dim, "what is tested is more than the error"


@both_penalties
def test_of_a_smooth_discriminator_value_and_gradient_are_near_the_exact_ones(kind):
    x = torch.randn(6, 2, dtype=torch.float64).repeat(4_000, 1)
    results = []
    for penalty in (kind(2.0), kind(2.0, sigma=0.01), None):
        gan = smooth(*([penalty] if penalty else []))
        torch.manual_seed(1)
        loss = gan.discriminator_step(x, x).loss
        slopes = torch.autograd.grad(loss, list(gan.discriminator.parameters()))
        results.append(torch.cat([loss.view(1), *(slope.flatten() for slope in slopes)]))
    exact, estimate = (one - results[2] for one in results[:2])
    assert estimate[0].item() == pytest.approx(exact[0].item(), rel=0.05)
    assert (estimate - exact)[1:].norm() < 0.05 * exact[1:].norm()
    assert exact[1:].norm() > 1e-2


@both_penalties
@pytest.mark.parametrize("arguments", [{"sigma": 0.1}, {"sigma": 0.1, "share": 0.5}, {"share": 0.5}], ids=str)
@pytest.mark.parametrize("num_classes", [0, 3])
def test_its_gradient_equals_finite_differences(kind, arguments, num_classes):
    gan = smooth(kind(3.0, **arguments), num_classes=num_classes)
    x, fake = torch.randn(2, 6, 2, dtype=torch.float64)

    def loss():
        torch.manual_seed(1)
        return gan.discriminator_step((x, LABELS) if num_classes else x, fake).loss

    assert_derivative(loss, list(gan.discriminator.parameters()), every=8)


@both_penalties
def test_the_generators_gradient_through_a_lookahead_equals_finite_differences(kind):
    gan = smooth(kind(0.5, sigma=0.1), unroll_steps=2)
    x, z = torch.randn(6, 2, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)

    def loss():
        torch.manual_seed(1)
        return gan.generator_step(x, gan(z)).loss

    assert_derivative(loss, list(gan.generator.parameters()), every=5, rel=1e-5)


# ---------------------------------------------------------------- a share of the batch


@both_penalties
@pytest.mark.parametrize(("share", "rows"), [(1.0, 50), (0.5, 25), (0.21, 11), (0.14, 7), (1e-6, 1)])
def test_the_mean_is_over_the_first_samples(kind, share, rows):
    gan = gan_with(QuadraticDiscriminator((3,)), kind(2.0, share=share))  # 0.14 · 50 is above 7 by rounding
    x, other = torch.randn(2, 50, 3)
    real, fake = (x, other) if kind is R1Penalty else (other, x)
    torch.testing.assert_close(term(gan, kind, real, fake), x[:rows].square().sum() / rows)


@both_penalties
@pytest.mark.parametrize("sigma", [0.0, 0.1])
def test_labels_are_those_of_its_samples(kind, sigma):
    gan, seen = smooth(kind(1.0, share=0.5, sigma=sigma), num_classes=3), []
    gan.discriminator.register_forward_pre_hook(lambda module, args: seen.append(args))
    gan.discriminator_step((torch.randn(6, 2, dtype=torch.float64), LABELS.sort().values))
    assert [len(x) for x, _ in seen] == [6, 6, 3]
    assert seen[-1][1].tolist() == [0, 0, 1]


@both_penalties
@pytest.mark.parametrize("arguments", [{}, {"sigma": 1e-3}], ids=str)
def test_with_packing_it_takes_whole_packs(kind, arguments):
    torch.manual_seed(0)
    gan = GAN(MLPGenerator((2,), 3, 4), MLPDiscriminator((2,), 4, activation=nn.Tanh)).double()
    gan.stabilizers += [Packing(2), kind(1.0, share=0.5, **arguments)]
    gan.stabilizers[0].apply_to(gan)
    x = torch.randn(10, 2, dtype=torch.float64)  # five packs, of which three
    packs = x[:6].clone().requires_grad_()
    (slopes,) = torch.autograd.grad(gan.discriminator(packs).sum(), packs)
    difference = by_seed(x[:6]) * slopes
    expected = difference.view(3, 4).sum(1).square().mean() / 2 if arguments else slopes.square().sum() / 6
    torch.testing.assert_close(term(gan, kind, x, x), expected, rtol=2e-2, atol=0)


# ---------------------------------------------------------------- where D(x) is read


def shown_to(discriminator, sizes):
    discriminator.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))


@both_penalties
@pytest.mark.parametrize(("share", "added"), [(1.0, 8), (0.5, 4), (0.25, 2)])
def test_a_plain_discriminator_has_one_more_forward(kind, share, added, make_gan, batches):
    gan, sizes = make_gan(), []
    gan.stabilizers.append(kind(1.0, share=share, sigma=0.1))
    shown_to(gan.discriminator, sizes)
    gan.discriminator_step(batches(1)[0])
    assert sizes == [8, 8, added]


class Mixing(MLPDiscriminator):
    """A discriminator whose logits have the batch's mean in them."""

    mixes_batch = True

    def features(self, x):
        return super().features(x) + super().features(x).mean(0)


def tanh(kind=MLPDiscriminator, **kwargs):
    return GAN(MLPGenerator((4,), 3, 4), kind((4,), 8, activation=nn.Tanh, **kwargs))


def with_spectral_norm():
    gan = tanh()
    SpectralNorm().apply_to(gan)
    for name, weight in gan.discriminator.named_parameters():
        if name.endswith("original"):
            nn.init.normal_(weight)  # of which the norm changes in every forward, until it is found again
    return gan


CHANGING = {  # in which a second forward differs from the step's
    "Dropout": (lambda: tanh(dropout=0.5), {}),
    "SpectralNorm": (with_spectral_norm, {}),
    "BatchNorm and a share": (lambda: tanh(norm=nn.BatchNorm1d), {"share": 0.5}),
    "a layer that mixes, and a share": (lambda: tanh(Mixing), {"share": 0.5}),
    "packs of its own, and a share": (
        lambda: Packs(MLPGenerator((4,), 3, 4), MLPDiscriminator((8,), 8, activation=nn.Tanh)),
        {"share": 0.5},
    ),
}


@pytest.mark.parametrize("name", CHANGING)
def test_it_measures_the_slope_and_not_what_differs_between_two_forwards(name):
    """Which would be divided by sigma."""
    make, arguments = CHANGING[name]
    x, terms = torch.randn(64, 4, dtype=torch.float64), []
    for sigma in (1e-3, 1e-5):
        torch.manual_seed(0)
        gan = make().double()
        gan.stabilizers = [R1Penalty(1.0, sigma=sigma, **arguments)]
        terms.append(term(gan, R1Penalty, x, x).item())
    assert terms[0] == pytest.approx(terms[1], rel=0.1) and terms[0] > 1e-4


def test_of_mixed_precision_it_is_the_same_as_of_single_precision():
    gan, x = tanh(), torch.randn(256, 4)
    gan.stabilizers.append(R1Penalty(1.0, sigma=0.01))
    single = term(gan, R1Penalty, x, x)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = term(gan, R1Penalty, x, x)
    torch.testing.assert_close(mixed, single, rtol=1e-3, atol=0)


def test_patches_have_the_difference_of_their_mean():
    gan = gan_with(LinearDiscriminator(torch.tensor([3.0, -4.0])), R1Penalty(1.0, sigma=0.1)).double()
    x = torch.rand(5, 2, dtype=torch.float64)
    expected = term(gan, R1Penalty, x, x)
    head = gan.discriminator.head
    gan.discriminator.head = nn.Sequential(head, nn.Unflatten(0, (-1, 1)), nn.Linear(1, 4).double())
    nn.init.constant_(gan.discriminator.head[2].weight, 1.0)
    torch.testing.assert_close(term(gan, R1Penalty, x, x), expected)


# ---------------------------------------------------------------- refusals


@both_penalties
@pytest.mark.parametrize("share", [0.0, -0.5, 1.5, math.nan])
def test_a_share_out_of_range_is_refused(kind, share):
    with pytest.raises(ValueError, match=rf"{kind.__name__}\(share={share}\): expected a number in \(0, 1\], such as"):
        kind(share=share)


@both_penalties
@pytest.mark.parametrize("sigma", [-1.0, math.inf])
def test_a_sigma_out_of_range_is_refused(kind, sigma):
    with pytest.raises(ValueError, match=rf"{kind.__name__}\(sigma={sigma}\): expected a number of at least 0"):
        kind(sigma=sigma)
