"""What one does with a trained generator."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from lightning_gans import DCGAN, GAN, WGAN, generation
from lightning_gans.networks import DCGANDiscriminator, GaussianWithCode, MLPGenerator, StochasticEnsembleGenerator

ORANGE, GREY, WHITE = [214, 69, 30], [190, 190, 190], [255, 255, 255]


# ---------------------------------------------------------------- draw


def test_a_seed_fixes_the_samples_and_leaves_the_random_numbers_alone(make_image_gan):
    gan = make_image_gan()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, labels = generation.draw(gan, 5, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert first.shape == (5, 1, 8, 8) and first.dtype == torch.float32 and labels is None
    assert not first.requires_grad
    assert torch.equal(generation.draw(gan, 5, seed=3)[0], first)
    assert not torch.equal(generation.draw(gan, 5, seed=4)[0], first)


def test_without_a_seed_samples_are_fresh(make_gan):
    gan = make_gan()
    torch.manual_seed(1)
    first, second = generation.draw(gan, 5)[0], generation.draw(gan, 5)[0]
    torch.manual_seed(1)
    assert torch.equal(generation.draw(gan, 5)[0], first) and not torch.equal(first, second)


def test_the_generator_is_drawn_from_in_evaluation_mode_and_left_as_it_was(make_image_gan, weights):
    gan = make_image_gan()
    norm = next(module for module in gan.generator.modules() if isinstance(module, nn.BatchNorm2d)).eval()
    before = weights(gan)
    whole, _ = generation.draw(gan, 5, seed=0)
    parts, _ = generation.draw(gan, 5, seed=0, batch_size=2)
    torch.testing.assert_close(parts, whole, msg="statistics of the batch play no part")
    assert gan.training and gan.generator.training and not norm.training
    assert torch.equal(weights(gan), before)


def test_the_mode_is_restored_after_an_error(make_image_gan):
    gan = make_image_gan()
    with pytest.raises(RuntimeError, match="broken"), generation.showing(gan):
        assert not any(module.training for module in gan.generator.modules())
        raise RuntimeError("broken")
    assert all(module.training for module in gan.modules())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_samples_are_in_single_precision_whatever_the_generator_is_in(make_gan, dtype):
    assert generation.draw(make_gan().to(dtype), 3, seed=0)[0].dtype == torch.float32


@pytest.mark.parametrize(
    ("labels", "arranged"),
    [(None, [0, 1, 2, 0, 1]), ([1], [1, 1, 1, 1, 1]), ([2, 0], [2, 0, 2, 0, 2]), ([0, 1, 2, 1, 0, 1], [0, 1, 2, 1, 0])],
)
def test_labels_are_repeated_in_turn(make_gan, labels, arranged):
    gan = make_gan(num_classes=3)
    samples, classes = generation.draw(gan, 5, seed=0, labels=labels, batch_size=2)
    assert classes.tolist() == arranged
    z = gan.generator.latents.sample(5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(samples, gan(z, torch.tensor(arranged)).detach())


@pytest.mark.parametrize("labels", [[3], [-1], [0, 7], []])
def test_labels_out_of_range_are_refused(make_gan, labels):
    with pytest.raises(ValueError, match="expected classes from 0 to 2"):
        generation.draw(make_gan(num_classes=3), 5, labels=labels)


def test_other_mistakes_are_refused(make_gan):
    with pytest.raises(ValueError, match=r"labels=\[1\], but this generator has no classes; leave the labels out"):
        generation.draw(make_gan(), 5, labels=[1])
    with pytest.raises(ValueError, match="num=0: expected at least 1 sample"):
        generation.draw(make_gan(), 0)


def test_every_kind_of_latents_can_be_drawn_from(make_gan):
    gan = make_gan()
    gan.generator = MLPGenerator((2,), GaussianWithCode(2, 4), width=4)
    assert generation.draw(gan, 3, seed=0)[0].shape == (3, 2)


# ---------------------------------------------------------------- pictures


def cells(image, side=48):
    """The cells of a grid without its lines."""
    return image[2:, 2:].unfold(0, side, side + 2).unfold(1, side, side + 2).permute(0, 1, 3, 4, 2)


def test_black_is_minus_one_and_white_is_plus_one():
    image = generation.picture(torch.tensor([-1.0, 0.0, 1.0, -9.0, 9.0]).view(5, 1, 1, 1).expand(5, 1, 8, 8))
    values = [cell.unique().tolist() for cell in cells(image)[0]]
    assert image.dtype == torch.uint8 and values == [[0], [128], [255], [0], [255]]


@pytest.mark.parametrize(
    ("size", "side"),
    [((8, 8), (48, 48)), ((28, 28), (56, 56)), ((64, 64), (64, 64)), ((8, 16), (24, 48)), ((100, 40), (100, 40))],
)
def test_small_images_are_enlarged_without_blur(size, side):
    samples = torch.rand(3, 1, *size) * 2 - 1
    image = generation.picture(samples)
    assert image.shape == (side[0] + 4, 3 * (side[1] + 2) + 2, 3)
    zoom = side[0] // size[0]
    pixels = ((samples[0, 0] + 1) * 127.5).round().to(torch.uint8)
    assert torch.equal(image[2 : 2 + side[0] : zoom, 2 : 2 + side[1] : zoom, 0], pixels)
    assert torch.equal(image[2 + zoom - 1 : 2 + side[0] : zoom, 2 : 2 + side[1] : zoom, 0], pixels)


@pytest.mark.parametrize(("columns", "shape"), [(1, (4, 1)), (2, (2, 2)), (3, (2, 3)), (8, (1, 4))])
def test_images_are_in_rows_of_columns(columns, shape):
    samples = torch.linspace(-1, 1, 4).view(4, 1, 1, 1).expand(4, 1, 48, 48)
    grid = cells(generation.picture(samples, columns=columns))
    assert grid.shape[:2] == shape
    assert grid[..., 0, 0, 0].flatten()[:4].tolist() == [0, 85, 170, 255], "row by row"


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_number_of_channels_gives_a_colour_picture(channels):
    levels = torch.tensor([-1.0, 1.0, 0.0, 0.0])[:channels]
    image = generation.picture(levels.view(1, channels, 1, 1).expand(2, channels, 48, 48))
    expected = {1: [0, 0, 0], 2: [127, 127, 127], 3: [0, 255, 128], 4: [127, 127, 127]}[channels]
    assert image.shape == (52, 102, 3) and image[10, 10].tolist() == expected


def test_one_image_and_numbers_that_are_none_make_a_picture():
    assert generation.picture(torch.full((1, 3, 8, 8), float("nan"))).dtype == torch.uint8
    assert generation.picture(torch.full((4, 2), float("nan"))).dtype == torch.uint8


def coloured(image, colour):
    """Where a colour is, as rows (y, x)."""
    return (image == torch.tensor(colour, dtype=torch.uint8)).all(-1).nonzero().float()


def test_points_are_a_map_over_the_real_ones():
    real = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
    image = generation.picture(torch.tensor([[0.5, 1.0]]), real)
    assert image.shape == (480, 480, 3) and image[0, 0].tolist() == WHITE
    y, x = coloured(image, ORANGE).mean(0).tolist()
    top, right = (240 - y) / 240 * 1.3, (x - 240) / 240 * 1.3
    assert (right, top) == (pytest.approx(0.5, abs=0.02), pytest.approx(1.0, abs=0.02)), "y points upwards"
    assert len(coloured(image, GREY)) == 4 * 9 and len(coloured(image, ORANGE)) == 9


def test_real_points_fix_the_extent_of_the_map():
    real = torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
    far = generation.picture(torch.tensor([[0.0, 0.0], [9.0, 9.0], [float("inf"), 0.0]]), real)
    assert len(coloured(far, ORANGE)) == 9, "what lies outside is not drawn"
    assert len(coloured(generation.picture(torch.tensor([[0.0, 0.0], [9.0, 9.0]])), ORANGE)) == 18


@pytest.mark.parametrize("shape", [(5, 1), (5, 2), (5, 3), (5, 2, 3), (1, 2)])
def test_points_of_any_dimension_are_drawn(shape):
    image = generation.picture(torch.rand(shape))
    assert image.shape == (480, 480, 3) and len(coloured(image, ORANGE)) >= 9


def test_pictures_are_written_in_the_format_of_their_name(tmp_path):
    image = generation.picture(torch.rand(4, 3, 8, 8))
    generation.save_picture(image, tmp_path / "new" / "a.png")
    with Image.open(tmp_path / "new" / "a.png") as saved:
        assert saved.format == "PNG" and saved.size == (image.shape[1], image.shape[0])
        assert torch.equal(torch.from_numpy(np.array(saved)), image)
    with pytest.raises(ValueError, match=r"names no picture format; end it in \.png"):
        generation.save_picture(image, tmp_path / "a.xyz")
    with pytest.raises(ValueError, match=r"end it in \.png"):
        generation.save_picture(image, tmp_path / "a")


# ---------------------------------------------------------------- along routes


def ensemble(num_classes=0, **arguments):
    torch.manual_seed(0)
    generator = StochasticEnsembleGenerator((1, 13, 13), width=2, groups=3, num_classes=num_classes, **arguments)
    return GAN(generator, DCGANDiscriminator((1, 13, 13), width=2, num_classes=num_classes))


@pytest.mark.parametrize("num_classes", [0, 2])
def test_every_row_is_one_route_with_the_same_latents(num_classes):
    gan = ensemble(num_classes)
    routes = gan.generator.num_routes
    rows = generation.draw_by_route(gan, routes, 4, seed=3)
    assert rows.shape == (routes, 4, 1, 13, 13)
    with generation.seeded(3), torch.no_grad():
        z = gan.generator.latents.sample(4)
        labels = torch.arange(4) % 2 if num_classes else None
        every = torch.stack([gan.generator(z, labels, route) for route in range(routes)])
    order = torch.cdist(rows.flatten(1), every.flatten(1)).argmin(1)
    assert sorted(order.tolist()) == list(range(routes)), "each route once"
    torch.testing.assert_close(rows, every[order])
    assert torch.equal(generation.draw_by_route(gan, routes, 4, seed=3), rows)
    assert not torch.equal(generation.draw_by_route(gan, routes, 4, seed=4), rows)


def test_a_seed_fixes_the_routes_too():
    gan = ensemble()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = generation.draw(gan, 20, seed=3)[0]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(generation.draw(gan, 20, seed=3)[0], first)


def test_routes_that_do_not_exist_are_refused(make_gan):
    for routes in (0, 4):
        with pytest.raises(ValueError, match=rf"routes={routes}: expected 1 to 3, which is all that there are"):
            generation.draw_by_route(ensemble(), routes)
    with pytest.raises(ValueError, match=r"per_route=0: expected at least 1"):
        generation.draw_by_route(ensemble(), 2, per_route=0)
    with pytest.raises(ValueError, match="routes=2, but MLPGenerator has none; leave them out"):
        generation.draw_by_route(make_gan(), 2)


def test_sample_draws_a_row_for_each_route(monkeypatch, tmp_path, capsys):
    gan, out = ensemble(), tmp_path / "routes.png"
    monkeypatch.setattr(generation, "load", lambda path: gan)
    generation.sample("run.ckpt", str(out), num=11, seed=5, routes=3)
    assert capsys.readouterr().out == f"9 samples along 3 routes of 3 of GAN after 0 generator updates: {out}\n"
    expected = generation.picture(generation.draw_by_route(gan, 3, 3, 5).flatten(0, 1), columns=3)
    with Image.open(out) as saved:
        assert torch.equal(torch.from_numpy(np.array(saved)), expected)


# ---------------------------------------------------------------- from a checkpoint


@pytest.fixture
def checkpoint(fit, tmp_path):
    gan = DCGAN((1, 8, 8), latent_dim=3, width=2, num_classes=3)
    fit(gan).save_checkpoint(tmp_path / "dcgan.ckpt")
    return tmp_path / "dcgan.ckpt"


def test_a_checkpoint_is_loaded_ready_to_use(checkpoint):
    gan = generation.load(checkpoint)
    assert type(gan) is DCGAN and not gan.training and not gan.generator.training and gan.device.type == "cpu"


def test_sample_writes_a_picture_and_says_so(checkpoint, tmp_path, capsys):
    out = tmp_path / "out" / "grid.png"
    generation.sample(str(checkpoint), str(out), num=7, seed=5, labels=[2, 0])
    assert capsys.readouterr().out == f"7 samples of DCGAN after 2 generator updates: {out}\n"
    samples, _ = generation.draw(generation.load(checkpoint), 7, 5, [2, 0])
    expected = generation.picture(samples, columns=2)
    with Image.open(out) as saved:
        assert torch.equal(torch.from_numpy(np.array(saved)), expected)


def test_the_same_seed_gives_the_same_file(checkpoint, tmp_path):
    for name, seed in (("a.png", 0), ("b.png", 0), ("c.png", 1)):
        generation.sample(str(checkpoint), str(tmp_path / name), seed=seed)
    first, again, other = ((tmp_path / name).read_bytes() for name in ("a.png", "b.png", "c.png"))
    assert first == again != other


def test_points_are_sampled_too(fit, tmp_path):
    fit(WGAN((2,), latent_dim=3, width=4)).save_checkpoint(tmp_path / "wgan.ckpt")
    generation.sample(str(tmp_path / "wgan.ckpt"), str(tmp_path / "map.png"))
    with Image.open(tmp_path / "map.png") as saved:
        assert saved.size == (480, 480)


def test_a_missing_checkpoint_is_one_line(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at '.*nowhere.ckpt'; runs keep theirs in"):
        generation.load(tmp_path / "nowhere.ckpt")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"model:\n  class_path: DCGAN\n",
        b"\x89PNG\r\n\x1a\n",
        torch.ones(3),
        [1, 2],
        {"a": torch.ones(3)},
    ],
    ids=["empty", "text", "yaml", "picture", "tensor", "list", "state"],
)
def test_another_file_is_one_line(tmp_path, content):
    path = tmp_path / "other.ckpt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match=r"other\.ckpt' cannot be rebuilt as a GAN") as refused:
        generation.load(path)
    assert "\n" not in str(refused.value)


def test_a_gan_of_networks_made_in_python_cannot_be_rebuilt_from_its_file_alone(make_gan, fit, tmp_path):
    fit(make_gan()).save_checkpoint(tmp_path / "gan.ckpt")
    with pytest.raises(ValueError, match=r"gan\.ckpt' cannot be rebuilt as a GAN"):
        generation.load(tmp_path / "gan.ckpt")
