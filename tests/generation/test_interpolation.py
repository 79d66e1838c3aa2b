"""Paths between samples, and the command `interpolate`."""

import math

import numpy as np
import pytest
import torch
from helpers import LinearGenerator, ensemble, linear_gan
from PIL import Image

from lightning_gans import generation
from lightning_gans.generation import draw_path, slerp
from lightning_gans.networks import Constant, Gaussian, GaussianWithCode, Uniform
from lightning_gans.stabilizers import Dropout

T = torch.linspace(0, 1, 11, dtype=torch.float64)[:, None]


# ---------------------------------------------------------------- slerp


def test_slerp_in_the_plane_turns_at_a_constant_rate():
    a, b = torch.tensor([[[2.0, 0.0]], [[2 * math.cos(2.0), 2 * math.sin(2.0)]]], dtype=torch.float64)
    path = slerp(a, b, T)
    expected = 2 * torch.cat([(2 * T).cos(), (2 * T).sin()], dim=1)
    torch.testing.assert_close(path, expected, atol=1e-12, rtol=0)


def test_slerp_keeps_equal_lengths_and_changes_unequal_ones_linearly():
    a, b = torch.randn(2, 1, 50, dtype=torch.float64)
    torch.testing.assert_close(slerp(a, b * a.norm() / b.norm(), T).norm(dim=1), a.norm().expand(11))
    path = slerp(a, 3 * b, T)
    torch.testing.assert_close(path.norm(dim=1), torch.lerp(a.norm(), 3 * b.norm(), T[:, 0]))
    whole = torch.acos(torch.nn.functional.cosine_similarity(a, b))
    turned = torch.acos(torch.nn.functional.cosine_similarity(a, path).clamp(max=1))
    torch.testing.assert_close(turned, T[:, 0] * whole, atol=1e-7, rtol=0)


def test_slerp_has_bitwise_exact_ends():
    a, b = torch.randn(2, 1, 64)
    path = slerp(a, b, T.float())
    assert torch.equal(path[:1], a) and torch.equal(path[-1:], b)
    assert torch.lerp(a, b, T.float()).norm(dim=1)[5] < 0.8 * path.norm(dim=1)[5], "the straight line is shorter"


@pytest.mark.parametrize("b", [[1.0, 2.0], [2.0, 4.0], [-1.0, -2.0], [0.0, 0.0], [1.0, 2.0 + 1e-7]])
def test_slerp_without_a_great_circle_is_straight(b):
    a, b = torch.tensor([[1.0, 2.0]]), torch.tensor([b])
    torch.testing.assert_close(slerp(a, b, T.float()), torch.lerp(a, b, T.float()))


# ---------------------------------------------------------------- paths


def latents_of_path(gan, *args, **kwargs):
    """Return the latents of a path, by a generator that returns its latents."""
    gan.generator = LinearGenerator(gan.generator.latents, dim=gan.generator.latent_dim)
    torch.nn.init.eye_(gan.generator.linear.weight)
    return draw_path(gan, *args, **kwargs)


def test_a_path_passes_through_the_samples_of_its_seeds():
    gan = linear_gan(16)
    path, z = draw_path(gan, [3, 8, 5], steps=4), generation.seed_latents(gan, [3, 8, 5])
    assert path.shape == (7, 3)
    torch.testing.assert_close(path[::3], gan.generator(z).detach())
    assert torch.equal(path, draw_path(gan, [3, 8, 5], steps=4))


@pytest.mark.parametrize(
    ("latents", "spherical", "way"),
    [
        (Gaussian(6), None, slerp),
        (Gaussian(6), False, torch.lerp),
        (Uniform(6), None, torch.lerp),
        (Uniform(6), True, slerp),
    ],
)
def test_paths_are_spherical_for_gaussian_latents_and_straight_for_uniform_ones(latents, spherical, way):
    gan = linear_gan(latents)
    path = latents_of_path(gan, [3, 8], 5, spherical)
    a, b = generation.seed_latents(gan, [3, 8]).split(1)
    torch.testing.assert_close(path, way(a, b, torch.linspace(0, 1, 5)[:, None]))
    assert not torch.allclose(slerp(a, b, torch.tensor([[0.5]])), torch.lerp(a, b, 0.5))


def test_a_code_changes_half_way():
    gan = linear_gan(GaussianWithCode(3, 5))
    path = latents_of_path(gan, [1, 2], 5)
    a, b = generation.seed_latents(gan, [1, 2]).split(1)
    assert not torch.equal(a[:, 3:], b[:, 3:])
    torch.testing.assert_close(path[:, 3:], torch.cat([a, a, b, b, b])[:, 3:])
    torch.testing.assert_close(path[:, :3], slerp(a[:, :3], b[:, :3], torch.linspace(0, 1, 5)[:, None]))


@pytest.mark.parametrize("latents", [Constant(3), GaussianWithCode(0, 5)])
def test_latents_with_nothing_continuous_are_refused(latents):
    with pytest.raises(ValueError, match=r"has nothing continuous to interpolate; use latents such as Gaussian"):
        draw_path(linear_gan(latents), [0, 1])


def test_the_route_stays_the_same_along_a_path():
    gan = ensemble()
    path = draw_path(gan, [4, 9], steps=6)
    with generation.showing(gan), torch.no_grad():
        z = generation.seed_latents(gan, [4, 9])
        z = torch.lerp(z[:1], z[1:], torch.linspace(0, 1, 6)[:, None])
        routes = [gan.generator(z, route=route) for route in range(gan.generator.num_routes)]
    assert sum(torch.allclose(path, along, atol=1e-6) for along in routes) == 1
    torch.testing.assert_close(path[:1], generation.draw(gan, 1, seed=4)[0], msg="the route of the first seed")


def test_dropout_noise_is_constant_along_a_path(make_gan):
    gan = make_gan()
    Dropout(generator=0.5).apply_to(gan)
    path = draw_path(gan, [1, 2], steps=400)
    steps = (path[1:] - path[:-1]).norm(dim=1)
    assert steps.max() < 0.05 * (path.max() - path.min())


def test_classes_are_mixed_along_a_path_between_classes():
    gan = linear_gan(num_classes=3)
    e, w = torch.eye(3), gan.generator.linear.weight
    z = generation.seed_latents(gan, [5])
    path = draw_path(gan, [5, 5], steps=5, labels=[2, 0])
    mixtures = torch.lerp(e[2], e[0], torch.linspace(0, 1, 5)[:, None])
    torch.testing.assert_close(path, (torch.cat([z.expand(5, -1), mixtures], 1) @ w.T).detach())
    same = draw_path(gan, [5, 6], steps=5)
    torch.testing.assert_close(same, draw_path(gan, [5, 6], steps=5, labels=[0, 0]), msg="class 0 if left out")


def test_mistakes_in_a_path_are_refused(make_gan):
    for arguments, says in (
        (([3],), r"seeds=\[3\]: expected at least two"),
        (([3, 4], 1), r"^interpolate\(steps=1\): expected a whole number of at least 2, such as 2\.$"),
        (([3, 4], 3, None, [0]), "has no classes; leave the labels out"),
    ):
        with pytest.raises(ValueError, match=says):
            draw_path(make_gan(), *arguments)
    with pytest.raises(ValueError, match="expected classes from 0 to 2"):
        draw_path(make_gan(num_classes=3), [3, 4], labels=[3])


# ---------------------------------------------------------------- the command


@pytest.fixture
def command(monkeypatch, tmp_path, capsys):
    """Return a function that runs the command on a GAN in memory and returns the picture and the printed line."""

    def command(gan, name="out.png", **arguments):
        monkeypatch.setattr("lightning_gans.generation.interpolation.load", lambda path, trust: gan)
        generation.interpolate("run.ckpt", str(tmp_path / name), **arguments)
        return Image.open(tmp_path / name), capsys.readouterr().out

    return command


def test_every_row_is_a_path_with_the_seeds_below_their_images(command, make_image_gan):
    gan = make_image_gan()
    image, said = command(gan, seeds=[3, 8, 5, 1], rows=2, steps=4)
    samples = torch.cat([draw_path(gan, seeds, 4) for seeds in ([3, 8], [5, 1])])
    expected = generation.captioned(samples, ["3", "", "", "8", "5", "", "", "1"], columns=4)
    assert np.array_equal(np.array(image), expected.numpy())
    assert said.startswith("2 paths of 4 samples each, spherical, of GAN after 0 generator updates: ")
    assert said.endswith("out.png\n") and said.count("\n") == 1


def test_rows_and_steps_have_defaults(command, make_image_gan):
    assert "8 paths of 10 samples" in command(make_image_gan())[1]
    assert "1 path of 19 samples" in command(make_image_gan(), seeds=[0, 1, 2])[1]
    image, said = command(make_image_gan(), rows=1, spherical=False)
    assert "1 path of 10 samples each, linear," in said and image.size == (10 * 50 + 2, 48 + 13 + 4)


def test_an_animation_runs_forwards_and_backwards(command, make_image_gan):
    image, said = command(make_image_gan(), "out.gif", rows=3, steps=5)
    assert image.n_frames == 8 and image.size == (2 * 50 + 2, 2 * 50 + 2) and "3 paths of 5 samples" in said


def test_labels_are_given_by_seed_or_default_to_one_class_a_row(command, make_image_gan):
    gan = make_image_gan(num_classes=2)
    image, _ = command(gan, rows=3, steps=2)
    samples = torch.cat([draw_path(gan, [2 * row, 2 * row + 1], 2, labels=[row % 2]) for row in range(3)])
    captions = ["0 (0)", "1 (0)", "2 (1)", "3 (1)", "4 (0)", "5 (0)"]
    assert np.array_equal(np.array(image), generation.captioned(samples, captions, columns=2).numpy())
    image, _ = command(gan, seeds=[6, 6], steps=2, labels=[0, 1])
    expected = generation.captioned(draw_path(gan, [6, 6], 2, labels=[0, 1]), ["6 (0)", "6 (1)"], columns=2)
    assert np.array_equal(np.array(image), expected.numpy())


def test_a_path_of_points_is_drawn_over_samples(command, make_gan):
    image, said = command(make_gan(), rows=2, steps=20)
    colours = {tuple(colour) for colour in np.array(image).reshape(-1, 3)[::1].tolist()}
    assert image.size == (480, 480) and {(190, 190, 190), (214, 69, 30), (31, 95, 175)} <= colours
    assert "2 paths of 20 samples" in said
    assert command(make_gan(), "out.gif", rows=2, steps=5)[0].n_frames == 8
    gan = linear_gan(GaussianWithCode(2, 3), dim=2)
    assert "spherical, the code changing half-way, of GAN" in command(gan, rows=1, steps=3)[1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"seeds": [3]}, r"seeds=\[3\] in rows=1: expected at least two seeds a row"),
        ({"seeds": [3, 4, 5], "rows": 2}, r"seeds=\[3, 4, 5\] in rows=2: expected at least two"),
        ({"seeds": [3, 4, 5, 6, 7], "rows": 2}, "as many in each"),
        ({"rows": 0}, r"^interpolate\(rows=0\): expected a whole number of at least 1, such as 1\.$"),
        ({"labels": [1]}, r"labels=\[1\], but this generator has no classes"),
        ({"out": "path.xyz"}, r"path\.xyz' does not end in a picture format; end it in \.png"),
    ],
)
def test_mistakes_of_the_command_are_refused(arguments, says, monkeypatch, make_image_gan, tmp_path):
    monkeypatch.chdir(tmp_path)
    gan = make_image_gan()
    monkeypatch.setattr("lightning_gans.generation.interpolation.load", lambda path, trust: gan)
    with pytest.raises(ValueError, match=says):
        generation.interpolate("run.ckpt", **arguments)
    assert not list(tmp_path.iterdir())
