"""Who is met, when, and that the game's own players never change places."""

import copy
import itertools
import math
import pickle
import random

import pytest
import torch
from helpers import sgds

from lightning_gans import GAN, Stabilizer, UnrolledGAN
from lightning_gans.networks import MLPDiscriminator
from lightning_gans.stabilizers import CheckpointSwap, FeatureMatching


class Watch(Stabilizer):
    """Notes what the discriminator is shown and who judges the generator."""

    def __init__(self):
        self.fakes, self.judges = [], []

    def on_fake_samples(self, gan, fake, labels):
        self.fakes.append(fake)
        return fake

    def on_opponent(self, gan, discriminator):
        self.judges.append(discriminator)
        return discriminator


def state(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def played(gan, swap, batches, watch=None):
    """Both players' weights after each batch, those before the first one included."""
    gan.stabilizers += [swap, watch or Watch()]
    optimizers, path = sgds(gan, lr=0.1), [(state(gan.generator), state(gan.discriminator))]
    for batch in batches:
        gan.train_batch(batch, *optimizers)
        path.append((state(gan.generator), state(gan.discriminator)))
    return path


def test_the_last_snapshots_are_kept(make_gan, batches):
    gan, swap = make_gan(), CheckpointSwap(every=2, keep=2, probability=1.0)
    path = played(gan, swap, batches(7))
    assert len(swap._snapshots) == 2
    for snapshot, time in zip(swap._snapshots, (4, 6), strict=True):
        assert same(snapshot["generator"], path[time][0]) and same(snapshot["discriminator"], path[time][1])


def test_snapshots_are_copies_on_the_cpu(make_gan, batches):
    gan, swap = make_gan(), CheckpointSwap(every=1, keep=1, probability=1.0)
    path = played(gan, swap, batches(2))
    with torch.no_grad():
        for parameter in gan.parameters():
            parameter.fill_(9.0)
    assert same(swap._snapshots[0]["generator"], path[2][0])
    assert all(value.device.type == "cpu" for value in swap._snapshots[0]["discriminator"].values())


@pytest.mark.parametrize("num_classes", [0, 2])
def test_the_discriminator_learns_from_the_old_generator(make_gan, batches, num_classes):
    gan, swap, watch = make_gan(num_classes=num_classes), CheckpointSwap(1, 1, 1.0, updates=2), Watch()
    played(gan, swap, batches(2, num_classes=num_classes), watch)
    old = copy.deepcopy(gan.generator)
    old.load_state_dict(swap._snapshots[0]["generator"])
    x = batches(1, num_classes=num_classes)[0]
    labels = x[1] if num_classes else None
    fake = torch.randn(8, 2, requires_grad=True)
    torch.manual_seed(5)
    expected = old(torch.randn(8, 3)) if labels is None else old(torch.randn(8, 3), labels)
    torch.manual_seed(5)
    step = gan.discriminator_step(x, fake.detach())
    torch.testing.assert_close(step.fake, expected, atol=0, rtol=0)
    assert not step.fake.requires_grad
    gan.discriminator.zero_grad()
    step.loss.backward()
    assert gan.discriminator.layers[0].weight.grad.abs().sum() > 0


def test_the_generator_is_judged_by_the_old_discriminator(make_gan, batches):
    gan, swap, watch = make_gan(), CheckpointSwap(1, 1, 1.0, updates=2), Watch()
    gan.stabilizers.append(FeatureMatching(weight=1.0))
    path = played(gan, swap, batches(2), watch)
    fake = torch.randn(8, 2, requires_grad=True)
    step = gan.generator_step(batches(1)[0], fake)
    old = step.discriminator
    assert isinstance(old, MLPDiscriminator) and old is not gan.discriminator
    assert same(state(old), path[2][1]) and not any(parameter.requires_grad for parameter in old.parameters())
    assert torch.equal(step.fake_logits, old(fake)) and "feature_matching" in step.terms
    gan.discriminator.zero_grad()
    step.loss.backward()
    assert fake.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in [*old.parameters(), *gan.discriminator.parameters()])


def test_the_old_players_stay_as_they_were_and_the_games_own_learn(make_gan, batches):
    gan, swap, watch = make_gan(), CheckpointSwap(every=1, keep=1, probability=1.0, updates=3), Watch()
    path = played(gan, swap, batches(6), watch)
    judges = watch.judges
    assert judges[:3] == [gan.discriminator] * 3, "nothing is stored when the first stretch begins"
    assert judges[3] is judges[4] is judges[5] is not gan.discriminator
    assert same(state(judges[5]), path[3][1]), "the one of the stretch's beginning"
    for before, after in itertools.pairwise(path):
        assert not same(before[0], after[0]) and not same(before[1], after[1])


def test_after_a_stretch_the_game_is_as_ever(make_gan, batches):
    gan, swap, watch = make_gan(), CheckpointSwap(every=1, keep=1, probability=1.0), Watch()
    played(gan, swap, batches(11), watch)
    old = watch.judges[-1]
    assert old not in list(gan.modules()), "no part of the game, its optimizers and its checkpoints"
    gan.stabilizers.remove(swap)
    step = gan.generator_step(batches(1)[0])
    assert step.discriminator is gan.discriminator


def stretches(swap, gan, updates):
    """Which snapshot is met at each update; the k-th one is marked by k."""
    swap._snapshots = [{"generator": {}, "discriminator": {}, "mark": k} for k in range(swap.keep)]
    met = []
    for gan.generator_updates in range(updates):
        swap._opponent(gan, "generator")  # which makes a network of it
        met.append(None if swap._drawn is None else swap._drawn["mark"])
    return met


def test_stretches_are_as_long_and_as_frequent_as_asked(make_gan):
    met = stretches(CheckpointSwap(keep=4, probability=0.25, updates=5), make_gan(), 5000)
    for start in range(0, 5000, 5):
        assert len(set(met[start : start + 5])) == 1
    against_past = [mark for mark in met[::5] if mark is not None]
    assert len(against_past) / 1000 == pytest.approx(0.25, abs=0.04)
    assert all(against_past.count(mark) / len(against_past) == pytest.approx(0.25, abs=0.08) for mark in range(4))


def test_stretches_follow_from_the_count_of_updates_alone(make_gan):
    one, other = make_gan(), make_gan(seed=1)
    met = stretches(CheckpointSwap(probability=0.5), one, 200)
    torch.manual_seed(7)
    random.seed(7)
    before = torch.get_rng_state(), random.getstate()
    swap = CheckpointSwap(probability=0.5)
    assert stretches(swap, other, 200) == met
    assert torch.equal(torch.get_rng_state(), before[0]) and random.getstate() == before[1]


def test_a_look_ahead_does_not_see_the_past(make_gan, batches):
    plain = make_gan()
    gan = UnrolledGAN(plain.generator, plain.discriminator, unroll_steps=2)
    swap, ahead = CheckpointSwap(1, 1, 1.0, updates=1), []

    class Ahead(Stabilizer):
        def on_fake_samples(self, gan, fake, labels):
            if gan.looking_ahead:
                ahead.append((fake.requires_grad, swap._stretch))
            return fake

    gan.stabilizers.append(Ahead())
    played(gan, swap, batches(3))
    assert len(ahead) == 6
    gan.looking_ahead, fake, stretch = True, torch.randn(8, 2), swap._stretch
    gan.generator_updates += 1
    assert swap.on_fake_samples(gan, fake, None) is fake and swap._stretch == stretch


@pytest.mark.parametrize("place", ["module", "trainer"])
@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_a_run_resumes_in_the_middle_of_a_stretch(make_image_gan, fit, weights, tmp_path, place, epochs):
    def run(epochs, **kwargs):
        gan, swap = make_image_gan(size=16), CheckpointSwap(every=1, keep=2, probability=0.7, updates=4)
        gan.stabilizers += [swap] if place == "module" else []
        return gan, fit(gan, 3, max_epochs=epochs, callbacks=[swap] if place == "trainer" else [], **kwargs)

    run(epochs)[1].save_checkpoint(tmp_path / "half.ckpt")
    assert torch.equal(weights(run(5, ckpt_path=tmp_path / "half.ckpt")[0]), weights(run(5)[0]))


def test_a_copy_in_the_middle_of_a_stretch_makes_players_of_its_own(make_gan, batches):
    gan, swap = make_gan(), CheckpointSwap(every=1, keep=1, probability=1.0, updates=2)
    played(gan, swap, batches(3))
    assert len(swap._players) == 2
    x = batches(1)[0]
    for twin in (copy.deepcopy(gan), pickle.loads(pickle.dumps(gan.stabilizers[0]))):
        copied = twin.stabilizers[0] if isinstance(twin, GAN) else twin
        assert not copied._players and len(swap._players) == 2
        fake = torch.zeros(8, 2)
        torch.manual_seed(1)
        one = swap.on_fake_samples(gan, fake, None)
        torch.manual_seed(1)
        assert torch.equal(copied.on_fake_samples(gan, fake, None), one)
    assert gan.discriminator_step(x).loss.isfinite()


def test_the_past_plays_in_the_precision_of_the_game(make_gan, batches):
    gan, swap, watch = make_gan().to(torch.bfloat16), CheckpointSwap(1, 1, 1.0, updates=1), Watch()
    played(gan, swap, [batch.bfloat16() for batch in batches(3)], watch)
    assert watch.fakes[-1].dtype == torch.bfloat16 and watch.judges[-1] is not gan.discriminator
    gan, swap, watch = make_gan(), CheckpointSwap(1, 1, 1.0, updates=1), Watch()
    with torch.autocast("cpu", torch.bfloat16):
        played(gan, swap, batches(3), watch)
    assert {fake.dtype for fake in watch.fakes} == {torch.float32}, "as the game's own generator has them"


@pytest.mark.parametrize("name", ["every", "keep", "updates"])
@pytest.mark.parametrize("value", [0, -1, 1.5, math.nan])
def test_counts_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"CheckpointSwap\({name}={value}\): expected a whole number of at least 1"):
        CheckpointSwap(**{name: value})


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_a_probability_out_of_range_is_refused(value):
    with pytest.raises(ValueError, match=rf"CheckpointSwap\(probability={value}\): expected a number in \[0, 1\]"):
        CheckpointSwap(probability=value)
