"""Information maximization: its term in closed form, what it teaches, and what is refused."""

import math

import pytest
import torch
from torch import nn

from lightning_gans import GAN
from lightning_gans.networks import Discriminator, GaussianWithCode, Generator, MLPDiscriminator, MLPGenerator
from lightning_gans.schedules import Linear
from lightning_gans.stabilizers import InformationMaximization, InstanceNoise, Packing


class Shown(Generator):
    """Samples that are their latents."""

    def __init__(self, latents):
        super().__init__((latents.dim,), latents)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, z, labels=None):
        return self.scale * z


class Seen(Discriminator):
    """Features that are the samples."""

    def __init__(self, width):
        super().__init__((width,), num_features=width)
        self.features = nn.Identity()


def shown(latents, stabilizer, *others):
    gan = GAN(Shown(latents), Seen(latents.dim))
    gan.stabilizers += [stabilizer, *others]
    stabilizer.apply_to(gan)
    return gan, stabilizer.layer(gan)


def terms(gan, batch=None):
    batch = torch.zeros(64, *gan.generator.sample_shape) if batch is None else batch
    steps = gan.discriminator_step(batch), gan.generator_step(batch)
    return [step.terms["information"].item() for step in steps]


def set_layer(layer, weight):
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.zero_()


def test_it_is_0_where_the_code_is_told_right_and_ln_k_at_chance():
    gan, layer = shown(GaussianWithCode(2, 5, codes=2), InformationMaximization())
    set_layer(layer, torch.cat([torch.zeros(10, 2), 10 * torch.eye(10)], 1))
    assert terms(gan) == pytest.approx([0, 0], abs=1e-4)
    set_layer(layer, torch.zeros(10, 12))
    assert terms(gan) == pytest.approx([2 * math.log(5)] * 2, rel=1e-5), "of two codes of five categories"


def test_the_cross_entropy_of_a_known_channel():
    """With logits t · onehot(c), −log Q(c) = ln(1 + (K − 1) e^{−t})."""
    gan, layer = shown(GaussianWithCode(0, 4, scale=1.0), InformationMaximization(weight=0.3))
    set_layer(layer, 1.5 * torch.eye(4))
    assert terms(gan) == pytest.approx([0.3 * math.log(1 + 3 * math.exp(-1.5))] * 2, rel=1e-5)


def test_continuous_coordinates_are_told_by_a_gaussian_of_variance_1():
    gan, layer = shown(GaussianWithCode(3, 2), InformationMaximization(continuous=2))
    set_layer(layer, torch.zeros(4, 5))
    x = torch.zeros(20_000, 5)
    assert terms(gan, x) == pytest.approx([1 + math.log(2)] * 2, rel=0.02), "½ E z² for each of two"
    weight = torch.zeros(4, 5)
    weight[0, 0] = weight[1, 1] = 1
    weight[2, 3] = weight[3, 4] = 10
    set_layer(layer, weight)
    assert terms(gan) == pytest.approx([0, 0], abs=1e-4)


def test_latents_without_a_code_may_have_continuous_ones_alone(make_gan):
    gan = make_gan(latents=3)
    stabilizer = InformationMaximization(continuous=3)
    stabilizer.apply_to(gan)
    assert stabilizer.layer(gan).out_features == 3 and gan.network_changes[0]["init_args"] == {"continuous": 3}


def test_the_term_is_added_and_reaches_both_players():
    gan, layer = shown(GaussianWithCode(2, 3), InformationMaximization())
    x = torch.zeros(16, 5)
    for player in ("discriminator", "generator"):
        step = getattr(gan, f"{player}_step")(x)
        plain = getattr(gan.objective, f"{player}_loss")
        logits = (step.real_logits, step.fake_logits) if player == "discriminator" else (step.fake_logits,)
        torch.testing.assert_close(step.loss - plain(*logits), step.terms["information"])
        gan.zero_grad()
        step.loss.backward()
        assert (layer.weight.grad is not None) == (player == "discriminator")
    assert gan.generator.scale.grad.abs() > 0
    gan.zero_grad()
    with torch.no_grad():
        gan.discriminator.head[0].weight.zero_()  # G then learns by the term alone
    gan.generator_step(x).loss.backward()
    assert gan.generator.scale.grad.abs() > 0


def test_the_fakes_pass_what_changes_the_discriminators_input():
    clean, layer = shown(GaussianWithCode(0, 4, scale=1.0), InformationMaximization())
    noisy, other = shown(GaussianWithCode(0, 4, scale=1.0), InformationMaximization(), InstanceNoise(100.0))
    for one in (layer, other):
        set_layer(one, 5 * torch.eye(4))
    assert max(terms(clean)) < 0.1 < 10 < min(terms(noisy))


def test_steps_on_the_ring_raise_the_information():
    gan = GAN(MLPGenerator((2,), GaussianWithCode(2, 4), width=16), MLPDiscriminator((2,), width=16))
    stabilizer = InformationMaximization()
    gan.stabilizers.append(stabilizer)
    stabilizer.apply_to(gan)
    players = [torch.optim.Adam(one.parameters(), 0.01, (0.5, 0.99)) for one in (gan.generator, gan.discriminator)]
    angles = torch.arange(64) % 8 * math.pi / 4
    data, z = torch.stack([angles.cos(), angles.sin()], 1), gan.sample_latents(400)

    def told():
        predicted = stabilizer.layer(gan)(gan.discriminator.features(gan(z)))
        return (predicted.argmax(1) == z[:, 2:].argmax(1)).float().mean().item()

    before = told()
    for _ in range(60):
        gan.train_batch(data, *players)
    assert before < 0.5 < 0.85 < told(), "chance is 0.25"


def test_the_weight_may_follow_a_schedule():
    gan, layer = shown(GaussianWithCode(2, 5), InformationMaximization(Linear(1.0, 0.0, updates=4)))
    set_layer(layer, torch.zeros(5, 7))
    found = []
    for gan.generator_updates in (0, 1, 9):
        found += terms(gan)
    assert found == pytest.approx([math.log(5)] * 2 + [0.75 * math.log(5)] * 2 + [0, 0], rel=1e-5)


def test_a_conditional_gan_draws_its_code_beside_the_labels(make_gan, batches, fit):
    gan = make_gan(num_classes=2, latents=GaussianWithCode(2, 3))
    fit(gan, callbacks=[InformationMaximization()])


@pytest.mark.parametrize(
    ("latents", "arguments", "message"),
    [
        (3, {}, r"has no code to tell in Gaussian\(dim=3\); give the generator GaussianWithCode\(2, 10\), or"),
        (3, {"continuous": 4}, r"continuous=4\): Gaussian\(dim=3\) has 3 continuous coordinates; give at most 3"),
    ],
)
def test_latents_that_do_not_fit_are_refused(make_gan, latents, arguments, message):
    with pytest.raises(ValueError, match=f"^InformationMaximization.*{message}"):
        InformationMaximization(**arguments).apply_to(make_gan(latents=latents))


def test_packs_and_arguments_out_of_range_are_refused(make_gan, fit):
    gan = make_gan(latents=GaussianWithCode(2, 3))
    with pytest.raises(
        ValueError, match=r"InformationMaximization predicts something of each sample, and the disc.* 2"
    ):
        fit(gan, callbacks=[InformationMaximization(), Packing(2)])
    with pytest.raises(ValueError, match=r"InformationMaximization\(weight=-1\): expected a number of at least 0"):
        InformationMaximization(-1)
    with pytest.raises(ValueError, match=r"InformationMaximization\(continuous=-1\): expected a whole number"):
        InformationMaximization(continuous=-1)
