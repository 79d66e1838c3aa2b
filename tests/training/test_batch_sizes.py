"""Batches that are too small for BatchNorm or do not divide into packs are refused before the first update."""

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from lightning_gans import DCGAN, GAN
from lightning_gans.networks import MLPDiscriminator, MLPGenerator
from lightning_gans.stabilizers import Packing, VirtualBatchNorm

POINTS = torch.rand(17, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1


def normed(of_generator=True, of_discriminator=True, **settings):
    norms = [nn.BatchNorm1d if norm else None for norm in (of_generator, of_discriminator)]
    generator = MLPGenerator((2,), 3, width=4, norm=norms[0])
    return GAN(generator, MLPDiscriminator((2,), width=4, norm=norms[1]), **settings)


def loader(samples=17, size=8, **settings):
    return DataLoader(TensorDataset(POINTS[:samples]), size, **settings)


def refused(gan, quiet, data, **settings):
    """Return the one line with which a run is refused, before an update."""
    before = {name: value.clone() for name, value in gan.state_dict().items() if isinstance(value, torch.Tensor)}
    with pytest.raises(ValueError) as caught:
        Trainer(**{**quiet, **settings}).fit(gan, data)
    assert "\n" not in str(caught.value) and gan.discriminator_updates == 0
    assert all(torch.equal(before[name], value) for name, value in gan.state_dict().items() if name in before)
    return str(caught.value)


@pytest.mark.parametrize(("generator", "discriminator", "name"), [(1, 0, "MLPGenerator"), (0, 1, "MLPDiscriminator")])
def test_a_last_batch_of_one_sample_is_refused_before_training(quiet, generator, discriminator, name):
    line = refused(normed(generator, discriminator), quiet, loader())
    assert line.startswith("in the last batch of 1 (17 samples in batches of 8) a BatchNorm of " + name)
    assert "DataLoader(..., drop_last=True)" in line


@pytest.mark.parametrize(
    "data",
    [lambda: loader(drop_last=True), lambda: loader(16), lambda: loader(17, 5), lambda: loader(10)],
    ids=["drop_last", "none left", "other size", "two left"],
)
def test_the_remedies_train(quiet, data):
    gan = normed()
    Trainer(**quiet).fit(gan, data())
    assert gan.discriminator_updates > 0


def test_a_last_batch_that_is_not_reached_is_taken(quiet):
    gan = normed()
    Trainer(**quiet, limit_train_batches=2).fit(gan, loader())
    assert gan.discriminator_updates == 2


def test_networks_that_take_one_sample_train_on_it(quiet):
    """Without BatchNorm, with one in feature maps of several positions, and with one by a reference."""
    images = DataLoader(TensorDataset(torch.rand(9, 1, 16, 16) * 2 - 1), 8)
    runs = [
        (normed(False, False), loader(), []),
        (DCGAN((1, 16, 16), latent_dim=3, width=2), images, []),
        (normed(), loader(), [VirtualBatchNorm(size=4)]),
    ]
    for gan, data, callbacks in runs:
        Trainer(**quiet, callbacks=callbacks).fit(gan, data)
        assert gan.discriminator_updates == len(data)


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_a_part_of_one_sample_is_refused(quiet, player):
    gan = normed(**{f"{player}_accumulation": 5})
    assert refused(gan, quiet, loader(16)).startswith("in a part of 1 of a batch of 8 a BatchNorm of")


def test_a_conditional_gan_is_asked_with_labels(quiet):
    generator = MLPGenerator((2,), 3, width=4, norm=nn.BatchNorm1d, num_classes=2)
    gan = GAN(generator, MLPDiscriminator((2,), width=4, num_classes=2))
    data = DataLoader(TensorDataset(POINTS, torch.arange(17) % 2), 8)
    assert "a BatchNorm of MLPGenerator has one value" in refused(gan, quiet, data)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(POINTS)


@pytest.mark.parametrize("data", [lambda: DataLoader(Stream(), 8), lambda: DataLoader([POINTS[:8], POINTS[:1]], None)])
def test_a_batch_of_one_sample_that_no_loader_told_is_one_line(quiet, data):
    with pytest.raises(ValueError, match=r"^in a batch of 1, .* a BatchNorm has one value of each channel.*drop_last"):
        Trainer(**quiet).fit(normed(), data())


def test_a_last_batch_that_does_not_divide_into_packs_is_refused_before_training(quiet):
    line = refused(normed(False, False), quiet, loader(), callbacks=[Packing(2)])
    assert line.startswith("Packing(samples=2): the last batch of 1 (17 samples in batches of 8) does not divide")
    assert line.endswith("and drop_last=True in the DataLoader.")


def test_one_pack_is_one_row_for_batch_norm(quiet):
    line = refused(normed(False, True), quiet, loader(10), callbacks=[Packing(2)])
    assert line.startswith("in the last batch of 2 (10 samples in batches of 8) a BatchNorm of PackedDiscriminator")


def test_the_question_changes_nothing_in_the_training(quiet, weights, monkeypatch):
    """The forward by which it is found out leaves random numbers, buffers and modes as they were."""
    after = []
    for asked in (True, False):
        if not asked:
            monkeypatch.setattr("lightning_gans.training.data_guard.batch_sizes_fit", lambda *_: None)
        torch.manual_seed(0)
        gan = DCGAN((1, 16, 16), latent_dim=3, width=2)
        Trainer(**quiet).fit(gan, DataLoader(TensorDataset(POINTS[:9].repeat(1, 128).view(9, 1, 16, 16)), 8))
        after.append(weights(gan))
    assert torch.equal(*after)
