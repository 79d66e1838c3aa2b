"""Samples drawn from seeds, in evaluation mode, along routes, from latents and from mixed classes."""

import pytest
import torch
from helpers import ensemble, linear_gan
from torch import nn

from lightning_gans import GAN, generation
from lightning_gans.networks import GaussianWithCode, MLPDiscriminator, MLPGenerator, PlainGenerator
from lightning_gans.randomness import seeded
from lightning_gans.stabilizers import VirtualBatchNorm

# ---------------------------------------------------------------- draw


def test_a_seed_determines_the_samples_and_torchs_generator_is_restored(make_image_gan):
    gan = make_image_gan()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, labels = generation.draw(gan, 5, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert first.shape == (5, 1, 8, 8) and first.dtype == torch.float32 and labels is None
    assert not first.requires_grad
    assert torch.equal(generation.draw(gan, 5, seed=3)[0], first)
    assert not torch.equal(generation.draw(gan, 5, seed=4)[0], first)


def test_without_a_seed_samples_are_fresh(make_gan):
    gan = make_gan()
    torch.manual_seed(1)
    first, second = generation.draw(gan, 5)[0], generation.draw(gan, 5)[0]
    torch.manual_seed(1)
    assert torch.equal(generation.draw(gan, 5)[0], first) and not torch.equal(first, second)


def test_samples_are_drawn_in_evaluation_mode_which_is_restored(make_image_gan, weights):
    gan = make_image_gan()
    norm = next(module for module in gan.generator.modules() if isinstance(module, nn.BatchNorm2d)).eval()
    before = weights(gan)
    whole, _ = generation.draw(gan, 5, seed=0)
    parts, _ = generation.draw(gan, 5, seed=0, batch_size=2)
    torch.testing.assert_close(parts, whole, msg="statistics of the batch have no effect")
    assert gan.training and gan.generator.training and not norm.training
    assert torch.equal(weights(gan), before)


def test_the_mode_is_restored_after_an_error(make_image_gan):
    gan = make_image_gan()
    with pytest.raises(RuntimeError, match="broken"), generation.showing(gan):
        assert not any(module.training for module in gan.generator.modules())
        raise RuntimeError("broken")
    assert all(module.training for module in gan.modules())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_samples_are_in_single_precision_whatever_the_precision_of_the_generator(make_gan, dtype):
    assert generation.draw(make_gan().to(dtype), 3, seed=0)[0].dtype == torch.float32


@pytest.mark.parametrize(
    ("labels", "expected"),
    [(None, [0, 1, 2, 0, 1]), ([1], [1, 1, 1, 1, 1]), ([2, 0], [2, 0, 2, 0, 2]), ([0, 1, 2, 1, 0, 1], [0, 1, 2, 1, 0])],
)
def test_labels_are_repeated_in_turn(make_gan, labels, expected):
    gan = make_gan(num_classes=3)
    samples, classes = generation.draw(gan, 5, seed=0, labels=labels, batch_size=2)
    assert classes.tolist() == expected
    z = gan.generator.latents.sample(5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(samples, gan(z, torch.tensor(expected)).detach())


@pytest.mark.parametrize("labels", [[3], [-1], [0, 7], []])
def test_labels_out_of_range_are_refused(make_gan, labels):
    with pytest.raises(ValueError, match="expected classes from 0 to 2"):
        generation.draw(make_gan(num_classes=3), 5, labels=labels)


def test_other_mistakes_are_refused(make_gan):
    with pytest.raises(ValueError, match=r"labels=\[1\], but this generator has no classes; leave the labels out"):
        generation.draw(make_gan(), 5, labels=[1])
    with pytest.raises(ValueError, match=r"^draw\(num=0\): expected a whole number of at least 1, such as 1\.$"):
        generation.draw(make_gan(), 0)


def test_every_kind_of_latents_can_be_drawn_from(make_gan):
    gan = make_gan()
    gan.generator = MLPGenerator((2,), GaussianWithCode(2, 4), width=4)
    assert generation.draw(gan, 3, seed=0)[0].shape == (3, 2)


# ---------------------------------------------------------------- along routes


@pytest.mark.parametrize("num_classes", [0, 2])
def test_every_row_is_one_route_with_the_same_latents(num_classes):
    gan = ensemble(num_classes)
    routes = gan.generator.num_routes
    rows = generation.draw_by_route(gan, routes, 4, seed=3)
    assert rows.shape == (routes, 4, 1, 13, 13)
    with seeded(3), torch.no_grad():
        z = gan.generator.latents.sample(4)
        labels = torch.arange(4) % 2 if num_classes else None
        every = torch.stack([gan.generator(z, labels, route) for route in range(routes)])
    order = torch.cdist(rows.flatten(1), every.flatten(1)).argmin(1)
    assert sorted(order.tolist()) == list(range(routes)), "each route once"
    torch.testing.assert_close(rows, every[order])
    assert torch.equal(generation.draw_by_route(gan, routes, 4, seed=3), rows)
    assert not torch.equal(generation.draw_by_route(gan, routes, 4, seed=4), rows)


def test_a_seed_determines_the_routes_too():
    gan = ensemble()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = generation.draw(gan, 20, seed=3)[0]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(generation.draw(gan, 20, seed=3)[0], first)


def test_routes_that_do_not_exist_are_refused(make_gan):
    for routes in (0, 4):
        with pytest.raises(ValueError, match=rf"^routes={routes}: expected 1 to 3, the number of routes that"):
            generation.draw_by_route(ensemble(), routes)
    with pytest.raises(ValueError, match=r"^draw_by_route\(per_route=0\): expected a whole number of at least 1"):
        generation.draw_by_route(ensemble(), 2, per_route=0)
    with pytest.raises(ValueError, match="routes=2, but MLPGenerator has none; leave them out"):
        generation.draw_by_route(make_gan(), 2)


# ---------------------------------------------------------------- from latents


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_given_latents_are_converted_to_the_precision_of_the_parameters(make_gan, dtype):
    gan = make_gan(num_classes=2).to(dtype)
    z, labels = torch.randn(3, 3), torch.tensor([0, 1, 1])
    samples = generation.from_latents(gan, z, labels)
    assert samples.dtype == torch.float32 and torch.equal(samples, gan(z.to(dtype), labels).float())


def test_given_latents_can_be_sent_along_one_route():
    gan = ensemble()
    z = torch.randn(4, gan.generator.latent_dim)
    one, other = (generation.from_latents(gan, z, route=route) for route in (0, 1))
    assert torch.equal(one, gan.generator(z, None, 0)) and not torch.equal(one, other)


# ---------------------------------------------------------------- one seed a sample


def test_the_sample_of_a_seed_does_not_depend_on_the_others(make_image_gan):
    gan = make_image_gan()
    z = generation.seed_latents(gan, [3, 5])
    assert torch.equal(z[1:], generation.seed_latents(gan, [5]))
    with seeded(5):
        assert torch.equal(z[1:], gan.generator.latents.sample(1))
    both, alone = generation.render(gan, z, [3, 5]), generation.render(gan, z[1:], [5])
    assert torch.equal(both[1:], alone) and both.shape == (2, 1, 8, 8) and not torch.equal(both[:1], alone)
    torch.testing.assert_close(alone, generation.draw(gan, 1, seed=5)[0])
    assert gan.generator.training


def test_a_seed_determines_all_random_numbers_of_its_sample():
    gan = ensemble()
    z = torch.ones(30, gan.generator.latent_dim)
    fixed, free = generation.render(gan, z, [7] * 30), generation.render(gan, z, range(30))
    assert len(fixed.unique(dim=0)) == 1 and len(free.unique(dim=0)) == gan.generator.num_routes
    own = generation.render(gan, generation.seed_latents(gan, range(9)), range(9))
    drawn = torch.cat([generation.draw(gan, 1, seed=seed)[0] for seed in range(9)])
    torch.testing.assert_close(own, drawn, msg="the route of the sample of the seed")


@pytest.mark.parametrize("wrapped", [False, True])
def test_classes_are_mixed_by_their_weights(wrapped, make_image_gan):
    if wrapped:
        gan = make_image_gan(num_classes=3)
        VirtualBatchNorm(size=4).apply_to(gan)
    else:
        gan = linear_gan(num_classes=3)
    z = generation.seed_latents(gan, [1, 2])
    pure = generation.render(gan, z, [1, 2], torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]))
    with generation.showing(gan), torch.no_grad():
        each = [gan(z[i : i + 1], torch.tensor([label])) for i, label in enumerate((2, 0))]
    torch.testing.assert_close(pure, torch.cat(each))
    weights = torch.tensor([[0.5, 0.0, 0.5], [1.0, -1.0, 1.0]])
    mixed = generation.render(gan, z, [1, 2], weights)
    assert not torch.allclose(mixed, pure)
    if not wrapped:
        torch.testing.assert_close(mixed, (torch.cat([z, weights], 1) @ gan.generator.linear.weight.T).detach())


def test_a_stochastic_ensemble_mixes_classes_too():
    gan = ensemble(num_classes=2)
    z = generation.seed_latents(gan, [1])
    pure, mixed = (generation.render(gan, z, [1], torch.tensor([w])) for w in ([0.0, 1.0], [0.5, 0.5]))
    assert not torch.allclose(pure, mixed)


def test_a_plain_network_does_not_mix_classes():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(3, 4)

        def forward(self, z, labels):
            return z + self.embed(labels)

    gan = GAN(PlainGenerator(Plain(), latents=4, num_classes=3), MLPDiscriminator((4,), num_classes=3))
    with pytest.raises(ValueError, match=r"PlainGenerator takes no weights of classes; give a single class"):
        generation.render(gan, torch.zeros(1, 4), [0], torch.full((1, 3), 1 / 3))


@pytest.mark.parametrize("seeds", [[], [-1], [0, 2**63]])
def test_seeds_out_of_range_are_refused(seeds, make_gan):
    with pytest.raises(ValueError, match="expected at least one whole number from 0"):
        generation.seed_latents(make_gan(), seeds)
