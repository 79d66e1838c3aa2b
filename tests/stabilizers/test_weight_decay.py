"""Weight decay: which weights, how strongly, and through which optimizer."""

import math

import pytest
import torch
from helpers import sgds
from penalties import QuadraticDiscriminator, alternating, assert_derivative, gan_with, one_step, smooth
from torch import nn

from lightning_gans.objectives import NonSaturating
from lightning_gans.optimizers import Adam
from lightning_gans.schedules import Linear
from lightning_gans.stabilizers import WeightDecay


def penalty_of(gan, x):
    return gan.discriminator_step(x).terms["weight_decay"].item()


def test_it_is_half_the_squared_norm_of_the_weights(make_gan, batches):
    gan = make_gan(num_classes=2)
    gan.stabilizers.append(WeightDecay(0.3))
    for parameter in gan.discriminator.parameters():
        parameter.data.normal_()
    chosen = {"layers.0.weight", "head.0.weight", "embedding.weight"}
    everything = dict(gan.discriminator.named_parameters())
    assert chosen < set(everything), "and biases"
    expected = 0.3 / 2 * sum(value**2 for name in chosen for value in everything[name].flatten().tolist())
    (batch,) = batches(1, num_classes=2)
    assert penalty_of(gan, batch) == pytest.approx(expected, rel=1e-5)


def test_of_an_image_network_it_takes_convolutions_and_leaves_norms(make_image_gan, batches):
    gan = make_image_gan(size=16)
    gan.stabilizers.append(WeightDecay(2.0))
    taken = [module.weight for module in gan.discriminator.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    norms = [module.weight for module in gan.discriminator.modules() if isinstance(module, nn.BatchNorm2d)]
    (batch,) = batches(1, (1, 16, 16))
    assert len(taken) == 3 and norms
    assert penalty_of(gan, batch) == pytest.approx(sum(w.square().sum().item() for w in taken), rel=1e-5)


def test_its_gradient_is_the_weight_times_the_weights(make_gan, batches):
    found = {}
    for decay in ([], [WeightDecay(0.5)]):
        gan = make_gan()
        gan.stabilizers += decay
        gan.discriminator_step(
            batches(1)[0], torch.rand(8, 2, generator=torch.Generator().manual_seed(0))
        ).loss.backward()
        found[len(decay)] = {name: (p.detach(), p.grad) for name, p in gan.discriminator.named_parameters()}
    for name, (parameter, gradient) in found[1].items():
        expected = 0.5 * parameter if name.endswith("weight") else torch.zeros_like(parameter)
        torch.testing.assert_close(gradient - found[0][name][1], expected, atol=1e-6, rtol=1e-5)


def test_adam_rescales_it_and_plain_descent_does_not(make_gan, batches):
    """Without another gradient plain descent shrinks weights by a factor, and Adam moves each by its rate."""
    gan = make_gan()
    decay = WeightDecay(0.1)
    start = gan.discriminator.layers[0].weight.detach().clone()
    for optimizer, expected in (
        (torch.optim.SGD([gan.discriminator.layers[0].weight], 0.5), start * (1 - 0.5 * 0.1)),
        (Adam([gan.discriminator.layers[0].weight], lr=0.01), start - 0.01 * start.sign()),
    ):
        gan.discriminator.layers[0].weight.data.copy_(start)
        optimizer.zero_grad()
        step = gan.discriminator_step(batches(1)[0])
        decay.on_discriminator_loss(gan, step, torch.zeros(())).backward()
        optimizer.step()
        torch.testing.assert_close(gan.discriminator.layers[0].weight.detach(), expected, atol=1e-5, rtol=0)


def test_of_a_computed_weight_the_trained_tensors_are_decayed_without_computing_it(make_gan):
    gan = make_gan()
    linear = nn.utils.parametrizations.spectral_norm(gan.discriminator.layers[0])
    nn.utils.parametrizations.weight_norm(gan.discriminator.head[0])
    learned = [*linear.parametrizations.weight.parameters(), *gan.discriminator.head[0].parametrizations.parameters()]
    vectors = [buffer.clone() for buffer in linear.buffers()]
    loss = WeightDecay(2.0).on_discriminator_loss(gan, _Step(), torch.zeros(()))
    torch.testing.assert_close(loss, sum(parameter.square().sum() for parameter in learned))
    assert len(learned) == 3 and vectors
    assert all(torch.equal(now, then) for now, then in zip(linear.buffers(), vectors, strict=True))


class _Step:
    def __init__(self):
        self.terms = {}


def test_weights_that_layers_share_count_once(make_gan):
    gan = make_gan()
    gan.discriminator.twin = nn.Linear(2, 8)
    gan.discriminator.twin.weight = gan.discriminator.layers[0].weight
    loss = WeightDecay(2.0).on_discriminator_loss(gan, _Step(), torch.zeros(()))
    expected = gan.discriminator.layers[0].weight.square().sum() + gan.discriminator.head[0].weight.square().sum()
    torch.testing.assert_close(loss, expected)


def test_a_lookahead_decays_its_own_weights(weights):
    gan = smooth(WeightDecay(0.5), unroll_steps=2)
    x, z = torch.randn(6, 2, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)
    seen, step_of = [], gan.discriminator_step
    gan.discriminator_step = lambda *args: seen.append(step_of(*args)) or seen[-1]
    assert_derivative(lambda: gan.generator_step(x, gan(z)).loss, list(gan.generator.parameters()), every=3, rel=1e-5)
    assert seen[0].terms["weight_decay"] > seen[1].terms["weight_decay"] > 0


def test_it_may_follow_a_schedule_and_at_0_is_not_there(make_gan, batches):
    gan = make_gan()
    gan.stabilizers.append(WeightDecay(Linear(0.2, 0.0, updates=10)))
    first = penalty_of(gan, batches(1)[0])
    gan.generator_updates = 5
    assert penalty_of(gan, batches(1)[0]) == pytest.approx(first / 2)
    gan.generator_updates = 10
    assert not gan.discriminator_step(batches(1)[0]).terms


def test_squares_are_summed_in_single_precision(make_gan):
    gan = make_gan().to(torch.bfloat16)
    loss = WeightDecay(2.0).on_discriminator_loss(gan, _Step(), torch.zeros(()))
    expected = sum(p.float().square().sum() for name, p in gan.discriminator.named_parameters() if "weight" in name)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected)


def test_a_batch_in_parts_is_decayed_once(make_gan, batches):
    gan = make_gan(discriminator_accumulation=4, generator_accumulation=4)
    gan.stabilizers.append(WeightDecay(1.0))
    before = gan.discriminator.layers[0].weight.detach().clone()
    gan.discriminator.head[0].weight.data.zero_()  # nothing else moves the first layer
    gan.train_batch(batches(1)[0], *sgds(gan, lr=0.1))
    torch.testing.assert_close(gan.discriminator.layers[0].weight.detach(), 0.9 * before)


@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf, Linear(1.0, -1.0)], ids=str)
def test_weights_out_of_range_are_refused(weight):
    with pytest.raises(ValueError, match=r"WeightDecay\(weight=.*\): expected a number of at least 0"):
        WeightDecay(weight=weight)


def test_a_discriminator_without_such_layers_is_refused():
    with pytest.raises(ValueError, match="WeightDecay: Bare has no linear, convolutional or embedding layer"):
        WeightDecay().apply_to(gan_with(Bare((2,))))


class Bare(QuadraticDiscriminator):
    def __init__(self, shape):
        super().__init__(shape)
        self.head = nn.Flatten(0)


def test_on_the_dirac_gan_it_is_r1(dirac):
    path = dirac(WeightDecay(0.5), objective=NonSaturating(), steps=400)
    torch.testing.assert_close(one_step(path), alternating(0.5), atol=1e-4, rtol=0)
