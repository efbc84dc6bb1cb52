"""Lines of text: ink, quads, words."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from florence2.synthetic.language import (
    load_vocabulary,
    sample_listing,
    sample_prose,
    sample_short_text,
)
from florence2.synthetic.text_render import (
    capital_height_ratio,
    font_size_for_capitals,
    load_font,
    make_clear_sheet,
    make_page,
    place_sheet,
    render_line,
    sample_text_color,
    warp_sheet,
)

SIZE = (256, 256)


@pytest.mark.parametrize("degrees", [0.0, 12.0, -30.0])
@pytest.mark.parametrize("bend", [0.0, 0.1])
def test_the_quad_is_tight_around_the_ink(degrees: float, bend: float) -> None:
    sheet = make_clear_sheet([render_line("Hotel 24", None, 48, "black")], "background")
    bends = np.random.default_rng(5).uniform(-bend, bend, (4, 2)).astype(np.float32)
    laid = place_sheet(sheet, (128.0, 120.0), degrees, bends)
    pixels, window = warp_sheet(laid, SIZE)
    covered = np.zeros(SIZE, np.float32)
    covered[window] = pixels[..., 3]
    quad = laid.lines[0].quad
    inside = np.zeros(SIZE, np.uint8)
    cv2.fillConvexPoly(inside, np.round((quad - 0.5) * 16).astype(np.int32), 1, shift=4)
    assert covered[inside == 0].sum() < 0.01 * covered.sum()
    # Put upright again, the ink fills the quad from edge to edge.
    flat = np.array([[0, 0], [200, 0], [200, 50], [0, 50]], np.float32) - 0.5
    upright = cv2.warpPerspective(covered, cv2.getPerspectiveTransform(quad - 0.5, flat), (200, 50))
    strong = upright > 90
    rows, columns = np.flatnonzero(strong.any(axis=1)), np.flatnonzero(strong.any(axis=0))
    assert rows[0] <= 4 and rows[-1] >= 45
    assert columns[0] <= 4 and columns[-1] >= 195


def test_quads_start_at_the_top_left_of_the_text() -> None:
    sheet = make_clear_sheet([render_line("abc", None, 40, "black")], "background")
    quad = place_sheet(sheet, (100.0, 100.0), 0.0, np.zeros((4, 2), np.float32)).lines[0].quad
    assert quad[0][0] < quad[1][0] and quad[0][1] == quad[1][1]
    assert quad[1][1] < quad[2][1] and quad[3][0] == quad[0][0]


def test_capitals_have_the_requested_height() -> None:
    size = font_size_for_capitals(None, 20.0)
    _, top, _, bottom = load_font(None, size).getbbox("H", anchor="ls")
    assert 20 <= bottom - top <= 22
    assert 0.5 < capital_height_ratio(None) < 0.9


def test_text_has_contrast() -> None:
    rng = np.random.default_rng(0)
    assert {sample_text_color(rng, (250, 250, 250)) for _ in range(60)} & {
        "white",
        "yellow",
    } == set()
    assert "black" not in {sample_text_color(rng, (20, 20, 20)) for _ in range(60)}


def test_texts_keep_their_lengths_and_vary() -> None:
    rng = np.random.default_rng(1)
    shorts = [sample_short_text(rng, 14) for _ in range(200)]
    assert max(map(len, shorts)) <= 14
    assert len(set(shorts)) > 150
    paragraph = sample_prose(rng, 5, 24)
    assert len(paragraph) == 5 and max(map(len, paragraph)) <= 24
    assert len(sample_listing(rng, 4)) == 4


def test_the_vocabulary_is_large_and_plain() -> None:
    words = load_vocabulary()
    assert len(words) >= 800
    assert all(word.isascii() and word.isalpha() and word.islower() for word in words)


def test_a_page_too_narrow_for_its_text_uses_smaller_text() -> None:
    for seed in range(40):
        sheet = make_page(np.random.default_rng(seed), (None,), 60.0, (120, 120))
        assert sheet.lines
