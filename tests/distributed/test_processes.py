"""Collective operations of a training step, the memories of single processes, and strategies."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.distributed as dist
from jsonargparse import Namespace
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from process_group import run_in_processes
from setups import parameters_of, train
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from lightning_gans import distributed
from lightning_gans.attached import attached
from lightning_gans.cli.run_folder import RunFolder
from lightning_gans.stabilizers import ExperienceReplay, ImagePool

pytestmark = pytest.mark.distributed


def in_a_step(work):
    """Run `work(rank)` in two processes inside a synchronized step, and return the results by rank."""

    def inside():
        with distributed.synchronized(DistributedDataParallel(nn.Linear(1, 1))):
            return work(dist.get_rank())

    return run_in_processes(2, inside)


def test_a_mean_and_its_derivatives_are_over_all_processes():
    """Of L = mean over ranks of r · m³, with m the mean of x: L' = 3 r̄ m² and L'' = 6 r̄ m, the same in all."""

    def work(rank):
        x = torch.tensor(1.0 + 2 * rank, dtype=torch.double, requires_grad=True)  # 1 and 3, m = 2
        mean = distributed.mean(x)
        (slope,) = torch.autograd.grad((rank + 1) * mean**3, x, create_graph=True)  # r is 1 and 2
        (curve,) = torch.autograd.grad(slope, x)
        return mean.item(), slope.item(), curve.item()

    assert in_a_step(work) == [(2, 18, 18)] * 2


def test_a_mean_of_logarithms_neither_overflows_nor_underflows():
    def work(rank):
        x = torch.tensor([-5000.0, 0.0], requires_grad=True) + 2 * rank
        found = distributed.mean_of_logarithms(x)
        return found.tolist(), torch.autograd.grad(found.sum(), x)[0].isfinite().all().item()

    expected = torch.tensor([1.0, torch.e**2]).mean().log().item()
    for found, finite in in_a_step(work):
        assert found == pytest.approx([expected - 5000, expected], abs=1e-3) and finite


def test_gradients_are_averaged_and_stay_none_where_no_process_has_one():
    def work(rank):
        layers = nn.ModuleList(nn.Linear(1, 1, bias=False) for _ in range(4)).double()
        half = nn.Parameter(torch.zeros(3, dtype=torch.bfloat16))
        layers[3].requires_grad_(False)
        for layer, there in zip(layers, (True, rank == 0, False, False), strict=True):
            layer.weight.grad = torch.full((1, 1), 1.0 + 2 * rank, dtype=torch.double) if there else None
        half.grad = torch.full((3,), float(rank), dtype=torch.bfloat16)
        distributed.average_gradients([*layers.parameters(), half])
        return [None if one.grad is None else one.grad.flatten().tolist() for one in [*layers.parameters(), half]]

    assert in_a_step(work) == [[[2.0], [0.5], None, None, [0.5] * 3]] * 2


def test_buffers_are_those_of_the_first_process():
    def work(rank):
        norm = nn.BatchNorm1d(2)
        norm.running_mean.fill_(rank + 1)
        norm.num_batches_tracked.fill_(7 * (rank + 1))
        distributed.broadcast_buffers(norm)
        return norm.running_mean.tolist(), norm.num_batches_tracked.item()

    assert in_a_step(work) == [([1, 1], 7)] * 2


def test_outside_of_a_step_nothing_is_communicated():
    """Otherwise a process that computes something alone would wait for the others for ever."""

    def work():
        if dist.get_rank() == 1:
            return None
        layer = nn.Linear(1, 1)
        layer.weight.grad = torch.ones(1, 1)
        x = torch.ones(2)
        distributed.average_gradients(layer.parameters())
        distributed.broadcast_buffers(nn.BatchNorm1d(2))
        with distributed.synchronized(layer):  # no strategy has wrapped it
            return distributed.mean(x) is x and distributed.mean_of_logarithms(x) is x

    assert run_in_processes(2, work) == [True, None]


# ---------------------------------------------------------------- a memory per process


@pytest.mark.slow
@pytest.mark.parametrize("kind", [ExperienceReplay, ImagePool])
def test_every_process_resumes_with_its_own_memory(tmp_path, kind):
    def memory_of(trainer):
        return attached(trainer, kind)[0].state_dict()["samples"]

    def work():
        whole, trainer = train(kind.__name__, max_epochs=4)
        own = memory_of(trainer)
        _, half = train(kind.__name__, max_epochs=2)
        half.save_checkpoint(tmp_path / "half.ckpt")
        again, resumed = train(kind.__name__, max_epochs=4, ckpt_path=tmp_path / "half.ckpt")
        same_weights = np.array_equal(parameters_of(again), parameters_of(whole))
        return torch.equal(memory_of(resumed), own), same_weights, own.sum().item()

    (first, same, one), (second, same_too, other) = run_in_processes(2, work)
    assert first and second and same and same_too and one != other
    torch.load(tmp_path / "half.ckpt", weights_only=True)


def test_memories_are_restored_in_another_number_of_processes():
    """The memories of two processes, restored in three: the third gets that of the first."""
    memories = [{"samples": torch.full((2, 1), float(rank)), "labels": torch.zeros(2).long()} for rank in range(2)]
    key = ExperienceReplay(8).state_key
    for rank, expected in enumerate([0, 1, 0]):
        memory = ExperienceReplay(8)
        checkpoint = {"gan_memories": {key: memories[1:]}}
        memory.on_load_checkpoint(SimpleNamespace(global_rank=rank), None, checkpoint)
        memory.load_state_dict(memories[0])
        assert memory.state_dict()["samples"].unique().tolist() == [expected]
        memory.load_state_dict(memories[0])  # a second time, without on_load_checkpoint
        assert memory.state_dict()["samples"].unique().tolist() == [0]


def test_a_checkpoint_of_weights_alone_holds_no_memory(tmp_path):
    def work():
        _, trainer = train("ExperienceReplay")
        trainer.save_checkpoint(tmp_path / "weights.ckpt", weights_only=True)
        trainer.save_checkpoint(tmp_path / "all.ckpt")

    run_in_processes(2, work)
    assert "gan_memories" not in torch.load(tmp_path / "weights.ckpt", weights_only=True)
    assert len(torch.load(tmp_path / "all.ckpt", weights_only=True)["gan_memories"]) == 1


# ---------------------------------------------------------------- strategies


@pytest.mark.parametrize("strategy", ["auto", "ddp", "ddp_find_unused_parameters_true"])
def test_every_ddp_strategy_trains_to_the_same_weights(strategy):
    def work():
        gan, trainer = train("GAN, clipped, in parts, n_critic 2", shared_draws=True, strategy=strategy)
        return parameters_of(gan).tolist(), type(trainer.strategy).__name__

    (one, name), (other, _) = run_in_processes(2, work)
    assert one == other and name == "DDPStrategy"
    alone = parameters_of(train("GAN, clipped, in parts, n_critic 2", shared_draws=True)[0]).tolist()
    assert one == pytest.approx(alone, abs=1e-9)


@pytest.mark.parametrize(("rank", "node", "made"), [(0, "0", True), (1, "0", False), (0, "1", False)])
def test_one_process_makes_the_folder_of_a_run(tmp_path, monkeypatch, rank, node, made):
    """Lightning tells the others which one it is."""
    monkeypatch.setattr(rank_zero_only, "rank", rank)
    monkeypatch.setenv("NODE_RANK", node)
    logger = Namespace(class_path="lightning.pytorch.loggers.WandbLogger", init_args=Namespace(save_dir="."))
    folder = RunFolder(str(tmp_path), "one")
    folder.place_loggers(logger)
    assert folder.path == tmp_path / "one" / "version_0" and logger.init_args.save_dir == str(folder.path)
    assert folder.path.is_dir() == made and ("id" in logger.init_args) == made
