"""The quickstart generates readable digits of every class, which vary."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.distance import pdist
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
    classifier = SVC(probability=True, random_state=0).fit(*real(gan, "train"))
    assert classifier.score(*real(gan, "val", "test")) > 0.95
    return classifier


def spread(x, y):
    """Return the mean distance between two samples of each class."""
    return np.array([pdist(x[y == label]).mean() for label in range(10)])


def grid(run, gan):
    latents = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["callbacks"]["SampleGrid"]["latents"]
    classes = torch.arange(len(latents)) % 10
    with torch.no_grad():
        return gan(latents, classes), classes


@pytest.mark.parametrize("which", ["thousand", "grid"])
def test_the_digits_of_every_class_are_readable(which, run, gan, classifier):
    samples, classes = grid(run, gan) if which == "grid" else draw(gan, 1000, seed=1)
    assert len(samples) == {"thousand": 1000, "grid": 80}[which]
    shares = classifier.predict_proba(samples.flatten(1).numpy())
    assert shares.max(1).mean() > 0.9, "0.96 for real digits, 0.71 without classes and falling rates"
    assert (shares.argmax(1) == classes.numpy()).mean() > 0.96
    assert (shares[range(len(shares)), classes] < 0.5).mean() < 5 / 64, "malformed"


def test_a_class_varies_as_real_digits_do(gan):
    samples, classes = draw(gan, 1000, seed=1)
    share = spread(samples.flatten(1).numpy(), classes.numpy()) / spread(*real(gan, "train"))
    assert share.mean() > 0.7 and share.min() > 0.5, "0.82 and 0.72; 0.04 with one picture a class"


def test_samples_are_no_closer_to_the_training_digits_than_held_out_digits(gan):
    train = torch.from_numpy(real(gan, "train")[0])
    held_out = torch.from_numpy(real(gan, "val", "test")[0])
    samples = draw(gan, 1000, seed=1)[0].flatten(1)
    distances = [torch.cdist(x, train).min(1).values.mean() for x in (samples, held_out)]
    assert 0.9 * distances[1] < distances[0] < 1.5 * distances[1]
    assert len(samples.mul(4).round().unique(dim=0)) > 950, "samples differ from each other"


def test_the_run_writes_its_pictures(run):
    names = [path.name for path in sorted((run / "samples").glob("epoch_*.png"))]
    assert names == [f"epoch_{epoch:04d}.png" for epoch in range(0, 41, 2)]
    assert Image.open(run / "samples" / "training.gif").n_frames == 21
