"""The quickstart generates every digit, and none too often."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.svm import SVC

from lightning_gans.__main__ import main
from lightning_gans.data import Digits
from lightning_gans.generation import draw, load

CONFIG = Path(__file__).parents[1] / "configs" / "quickstart.yaml"

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run the quickstart with its committed config."""
    place = tmp_path_factory.mktemp("quickstart")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        main(["fit", "--config", str(CONFIG)])
    return place / "runs" / "quickstart" / "version_0"


@pytest.fixture(scope="module")
def gan(run):
    return load(run / "checkpoints" / "last.ckpt")


def real(gan, *splits):
    """Return real digits (N, pixels) at the image size of the run, and their labels."""
    data = Digits(size=gan.generator.sample_shape[-1], labels=True)
    sets = [data.load(split) for split in splits]
    parts = [one.__getitems__(range(len(one))) for one in sets]
    return torch.cat([x for x, _ in parts]).flatten(1).numpy(), torch.cat([y for _, y in parts]).numpy()


@pytest.fixture(scope="module")
def classifier(gan):
    """Fit a classifier to real digits; it generalises to held-out digits."""
    classifier = SVC().fit(*real(gan, "train"))
    assert classifier.score(*real(gan, "val", "test")) > 0.95
    return classifier


def grid(run, gan):
    latents = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["callbacks"]["SampleGrid"]["latents"]
    with torch.no_grad():
        return gan(latents)


@pytest.mark.parametrize("which", ["thousand", "grid"])
def test_every_digit_is_generated_and_none_too_often(which, run, gan, classifier):
    samples = grid(run, gan) if which == "grid" else draw(gan, 1000, seed=1)[0]
    assert len(samples) == {"thousand": 1000, "grid": 64}[which]
    shares = np.bincount(classifier.predict(samples.flatten(1).numpy()), minlength=10) / len(samples)
    assert (shares >= 0.02).sum() >= 9, shares
    assert shares.max() <= 0.25, shares


def test_samples_are_as_close_to_the_training_digits_as_held_out_digits(gan):
    train = torch.from_numpy(real(gan, "train")[0])
    held_out = torch.from_numpy(real(gan, "val", "test")[0])
    samples = draw(gan, 1000, seed=1)[0].flatten(1)
    distances = [torch.cdist(x, train).min(1).values.mean() for x in (samples, held_out)]
    assert distances[0] < 1.5 * distances[1]
    assert len(samples.mul(4).round().unique(dim=0)) > 950, "samples differ from each other"


def test_the_run_writes_its_pictures(run):
    names = [path.name for path in sorted((run / "samples").glob("epoch_*.png"))]
    assert names == [f"epoch_{epoch:04d}.png" for epoch in range(0, 101, 5)]
    assert Image.open(run / "samples" / "training.gif").n_frames == 21
