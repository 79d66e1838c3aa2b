"""What every network promises: shapes, labels, precision, copies, gradients, and clear errors."""

import copy

import pytest
import torch
from torch import nn

from lightning_gans.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    Discriminator,
    Gaussian,
    Generator,
    MLPDiscriminator,
    MLPGenerator,
    R3GANDiscriminator,
    R3GANGenerator,
    ResNetDiscriminator,
    ResNetGenerator,
)

GENERATORS = {
    "mlp": lambda k: MLPGenerator((2,), 6, width=16, num_classes=k),
    "dcgan": lambda k: DCGANGenerator((3, 16, 16), 6, width=4, num_classes=k),
    "resnet": lambda k: ResNetGenerator((3, 16, 16), 6, width=4, num_classes=k),
    "r3gan": lambda k: R3GANGenerator((3, 16, 16), 6, width=8, blocks=1, num_classes=k),
}
DISCRIMINATORS = {
    "mlp": lambda k: MLPDiscriminator((2,), width=16, num_classes=k),
    "maxout": lambda k: MLPDiscriminator((2,), width=16, maxout_pieces=3, num_classes=k),
    "fourier": lambda k: MLPDiscriminator((2,), width=16, fourier_frequencies=3, num_classes=k),
    "dcgan": lambda k: DCGANDiscriminator((3, 16, 16), width=4, num_classes=k),
    "resnet": lambda k: ResNetDiscriminator((3, 16, 16), width=4, num_classes=k),
    "r3gan": lambda k: R3GANDiscriminator((3, 16, 16), width=8, blocks=1, num_classes=k),
}
every_generator = pytest.mark.parametrize("make", GENERATORS.values(), ids=GENERATORS.keys())
every_discriminator = pytest.mark.parametrize("make", DISCRIMINATORS.values(), ids=DISCRIMINATORS.keys())
every_network = pytest.mark.parametrize(
    "make", [*GENERATORS.values(), *DISCRIMINATORS.values()], ids=[*GENERATORS, *DISCRIMINATORS]
)


def inputs(network, n=4, dtype=torch.float32):
    if isinstance(network, Generator):
        return network.latents.sample(n, dtype=dtype)
    return torch.randn(n, *network.sample_shape, dtype=dtype)


@every_generator
def test_generator_maps_latents_to_samples(make):
    g = make(0)
    assert g.latents == Gaussian(6) and g.latent_dim == g.input_dim == 6
    assert g(inputs(g)).shape == (4, *g.sample_shape)
    assert g.num_classes == 0 and not any("embedding" in name for name, _ in g.named_parameters())


@every_discriminator
def test_discriminator_is_features_then_head(make):
    d = make(0).eval()
    x = inputs(d)
    features = d.features(x)
    assert features.shape == (4, d.num_features)
    assert d(x).shape == (4,)
    torch.testing.assert_close(d(x), d.head(features), atol=0, rtol=0)
    assert d.num_classes == 0 and not any("embedding" in name for name, _ in d.named_parameters())

    head = copy.deepcopy(d.head)
    d.head = nn.Sequential(Twice(), head)  # as minibatch discrimination does
    torch.testing.assert_close(d(x), head(2 * features))


class Twice(nn.Module):
    def forward(self, x):
        return 2 * x


@every_network
def test_conditional_output_depends_on_the_label(make):
    torch.manual_seed(0)
    network = make(3).eval()
    x = inputs(network, 2)
    zero, one = torch.tensor([0, 0]), torch.tensor([0, 1])
    first, second = network(x, zero), network(x, one)
    torch.testing.assert_close(first[0], second[0])
    assert (first[1] - second[1]).abs().max() > 1e-4
    torch.testing.assert_close(network(x, one.int()), second)


@every_discriminator
def test_labels_train_their_embeddings(make):
    network = make(3)
    network(inputs(network, 2), torch.tensor([0, 1])).square().sum().backward()
    gradient = network.embedding.weight.grad.abs().sum(1)
    assert gradient[0] > 0 and gradient[1] > 0 and gradient[2] == 0


@every_discriminator
def test_projection_is_the_inner_product_of_embedding_and_features(make):
    d = make(3).eval()
    x, labels = inputs(d), torch.tensor([2, 0, 1, 2])
    features = d.features(x)
    expected = [
        d.head(f[None]).item() + (d.embedding.weight[k] @ f).item() for f, k in zip(features, labels, strict=True)
    ]
    torch.testing.assert_close(d(x, labels), torch.tensor(expected), atol=1e-5, rtol=1e-4)


def test_conditional_generator_joins_the_label_to_z():
    g = MLPGenerator((2,), 6, num_classes=3)
    z, labels = torch.randn(4, 6), torch.tensor([2, 0, 1, 2])
    assert g.latent_dim == 6 and g.input_dim == 9
    torch.testing.assert_close(g.condition(z, labels), torch.cat([z, torch.eye(3)[labels]], 1))
    weights = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0], [1.0, -1.0, 1.0], [0.0, 1.0, 0.0]])
    torch.testing.assert_close(g.condition(z, weights), torch.cat([z, weights], 1))


@every_discriminator
def test_label_starts_no_larger_than_the_head(make):
    torch.manual_seed(0)
    d = make(50)
    assert d.embedding.weight.std() < 2.5 * d.head[0].weight.std()


@every_network
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_network_follows_the_precision(make, dtype):
    network = make(3).to(dtype)
    y = network(inputs(network, dtype=dtype), torch.tensor([0, 1, 2, 0]))
    assert y.dtype == dtype and y.isfinite().all()
    y.float().sum().backward()
    with torch.autocast("cpu", torch.bfloat16):
        network = make(3)
        assert network(inputs(network), torch.tensor([0, 1, 2, 0])).isfinite().all()


@every_network
def test_copy_is_equal_and_independent(make):
    network = make(3).eval()
    twin = copy.deepcopy(network)
    x, labels = inputs(network), torch.tensor([0, 1, 2, 0])
    assert torch.equal(network(x, labels), twin(x, labels))
    with torch.no_grad():
        for p in twin.parameters():
            p.zero_()
    assert not torch.equal(network(x, labels), twin(x, labels))


@every_network
def test_state_is_parameters_and_norm_statistics_only(make, tmp_path):
    network, other = make(3).eval(), make(3).eval()
    allowed = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    assert all(key.rsplit(".", 1)[-1] in allowed for key in network.state_dict())
    torch.save(network.state_dict(), tmp_path / "state.pt")
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    x, labels = inputs(network), torch.tensor([0, 1, 2, 0])
    assert torch.equal(network(x, labels), other(x, labels))


def test_calling_does_not_change_the_keys_of_the_state():
    d = MLPDiscriminator((2,), fourier_frequencies=2)
    before = list(d.state_dict())
    d(torch.randn(3, 2))
    assert list(d.state_dict()) == before


@pytest.mark.parametrize(
    "make",
    [
        DISCRIMINATORS["mlp"],
        DISCRIMINATORS["maxout"],
        DISCRIMINATORS["fourier"],
        lambda k: DCGANDiscriminator((3, 16, 16), width=4, norm=None, num_classes=k),
        DISCRIMINATORS["resnet"],
        DISCRIMINATORS["r3gan"],
    ],
    ids=["mlp", "maxout", "fourier", "dcgan", "resnet", "r3gan"],
)
def test_gradient_penalty_reaches_the_weights(make):
    torch.manual_seed(0)
    d = make(3).double()
    x, labels = inputs(d, dtype=torch.float64).requires_grad_(), torch.tensor([0, 1, 2, 0])

    def penalty():
        (gradient,) = torch.autograd.grad(d(x, labels).sum(), x, create_graph=True)
        return gradient.square().sum()

    weight = next(p for p in d.parameters() if p.dim() > 1)
    penalty().backward()
    i, step = weight.grad.abs().argmax(), 1e-6
    slope, flat = weight.grad.flatten()[i].item(), weight.data.view(-1)
    flat[i] += step
    above = penalty().item()
    flat[i] -= 2 * step
    below = penalty().item()
    assert slope != 0 and slope == pytest.approx((above - below) / (2 * step), rel=1e-3)


def test_subclasses_take_a_few_lines():
    class G(Generator):
        def __init__(self, sample_shape, num_classes=0):
            super().__init__(sample_shape, latents=16, num_classes=num_classes)
            self.linear = nn.Linear(self.input_dim, sample_shape[0])

        def forward(self, z, labels=None):
            return self.linear(self.condition(z, labels))

    class WithSubmodule(Discriminator):
        def __init__(self, sample_shape, num_classes=0):
            super().__init__(sample_shape, num_features=64, num_classes=num_classes)
            self.features = nn.Sequential(nn.Linear(sample_shape[0], 64), nn.ReLU())

    class WithMethod(Discriminator):
        def __init__(self, sample_shape):
            super().__init__(sample_shape, num_features=4)

        def features(self, x):
            return torch.cat([x, x**2], 1)

    g, labels = G((2,), num_classes=3), torch.tensor([0, 1, 2])
    x = g(g.latents.sample(3), labels)
    assert WithSubmodule((2,), 3)(x, labels).shape == (3,)
    assert "features" in dict(WithSubmodule((2,)).named_children())
    assert WithMethod((2,))(x).shape == (3,)
    with pytest.raises(TypeError, match="abstract"):
        Generator((2,))


@every_network
@pytest.mark.parametrize(
    "classes, labels, words",
    [
        (3, None, r"got no labels, expected shape \(4,\); pass them, or build it with num_classes=0"),
        (0, torch.zeros(4).long(), "got labels, expected none; build it with num_classes above 0"),
        (3, torch.zeros(4), "labels have dtype torch.float32, expected torch.int64"),
        (3, torch.zeros(5).long(), r"labels have shape \(5,\), expected \(4,\)"),
        (3, torch.zeros(4, 3).long(), r"labels have shape \(4, 3\), expected \(4,\)"),
    ],
    ids=["missing", "unexpected", "dtype", "length", "one-hot"],
)
def test_wrong_labels_are_named(make, classes, labels, words):
    network = make(classes)
    with pytest.raises(ValueError, match=words) as raised:
        network(inputs(network), labels)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "use, words",
    [
        (lambda: MLPGenerator((2,), 6)(torch.zeros(3, 5)), r"z has shape \(3, 5\), expected \(N, 6\)"),
        (lambda: MLPDiscriminator((2,))(torch.zeros(3, 5)), r"shape \(5,\) each, expected \(2,\); resize"),
        (lambda: DCGANDiscriminator((1, 8, 8), 2)(torch.zeros(3, 1, 9, 8)), r"\(1, 9, 8\) each, expected"),
        (lambda: MLPGenerator(()), r"MLPGenerator\(sample_shape=\(\)\): expected \(D,\) for points or \(C, H, W\)"),
        (lambda: MLPDiscriminator(2), r"MLPDiscriminator\(sample_shape=2\): expected \(D,\) for points or \(C, H, W\)"),
        (lambda: MLPGenerator((2, 0)), r"\(sample_shape\[1\]=0\): expected a whole number of at least 1"),
        (lambda: MLPGenerator((2,), num_classes=-1), r"\(num_classes=-1\): expected a whole number of at least"),
        (lambda: MLPDiscriminator((2,), num_classes=-1), r"\(num_classes=-1\): expected a whole number of at least"),
        (lambda: MLPGenerator((2,), 0), r"\(dim=0\): expected a whole number of at least"),
    ],
)
def test_bad_input_is_named(use, words):
    with pytest.raises(ValueError, match=words) as raised:
        use()
    assert "\n" not in str(raised.value)
