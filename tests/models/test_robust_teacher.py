"""What a robust classifier teaches: every digit by one network, and by an ensemble many of each."""

import pytest
import torch

from lightning_gans import SEPGAN
from lightning_gans.data import Blank
from lightning_gans.generation import draw
from lightning_gans.networks import Constant, DigitClassifier, RobustDigitClassifier, StochasticEnsembleGenerator
from lightning_gans.optimizers import Adam
from lightning_gans.stabilizers import RandomAffine
from lightning_gans.targets import Labels

SHAPE, BATCHES = (1, 28, 28), 700


@pytest.fixture(scope="module")
def trained():
    from lightning.pytorch import Trainer

    def train(groups, latents=None):
        torch.manual_seed(0)
        generator = StochasticEnsembleGenerator(
            SHAPE, latents, width=16, groups=groups, stochastic_layers=2, doublings=2, num_classes=10, class_norm=7.0,
            learned_channels=32, plain_last=True,
        )  # fmt: skip
        gan = SEPGAN(
            generator,
            RobustDigitClassifier(),
            Labels(background=8.0),
            generator_optimizer=lambda params: Adam(params, lr=2e-3, beta1=0.5),
        )
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        trainer = Trainer(
            max_epochs=1, accelerator="cpu", enable_model_summary=False, callbacks=[RandomAffine()], **quiet
        )
        trainer.fit(gan, Blank(SHAPE, num_samples=64 * BATCHES, batch_size=64, num_classes=10))
        images, labels = draw(gan, 500, seed=1)
        with torch.no_grad():
            right = (DigitClassifier().eval()(images).argmax(1) == labels).float()
        own = [images[labels == one].flatten(1) for one in range(10)]
        return [right[labels == one].mean().item() for one in range(10)], [torch.pdist(x).mean().item() for x in own]

    return {"one network": train(1, Constant(49)), "ensemble": train(16)}


@pytest.mark.slow
def test_another_classifier_reads_what_the_robust_one_has_taught(trained):
    for name, (right, _) in trained.items():
        assert sum(right) / 10 > 0.75 and sum(one > 0.5 for one in right) >= 8, f"{name}: {right}"


@pytest.mark.slow
def test_one_network_shows_one_picture_per_class_and_the_ensemble_many(trained):
    assert max(trained["one network"][1]) < 0.01
    assert min(trained["ensemble"][1]) > 5.0  # two real digits of a class are 16 to 20 apart, of class 1 11
