"""State of a network: BatchNorm by the batch, with nothing changed."""

import pytest
import torch
from torch import nn

from lightning_gans.networks.state import normalising_by_batch

NORMS = [nn.BatchNorm2d, nn.SyncBatchNorm, lambda width: nn.BatchNorm2d(width, track_running_stats=False)]


@pytest.mark.parametrize("make", NORMS, ids=["BatchNorm2d", "SyncBatchNorm", "without statistics"])
def test_the_statistics_are_those_of_the_batch_and_the_kept_ones_stay(make, monkeypatch):
    network = nn.Sequential(make(3), nn.Dropout()).eval()
    if network[0].running_mean is not None:
        network[0].running_mean += 5
    x = torch.randn(4, 3, 2, 2) * 7 + 3
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)  # SyncBatchNorm would wait for others
    kept, before, buffers = network(x), {k: v.clone() for k, v in network.state_dict().items()}, list(network.buffers())
    with normalising_by_batch(network):
        y = network(x)
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True)
    torch.testing.assert_close(y, (x - mean) / (variance + 1e-5).sqrt())
    assert torch.equal(network(x), kept)
    assert all(one is other for one, other in zip(network.buffers(), buffers, strict=True))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_kept_statistics_come_back_after_an_error():
    norm = nn.BatchNorm1d(3).eval()
    mean = norm.running_mean
    with pytest.raises(ValueError, match="more than 1 value"), normalising_by_batch(norm):
        norm(torch.ones(1, 3))
    assert norm.running_mean is mean and list(norm.state_dict())[2:] == [
        "running_mean",
        "running_var",
        "num_batches_tracked",
    ]
