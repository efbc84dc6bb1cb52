"""Type faces: fetched ones where there are any, else the one that Pillow brings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .colors import PALETTE, Rgb, luminance
from .language import sample_listing, sample_prose, sample_short_text
from .scene import Mask, Surface, TextLine

Face = Path | None
"""A font file, or ``None`` for the face that is always there."""


@lru_cache(maxsize=1024)
def load_font(face: Face, size: int) -> ImageFont.FreeTypeFont:
    """A face at ``size`` pixels to the em."""
    if face is not None:
        return ImageFont.truetype(str(face), size)
    built_in = ImageFont.load_default(size)
    if not isinstance(built_in, ImageFont.FreeTypeFont):
        raise RuntimeError("this Pillow was built without FreeType: install one from a wheel")
    return built_in


@lru_cache(maxsize=64)
def capital_height_ratio(face: Face) -> float:
    """The height of a capital as a share of the em."""
    _, top, _, bottom = load_font(face, 200).getbbox("H", anchor="ls")
    return float(bottom - top) / 200


def font_size_for_capitals(face: Face, height: float) -> int:
    """The size at which capitals are ``height`` pixels high, at least."""
    return max(6, round(height / capital_height_ratio(face) + 0.3))


Pixels = NDArray[np.uint8]
Points = NDArray[np.float32]

OVERSAMPLING = 2
"""Pixels of a sheet to one of the picture."""


@dataclass(frozen=True, eq=False)
class RenderedLine:
    """One line on a sheet: coverage ``uint8[h, w]`` cut to the ink, and where its top left goes."""

    text: str
    coverage: Pixels
    left: int
    top: int
    color: str


@dataclass(frozen=True, eq=False)
class Sheet:
    """A flat thing with lines on it: ``pixels`` is ``uint8[h, w, 4]``, colors times alpha."""

    pixels: Pixels
    inks: tuple[RenderedLine, ...]
    surface: Surface


@dataclass(frozen=True, eq=False)
class RenderedText:
    """A sheet in a picture: ``homography`` takes its points (pixel corners) to the picture's."""

    sheet: Sheet
    homography: NDArray[np.float64]

    @property
    def outline(self) -> Points:
        """The corners ``float32[4, 2]`` of the sheet in the picture."""
        height, width = self.sheet.pixels.shape[:2]
        return _map_points(self.homography, _rectangle_corners(0, 0, width, height))

    @property
    def lines(self) -> tuple[TextLine, ...]:
        """The lines with their quads in the picture."""
        return tuple(
            TextLine(ink.text, self._quad(ink), ink.color, self.sheet.surface)
            for ink in self.sheet.inks
        )

    def _quad(self, ink: RenderedLine) -> Points:
        height, width = ink.coverage.shape
        corners = _rectangle_corners(ink.left, ink.top, ink.left + width, ink.top + height)
        return _map_points(self.homography, corners)


def render_line(text: str, face: Face, size: int, color: str) -> RenderedLine:
    """A line set in a face at ``size`` sheet pixels to the em, its baseline starting at 0, 0."""
    face_at_size = load_font(face, size)
    left, top, right, bottom = (int(v) for v in face_at_size.getbbox(text, anchor="ls"))
    stencil = Image.new("L", (right - left + 4, bottom - top + 4))
    ImageDraw.Draw(stencil).text((2 - left, 2 - top), text, 255, face_at_size, anchor="ls")
    # Faint rims of letters do not count: a quad that holds them looks too wide.
    bounds = stencil.point(_INK_THRESHOLD).getbbox() or (0, 0, 1, 1)
    coverage = np.asarray(stencil.crop(bounds))
    return RenderedLine(text, coverage, left - 2 + bounds[0], top - 2 + bounds[1], color)


def move_line(line: RenderedLine, x: int, y: int) -> RenderedLine:
    """The line with its baseline starting at ``x, y`` instead of 0, 0."""
    return RenderedLine(line.text, line.coverage, line.left + x, line.top + y, line.color)


def make_sheet(inks: list[RenderedLine], ground: Pixels, surface: Surface) -> Sheet:
    """A sheet ``uint8[h, w, 4]`` with lines put on it; the ground has colors times alpha."""
    pixels = ground.copy()
    for line in inks:
        height, width = line.coverage.shape
        window = pixels[line.top : line.top + height, line.left : line.left + width]
        covered = line.coverage[..., None].astype(np.uint16)
        color = np.array([*PALETTE[line.color], 255], np.uint16)
        window[:] = (window * (255 - covered) + color * covered + 127) // 255
    return Sheet(pixels, tuple(inks), surface)


def make_clear_sheet(inks: list[RenderedLine], surface: Surface) -> Sheet:
    """Lines on nothing: a clear sheet that just holds them, its corner moved to fit."""
    margin = 2
    left = min(line.left for line in inks) - margin
    top = min(line.top for line in inks) - margin
    right = max(line.left + line.coverage.shape[1] for line in inks) + margin
    bottom = max(line.top + line.coverage.shape[0] for line in inks) + margin
    clear = np.zeros((bottom - top, right - left, 4), np.uint8)
    return make_sheet([move_line(line, -left, -top) for line in inks], clear, surface)


def fill_sheet(width: int, height: int, color: Rgb) -> Pixels:
    """An opaque ground for a sheet."""
    return np.full((height, width, 4), (*color, 255), np.uint8)


def place_sheet(
    sheet: Sheet, middle: tuple[float, float], degrees: float, bend: Points
) -> RenderedText:
    """The sheet around ``middle``, turned clockwise, its corners then moved by ``bend``.

    ``bend`` is ``float32[4, 2]`` in shares of the sheet's shorter side.
    """
    height, width = sheet.pixels.shape[:2]
    flat = _rectangle_corners(0, 0, width, height)
    centered = (flat - (width / 2, height / 2)) / OVERSAMPLING
    centered = centered + bend * min(width, height) / OVERSAMPLING
    turn = np.radians(degrees)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    corners = centered @ rotation.T + middle
    homography = cv2.getPerspectiveTransform(flat, corners.astype(np.float32))
    return RenderedText(sheet, cast("NDArray[np.float64]", homography))


def sheet_mask(laid: RenderedText, size: tuple[int, int], margin: int = 0) -> Mask:
    """The pixels ``bool[height, width]`` of a picture under a sheet and ``margin`` around it."""
    filled = np.zeros((size[1], size[0]), np.uint8)
    # Four more bits place the corners to a sixteenth of a pixel; halves as in `warp_sheet`.
    corners = np.round((laid.outline - 0.5) * 16).astype(np.int32)
    cv2.fillConvexPoly(filled, corners, 1, shift=4)
    if margin:
        filled = cv2.dilate(filled, np.ones((2 * margin + 1,) * 2, np.uint8))
    return filled.astype(bool)


def opaque_mask(laid: RenderedText, size: tuple[int, int]) -> Mask:
    """The pixels ``bool[height, width]`` of a picture that a sheet hides."""
    pixels, window = warp_sheet(laid, size)
    hidden = np.zeros((size[1], size[0]), bool)
    hidden[window] = pixels[..., 3] >= 128
    return hidden


def warp_sheet(laid: RenderedText, size: tuple[int, int]) -> tuple[Pixels, tuple[slice, slice]]:
    """The sheet's pixels ``uint8[h, w, 4]`` as they lie in the picture, and in which part."""
    outline = laid.outline
    left, top = (int(max(0, value)) for value in np.floor(outline.min(axis=0)))
    right, bottom = (int(v) for v in np.minimum(np.ceil(outline.max(axis=0)), size))
    # OpenCV puts whole numbers at the middles of pixels, we at their corners: hence the halves.
    to_corners = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
    to_window = np.array([[1, 0, -0.5 - left], [0, 1, -0.5 - top], [0, 0, 1.0]])
    matrix = to_window @ laid.homography @ to_corners
    pixels = cv2.warpPerspective(laid.sheet.pixels, matrix, (right - left, bottom - top))
    return pixels, (slice(top, bottom), slice(left, right))


_INK_THRESHOLD = [255 if level > 40 else 0 for level in range(256)]


def _rectangle_corners(x0: float, y0: float, x1: float, y1: float) -> Points:
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float32)


def _map_points(homography: NDArray[np.float64], points: Points) -> Points:
    whole = np.hstack([points, np.ones((len(points), 1))]) @ homography.T
    return (whole[:, :2] / whole[:, 2:]).astype(np.float32)


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
