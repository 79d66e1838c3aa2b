"""Gradient normalisation: closed forms, its slope, packs, patches, evaluation, and what it is given after."""

import pytest
import torch
from helpers import sgds
from lightning.pytorch import Trainer
from penalties import LinearDiscriminator, assert_derivative, smooth
from torch import nn
from torch.utils.data import DataLoader

from lightning_gans import GAN
from lightning_gans.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    Discriminator,
    MLPDiscriminator,
    MLPGenerator,
    NormalizedDiscriminator,
)
from lightning_gans.objectives import Hinge, Wasserstein
from lightning_gans.stabilizers import GradientNormalization, MinibatchStdDev, Packing, VirtualBatchNorm

W = torch.tensor([3.0, -4.0], dtype=torch.float64)


def normalized(inner):
    return NormalizedDiscriminator(inner).double()


def rows(n, *shape):
    return torch.randn(n, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def expected_of(function, x):
    """f / (‖∇f‖ + |f|) of single rows, by central differences."""
    values = []
    for row in x:
        flat, slope = row.flatten(), []
        for place in range(len(flat)):
            shift = torch.zeros_like(flat)
            shift[place] = 1e-6
            ends = [function((flat + sign * shift).view(row.shape)[None]).item() for sign in (1, -1)]
            slope.append((ends[0] - ends[1]) / 2e-6)
        size = function(row[None]).item()
        values.append(size / (sum(one**2 for one in slope) ** 0.5 + abs(size)))
    return torch.tensor(values, dtype=torch.float64)


# ---------------------------------------------------------------- the formula


def test_a_linear_discriminator_has_the_closed_form():
    x = rows(20, 2)
    logits = x @ W + 0.5
    found = normalized(LinearDiscriminator(W, b=0.5))(x)
    torch.testing.assert_close(found, logits / (5 + logits.abs()))


def test_its_gradient_has_the_closed_form():
    x = rows(20, 2).requires_grad_()
    network = normalized(LinearDiscriminator(W))
    (slope,) = torch.autograd.grad(network(x).sum(), x)
    torch.testing.assert_close(slope, 5 * W / (5 + (x @ W).abs()).square()[:, None])


@pytest.mark.parametrize("num_classes", [0, 3])
def test_any_discriminator_has_the_formula(num_classes):
    torch.manual_seed(0)
    inner = MLPDiscriminator((2,), 5, activation=nn.Tanh, num_classes=num_classes).double()
    x, labels = rows(6, 2), torch.arange(6) % 3 if num_classes else None
    given = [] if labels is None else [labels]
    logits = [
        expected_of(lambda row, i=i: inner(row, *(one[i : i + 1] for one in given)), x[i : i + 1])[0] for i in range(6)
    ]
    torch.testing.assert_close(normalized(inner)(x, *given), torch.stack(logits), atol=1e-7, rtol=1e-6)


def test_its_slope_is_at_most_1_between_kinks_whatever_the_weights():
    torch.manual_seed(0)
    inner = MLPDiscriminator((2,), 16, depth=3)
    for weight in inner.parameters():
        nn.init.normal_(weight, std=3.0)
    x = rows(2_000, 2).requires_grad_()
    network = normalized(inner)
    (slope,) = torch.autograd.grad(network(x).sum(), x)
    (plain,) = torch.autograd.grad(Discriminator.forward(network, x).sum(), x)
    assert plain.norm(dim=1).max() > 100 and slope.norm(dim=1).max() <= 1 + 1e-9
    assert network(x).abs().max() <= 1


@pytest.mark.parametrize("value", [0.0, 2.0])
def test_a_flat_discriminator_has_finite_logits_and_gradients(value):
    network = normalized(LinearDiscriminator(0 * W, b=value))
    logits = network(rows(3, 2))
    logits.sum().backward()
    assert logits.tolist() == [float(value > 0)] * 3
    assert all(weight.grad.isfinite().all() for weight in network.parameters())


def test_of_patches_each_logit_is_divided_by_the_slope_of_their_mean():
    inner = LinearDiscriminator(W).double()
    inner.head = nn.Sequential(inner.head[0], nn.Linear(1, 2).double(), nn.Unflatten(1, (1, 1, 2)))
    x = rows(4, 2)
    patches = inner(x)
    factor = (inner.head[1].weight.mean() * (W @ W).sqrt()).abs()
    torch.testing.assert_close(normalized(inner)(x), patches / (factor + patches.abs()))


@pytest.mark.parametrize(("number", "samples"), [(8, 2), (7, 2), (8, 3), (2, 3)])
def test_with_packing_the_gradient_is_that_of_the_pack(number, samples):
    torch.manual_seed(0)
    gan = GAN(MLPGenerator((2,), 3, 4), MLPDiscriminator((2,), 6, activation=nn.Tanh)).double()
    Packing(samples).apply_to(gan)
    packed = gan.discriminator.eval()
    x = rows(number, 2)
    kept = max(number // samples, 1) * samples
    packs = x[torch.arange(kept) % number].view(-1, samples, 2)
    expected = expected_of(lambda row: packed(row[0]), packs)
    GradientNormalization().apply_to(gan)
    found = gan.double().discriminator.eval()(x)
    if number >= samples:
        torch.testing.assert_close(found, expected, atol=1e-7, rtol=1e-6)
    assert found.shape == expected.shape and found.abs().max() <= 1


# ---------------------------------------------------------------- in training and evaluation


def gan_with(*stabilizers, of=GAN, num_classes=0, **kwargs):
    torch.manual_seed(0)
    networks = MLPGenerator((2,), 3, 4, num_classes=num_classes), MLPDiscriminator((2,), 4, num_classes=num_classes)
    gan = of(*networks, **kwargs)
    gan.stabilizers += stabilizers
    for one in stabilizers:
        one.apply_to(gan)
    return gan


def test_the_gradient_of_both_players_equals_finite_differences():
    gan = smooth(GradientNormalization())
    gan.stabilizers[0].apply_to(gan)
    gan = gan.double()
    x, z = rows(6, 2), torch.randn(6, 3, dtype=torch.float64)
    fake = gan(z).detach()
    of_discriminator = list(gan.discriminator.parameters())
    assert_derivative(lambda: gan.discriminator_step(x, fake).loss, of_discriminator, every=11)
    assert_derivative(lambda: gan.generator_step(x, gan(z)).loss, list(gan.generator.parameters()), every=11)


def test_the_generators_gradient_through_a_lookahead_equals_finite_differences():
    gan = smooth(GradientNormalization(), unroll_steps=1)
    gan.stabilizers[0].apply_to(gan)
    gan = gan.double()
    x, z = rows(6, 2), torch.randn(6, 3, dtype=torch.float64)
    assert_derivative(lambda: gan.generator_step(x, gan(z)).loss, list(gan.generator.parameters()), every=20, rel=1e-5)


def test_hinge_has_the_gradients_of_wasserstein():
    slopes = []
    for objective in (Hinge(), Wasserstein()):
        gan = gan_with(GradientNormalization(), objective=objective)
        torch.manual_seed(1)
        loss = gan.discriminator_step(torch.rand(8, 2)).loss
        slopes.append(
            torch.cat([one.flatten() for one in torch.autograd.grad(loss, list(gan.discriminator.parameters()))])
        )
    torch.testing.assert_close(*slopes)
    assert slopes[0].norm() > 1e-3


@pytest.mark.parametrize("num_classes", [0, 2])
@pytest.mark.parametrize("inference_mode", [True, False])
def test_validation_sees_the_same_logits(inference_mode, num_classes):
    gan = gan_with(GradientNormalization(), num_classes=num_classes, objective=Wasserstein())
    x = torch.rand(8, 2, generator=torch.Generator().manual_seed(0))
    labels = [torch.arange(8) % num_classes] if num_classes else []
    trainer = Trainer(
        inference_mode=inference_mode,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    (found,) = trainer.validate(gan, DataLoader([[x, *labels]], batch_size=None), verbose=False)
    assert found["val/real_logit"] == pytest.approx(gan.discriminator(x, *labels).mean().item(), rel=1e-5)
    with torch.no_grad():
        logits = gan.discriminator(x, *labels)
    assert not logits.requires_grad and logits.grad_fn is None


def test_under_autocast_it_is_in_single_precision():
    network = NormalizedDiscriminator(MLPDiscriminator((2,), 4))
    x = torch.rand(8, 2)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = network(x)
    assert torch.equal(mixed, network(x))


def test_the_reference_of_virtual_batch_norm_is_filled_inside_it():
    networks = DCGANGenerator((1, 8, 8), 3, width=2), DCGANDiscriminator((1, 8, 8), width=2, norm_first=True)
    gan = GAN(*networks)
    for one in (VirtualBatchNorm(size=4, generator=False), GradientNormalization()):
        gan.stabilizers.append(one)
        one.apply_to(gan)
    x = torch.rand(8, 1, 8, 8)
    gan.train_batch(x, *sgds(gan))
    assert torch.equal(gan.discriminator.inner.reference, x[:4])


# ---------------------------------------------------------------- warnings and refusals


@pytest.mark.parametrize("place", [0, 1])
def test_a_layer_that_mixes_a_batch_is_warned_of(fit, recwarn, place):
    callbacks = [MinibatchStdDev()]
    callbacks.insert(place, GradientNormalization())
    fit(gan_with(), callbacks=callbacks)
    said = [str(w.message) for w in recwarn if "GradientNormalization with MinibatchStdDevLayer" in str(w.message)]
    assert len(said) == 1


@pytest.mark.parametrize(
    ("later", "says"),
    [(Packing(2), "pack once, and before"), (VirtualBatchNorm(size=4), "come before GradientNormalization")],
    ids=repr,
)
def test_what_wraps_the_features_is_refused_after_it(later, says):
    gan = GAN(DCGANGenerator((1, 8, 8), 3, width=2), DCGANDiscriminator((1, 8, 8), width=2, norm_first=True))
    GradientNormalization().apply_to(gan)
    with pytest.raises(ValueError, match=rf"is a NormalizedDiscriminator already; .*{says}"):
        later.apply_to(gan)


def test_a_discriminator_with_its_own_forward_is_refused():
    class Own(MLPDiscriminator):
        def forward(self, x, labels=None):
            return self.layers(x).sum(1)

    with pytest.raises(ValueError, match=r"GradientNormalization\(\): Own is not a Discriminator of features and head"):
        GradientNormalization().apply_to(GAN(MLPGenerator((2,), 3, 4), Own((2,), 4)))
