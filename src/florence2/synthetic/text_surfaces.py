"""Things with writing: loose lines, signs, printed pages, screens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .colors import PALETTE, Rgb, luminance
from .fonts import Face, font_size_for_capitals, load_font
from .scene import Surface
from .text_render import (
    OVERSAMPLING,
    Pixels,
    RenderedLine,
    Sheet,
    fill_sheet,
    make_clear_sheet,
    make_sheet,
    move_line,
    render_line,
)
from .vocabulary import sample_listing, sample_prose, sample_short_text

_MIN_CONTRAST = 95.0
_SIGN_COLORS = ("red", "green", "blue", "yellow", "white", "black", "brown", "orange", "purple")
_PAPERS: tuple[Rgb, ...] = ((252, 252, 250), (246, 240, 224), (232, 238, 246), (238, 238, 236))
_SCREENS: tuple[Rgb, ...] = ((18, 20, 26), (26, 38, 66), (30, 56, 42), (236, 240, 246))


def sample_text_color(rng: np.random.Generator, ground: Rgb) -> str | None:
    """A color word for letters that stand out from a ground, plain black and white more often."""
    level = luminance(ground)
    fitting = [
        name for name, color in PALETTE.items() if abs(luminance(color) - level) > _MIN_CONTRAST
    ]
    if not fitting:
        return None
    weights = np.array([3.0 if name in ("black", "white") else 1.0 for name in fitting])
    return fitting[int(rng.choice(len(fitting), p=weights / weights.sum()))]


def make_text_line(
    rng: np.random.Generator, face: Face, capitals: float, widest: float, ground: Rgb
) -> Sheet | None:
    """A line that stands straight on what is there; lengths in pixels of the picture."""
    color = sample_text_color(rng, ground)
    if color is None:
        return None
    line = _render_fitting_line(rng, face, capitals, widest, color)
    return None if line is None else make_clear_sheet([line], "background")


def make_sign(rng: np.random.Generator, face: Face, capitals: float, widest: float) -> Sheet | None:
    """A plain panel with one to three centered lines, some with a rim."""
    panel = PALETTE[_SIGN_COLORS[int(rng.integers(len(_SIGN_COLORS)))]]
    color = sample_text_color(rng, panel)
    count = int(rng.choice([1, 2, 3], p=[0.6, 0.3, 0.1]))
    lines = [
        _render_fitting_line(rng, face, capitals, widest * 0.9, color or "white")
        for _ in range(count)
    ]
    inks = [line for line in lines if line is not None]
    if color is None or not inks:
        return None
    pitch = round(capitals * OVERSAMPLING * rng.uniform(1.7, 2.1))
    margin = round(capitals * OVERSAMPLING * rng.uniform(0.5, 0.9))
    wide = max(line.coverage.shape[1] for line in inks) + 2 * margin
    placed = [
        move_line(line, (wide - line.coverage.shape[1]) // 2 - line.left, number * pitch)
        for number, line in enumerate(inks)
    ]
    top = min(line.top for line in placed)
    bottom = max(line.top + line.coverage.shape[0] for line in placed)
    ground = fill_sheet(wide, bottom - top + 2 * margin, panel)
    if rng.random() < 0.4:
        _draw_border(ground, PALETTE[color], max(2, margin // 4))
    return make_sheet([move_line(line, 0, margin - top) for line in placed], ground, "sign")


def make_page(
    rng: np.random.Generator, faces: Sequence[Face], capitals: float, size: tuple[int, int]
) -> Sheet:
    """A printed page of a title and a paragraph or a list, ``size`` in pixels of the picture."""
    paper = _PAPERS[int(rng.integers(len(_PAPERS)))]
    return _make_text_sheet(rng, faces, capitals, size, paper, "document")


def make_screen(
    rng: np.random.Generator, faces: Sequence[Face], capitals: float, size: tuple[int, int]
) -> Sheet:
    """A lit screen with a frame and lines on it."""
    glass = _SCREENS[int(rng.integers(len(_SCREENS)))]
    sheet = _make_text_sheet(rng, faces, capitals, size, glass, "screen")
    _draw_border(sheet.pixels, (58, 60, 66), 3 * OVERSAMPLING)
    return sheet


def _make_text_sheet(
    rng: np.random.Generator,
    faces: Sequence[Face],
    capitals: float,
    size: tuple[int, int],
    ground: Rgb,
    surface: Surface,
) -> Sheet:
    wide, high = size[0] * OVERSAMPLING, size[1] * OVERSAMPLING
    face = faces[int(rng.integers(len(faces)))]
    em = font_size_for_capitals(face, capitals * OVERSAMPLING)
    margin = round(em * rng.uniform(0.7, 1.2))
    pitch = round(em * rng.uniform(1.3, 1.7))
    room = wide - 2 * margin
    count = max(2, min(8, (high - 2 * margin - em // 2) // pitch))
    count = int(rng.integers(max(2, count - 3), count + 1))
    color = _sample_body_color(rng, ground)
    texts = _sample_page_texts(rng, count, max(6, int(room / (em * 0.56))))
    inks: list[RenderedLine] = []
    baseline = margin + em
    for text in texts:
        line = _render_shortened(text, face, em, room, color)
        if line is None or baseline + em // 3 > high - margin // 2:
            break
        inks.append(move_line(line, margin - min(0, line.left), baseline))
        baseline += pitch
    if not inks:
        # Not even the first word fits: a page always says something.
        return _make_text_sheet(rng, faces, 0.8 * capitals, size, ground, surface)
    return make_sheet(inks, fill_sheet(wide, high, ground), surface)


def _sample_page_texts(rng: np.random.Generator, count: int, longest: int) -> list[str]:
    if rng.random() < 0.3:
        return sample_listing(rng, count)
    if rng.random() < 0.5:
        return [sample_short_text(rng, longest), *sample_prose(rng, count - 1, longest)]
    return sample_prose(rng, count, longest)


def _sample_body_color(rng: np.random.Generator, ground: Rgb) -> str:
    """Pages are mostly black on white or white on black, now and then in a color."""
    plain = "black" if luminance(ground) > 128 else "white"
    chosen = sample_text_color(rng, ground) if rng.random() < 0.25 else None
    return chosen or plain


def _render_fitting_line(
    rng: np.random.Generator, face: Face, capitals: float, widest: float, color: str
) -> RenderedLine | None:
    em = font_size_for_capitals(face, capitals * OVERSAMPLING)
    for longest in (22, 12, 6):
        text = sample_short_text(rng, longest)
        if load_font(face, em).getlength(text) <= widest * OVERSAMPLING:
            return render_line(text, face, em, color)
    return None


def _render_shortened(
    text: str, face: Face, em: int, room: float, color: str
) -> RenderedLine | None:
    """The line with as many of its words as there is room for."""
    words = text.split()
    while words and load_font(face, em).getlength(" ".join(words)) > room:
        words.pop()
    return render_line(" ".join(words), face, em, color) if words else None


def _draw_border(ground: Pixels, color: Rgb, width: int) -> None:
    for side in (np.s_[:width], np.s_[-width:], np.s_[:, :width], np.s_[:, -width:]):
        ground[side] = (*color, 255)
