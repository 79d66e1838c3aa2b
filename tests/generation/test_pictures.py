"""Pictures of samples."""

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_gans import generation

ORANGE, GREY, WHITE = [214, 69, 30], [190, 190, 190], [255, 255, 255]


def cells(image, side=48):
    """Return the cells of a grid without its lines."""
    return image[2:, 2:].unfold(0, side, side + 2).unfold(1, side, side + 2).permute(0, 1, 3, 4, 2)


def test_minus_one_is_black_and_plus_one_white():
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
def test_any_number_of_channels_gives_a_colour_picture(channels):
    levels = torch.tensor([-1.0, 1.0, 0.0, 0.0])[:channels]
    image = generation.picture(levels.view(1, channels, 1, 1).expand(2, channels, 48, 48))
    expected = {1: [0, 0, 0], 2: [127, 127, 127], 3: [0, 255, 128], 4: [127, 127, 127]}[channels]
    assert image.shape == (52, 102, 3) and image[10, 10].tolist() == expected


def test_one_image_and_nan_give_a_picture():
    assert generation.picture(torch.full((1, 3, 8, 8), float("nan"))).dtype == torch.uint8
    assert generation.picture(torch.full((4, 2), float("nan"))).dtype == torch.uint8


def coloured(image, colour):
    """Return the positions of a colour, as rows (y, x)."""
    return (image == torch.tensor(colour, dtype=torch.uint8)).all(-1).nonzero().float()


def test_points_are_drawn_over_real_ones():
    real = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
    image = generation.picture(torch.tensor([[0.5, 1.0]]), real)
    assert image.shape == (480, 480, 3) and image[0, 0].tolist() == WHITE
    y, x = coloured(image, ORANGE).mean(0).tolist()
    top, right = (240 - y) / 240 * 1.3, (x - 240) / 240 * 1.3
    assert (right, top) == (pytest.approx(0.5, abs=0.02), pytest.approx(1.0, abs=0.02)), "y points upwards"
    assert len(coloured(image, GREY)) == 4 * 9 and len(coloured(image, ORANGE)) == 9


def test_real_points_define_the_extent_of_the_map():
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
    with pytest.raises(ValueError, match=r"a\.xyz' does not end in a picture format; end it in \.png"):
        generation.save_picture(image, tmp_path / "a.xyz")
    with pytest.raises(ValueError, match=r"a' does not end in a picture format; end it in \.png"):
        generation.save_picture(image, tmp_path / "a")


def test_captions_are_below_their_images():
    white = torch.ones(3, 1, 8, 8)
    image = generation.captioned(white, ["7", "", "12"], columns=2)
    assert image.shape == (2 * (48 + 13 + 2) + 2, 2 * 50 + 2, 3)
    strips = [image[top : top + 13, left : left + 48] for top in (50, 113) for left in (2, 52)]
    ink = [int((strip < 128).sum()) for strip in strips[:3]]
    assert (
        ink[0]
        and not ink[1]
        and ink[2] > ink[0]
        and int((image < 255).sum()) == sum(int((strip < 255).sum()) for strip in strips[:3])
    ), "text nowhere else"


def test_a_caption_leaves_the_colours_of_an_image_alone():
    colour = torch.tensor([1.0, -1.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 48, 48)
    assert generation.captioned(colour, ["x"])[20, 20].tolist() == [255, 0, 128]


def test_later_layers_of_a_map_are_on_top_and_marks_beside_their_points():
    corners = torch.tensor([[-1.0, -1.0], [1.0, 1.0]])
    plain = generation.point_map([(corners, GREY), (torch.zeros(1, 2), (0, 0, 200))])
    assert len(coloured(plain, GREY)) == 18 and plain[239, 240].tolist() == [0, 0, 200]
    over = generation.point_map([(corners, GREY), (torch.zeros(1, 2), (0, 0, 200)), (torch.zeros(1, 2), ORANGE)])
    assert over[239, 240].tolist() == ORANGE
    marked = generation.point_map(
        [(corners, GREY)], [(torch.tensor([0.0, 0.0]), "a"), (torch.full((2,), torch.nan), "b")]
    )
    y, x = (marked < 128).any(-1).nonzero().float().mean(0).tolist()
    assert 240 < x < 260 and 220 < y < 240, "above and to the right"


def test_an_animation_has_all_frames_and_repeats(tmp_path):
    frames = [torch.full((20, 30, 3), value, dtype=torch.uint8) for value in (0, 120, 255)]
    generation.save_animation(frames, tmp_path / "new" / "a.gif", 90)
    with Image.open(tmp_path / "new" / "a.gif") as saved:
        assert (saved.n_frames, saved.size, saved.info["duration"], saved.info["loop"]) == (3, (30, 20), 90, 0)
