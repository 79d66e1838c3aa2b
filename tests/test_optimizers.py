"""The optimizers of the papers: torch's own, with scalar arguments."""

import inspect

import pytest
import torch

from lightning_gans.optimizers import SGD, Adam, RMSProp

EVERY = [
    (Adam, torch.optim.Adam, {"lr": 2e-4, "betas": (0.5, 0.999), "eps": 1e-8, "weight_decay": 0.0}),
    (RMSProp, torch.optim.RMSprop, {"lr": 5e-5, "alpha": 0.99, "eps": 1e-8, "momentum": 0}),
    (SGD, torch.optim.SGD, {"lr": 0.1, "momentum": 0.5}),
]
OTHER = [
    (Adam, {"lr": 1e-2}),
    (Adam, {"beta1": 0.9}),
    (Adam, {"beta2": 0.9}),
    (Adam, {"eps": 1e-2}),
    (Adam, {"weight_decay": 0.1}),
    (RMSProp, {"lr": 1e-2}),
    (RMSProp, {"alpha": 0.5}),
    (RMSProp, {"eps": 1e-2}),
    (SGD, {"lr": 1e-2}),
    (SGD, {"momentum": 0.9}),
]


def descend(kind, steps=3, **arguments):
    w = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)
    optimizer = kind([w], **arguments)
    for _ in range(steps):
        optimizer.zero_grad()
        (w**2 * torch.tensor([1.0, 0.1])).sum().backward()
        optimizer.step()
    return w.detach()


@pytest.mark.parametrize(("kind", "torch_kind", "settings"), EVERY)
def test_defaults_are_those_of_the_papers(kind, torch_kind, settings):
    assert torch.equal(descend(kind), descend(torch_kind, **settings))
    assert settings.items() <= kind([torch.zeros(1)]).defaults.items()


@pytest.mark.parametrize(("kind", "change"), OTHER)
def test_every_argument_changes_the_path(kind, change):
    assert not torch.equal(descend(kind, **change), descend(kind))


def test_every_argument_is_tested():
    for kind, _, _ in EVERY:
        arguments = set(inspect.signature(kind).parameters) - {"params"}
        assert arguments == {name for of, change in OTHER for name in change if of is kind}


@pytest.mark.parametrize(("kind", "torch_kind", "settings"), EVERY)
def test_arguments_are_scalars_that_a_config_can_hold(kind, torch_kind, settings):
    defaults = [p.default for name, p in inspect.signature(kind).parameters.items() if name != "params"]
    assert all(isinstance(default, float) for default in defaults)


@pytest.mark.parametrize(("kind", "torch_kind", "settings"), EVERY)
def test_groups_and_generators_of_parameters_are_taken(kind, torch_kind, settings):
    module = torch.nn.Linear(2, 2)
    assert len(kind(module.parameters()).param_groups[0]["params"]) == 2
    groups = kind([{"params": module.weight, "lr": 0.5}, {"params": module.bias}]).param_groups
    assert groups[0]["lr"] == 0.5 and groups[1]["lr"] == settings["lr"]
