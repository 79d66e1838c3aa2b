"""Weight normalisation: length and direction, per output, and the same function at first."""

import pytest
import torch
from torch import nn

from lightning_gans.networks import weighted_layers
from lightning_gans.stabilizers import SpectralNorm, WeightNorm


@pytest.mark.parametrize("images", [False, True])
def test_the_networks_compute_the_same_at_first(make_gan, make_image_gan, images):
    gan = make_image_gan(size=16, num_classes=2) if images else make_gan(num_classes=2)
    gan.eval()
    z, labels = torch.randn(4, 3), torch.tensor([0, 1, 1, 0])
    before = gan.discriminator(gan(z, labels), labels)
    WeightNorm().apply_to(gan)
    torch.testing.assert_close(gan.discriminator(gan(z, labels), labels), before)
    assert not any(hasattr(m, "parametrizations") for m in gan.modules() if isinstance(m, nn.Embedding))


def test_there_is_a_length_for_each_output_and_the_weight_is_it_times_the_direction(make_image_gan):
    gan = make_image_gan(size=16)
    outputs = {name: m.out_features if isinstance(m, nn.Linear) else m.out_channels for name, m in weighted_layers(gan)}
    WeightNorm().apply_to(gan)
    for name, layer in weighted_layers(gan):
        g, v = layer.parametrizations.weight.original0, layer.parametrizations.weight.original1
        assert g.numel() == outputs[name], name
        with torch.no_grad():
            g.fill_(2.0)
            v.normal_()
        dim = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
        lengths = layer.weight.transpose(0, dim).flatten(1).norm(dim=1)
        torch.testing.assert_close(lengths, torch.full_like(lengths, 2.0))
        direction = v.transpose(0, dim).flatten(1)
        cosine = nn.functional.cosine_similarity(layer.weight.transpose(0, dim).flatten(1), direction)
        torch.testing.assert_close(cosine, torch.ones_like(cosine))


def test_each_argument_chooses_a_network(make_gan):
    for who in ("discriminator", "generator"):
        gan = make_gan()
        WeightNorm(**{"discriminator": False, "generator": False, who: True}).apply_to(gan)
        for name, layer in weighted_layers(gan):
            assert hasattr(layer, "parametrizations") is name.startswith(who)


def test_two_norms_on_one_network_are_refused(make_gan):
    gan = make_gan()
    SpectralNorm(discriminator=False, generator=True).apply_to(gan)
    with pytest.raises(ValueError, match=r"WeightNorm\(.*generator.layers.0 is parametrised already \(SpectralNorm\)"):
        WeightNorm().apply_to(gan)
    assert not hasattr(gan.discriminator.layers[0], "parametrizations"), "nothing was changed before"
    WeightNorm(generator=False).apply_to(gan)


def test_it_trains_in_half_precision(make_image_gan, fit, weights):
    gan = make_image_gan(norm=None)
    fit(gan, callbacks=[WeightNorm()], precision="bf16-true")
    assert weights(gan).isfinite().all()
