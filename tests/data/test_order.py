"""The order of training samples, and the random numbers drawn for them."""

import random

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch.utils.data import Dataset, TensorDataset
from torch.utils.data.distributed import DistributedSampler

from lightning_gans.data import GANData, GaussianRing
from lightning_gans.data.order import ResumableLoader, ResumableSampler, SeededDataset


def order(size=10, seed=0, *args, **kwargs):
    return ResumableSampler(TensorDataset(torch.arange(size)), seed, *args, **kwargs)


# ---------------------------------------------------------------- the order


def test_every_pass_has_every_sample_once_in_another_order():
    sampler = order()
    passes = [list(sampler) for _ in range(3)]
    assert [sorted(one) for one in passes] == [list(range(start, start + 10)) for start in (0, 10, 20)]
    assert len({tuple(index % 10 for index in one) for one in passes}) == 3
    assert passes == [list(one) for one in [order(place=lambda i=i: (i, 0)) for i in range(3)]]


def test_the_order_depends_on_the_seed_alone():
    torch.manual_seed(1)
    first = list(order(seed=3))
    torch.manual_seed(2)
    assert list(order(seed=3)) == first and list(order(seed=4)) != first
    assert [index % 10 for index in order(seed=3, place=lambda: (1, 0))] != list(order(seed=4))


def test_processes_share_a_pass_and_their_batches_hold_what_one_process_would_have():
    alone = list(order(size=11))
    shares = [list(order(11, 0, 2, process)) for process in (0, 1)]
    assert [len(share) for share in shares] == [5, 5] == [len(order(11, 0, 2, process)) for process in (0, 1)]
    for start in range(0, 5, 2):
        assert {i for share in shares for i in share[start : start + 2]} == set(alone[:10][2 * start : 2 * start + 4])


def test_a_pass_begins_where_it_was_interrupted_and_keeps_its_length():
    whole, rest = order(place=lambda: (4, 0)), order(place=lambda: (4, 6))
    assert list(rest) == list(whole)[6:] and len(rest) == len(whole) == 10


def test_set_epoch_counts_only_where_no_place_is_given():
    sampler, placed = order(), order(place=lambda: (2, 0))
    for one in (sampler, placed):
        one.set_epoch(5)
    assert list(sampler) == list(order(place=lambda: (5, 0)))
    assert list(placed) == list(order(place=lambda: (2, 0)))


def test_lightning_does_not_replace_the_sampler():
    assert isinstance(order(), DistributedSampler)


# ---------------------------------------------------------------- random numbers


class Flips(Dataset):
    """Draws random numbers from torch, NumPy and Python, as transforms do."""

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return torch.tensor([float(index), torch.rand(()).item(), np.random.rand(), random.random()])


class FlipData(GANData):
    sample_shape = (4,)

    def load(self, split):
        return Flips()


def two_passes(num_workers, data=FlipData):
    torch.manual_seed(3)
    loader = data(batch_size=4, num_workers=num_workers).train_dataloader()
    batches = []
    for _ in range(2):
        for batch in loader:
            batches.append(batch)
            torch.rand(len(batches)), np.random.rand(), random.random()  # what training draws in between
    return torch.stack(batches)


def test_random_numbers_do_not_depend_on_workers_or_on_other_draws():
    batches = two_passes(0)
    assert torch.equal(batches, two_passes(2))
    random.seed(5)
    np.random.seed(6)
    assert torch.equal(batches, two_passes(0))
    drawn = batches.flatten(0, 1)[:, 1:]
    assert len(drawn.unique()) == drawn.numel(), "other numbers for every sample, in every pass"


def test_whole_batches_are_drawn_anew_in_every_pass():
    batches = two_passes(0, lambda **options: GaussianRing(num_samples=12, fresh=True, **options))
    assert torch.equal(batches, two_passes(2, lambda **options: GaussianRing(num_samples=12, fresh=True, **options)))
    assert len(batches.flatten(0, 1).unique(dim=0)) == 24


def test_the_generators_of_the_run_are_left_alone():
    def drawn():
        return torch.rand(1).item(), np.random.rand(), random.random()

    def after(read):
        torch.manual_seed(1)
        np.random.seed(1)
        random.seed(1)
        data = SeededDataset(Flips(), 0)
        read(data)
        return drawn()

    assert after(lambda data: None) == after(lambda data: data.__getitems__([3, 4])) == after(lambda data: data[3])


def test_single_samples_are_found_by_their_index():
    data = SeededDataset(TensorDataset(torch.arange(5.0)), 0)
    assert data[3][0] == 3 and len(data) == 5 and [one[0].item() for one in data.__getitems__([1, 4 + 5])] == [1, 4]


# ---------------------------------------------------------------- in a Trainer


class Batches(Callback):
    def __init__(self):
        self.seen = {}

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen.setdefault(trainer.fit_loop.epoch_loop.total_batch_idx, batch.clone())


def fitted(make_gan, quiet, data=None, seed=0, ckpt_path=None, **settings):
    torch.manual_seed(seed)
    seen = Batches()
    trainer = Trainer(**{**quiet, **settings}, callbacks=[seen])
    data = data or GaussianRing(num_samples=43, batch_size=8, num_val_samples=1)
    trainer.fit(make_gan(seed=seed), data, ckpt_path=ckpt_path)
    return seen.seen, trainer


@pytest.mark.parametrize("processed", [3, 5])
def test_a_resumed_run_takes_the_seed_of_its_data_from_the_checkpoint(make_gan, quiet, tmp_path, processed):
    whole, _ = fitted(make_gan, quiet, max_epochs=2)
    _, trainer = fitted(make_gan, quiet, max_steps=processed)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    rest, _ = fitted(make_gan, quiet, seed=99, max_epochs=-1, max_steps=10, ckpt_path=tmp_path / "a.ckpt")
    assert rest.keys() == set(range(processed, 10)) and all(torch.equal(whole[i], batch) for i, batch in rest.items())


def test_a_second_run_of_the_same_data_module_takes_its_own_seed(make_gan, quiet):
    data = GaussianRing(num_samples=43, batch_size=8, num_val_samples=1)
    first, second, again = (fitted(make_gan, quiet, data, seed=seed)[0] for seed in (0, 1, 0))
    assert torch.equal(first[0], again[0]) and not torch.equal(first[0], second[0])


def test_lightning_takes_the_loader_for_resumable(make_gan, quiet, tmp_path, recwarn):
    data = GaussianRing(num_samples=43, batch_size=8, num_val_samples=1)
    _, trainer = fitted(make_gan, quiet, data, max_steps=3, max_epochs=-1)
    assert isinstance(data.train_dataloader(), ResumableLoader)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    fitted(make_gan, quiet, max_steps=5, max_epochs=-1, ckpt_path=tmp_path / "a.ckpt")
    assert not [one for one in recwarn if "not resumable" in str(one.message)]


def test_overfit_batches_are_the_same_in_every_epoch(make_gan, quiet):
    seen, _ = fitted(make_gan, quiet, overfit_batches=2, max_epochs=3)
    assert [torch.equal(seen[i], seen[i % 2]) for i in range(6)] == [True] * 6


def test_all_processes_use_the_seed_of_the_first(make_gan, quiet, monkeypatch):
    data = GaussianRing(num_samples=64, batch_size=8)
    data.trainer = Trainer(**quiet)
    monkeypatch.setattr(Trainer, "world_size", 2)
    monkeypatch.setattr(Trainer, "global_rank", 1)
    monkeypatch.setattr(data.trainer.strategy, "broadcast", lambda seed: 77)
    loader = data.train_dataloader()
    assert (loader.sampler.seed, loader.dataset.seed, loader.sampler.rank, len(loader)) == (77, 77, 1, 4)


@pytest.mark.parametrize("limit", [1.0, 0.5, 3])
def test_a_shortened_epoch_counts_as_a_pass(make_gan, quiet, limit):
    seen, _ = fitted(make_gan, quiet, limit_train_batches=limit, max_epochs=2)
    whole, _ = fitted(make_gan, quiet, max_epochs=2)
    each = len(seen) // 2
    assert each == {1.0: 5, 0.5: 2, 3: 3}[limit]
    assert all(torch.equal(seen[i], whole[i if i < each else i - each + 5]) for i in seen)
