"""Sums of latents, and the command `arithmetic`."""

import numpy as np
import pytest
import torch
from helpers import ensemble, linear_gan
from PIL import Image

from lightning_gans import generation
from lightning_gans.generation import draw_arithmetic
from lightning_gans.networks import Constant, GaussianWithCode

A, B, C = [3, 8, 5], [1, 2], [7, 9, 4, 6]


def test_sums_of_latents_are_sums_of_samples_for_a_linear_generator():
    gan = linear_gan(16)
    drawn = draw_arithmetic(gan, A, B, C)
    z = [generation.seed_latents(gan, seeds) for seeds in (A, B, C)]
    with torch.no_grad():
        for concept, mean, latents in zip(drawn.concepts, drawn.means, z, strict=True):
            torch.testing.assert_close(concept, gan.generator(latents))
            torch.testing.assert_close(mean, concept.mean(0))
        a, b, c = (latents.mean(0, keepdim=True) for latents in z)
        torch.testing.assert_close(drawn.results[4:5], gan.generator(a - b + c))
    torch.testing.assert_close(drawn.results[4], drawn.means[0] - drawn.means[1] + drawn.means[2])
    assert drawn.results.shape == (9, 3)


def test_noise_around_the_result_is_uniform_and_depends_on_its_seed():
    gan = linear_gan(400, dim=400)
    torch.nn.init.eye_(gan.generator.linear.weight)
    drawn = draw_arithmetic(gan, A, B, C, noise=0.5)
    around = torch.cat([drawn.results[:4], drawn.results[5:]]) - drawn.results[4]
    assert 0.49 < around.max() < 0.5001 and -0.5001 < around.min() < -0.49
    assert abs(around.std() - 1 / 12**0.5) < 0.01, "the standard deviation of uniform noise of width 1"
    assert torch.equal(drawn.results, draw_arithmetic(gan, A, B, C, noise=0.5).results)
    other = draw_arithmetic(gan, A, B, C, noise=0.5, seed=1).results
    assert torch.equal(other[4], drawn.results[4]) and not torch.equal(other[0], drawn.results[0])
    assert len(draw_arithmetic(gan, A, B, C, noise=0).results.unique(dim=0)) == 1


def test_with_three_seeds_a_list_the_result_is_as_long_as_latents():
    gan = linear_gan(4000, dim=4000)
    torch.nn.init.eye_(gan.generator.linear.weight)
    drawn = draw_arithmetic(gan, [0, 1, 2], [3, 4, 5], [6, 7, 8], noise=0)
    assert abs(drawn.results[4].norm() / 4000**0.5 - 1) < 0.05
    assert abs(drawn.means[0].norm() / 4000**0.5 - 3**-0.5) < 0.05


def test_weights_of_classes_are_added_and_subtracted_too():
    gan = linear_gan(num_classes=3)
    e, w = torch.eye(3), gan.generator.linear.weight.detach()
    z = [generation.seed_latents(gan, seeds).mean(0) for seeds in (A, B, C)]
    drawn = draw_arithmetic(gan, A, B, C, labels=[2, 0, 1])
    torch.testing.assert_close(drawn.results[4], w @ torch.cat([z[0] - z[1] + z[2], e[2] - e[0] + e[1]]))
    torch.testing.assert_close(drawn.means[1], w @ torch.cat([z[1], e[0]]))
    for labels, single in ((None, 0), ([1], 1)):
        drawn = draw_arithmetic(gan, A, B, C, labels=labels)
        torch.testing.assert_close(drawn.results[4], w @ torch.cat([z[0] - z[1] + z[2], e[single]]))


def test_a_code_is_that_of_the_first_seed_and_of_c():
    gan = linear_gan(GaussianWithCode(3, 5), dim=8)
    torch.nn.init.eye_(gan.generator.linear.weight)
    drawn = draw_arithmetic(gan, A, B, C)
    firsts = generation.seed_latents(gan, [A[0], B[0], C[0]])
    torch.testing.assert_close(drawn.means[:, 3:], firsts[:, 3:])
    torch.testing.assert_close(drawn.results[:, 3:], firsts[2:, 3:].expand(9, -1))


def test_the_route_is_that_of_the_first_seed_and_of_c():
    gan = ensemble()
    drawn = draw_arithmetic(gan, [1], [1], [6], noise=0)
    torch.testing.assert_close(drawn.results[4], generation.draw(gan, 1, seed=6)[0][0])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"a": []}, r"a=\[\]: expected at least one seed"),
        ({"c": []}, r"c=\[\]: expected at least one seed, such as those of `sample --numbered true`"),
        ({"b": [-1]}, r"seeds=\[-1\]: expected at least one whole number"),
        ({"noise": -0.1}, r"^arithmetic\(noise=-0\.1\): expected a number of at least 0, such as 0\.$"),
        ({"noise": float("nan")}, r"^arithmetic\(noise=nan\): expected a number of at least 0, such as 0\.$"),
        ({"labels": [1]}, r"labels=\[1\], but this generator has no classes"),
        ({"labels": [1, 2]}, r"labels=\[1, 2\]: expected one class for all, or three"),
    ],
)
def test_mistakes_are_refused(arguments, says, make_gan):
    with pytest.raises(ValueError, match=says):
        draw_arithmetic(make_gan(), **({"a": A, "b": B, "c": C} | arguments))


def test_other_mistakes_are_refused(make_gan):
    with pytest.raises(ValueError, match=r"Constant\(dim=3\) has nothing continuous to calculate with; use"):
        draw_arithmetic(linear_gan(Constant(3)), A, B, C)
    with pytest.raises(ValueError, match="expected classes from 0 to 2"):
        draw_arithmetic(make_gan(num_classes=3), A, B, C, labels=[0, 1, 3])


# ---------------------------------------------------------------- the command


@pytest.fixture
def command(monkeypatch, tmp_path, capsys):
    """Return a function that runs the command on a GAN in memory and returns the picture and the printed line."""

    def command(gan, *args, **arguments):
        monkeypatch.setattr("lightning_gans.generation.latent_arithmetic.load", lambda path, trust: gan)
        generation.arithmetic("run.ckpt", *args, out=str(tmp_path / "out.png"), **arguments)
        return np.array(Image.open(tmp_path / "out.png")), capsys.readouterr().out

    return command


def test_the_picture_is_laid_out_as_in_the_paper(command, make_image_gan):
    gan = make_image_gan()
    image, said = command(gan, A, B, C, noise=2.0, seed=3)
    drawn = draw_arithmetic(gan, A, B, C, noise=2.0, seed=3)
    assert image.shape == (16 + 4 * 50 + 2 + 14 + 52, 3 * (52 + 28) + 152 + 14, 3)
    single = [generation.picture(one[None])[2:50, 2:50].numpy() for one in (*drawn.means, *drawn.results)]
    seen = [image[-50:-2, 14 + 2 + i * 80 :][:, :48] for i in range(3)]
    results = image[-152:, 3 * 80 + 7 :][:, :152]
    seen += [results[2 + 50 * i : 50 + 50 * i, 2 + 50 * j : 50 + 50 * j] for i in range(3) for j in range(3)]
    assert all(np.array_equal(*pair) for pair in zip(single, seen, strict=True))
    for i, concept in enumerate(drawn.concepts):
        top = len(image) - 52 - 14 - (50 * len(concept) + 2)
        column = image[top + 2 :, 14 + 2 + i * 80 :][:, :48]
        expected = [generation.picture(one[None])[2:50, 2:50].numpy() for one in concept]
        assert all(np.array_equal(column[50 * j :][:48], one) for j, one in enumerate(expected))
    assert said.startswith("a - b + c of 3, 2 and 4 samples of GAN after 0 generator updates: ")


def test_points_are_drawn_as_a_map(command, make_gan):
    image, said = command(make_gan(), A, B, C)
    assert image.shape == (480, 480, 3) and (image == (214, 69, 30)).all(-1).any() and "out.png" in said
