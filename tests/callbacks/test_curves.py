"""Curves: lines, gaps, marks and scales are drawn as given, and the text is the same every time."""

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from lightning_gans.callbacks.curves import curves, extremes, running_mean

SVG = "{http://www.w3.org/2000/svg}"


def words(svg):
    return ["".join(text.itertext()).strip() for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def colours(svg):
    """Return the colours of lines, in the order in which they are drawn."""
    return list(dict.fromkeys(re.findall(r"stroke: (#[0-9a-f]{6}); stroke-width: 1\.4", svg)))


def strokes(svg, index=0):
    """Return the points of the pieces of a line by its number, as the SVG has them: y points down."""
    pieces = []
    for path in ElementTree.fromstring(svg).iter(f"{SVG}path"):
        style = path.get("style", "")
        if f"stroke: {colours(svg)[index]}" in style and "stroke-width: 1.4" in style:
            for piece in path.get("d").split("M")[1:]:
                pieces.append([tuple(map(float, point.split())) for point in piece.split("L") if point.strip()])
    return [piece for piece in pieces if len(piece) > 1 and piece[-1][0] - piece[0][0] > 15]  # legends are short


COLOUR = colours(curves({"a": {"": ([0, 1], [1, 2])}}))[0]


def test_every_panel_and_every_line_is_there():
    svg = curves({"Losses": {"generator": ([0, 1], [1, 2]), "discriminator": ([0, 1], [2, 1])}, "fd": {"": ([0], [1])}})
    found = words(svg)
    for word in ("Losses", "generator", "discriminator", "fd"):
        assert found.count(word) == 1
    assert found.count("batch") == 2
    ((first, second),) = strokes(svg)
    assert first[0] < second[0] and first[1] > second[1], "it rises"
    ((first, second),) = strokes(svg, 1)
    assert first[1] < second[1]


def test_a_line_with_the_name_of_its_panel_has_no_legend():
    assert words(curves({"val/fd": {"val/fd": ([0, 1], [1, 2])}})).count("val/fd") == 1
    assert "G" in words(curves({"norms": {"G": ([0, 1], [1, 2])}}))


@pytest.mark.parametrize("hole", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_gaps(hole):
    x = list(range(7))
    svg = curves({"a": {"": (x, [1, 2, 1, hole, 2, 1, 2])}})
    assert [len(piece) for piece in strokes(svg)] == [3, 3]
    assert "nan" not in svg.replace("nanmean", "").lower() and "inf" not in words(svg)


def test_a_lone_point_is_visible():
    alone = curves({"a": {"": ([5], [1.0])}})
    assert f'fill: {COLOUR}"' in alone or f"fill: {COLOUR};" in alone
    between = curves({"a": {"": ([0, 1, 2, 3], [1.0, math.nan, 2.0, math.nan])}})
    assert between.count(f"fill: {COLOUR}") > 1
    line = curves({"a": {"": ([0, 1], [1.0, 2.0])}})
    assert f"fill: {COLOUR}" not in line


@pytest.mark.parametrize("lines", [{}, {"a": ([], [])}, {"a": ([1, 2], [math.nan, math.inf])}], ids=str)
def test_a_panel_without_figures_says_so(lines):
    assert "no finite figures" in words(curves({"losses": lines}))


def test_marks_are_drawn_in_every_panel_and_labelled_where_there_is_room():
    panels = {"a": {"": ([0, 1000], [0, 1])}, "b": {"": ([0, 1000], [0, 1])}}
    svg = curves(panels, marks=[(500, "mode collapse (hard)"), (505, "too close"), (990, "NaN or infinity")])
    assert words(svg).count("mode collapse (hard)") == words(svg).count("NaN or infinity") == 2
    assert "too close" not in words(svg)
    dashed = svg.count("stroke-dasharray")
    assert dashed == 6 and "stroke-dasharray" not in curves(panels)


def test_a_mark_beyond_the_figures_widens_the_panel():
    ((first, second),) = strokes(curves({"a": {"": ([0, 100], [0, 1])}}))
    ((near, far),) = strokes(curves({"a": {"": ([0, 100], [0, 1])}}, marks=[(200, "later")]))
    assert far[0] - near[0] < 0.6 * (second[0] - first[0])


def test_a_logarithmic_panel():
    x, y = [0, 1, 2], [1, 10, 100]
    (line,) = strokes(curves({"a": {"": (x, y)}}, log=["a"]))
    assert line[0][1] - line[1][1] == pytest.approx(line[1][1] - line[2][1], rel=1e-3)
    (line,) = strokes(curves({"a": {"": (x, y)}}))
    assert line[0][1] - line[1][1] < 0.2 * (line[1][1] - line[2][1])
    pieces = strokes(curves({"a": {"": (range(7), [1, 10, 5, 0, 7, 20, 9])}}, log=["a"]))
    assert len(pieces) == 2, "0 has no logarithm"


def test_a_logarithmic_panel_of_less_than_a_decade_has_plain_numbers():
    said = words(curves({"a": {"": ([0, 1, 2], [2.02, 1.8, 1.62])}}, log=["a"]))
    assert {"1.7", "1.8", "1.9"} <= set(said) and not any("10" in word for word in said)


def test_the_name_of_x_can_be_chosen():
    svg = curves({"a": {"": ([0, 1], [1, 2])}}, xlabel="generator updates")
    assert "generator updates" in words(svg) and "batch" not in words(svg)


def test_a_dense_line_is_pale_under_its_running_mean():
    x, y = np.arange(400), np.arange(400) % 2
    svg = curves({"a": {"": (x, y)}})
    (mean,) = strokes(svg)
    heights = [point[1] for point in mean]
    assert max(heights) - min(heights) < 30 and "stroke-opacity: 0.3" in svg
    assert "stroke-opacity: 0.3" not in curves({"a": {"": (x[:200], y[:200])}})


def test_the_running_mean_is_that_of_the_window():
    values = np.random.default_rng(0).normal(size=50)
    values[[7, 20, 21]] = np.nan
    expected = [
        np.nan if np.isnan(values[i]) else np.nanmean(values[max(0, i - 2) : i + 3]) for i in range(len(values))
    ]
    np.testing.assert_allclose(running_mean(values, 5), expected)


def test_a_spike_among_many_points_is_seen():
    y = np.zeros(100_000)
    y[54_321] = 7
    at, shown = extremes(np.arange(100_000), y)
    assert len(shown) <= 2100 and shown.max() == 7 and abs(at[shown.argmax()] - 54_321) <= 100
    y[:200] = np.nan
    assert np.isnan(extremes(np.arange(100_000), y)[1][:2]).all()
    assert len(curves({"a": {"": (np.arange(100_000), y)}})) < 100_000


def test_names_are_text_and_never_markup():
    svg = curves({"<b> & $x_1$": {'"q" $y$': ([0, 1], [1, 2])}}, marks=[(0.5, "<i>$z$")])
    assert {"<b> & $x_1$", '"q" $y$', "<i>$z$"} <= set(words(svg))
    assert "<b>" not in svg and "<i>" not in svg
    assert ElementTree.fromstring(svg).get("aria-label") == "<b> & $x_1$"


def test_the_picture_takes_the_colour_of_the_page_and_has_no_background():
    svg = curves({"a": {"G": ([0, 1], [1, 2])}}, marks=[(0.5, "here")])
    assert "currentColor" in svg and 'color="#7b7b7b"' in svg
    assert set(re.findall("#[0-9a-f]{6}", svg)) == {*colours(svg), "#7b7b7b"}, "no other colours"


def test_colours_are_seen_on_white_and_on_black():
    svg = curves({"a": {str(number): ([0, 1], [number, number + 1]) for number in range(8)}})
    found = [*colours(svg), re.search('color="(#[0-9a-f]{6})"', svg)[1]]
    assert len(found) == 9
    for colour in found:
        parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        luminance = sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
        assert 1.05 / (luminance + 0.05) > 3 and (luminance + 0.05) / 0.05 > 4.5, f"contrast of {colour} by WCAG"


def test_the_same_figures_give_the_same_text_whatever_matplotlib_is_set_to():
    import matplotlib

    panels = {"a": {"G": ([0, 1], [1, 2]), "D": ([0, 1], [2, 1])}}
    first = curves(panels)
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 30, "svg.hashsalt": None}):
        assert curves(panels) == first
    assert "<metadata" not in first and not re.search(r"20\d\d-\d\d", first)


def test_ids_of_two_pictures_on_one_page_differ():
    names = [set(re.findall(r' id="([^"]+)"', curves({title: {"": ([0, 1], [1, 2])}}))) for title in ("a", "b")]
    assert names[0] and not names[0] & names[1]


def test_the_state_of_pyplot_is_unchanged():
    from matplotlib import pyplot, rcParams

    before = dict(rcParams)
    curves({"a": {"": ([0, 1], [1, 2])}})
    assert pyplot.get_fignums() == [] and dict(rcParams) == before


@pytest.mark.parametrize(
    ("panels", "arguments", "message"),
    [
        ({}, {}, r"curves\(panels={}\): expected at least one panel"),
        ({"a": {"G": ([0, 1], [1])}}, {}, "'a', 'G' has 2 x and 1 y"),
        ({"a": {"G": ([0], [1])}}, {"log": ["b"]}, r"curves\(log='b'\): expected the title of a panel, one of \['a'\]"),
    ],
)
def test_panels_that_cannot_be_drawn_are_refused(panels, arguments, message):
    with pytest.raises(ValueError, match=message):
        curves(panels, **arguments)
