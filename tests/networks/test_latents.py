"""The distributions of z."""

import pytest
import torch

from lightning_gans.networks import Constant, Gaussian, GaussianWithCode, Latents, Uniform, as_latents

EVERY = [Gaussian(5), Uniform(5), GaussianWithCode(2, 3, 4.0)]


@pytest.mark.parametrize("latents", EVERY, ids=repr)
def test_draws_have_the_requested_shape_type_and_generator(latents):
    z = latents.sample(7)
    assert z.shape == (7, latents.dim) == (7, 5)
    assert z.dtype == torch.float32 and z.device.type == "cpu"
    assert not torch.equal(z, latents.sample(7))
    assert latents.sample(7, dtype=torch.float64).dtype == torch.float64
    assert latents.sample(7, dtype=torch.bfloat16).dtype == torch.bfloat16
    assert latents.sample(7, device="meta").device.type == "meta"
    assert latents.sample(0).shape == (0, 5)

    state = torch.random.get_rng_state()
    draws = [latents.sample(7, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert torch.equal(state, torch.random.get_rng_state())  # nothing was taken from the global generator


def test_gaussian_is_standard_normal():
    z = Gaussian(4).sample(20000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(z.mean(0), torch.zeros(4), atol=0.03, rtol=0)
    torch.testing.assert_close(z.T.cov(), torch.eye(4), atol=0.04, rtol=0)


def test_uniform_fills_minus_one_to_one():
    z = Uniform(4).sample(20000, generator=torch.Generator().manual_seed(0))
    assert -1 <= z.min() < -0.99 and 0.99 < z.max() <= 1
    torch.testing.assert_close(z.mean(0), torch.zeros(4), atol=0.02, rtol=0)
    torch.testing.assert_close(z.T.cov(), torch.eye(4) / 3, atol=0.02, rtol=0)


def test_code_is_one_scaled_category_drawn_uniformly_beside_a_gaussian():
    z = GaussianWithCode(2, 4, scale=3.0).sample(20000, generator=torch.Generator().manual_seed(0))
    gaussian, code = z[:, :2], z[:, 2:]
    assert torch.equal(code.sort(1).values, torch.tensor([0.0, 0.0, 0.0, 3.0]).expand(20000, 4))
    torch.testing.assert_close(code.mean(0), torch.full((4,), 0.75), atol=0.04, rtol=0)
    torch.testing.assert_close(gaussian.T.cov(), torch.eye(2), atol=0.04, rtol=0)
    torch.testing.assert_close(z.T.corrcoef()[:2, 2:], torch.zeros(2, 4), atol=0.03, rtol=0)
    assert GaussianWithCode(0, 4).sample(3).shape == (3, 4)


def test_several_codes_are_drawn_independently_each_in_its_own_coordinates():
    latents = GaussianWithCode(2, 4, scale=3.0, codes=3)
    z = latents.sample(20000, generator=torch.Generator().manual_seed(0))
    assert z.shape == (20000, latents.dim) == (20000, 14) and latents.continuous_dim == 2
    codes = z[:, 2:].view(-1, 3, 4)
    assert torch.equal(codes.sort(2).values, torch.tensor([0.0, 0.0, 0.0, 3.0]).expand(20000, 3, 4))
    chosen = codes.argmax(2)
    counts = (chosen @ torch.tensor([16, 4, 1])).bincount(minlength=64)
    assert len(counts) == 64 and counts.min() > 240 and counts.max() < 390  # 312 on average, of which 4 sigma are 70


def test_constant_is_one_and_draws_nothing():
    state = torch.random.get_rng_state()
    z = Constant(5).sample(7, dtype=torch.float64)
    assert torch.equal(z, torch.ones(7, 5, dtype=torch.float64)) and Constant(5).sample(7).dtype == torch.float32
    assert Constant(5).sample(7, device="meta").device.type == "meta" and Constant(5).sample(0).shape == (0, 5)
    assert torch.equal(state, torch.random.get_rng_state())
    assert Constant(3) == Constant(3) != Constant(4) and repr(Constant(3)) == "Constant(dim=3)"


def test_latents_are_values():
    assert Gaussian(3) == Gaussian(3) and hash(Gaussian(3)) == hash(Gaussian(3))
    assert Gaussian(3) != Gaussian(4) and Gaussian(3) != Uniform(3) and Gaussian(3) != 3
    assert GaussianWithCode(scale=1.0) != GaussianWithCode(scale=2.0)
    assert repr(Uniform(3)) == "Uniform(dim=3)"
    assert repr(GaussianWithCode()) == "GaussianWithCode(gaussian_dim=2, categories=256, scale=4.0, codes=1, dim=258)"


def test_an_integer_means_gaussian():
    assert as_latents(7) == Gaussian(7)
    uniform = Uniform(7)
    assert as_latents(uniform) is uniform


def test_a_subclass_takes_a_few_lines():
    class Ones(Latents):
        dim = 3

        def sample(self, n, device=None, dtype=None, generator=None):
            return torch.ones(n, 3, device=device, dtype=dtype)

    assert as_latents(Ones()).sample(2).shape == (2, 3)
    with pytest.raises(TypeError, match="abstract"):
        Latents()


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: Gaussian(0), r"\(dim=0\): expected a whole number of at least 1"),
        (lambda: Uniform(-1), r"\(dim=-1\): expected a whole number of at least"),
        (lambda: Constant(0), r"\(dim=0\): expected a whole number of at least"),
        (lambda: Gaussian(2.5), r"\(dim=2.5\): expected a whole number of at least"),
        (lambda: as_latents(0), r"\(dim=0\): expected a whole number of at least"),
        (lambda: as_latents("gaussian"), "latents='gaussian': expected Latents or an integer width, such as Gaussian"),
        (lambda: as_latents(True), "latents=True: expected Latents"),
        (lambda: GaussianWithCode(-1), r"\(gaussian_dim=-1\): expected a whole number of at least"),
        (lambda: GaussianWithCode(categories=0), r"\(categories=0\): expected a whole number of at least"),
        (lambda: GaussianWithCode(codes=0), r"\(codes=0\): expected a whole number of at least"),
        (lambda: GaussianWithCode(scale=0.0), r"\(scale=0.0\): expected a finite number above 0, such as 4.0"),
    ],
)
def test_bad_values_are_named(make, words):
    with pytest.raises(ValueError, match=words) as raised:
        make()
    assert "\n" not in str(raised.value)


def test_the_first_coordinates_vary_continuously_and_the_others_do_not():
    for latents, dim in ((Gaussian(5), 5), (Uniform(5), 5), (GaussianWithCode(2, 3), 2), (Constant(4), 0)):
        z = latents.sample(50)
        values = [len(column.unique()) for column in z.T]
        assert latents.continuous_dim == dim
        assert all(count == 50 for count in values[:dim]) and all(count <= 2 for count in values[dim:])


def test_the_gaussian_part_is_isotropic():
    isotropic = {type(one).__name__: one.isotropic for one in (*EVERY, Constant(3))}
    assert isotropic == {"Gaussian": True, "Uniform": False, "GaussianWithCode": True, "Constant": False}
