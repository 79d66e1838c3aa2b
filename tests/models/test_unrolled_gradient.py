"""The gradient through the lookahead of the unrolled GAN, against finite differences and plain autograd."""

import socket

import pytest
import torch
import torch.multiprocessing as mp
from helpers import few, slow
from smooth_gans import RULES, by_differences, inputs, make, resuming, slope, warmed_up
from torch import nn
from torch.autograd import grad
from torch.func import functional_call

from lightning_gans import Stabilizer
from lightning_gans.objectives import NonSaturating, RelativisticAverage, Wasserstein, ZeroSum
from lightning_gans.optimizers import SGD

every_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


@every_rule
@pytest.mark.parametrize("warm", [slow(False), True], ids=["fresh", "moments"])
def test_gradient_equals_finite_differences(rule, warm):
    gan = make(rule=rule)
    if warm:
        gan = resuming(*warmed_up(gan))
    batch, z, _ = inputs()
    found = slope(gan, batch, z)
    expected = by_differences(gan, batch, z)
    assert (found - expected).abs().max() < 1e-6 * max(1.0, expected.abs().max())
    gan.detached = True
    assert (slope(gan, batch, z) - found).norm() > 1e-3 * found.norm(), "without the lookahead's part"


SETTINGS = {
    "non-saturating": {"objective": NonSaturating()},
    "wasserstein": {"objective": Wasserstein()},
    "relativistic average": {"objective": RelativisticAverage()},
    "zero sum, clipped": {"objective": ZeroSum(Wasserstein()), "discriminator_clip": 0.3},
    "clipped": {"discriminator_clip": 0.05},
    "conditional": {"num_classes": 3},
    "one step": {"steps": 1},
    "eight steps": {"steps": 8},
    "inner optimizer": {"inner_optimizer": lambda params: SGD(params, lr=0.5, momentum=0.0)},
}


@pytest.mark.parametrize("name", few(SETTINGS, "zero sum, clipped", "conditional", "inner optimizer", "one step"))
def test_gradient_equals_finite_differences_with_every_setting(name):
    settings = SETTINGS[name]
    classes = settings.get("num_classes", 0)
    gan = resuming(*warmed_up(make(**settings), classes))
    batch, z, labels = inputs(classes)
    expected = by_differences(gan, batch, z, labels)
    assert (slope(gan, batch, z, labels) - expected).abs().max() < 1e-6 * max(1.0, expected.abs().max())


def test_gradient_equals_finite_differences_through_a_penalty():
    gan = make(steps=2, objective=NonSaturating())
    gan.stabilizers.append(Centred())
    batch, z, _ = inputs()
    found, expected = slope(gan, batch, z), by_differences(gan, batch, z)
    assert (found - expected).abs().max() < 1e-6
    gan.stabilizers.clear()
    assert (slope(gan, batch, z) - found).norm() > 1e-3, "the lookahead has the penalty too"


class Centred(Stabilizer):
    """A penalty on the slope of D at the fakes, without random numbers; it uses `step.discriminator` and `gan`."""

    def on_discriminator_loss(self, gan, step, loss):
        x = step.fake if step.fake.requires_grad else step.fake.clone().requires_grad_()
        (slope,) = torch.autograd.grad(step.discriminator(x).sum(), x, create_graph=True)
        return loss + slope.square().sum(1).mean() + gan.discriminator.head[0].weight.square().sum()


def test_gradient_equals_that_of_autograd_alone():
    """K steps of SGD, written with nothing but functional_call."""
    gan = make(rule=lambda params: SGD(params, lr=0.4, momentum=0.0), objective=NonSaturating())
    batch, z, _ = inputs()
    fake = gan(z)
    state = {name: weight.detach().requires_grad_() for name, weight in gan.discriminator.named_parameters()}
    for _ in range(3):
        real, made = (functional_call(gan.discriminator, state, (x,)) for x in (batch, fake))
        loss = nn.functional.softplus(-real).mean() + nn.functional.softplus(made).mean()
        slopes = grad(loss, list(state.values()), create_graph=True)
        state = {name: weight - 0.4 * part for (name, weight), part in zip(state.items(), slopes, strict=True)}
    loss = nn.functional.softplus(-functional_call(gan.discriminator, state, (fake,))).mean()
    expected = torch.cat([part.flatten() for part in grad(loss, list(gan.generator.parameters()))])
    torch.testing.assert_close(slope(gan, batch, z), expected, rtol=1e-10, atol=1e-12)


@every_rule
def test_the_lookahead_equals_real_steps(rule):
    """θᴷ is the result of K real steps of the discriminator on the same batch and fakes."""
    gan, (_, own) = warmed_up(make(steps=4, rule=rule, discriminator_clip=0.3))
    batch, z, _ = inputs()
    fake = gan(z).detach()
    ahead = resuming(gan, (None, own)).opponent(batch, fake)(batch)
    for _ in range(4):
        gan.update("discriminator", own, batch, fake)
    torch.testing.assert_close(ahead, gan.discriminator(batch), rtol=1e-9, atol=1e-12)


def test_a_dead_unit_has_a_finite_gradient():
    gan = make()
    with torch.no_grad():
        gan.discriminator.head[0].weight.zero_()  # nothing below the head has a gradient at first
    batch, z, _ = inputs()
    assert slope(gan, batch, z).isfinite().all()


def follow(rank, world, port, batch, z, result):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    gan = make(discriminator_clip=0.3)
    share = slice(rank * len(z) // world, (rank + 1) * len(z) // world)
    found = slope(gan, batch[share], z[share])
    torch.distributed.all_reduce(found)
    if rank == 0:
        torch.save(found / world, result)
    torch.distributed.barrier()  # gloo of torch 2.6 may wait forever for a process that has left
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_have_the_gradient_of_the_whole_batch(tmp_path):
    batch, z, _ = inputs()
    expected = slope(make(discriminator_clip=0.3), batch, z)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(follow, (2, port, batch, z, tmp_path / "slope.pt"), nprocs=2)
    found = torch.load(tmp_path / "slope.pt")
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
