import math

import pytest
import torch

from lightning_gans.data import GaussianGrid, GaussianRing, ParallelLines


def points(data, split="train"):
    samples = data.load(split)
    return samples.__getitems__(range(len(samples)))


def nearest(x, means):
    return torch.cdist(x, means).argmin(1)


@pytest.mark.parametrize(
    ("data", "modes", "sigma"),
    [
        (GaussianRing(labels=True), 8, 0.01),
        (GaussianRing(radius=2, sigma=0.02, labels=True), 8, 0.02),
        (GaussianRing(num_modes=5, fresh=True, labels=True), 5, 0.01),
        (GaussianGrid(labels=True), 25, 0.05),
        (GaussianGrid(side=2, spacing=1.0, sigma=0.02, fresh=True, labels=True), 4, 0.02),
    ],
)
def test_statistics(data, modes, sigma):
    x, y = points(data)
    assert x.shape == (100_000, 2) and x.dtype == torch.float32 and y.dtype == torch.int64
    assert data.means.shape == (modes, 2) and data.sigma == sigma and data.num_classes == modes
    assert torch.pdist(data.means).min() > 6 * sigma, "no mode is doubled"
    assert torch.equal(nearest(x, data.means), y), "labels are the nearest modes"
    share = torch.bincount(y, minlength=modes) / len(y)
    assert (share - 1 / modes).abs().max() < 5 * math.sqrt(1 / modes / len(y))
    for mode in range(modes):
        cloud = x[y == mode]
        error = sigma / math.sqrt(len(cloud))
        assert (cloud.mean(0) - data.means[mode]).abs().max() < 5 * error
        assert (cloud.std(0) / sigma - 1).abs().max() < 0.06
    radial = (x - data.means[y]).norm(dim=1)
    assert abs((radial <= 3 * sigma).float().mean().item() - 0.9889) < 0.003, "the ceiling of high quality"


def test_published_positions():
    ring = GaussianRing().means
    assert torch.allclose(ring[0], torch.tensor([1.0, 0.0])) and torch.allclose(
        ring[2], torch.tensor([0.0, 1.0]), atol=1e-6
    )
    assert torch.allclose(ring.norm(dim=1), torch.ones(8))
    assert torch.allclose(GaussianRing(radius=2, sigma=0.02).means, 2 * ring)
    grid = GaussianGrid().means
    assert {tuple(mean) for mean in grid.tolist()} == {
        (a, b) for a in (-4.0, -2.0, 0.0, 2.0, 4.0) for b in (-4.0, -2.0, 0.0, 2.0, 4.0)
    }
    assert grid[1].tolist() == [-2.0, -4.0], "column first, then row"
    assert torch.allclose(GaussianGrid(side=4, spacing=1.0).means.mean(0), torch.zeros(2)), "centred when even"


@pytest.mark.parametrize("cls", [GaussianRing, GaussianGrid, ParallelLines])
def test_fixed_set_ignores_the_seed_of_the_run(cls):
    torch.manual_seed(1)
    first = points(cls())
    torch.manual_seed(2)
    assert torch.equal(first, points(cls()))
    assert not torch.equal(first, points(cls(data_seed=1)))


@pytest.mark.parametrize("cls", [GaussianRing, GaussianGrid, ParallelLines])
def test_splits_are_independent_and_sized(cls):
    data = cls(num_samples=500, num_val_samples=400, num_test_samples=300, fresh=True)
    assert [len(data.load(split)) for split in ("train", "val", "test")] == [500, 400, 300]
    assert torch.equal(points(data, "val"), points(data, "val")), "validation is fixed even when training is fresh"
    data = cls(num_samples=300, num_val_samples=300, num_test_samples=300)
    rows = {tuple(row) for split in ("train", "val", "test") for row in points(data, split).tolist()}
    assert len(rows) == 900


@pytest.mark.parametrize("cls", [GaussianRing, GaussianGrid, ParallelLines])
def test_fresh_differs_between_batches_and_fixed_repeats(cls):
    def rows(fresh):
        data = cls(num_samples=1024, fresh=fresh, batch_size=256)
        loader = data.train_dataloader()
        return [tuple(row) for _ in range(2) for batch in loader for row in batch.tolist()]

    assert len(rows(True)) == 2048 and len(set(rows(True))) > 2040
    assert len(rows(False)) == 2048 and len(set(rows(False))) <= 1024


def test_fresh_follows_the_seed_of_the_run():
    def first(seed):
        torch.manual_seed(seed)
        return next(iter(GaussianRing(fresh=True).train_dataloader()))

    assert torch.equal(first(3), first(3)) and not torch.equal(first(3), first(4))


def test_fresh_workers_do_not_repeat_each_other():
    loader = GaussianRing(num_samples=1024, fresh=True, batch_size=256, num_workers=2).train_dataloader()
    assert len({tuple(row) for batch in loader for row in batch.tolist()}) > 1000


def test_labels_only_when_asked():
    assert isinstance(next(iter(GaussianRing().train_dataloader())), torch.Tensor)
    x, y = next(iter(GaussianRing(labels=True, fresh=True, batch_size=32).train_dataloader()))
    assert x.shape == (32, 2) and y.shape == (32,)


def test_parallel_lines():
    x = points(ParallelLines(offset=-0.5))
    assert (x[:, 0] == -0.5).all()
    assert x[:, 1].min() >= 0 and x[:, 1].max() <= 1
    assert abs(x[:, 1].mean() - 0.5) < 0.01 and abs(x[:, 1].std() - 1 / math.sqrt(12)) < 0.01


@pytest.mark.parametrize(
    ("cls", "name", "value"),
    [
        (GaussianRing, "num_modes", 0),
        (GaussianRing, "radius", 0.0),
        (GaussianRing, "sigma", math.nan),
        (GaussianRing, "num_samples", 0),
        (GaussianRing, "num_val_samples", 0),
        (GaussianRing, "num_test_samples", -1),
        (GaussianRing, "data_seed", -1),
        (GaussianGrid, "side", 0),
        (GaussianGrid, "spacing", -1.0),
        (GaussianGrid, "sigma", 0.0),
        (ParallelLines, "offset", math.inf),
    ],
)
def test_arguments_out_of_range_are_refused(cls, name, value):
    with pytest.raises(ValueError, match=rf"^{cls.__name__}\({name}={value}\): expected a .*number.*, such") as caught:
        cls(**{name: value})
    assert "\n" not in str(caught.value)
