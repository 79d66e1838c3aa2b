"""Fixtures that all tests share: small GANs, which train on a batch in about a millisecond, and Trainers."""

from functools import cache

import pytest
import torch
from helpers import OBJECTIVES, DiracDiscriminator, DiracGenerator, fixed_batches, small_gan, small_image_gan
from lightning.fabric.utilities import registry
from lightning.pytorch import Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_gans import GAN
from lightning_gans.optimizers import SGD


def pytest_configure(config):
    """Use one thread, which is fastest for networks this small, and silence Lightning's warnings about such runs."""
    torch.set_num_threads(1)
    for message in (
        "You defined a `validation_step` but have no",
        "Using ModelCheckpoint with manual optimization",
        "Couldn't infer the batch indices fetched",
    ):
        config.addinivalue_line("filterwarnings", f"ignore:{message}")


@pytest.fixture(scope="session", autouse=True)
def _entry_points():
    """Read the metadata of all installed packages once; every Trainer reads them anew, which takes 10 ms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "entry_points", cache(registry.entry_points))
        yield


@pytest.fixture(autouse=True)
def _seed():
    """Every test sees the same random numbers, whatever ran before it."""
    torch.manual_seed(0)


@pytest.fixture(params=OBJECTIVES, ids=repr)
def objective(request):
    """Every objective in turn."""
    return request.param


@pytest.fixture
def make_gan():
    """Make a GAN of two tiny MLPs on points in the plane, from a seed."""
    return small_gan


@pytest.fixture
def make_image_gan():
    """Make a GAN of two tiny convolutional networks on grey images, from a seed; D has norms from 16 × 16 up."""
    return small_image_gan


@pytest.fixture
def batches():
    """Make fixed batches with values in [−1, 1], and labels where there are classes."""
    return fixed_batches


@pytest.fixture
def quiet(tmp_path):
    """Settings of a Trainer that writes nothing, anywhere but in the test's own folder.

    It logs every 50 batches, as that takes longer than a training step of such networks.
    """
    return {
        "accelerator": "cpu",
        "logger": False,
        "enable_progress_bar": False,
        "enable_checkpointing": False,
        "enable_model_summary": False,
        "log_every_n_steps": 50,
        "max_epochs": 1,
        "default_root_dir": tmp_path,
    }


@pytest.fixture
def fit(quiet):
    """Fit a GAN on a number of fixed batches, or on given ones, from a seed; the Trainer comes back."""

    def fit(gan, data=2, seed=0, val=None, ckpt_path=None, **settings):
        shape, classes = gan.generator.sample_shape, gan.generator.num_classes
        if isinstance(data, int):
            data = fixed_batches(data, shape, num_classes=classes)
        loaders = [None if one is None else DataLoader(one, batch_size=None) for one in (data, val)]
        if seed is not None:
            torch.manual_seed(seed)
        if settings.get("logger"):
            settings.setdefault("log_every_n_steps", 1)
        trainer = Trainer(**{**quiet, **settings})
        trainer.fit(gan, *loaders, ckpt_path=ckpt_path)
        return trainer

    return fit


@pytest.fixture
def weights():
    """Copy everything that is learned, running statistics included, into one vector."""

    def weights(module):
        state = module.state_dict().values()
        return torch.cat([value.detach().flatten().double() for value in state if isinstance(value, Tensor)])

    return weights


@pytest.fixture
def norms():
    """An optimizer factory and the list in which it notes the norm of each gradient that it is given."""
    seen = []

    class Noting(SGD):
        def step(self, closure=None):
            if closure is not None:  # in which Lightning clips
                closure()
            parameters = [parameter for group in self.param_groups for parameter in group["params"]]
            seen.append(torch.linalg.vector_norm(torch.cat([p.grad.flatten() for p in parameters])).item())
            return super().step()

    return lambda params: Noting(params, lr=1e-4), seen


@pytest.fixture
def dirac():
    """Train the Dirac-GAN (data at 0, a fake at θ, D(x) = ψx) from (1, 1); the distances of (θ, ψ) from (0, 0)."""

    def dirac(*stabilizers, steps=300, lr=0.1, **kwargs):
        gan = GAN(DiracGenerator(), DiracDiscriminator(), **kwargs)
        gan.stabilizers += stabilizers
        optimizers = [SGD(player.parameters(), lr, momentum=0) for player in (gan.generator, gan.discriminator)]
        theta, psi = gan.generator.theta, gan.discriminator.head[0].weight
        path = []
        for _ in range(steps * gan.n_critic):
            gan.train_batch(torch.zeros(1, 1), *optimizers)
            path.append([theta.item(), psi.item()])
        return torch.tensor(path)

    return dirac
