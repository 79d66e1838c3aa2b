"""The gradient penalty against closed forms and finite differences."""

import math

import pytest
import torch
from penalties import LinearDiscriminator, QuadraticDiscriminator
from torch import nn

from lightning_gans import GAN
from lightning_gans.networks import MLPDiscriminator, MLPGenerator
from lightning_gans.objectives import NonSaturating, Wasserstein
from lightning_gans.stabilizers import GradientPenalty


def gan_with(discriminator, penalty, **kwargs):
    gan = GAN(MLPGenerator(discriminator.sample_shape, 3, width=4), discriminator, Wasserstein(), **kwargs)
    gan.stabilizers.append(penalty)
    return gan


def penalty_of(gan, x, fake=None):
    return gan.discriminator_step(x, fake).terms["gradient_penalty"].item()


SHAPES = [(1,), (5,), (2, 3), (1, 8, 8), (3, 4, 5)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n", [1, 2, 7])
def test_a_linear_critic_pays_its_slope(shape, n):
    w = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    gan = gan_with(LinearDiscriminator(w), GradientPenalty(3.0, target=0.5))
    expected = 3.0 * (w.norm().item() - 0.5) ** 2
    assert penalty_of(gan, torch.rand(n, *shape)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n", [1, 2, 64])
def test_a_1_lipschitz_critic_pays_nothing_whatever_the_batch_and_shape(shape, n):
    w = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    assert penalty_of(gan_with(LinearDiscriminator(w / w.norm()), GradientPenalty()), torch.rand(n, *shape)) < 1e-10


def test_it_is_added_to_the_loss_with_its_weight():
    gan, x, fake = (
        gan_with(LinearDiscriminator(torch.tensor([3.0, 4.0])), GradientPenalty(2.0)),
        torch.rand(4, 2),
        torch.rand(4, 2),
    )
    step = gan.discriminator_step(x, fake)
    loss = Wasserstein().discriminator_loss(step.real_logits, step.fake_logits)
    torch.testing.assert_close(step.loss, loss + 2.0 * (5 - 1) ** 2)
    assert not step.terms["gradient_penalty"].requires_grad


@pytest.mark.parametrize("shape", [(2,), (2, 4, 4)])
def test_the_norm_is_per_sample(shape):
    gan = gan_with(critic := QuadraticDiscriminator(shape), GradientPenalty(10.0))
    penalty = penalty_of(gan, torch.randn(6, *shape), torch.randn(6, *shape))
    slopes = [math.sqrt(sum(value**2 for value in x.flatten().tolist())) for x in critic.shown[2]]
    assert penalty == pytest.approx(10 * sum((slope - 1) ** 2 for slope in slopes) / 6, rel=1e-5)
    assert len({round(slope, 3) for slope in slopes}) == 6


@pytest.mark.parametrize("shape", [(2,), (3, 4, 4)])
def test_one_epsilon_per_sample_puts_it_between_real_and_fake(shape):
    gan = gan_with(critic := QuadraticDiscriminator(shape), GradientPenalty())
    real, fake = torch.randn(2, 400, *shape)
    gan.discriminator_step(real, fake)
    mixed = critic.shown[2]
    epsilons = ((mixed - fake) / (real - fake)).flatten(1)
    middle = epsilons.median(1).values
    torch.testing.assert_close(epsilons, middle[:, None].expand_as(epsilons), atol=0.02, rtol=0)
    assert middle.min() >= 0 and middle.max() <= 1
    assert middle.mean().item() == pytest.approx(0.5, abs=0.05) and middle.std().item() == pytest.approx(0.29, abs=0.03)


def smooth(num_classes=0):
    torch.manual_seed(0)
    discriminator = MLPDiscriminator((2,), width=5, depth=2, activation=nn.Tanh, num_classes=num_classes)
    generator = MLPGenerator((2,), 3, width=4, num_classes=num_classes)
    gan = GAN(generator, discriminator, NonSaturating())
    gan.stabilizers.append(GradientPenalty(10.0))
    return gan.double()


@pytest.mark.parametrize("num_classes", [0, 3])
def test_its_gradient_equals_finite_differences(num_classes):
    gan = smooth(num_classes)
    x, fake = torch.randn(2, 6, 2, dtype=torch.float64)
    batch = (x, torch.arange(6) % 3) if num_classes else x

    def loss():
        torch.manual_seed(1)
        return gan.discriminator_step(batch, fake).loss

    gradients = torch.autograd.grad(loss(), parameters := list(gan.discriminator.parameters()), allow_unused=True)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        flat = parameter.detach().view(-1)
        for index in range(0, len(flat), 4):
            at, ends = flat[index].item(), []
            for step in (1e-5, -1e-5):
                flat[index] = at + step
                ends.append(loss().item())
            flat[index] = at
            difference = (ends[0] - ends[1]) / 2e-5
            assert gradient.view(-1)[index].item() == pytest.approx(difference, rel=1e-6, abs=1e-8)


def test_a_conditional_critic_gets_its_labels():
    gan = smooth(num_classes=3)
    seen = []
    gan.discriminator.register_forward_pre_hook(lambda module, args: seen.append(args[1:]))
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    gan.discriminator_step((torch.randn(6, 2, dtype=torch.float64), labels))
    assert len(seen) == 3 and all(torch.equal(given, labels) for (given,) in seen)


def test_its_gradient_reaches_the_critic_only(make_gan, batches):
    gan = make_gan(objective=Wasserstein())
    gan.stabilizers.append(GradientPenalty())
    fake = gan.generate(8)
    gan.discriminator_step(batches(1)[0], fake.detach()).loss.backward()
    assert all(parameter.grad is None for parameter in gan.generator.parameters())
    assert gan.discriminator.layers[0].weight.grad.abs().sum() > 0


def test_a_flat_critic_has_a_finite_gradient():
    gan = gan_with(LinearDiscriminator(torch.zeros(3)), GradientPenalty())
    loss = gan.discriminator_step(torch.rand(4, 3)).loss
    loss.backward()
    assert loss.item() == pytest.approx(10.0) and gan.discriminator.head[0].weight.grad.isfinite().all()


@pytest.mark.parametrize("change", [{"weight": 1.0}, {"target": 0.0}], ids=str)
def test_every_argument_changes_the_loss(change):
    x, fake = torch.rand(2, 4, 2)
    losses = []
    for arguments in ({}, change):
        torch.manual_seed(0)
        losses.append(
            gan_with(LinearDiscriminator(torch.tensor([3.0, 4.0])), GradientPenalty(**arguments))
            .discriminator_step(x, fake)
            .loss
        )
    assert losses[0] != losses[1]


def test_the_penalty_is_in_single_precision_under_autocast(make_gan, batches):
    gan, x, fake = make_gan(), batches(1)[0], torch.rand(8, 2)
    gan.stabilizers.append(GradientPenalty())
    dtypes = []
    gan.discriminator.layers[0].register_forward_hook(lambda module, args, out: dtypes.append(out.dtype))
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = penalty_of(gan, x, fake.bfloat16().float())
    torch.manual_seed(0)
    single = penalty_of(gan, x, fake.bfloat16().float())
    assert dtypes[:3] == [torch.bfloat16, torch.bfloat16, torch.float32]
    assert mixed == single, "bitwise identical to the penalty without autocast"


def test_the_players_steps_see_it_once(make_gan, batches):
    gan, calls = make_gan(), []
    gan.stabilizers.append(GradientPenalty())
    gan.discriminator.register_forward_hook(lambda *args: calls.append(1))
    assert "gradient_penalty" not in gan.generator_step(batches(1)[0]).terms and len(calls) == 1


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, nn.InstanceNorm2d, None])
def test_batch_norm_in_the_critic_is_warned_of(make_image_gan, fit, norm, recwarn):
    fit(make_image_gan(size=16, norm=norm), callbacks=[GradientPenalty()])
    warned = [str(w.message) for w in recwarn if "BatchNorm in the discriminator" in str(w.message)]
    assert len(warned) == (norm is nn.BatchNorm2d)
    assert all("Use norm: null" in message for message in warned)


@pytest.mark.parametrize(("name", "value"), [("weight", -1.0), ("target", -0.5), ("weight", math.nan)])
def test_numbers_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"GradientPenalty\({name}={value}\): expected a number of at least 0"):
        GradientPenalty(**{name: value})


@pytest.mark.slow
def test_it_bounds_the_dirac_gan_without_leading_it_to_the_point(dirac):
    path = dirac(GradientPenalty(1.0), objective=Wasserstein(), n_critic=5)
    assert path.abs().max() < 2.5, "the critic's slope stays near 1"
    assert path[-500:, 0].abs().max() > 0.02, "and θ goes to and fro"
