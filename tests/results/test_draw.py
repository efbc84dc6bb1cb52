"""Answers show on a copy of the image, inside it, and legibly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from florence2.results import draw
from florence2.results.draw import draw_answer
from florence2.results.types import Answer, Boxes, Polygons, Quads, Text

SIZE = (320, 240)
GRAY = (120, 120, 120)
ROOT = Path(__file__).resolve().parents[2]


def blank(size: tuple[int, int] = SIZE) -> Image.Image:
    return Image.new("RGB", size, GRAY)


def changed(drawn: Image.Image, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Where ``drawn`` differs from the blank image, ``bool[H, W]``."""
    return (np.asarray(drawn) != np.asarray(blank(size))).any(axis=-1)


def uses(drawn: Image.Image, color: tuple[int, int, int]) -> bool:
    return bool((np.asarray(drawn) == color).all(axis=-1).any())


class TestRegions:
    def test_the_given_picture_stays_as_it_is(self) -> None:
        image = blank()
        drawn = draw_answer(image, Boxes([[20, 60, 120, 200]], ["cat"], SIZE))
        assert drawn.size == SIZE and drawn.mode == "RGB"
        assert not changed(image).any()
        assert changed(drawn).any()

    def test_a_box_is_outlined_and_its_inside_left_alone(self) -> None:
        marks = changed(draw_answer(blank(), Boxes([[40, 60, 200, 200]], [""], SIZE)))
        assert marks[60, 45:195].all() and marks[200, 45:195].all()
        assert marks[65:195, 40].all() and marks[65:195, 200].all()
        assert not marks[70:190, 50:190].any()
        assert not marks[:50].any() and not marks[:, 210:].any()

    def test_an_inverted_box_is_drawn_all_the_same(self) -> None:
        upright = draw_answer(blank(), Boxes([[40, 60, 200, 180]], [""], SIZE))
        inverted = draw_answer(blank(), Boxes([[200, 180, 40, 60]], [""], SIZE))
        assert (changed(upright) == changed(inverted)).mean() > 0.999

    def test_a_box_at_the_border_shows_its_whole_line(self) -> None:
        marks = changed(draw_answer(blank(), Boxes([[0, 0, *SIZE]], [""], SIZE)))
        for edge in (marks[0], marks[-1], marks[:, 0], marks[:, -1]):
            assert edge.mean() > 0.9

    def test_a_quad_is_outlined_along_its_own_corners(self) -> None:
        corners = [[100, 20], [200, 120], [100, 220], [20, 120]]
        marks = changed(draw_answer(blank(), Quads([corners], [""], SIZE)))
        assert marks[70, 150] and marks[170, 150]
        assert not marks[120, 100] and not marks[30, 190]

    def test_a_polygon_is_tinted_and_shows_what_lies_under_it(self) -> None:
        square = [[40, 60], [200, 60], [200, 200], [40, 200]]
        image = blank()
        image.paste((200, 200, 200), (100, 100, 150, 150))
        drawn = draw_answer(image, Polygons([[square]], [""], SIZE))
        inside, patch, outside = (drawn.getpixel(xy) for xy in ((60, 80), (120, 120), (300, 20)))
        assert outside == GRAY
        assert len({inside, patch, GRAY, (200, 200, 200)}) == 4

    def test_coordinates_follow_the_size_of_the_picture(self) -> None:
        small = Boxes([[20, 30, 100, 100]], [""], (160, 120))
        large = Boxes([[40, 60, 200, 200]], [""], SIZE)
        assert np.array_equal(draw_answer(blank(), small), draw_answer(blank(), large))

    def test_lines_grow_with_the_picture(self) -> None:
        def thickness(size: tuple[int, int]) -> int:
            box = [0.25 * size[0], 0.25 * size[1], 0.75 * size[0], 0.75 * size[1]]
            marks = changed(draw_answer(blank(size), Boxes([box], [""], size)), size)
            return int(marks[size[1] // 2, : size[0] // 2].sum())

        assert thickness((1600, 1200)) > thickness((640, 480)) >= thickness((64, 48)) >= 2


class TestLabels:
    def test_labels_keep_their_color_and_differ_from_each_other(self) -> None:
        names = ["cat", "dog", "car", "house", "person", "tree", "cat"]
        colors = draw._choose_colors(names)
        assert colors[0] == colors[6]
        assert len(set(colors)) == 6
        assert draw._choose_colors(["cat"]) == draw._choose_colors(["cat", "cat"])[:1]
        many = [f"thing {index}" for index in range(len(draw.COLORS))]
        assert len(set(draw._choose_colors(many))) == len(draw.COLORS)

    def test_regions_without_label_have_a_color_each(self) -> None:
        assert len(set(draw._choose_colors([""] * 5))) == 5

    def test_the_plate_has_the_color_of_the_region(self) -> None:
        color = draw._choose_colors(["cat"])[0]
        large = (1280, 960)
        drawn = draw_answer(blank(large), Boxes([[40, 400, 800, 800]], ["cat"], large))
        above_the_box = drawn.crop((40, 300, 800, 390))
        assert uses(above_the_box, color)
        assert uses(above_the_box, draw._ink(color))

    @pytest.mark.parametrize("color", draw.COLORS)
    def test_ink_is_legible_on_every_plate(self, color: tuple[int, int, int]) -> None:
        def luminance(shade: tuple[int, int, int]) -> float:
            linear = [(each / 255) ** 2.2 for each in shade]
            return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

        light, dark = sorted((luminance(color), luminance(draw._ink(color))), reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 3

    def test_scores_are_written_and_survive_a_long_label(self) -> None:
        font = draw._Style.of(blank()).font
        answer = Boxes([[0, 0, 9, 9]] * 2, ["cat", "long " * 40], SIZE, [0.875, 0.5])
        short, long = draw._label_texts(answer, 300, font)
        assert short == "cat 0.88"
        assert long.startswith("long long") and long.endswith("… 0.50")
        assert font.getlength(long) <= 300

    def test_plates_stay_in_the_picture(self) -> None:
        pen = draw._Style.of(blank())
        for bounds in ([0, 0, 320, 240], [300, 230, 320, 240], [0, 0, 4, 4], [310, 0, 320, 5]):
            places = draw._places(np.asarray(bounds, np.float32), (90.0, 20.0), SIZE, pen)
            assert places.min() >= 0
            assert (places[:, 2] < SIZE[0]).all() and (places[:, 3] < SIZE[1]).all()

    def test_labels_of_one_place_do_not_hide_each_other(self) -> None:
        answer = Boxes([[80, 80, 240, 160]] * 3, ["cat", "dog", "cow"], SIZE)
        drawn = draw_answer(blank(), answer)
        plates = [
            (np.asarray(drawn) == c).all(axis=-1).sum() for c in draw._choose_colors(answer.labels)
        ]
        alone = draw_answer(blank(), answer.select([0]))
        whole = (np.asarray(alone) == draw._choose_colors(["cat"])[0]).all(axis=-1).sum()
        lines = 2 * (160 + 80) * draw._Style.of(blank()).line
        assert min(plates) > 0.6 * (whole - lines)

    @pytest.mark.parametrize(
        ("text", "drawable"),
        [
            ("plain text", "plain text"),
            ("café Ångström", "cafe Angstrom"),
            ("cafe\u0301", "cafe"),
            ("two\nlines\tand  more", "two lines and more"),
            ("中文 sign", "?? sign"),
            ("zero\u200bwidth", "zerowidth"),
            ("broken \ud800", "broken ?"),
            ("\uff46\uff55\uff4c\uff4c", "full"),
        ],
    )
    def test_text_is_put_in_characters_of_the_font(self, text: str, drawable: str) -> None:
        if draw._in_font("é"):
            drawable = drawable.replace("cafe", "café").replace("Angstrom", "Ångström")
        assert draw._drawable(text) == drawable


class TestCaptions:
    def test_text_stands_below_an_untouched_picture(self) -> None:
        drawn = draw_answer(blank(), Text("a cat on a mat"))
        assert drawn.width == SIZE[0] and drawn.height > SIZE[1]
        assert np.array_equal(np.asarray(drawn)[: SIZE[1]], np.asarray(blank()))
        strip = drawn.crop((0, SIZE[1], *drawn.size))
        assert np.asarray(strip.convert("L")).min() < 90

    def test_long_text_is_wrapped_and_keeps_its_own_lines(self) -> None:
        font = draw._Style.of(blank()).font
        text = "first line\n" + "word " * 60 + "x" * 200
        lines = draw._wrapped(text, 280, font)
        assert lines[0] == "first line"
        assert all(font.getlength(line) <= 280 for line in lines)
        assert "".join(lines).replace(" ", "") == "".join(text.split())

    def test_location_tokens_and_empty_text_are_left_out(self) -> None:
        assert draw_answer(blank(), Text(" ")).size == SIZE
        bare = draw_answer(blank(), Text("a car"))
        assert np.array_equal(bare, draw_answer(blank(), Text("a car<loc_1><loc_2>")))

    def test_a_tiny_picture_gets_a_readable_caption(self) -> None:
        drawn = draw_answer(blank((20, 20)), Text("a caption of some words"))
        assert drawn.width == draw.MIN_CAPTION_WIDTH and drawn.height < 80


class TestAnything:
    COORDINATES = st.floats(allow_nan=True, allow_infinity=True, width=32)
    LABELS = st.text(max_size=30)

    @settings(max_examples=60, deadline=None)
    @given(
        boxes=st.lists(st.tuples(st.tuples(*[COORDINATES] * 4), LABELS), max_size=4),
        width=st.integers(1, 60),
        height=st.integers(1, 60),
    )
    def test_any_boxes_can_be_drawn_on_any_picture(
        self, boxes: list[tuple[tuple[float, ...], str]], width: int, height: int
    ) -> None:
        coordinates, labels = [box for box, _ in boxes], [label for _, label in boxes]
        answer = Boxes(coordinates, labels, (width, height), [float("nan")] * len(boxes))
        assert draw_answer(blank((width, height)), answer).size == (width, height)

    @pytest.mark.parametrize(
        "answer",
        [
            Boxes([], [], SIZE),
            Quads([], [], SIZE),
            Polygons([], [], SIZE),
            Polygons([[], [[]], [[[5, 5]]], [[[5, 5], [9, 9]]]], ["a", "b", "c", "d"], SIZE),
        ],
        ids=["no boxes", "no quads", "no polygons", "degenerate polygons"],
    )
    def test_empty_and_degenerate_answers(self, answer: Answer) -> None:
        assert draw_answer(blank(), answer).size == SIZE
