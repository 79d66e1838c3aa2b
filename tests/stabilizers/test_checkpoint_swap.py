"""Which opponent from the past is used and when, and that the GAN's own networks are never replaced."""

import copy
import itertools
import math
import pickle
import random

import pytest
import torch
from helpers import sgds, slow

from lightning_gans import GAN, Stabilizer, UnrolledGAN
from lightning_gans.networks import MLPDiscriminator
from lightning_gans.stabilizers import CheckpointSwap, FeatureMatching


class Opponents(Stabilizer):
    """Records the fakes for the discriminator and the discriminators that the generator faces."""

    def __init__(self):
        self.fakes, self.discriminators = [], []

    def on_fake_samples(self, gan, fake, labels):
        self.fakes.append(fake)
        return fake

    def on_opponent(self, gan, discriminator):
        self.discriminators.append(discriminator)
        return discriminator


def state(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def trained(gan, swap, batches, seen=None):
    """Both players' weights after each batch, those before the first one included."""
    gan.stabilizers += [swap, seen or Opponents()]
    optimizers, path = sgds(gan, lr=0.1), [(state(gan.generator), state(gan.discriminator))]
    for batch in batches:
        gan.train_batch(batch, *optimizers)
        path.append((state(gan.generator), state(gan.discriminator)))
    return path


def test_the_last_snapshots_are_kept(make_gan, batches):
    gan, swap = make_gan(), CheckpointSwap(every=2, keep=2, probability=1.0)
    path = trained(gan, swap, batches(7))
    assert len(swap.state_dict()["snapshots"]) == 2
    for snapshot, time in zip(swap.state_dict()["snapshots"], (4, 6), strict=True):
        assert same(snapshot["generator"], path[time][0]) and same(snapshot["discriminator"], path[time][1])


def test_snapshots_are_copies_on_the_cpu(make_gan, batches):
    gan, swap = make_gan(), CheckpointSwap(every=1, keep=1, probability=1.0)
    path = trained(gan, swap, batches(2))
    with torch.no_grad():
        for parameter in gan.parameters():
            parameter.fill_(9.0)
    assert same(swap.state_dict()["snapshots"][0]["generator"], path[2][0])
    assert all(value.device.type == "cpu" for value in swap.state_dict()["snapshots"][0]["discriminator"].values())


@pytest.mark.parametrize("num_classes", [0, 2])
def test_the_discriminator_is_trained_on_the_old_generator(make_gan, batches, num_classes):
    gan, swap, seen = make_gan(num_classes=num_classes), CheckpointSwap(1, 1, 1.0, updates=2), Opponents()
    trained(gan, swap, batches(2, num_classes=num_classes), seen)
    old = copy.deepcopy(gan.generator)
    old.load_state_dict(swap.state_dict()["snapshots"][0]["generator"])
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


def test_the_generator_faces_the_old_discriminator(make_gan, batches):
    gan, swap, seen = make_gan(), CheckpointSwap(1, 1, 1.0, updates=2), Opponents()
    gan.stabilizers.append(FeatureMatching(weight=1.0))
    path = trained(gan, swap, batches(2), seen)
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


def test_the_old_networks_stay_fixed_and_the_own_ones_are_trained(make_gan, batches):
    gan, swap, seen = make_gan(), CheckpointSwap(every=1, keep=1, probability=1.0, updates=3), Opponents()
    path = trained(gan, swap, batches(6), seen)
    faced = seen.discriminators
    assert faced[:3] == [gan.discriminator] * 3, "nothing is stored when the first period begins"
    assert faced[3] is faced[4] is faced[5] is not gan.discriminator
    assert same(state(faced[5]), path[3][1]), "the snapshot at the start of the period"
    for before, after in itertools.pairwise(path):
        assert not same(before[0], after[0]) and not same(before[1], after[1])


def test_after_a_period_nothing_remains(make_gan, batches):
    gan, swap, seen = make_gan(), CheckpointSwap(every=1, keep=1, probability=1.0), Opponents()
    trained(gan, swap, batches(11), seen)
    old = seen.discriminators[-1]
    assert old not in list(gan.modules()), "not part of the GAN, its optimizers and checkpoints"
    gan.stabilizers.remove(swap)
    step = gan.generator_step(batches(1)[0])
    assert step.discriminator is gan.discriminator


def periods(swap, gan, updates):
    """The snapshot in use at each update; the k-th one has the head's bias k."""
    bias = "head.0.bias"
    snapshots = [{"generator": {}, "discriminator": {bias: torch.tensor([float(k)])}} for k in range(swap.keep)]
    swap.load_state_dict({"snapshots": snapshots, "stretch": -1, "drawn": None})
    used = []
    for gan.generator_updates in range(updates):
        opponent = swap.on_opponent(gan, gan.discriminator)
        used.append(None if opponent is gan.discriminator else int(opponent.get_parameter(bias)))
    return used


def test_periods_have_the_length_and_frequency_of_the_arguments(make_gan):
    met = periods(CheckpointSwap(keep=4, probability=0.25, updates=5), make_gan(), 5000)
    for start in range(0, 5000, 5):
        assert len(set(met[start : start + 5])) == 1
    against_past = [mark for mark in met[::5] if mark is not None]
    assert len(against_past) / 1000 == pytest.approx(0.25, abs=0.04)
    assert all(against_past.count(mark) / len(against_past) == pytest.approx(0.25, abs=0.08) for mark in range(4))


def test_periods_follow_from_the_count_of_updates_alone(make_gan):
    one, other = make_gan(), make_gan(seed=1)
    met = periods(CheckpointSwap(probability=0.5), one, 200)
    torch.manual_seed(7)
    random.seed(7)
    before = torch.get_rng_state(), random.getstate()
    swap = CheckpointSwap(probability=0.5)
    assert periods(swap, other, 200) == met
    assert torch.equal(torch.get_rng_state(), before[0]) and random.getstate() == before[1]


def test_a_lookahead_does_not_use_the_past(make_gan, batches):
    plain = make_gan()
    gan = UnrolledGAN(plain.generator, plain.discriminator, unroll_steps=2)
    swap, ahead = CheckpointSwap(1, 1, 1.0, updates=1), []

    class Ahead(Stabilizer):
        def on_fake_samples(self, gan, fake, labels):
            if gan.looking_ahead:
                ahead.append(fake.requires_grad)
            return fake

    gan.stabilizers.append(Ahead())
    trained(gan, swap, batches(3))
    assert len(ahead) == 6
    gan.looking_ahead, fake, before = True, torch.randn(8, 2), swap.state_dict()["stretch"]
    gan.generator_updates += 1
    assert swap.on_fake_samples(gan, fake, None) is fake and swap.state_dict()["stretch"] == before


@pytest.mark.parametrize("place", ["module", "trainer"])
@pytest.mark.parametrize("epochs", [slow(1), 2, slow(3)])
def test_a_run_resumes_in_the_middle_of_a_period(make_image_gan, fit, weights, tmp_path, place, epochs):
    def run(epochs, **kwargs):
        gan, swap = make_image_gan(size=16), CheckpointSwap(every=1, keep=2, probability=0.7, updates=4)
        gan.stabilizers += [swap] if place == "module" else []
        return gan, fit(gan, 3, max_epochs=epochs, callbacks=[swap] if place == "trainer" else [], **kwargs)

    run(epochs)[1].save_checkpoint(tmp_path / "half.ckpt")
    assert torch.equal(weights(run(5, ckpt_path=tmp_path / "half.ckpt")[0]), weights(run(5)[0]))


def test_a_copy_in_the_middle_of_a_period_makes_its_own_networks(make_gan, batches):
    gan, swap = make_gan(), CheckpointSwap(every=1, keep=1, probability=1.0, updates=2)
    trained(gan, swap, batches(3))
    x = batches(1)[0]
    old = swap.on_opponent(gan, gan.discriminator)
    for twin in (copy.deepcopy(gan), pickle.loads(pickle.dumps(gan.stabilizers[0]))):
        copied = twin.stabilizers[0] if isinstance(twin, GAN) else twin
        again = copied.on_opponent(gan, gan.discriminator)
        assert again is not old is swap.on_opponent(gan, gan.discriminator) and same(state(again), state(old))
        fake = torch.zeros(8, 2)
        torch.manual_seed(1)
        one = swap.on_fake_samples(gan, fake, None)
        torch.manual_seed(1)
        assert torch.equal(copied.on_fake_samples(gan, fake, None), one)
    assert gan.discriminator_step(x).loss.isfinite()


def test_old_networks_have_the_precision_of_the_run(make_gan, batches):
    gan, swap, seen = make_gan().to(torch.bfloat16), CheckpointSwap(1, 1, 1.0, updates=1), Opponents()
    trained(gan, swap, [batch.bfloat16() for batch in batches(3)], seen)
    assert seen.fakes[-1].dtype == torch.bfloat16 and seen.discriminators[-1] is not gan.discriminator
    gan, swap, seen = make_gan(), CheckpointSwap(1, 1, 1.0, updates=1), Opponents()
    with torch.autocast("cpu", torch.bfloat16):
        trained(gan, swap, batches(3), seen)
    assert {fake.dtype for fake in seen.fakes} == {torch.float32}, "like those of the GAN's own generator"


@pytest.mark.parametrize("name", ["every", "keep", "updates"])
@pytest.mark.parametrize("value", [0, -1, 1.5, math.nan])
def test_counts_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"CheckpointSwap\({name}={value}\): expected a whole number of at least 1"):
        CheckpointSwap(**{name: value})


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_a_probability_out_of_range_is_refused(value):
    with pytest.raises(ValueError, match=rf"CheckpointSwap\(probability={value}\): expected a number in \[0, 1\]"):
        CheckpointSwap(probability=value)
