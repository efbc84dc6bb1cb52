"""Rendering of text: fonts, lines, and sheets such as signs, pages and screens.

Text is rendered onto a flat sheet at twice the scale of the image and warped onto it by a
homography. The same homography maps the bounds of a line to its quad, so quads are exact.
"""

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
"""A font file, or ``None`` for Pillow's built-in font."""


@lru_cache(maxsize=1024)
def load_font(face: Face, size: int) -> ImageFont.FreeTypeFont:
    """Load a font at ``size`` pixels per em."""
    if face is not None:
        return ImageFont.truetype(str(face), size)
    built_in = ImageFont.load_default(size)
    if not isinstance(built_in, ImageFont.FreeTypeFont):
        raise RuntimeError("this Pillow was built without FreeType: install one from a wheel")
    return built_in


@lru_cache(maxsize=64)
def capital_height_ratio(face: Face) -> float:
    """The height of a capital letter as a share of the em."""
    _, top, _, bottom = load_font(face, 200).getbbox("H", anchor="ls")
    return float(bottom - top) / 200


def font_size_for_capitals(face: Face, height: float) -> int:
    """The font size at which capital letters are at least ``height`` pixels high."""
    return max(6, round(height / capital_height_ratio(face) + 0.3))


Pixels = NDArray[np.uint8]
Points = NDArray[np.float32]

OVERSAMPLING = 2
"""Pixels of a sheet per pixel of the image."""


@dataclass(frozen=True, eq=False)
class RenderedLine:
    """One line on a sheet: coverage ``uint8[h, w]`` cropped to the ink, and its top left."""

    text: str
    coverage: Pixels
    left: int
    top: int
    color: str


@dataclass(frozen=True, eq=False)
class Sheet:
    """A flat surface with lines; ``pixels`` is ``uint8[h, w, 4]``, premultiplied by alpha."""

    pixels: Pixels
    lines: tuple[RenderedLine, ...]
    surface: Surface


@dataclass(frozen=True, eq=False)
class RenderedText:
    """A sheet in an image: ``homography`` maps its points to those of the image."""

    sheet: Sheet
    homography: NDArray[np.float64]

    @property
    def corners(self) -> Points:
        """The corners ``float32[4, 2]`` of the sheet in the image."""
        height, width = self.sheet.pixels.shape[:2]
        return _map_points(self.homography, _rectangle_corners(0, 0, width, height))

    @property
    def lines(self) -> tuple[TextLine, ...]:
        """The lines with their quads in the image."""
        return tuple(
            TextLine(line.text, self._quad(line), line.color, self.sheet.surface)
            for line in self.sheet.lines
        )

    def _quad(self, line: RenderedLine) -> Points:
        height, width = line.coverage.shape
        corners = _rectangle_corners(line.left, line.top, line.left + width, line.top + height)
        return _map_points(self.homography, corners)


def render_line(text: str, face: Face, size: int, color: str) -> RenderedLine:
    """Render a line at ``size`` sheet pixels per em, with its baseline starting at 0, 0."""
    face_at_size = load_font(face, size)
    left, top, right, bottom = (int(v) for v in face_at_size.getbbox(text, anchor="ls"))
    stencil = Image.new("L", (right - left + 4, bottom - top + 4))
    ImageDraw.Draw(stencil).text((2 - left, 2 - top), text, 255, face_at_size, anchor="ls")
    # Faint borders of characters are ignored: a quad with them looks too wide.
    bounds = stencil.point(_INK_THRESHOLD).getbbox() or (0, 0, 1, 1)
    coverage = np.asarray(stencil.crop(bounds))
    return RenderedLine(text, coverage, left - 2 + bounds[0], top - 2 + bounds[1], color)


def move_line(line: RenderedLine, x: int, y: int) -> RenderedLine:
    """Move a line by ``x, y``."""
    return RenderedLine(line.text, line.coverage, line.left + x, line.top + y, line.color)


def make_sheet(lines: list[RenderedLine], background: Pixels, surface: Surface) -> Sheet:
    """Make a sheet of lines on a premultiplied background ``uint8[h, w, 4]``."""
    pixels = background.copy()
    for line in lines:
        height, width = line.coverage.shape
        window = pixels[line.top : line.top + height, line.left : line.left + width]
        coverage = line.coverage[..., None].astype(np.uint16)
        color = np.array([*PALETTE[line.color], 255], np.uint16)
        window[:] = (window * (255 - coverage) + color * coverage + 127) // 255
    return Sheet(pixels, tuple(lines), surface)


def make_clear_sheet(lines: list[RenderedLine], surface: Surface) -> Sheet:
    """Make a transparent sheet that fits the lines."""
    margin = 2
    left = min(line.left for line in lines) - margin
    top = min(line.top for line in lines) - margin
    right = max(line.left + line.coverage.shape[1] for line in lines) + margin
    bottom = max(line.top + line.coverage.shape[0] for line in lines) + margin
    clear = np.zeros((bottom - top, right - left, 4), np.uint8)
    return make_sheet([move_line(line, -left, -top) for line in lines], clear, surface)


def fill_sheet(width: int, height: int, color: Rgb) -> Pixels:
    """An opaque background for a sheet."""
    return np.full((height, width, 4), (*color, 255), np.uint8)


def place_sheet(
    sheet: Sheet, center: tuple[float, float], degrees: float, bend: Points
) -> RenderedText:
    """Place a sheet around ``center``, rotated clockwise, with its corners moved by ``bend``.

    ``bend`` is ``float32[4, 2]`` in shares of the sheet's shorter side.
    """
    height, width = sheet.pixels.shape[:2]
    flat = _rectangle_corners(0, 0, width, height)
    corners_at_origin = (flat - (width / 2, height / 2)) / OVERSAMPLING
    corners_at_origin = corners_at_origin + bend * min(width, height) / OVERSAMPLING
    angle = np.radians(degrees)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = corners_at_origin @ rotation.T + center
    homography = cv2.getPerspectiveTransform(flat, corners.astype(np.float32))
    return RenderedText(sheet, cast("NDArray[np.float64]", homography))


def sheet_mask(placed: RenderedText, size: tuple[int, int], margin: int = 0) -> Mask:
    """The pixels ``bool[height, width]`` of an image within ``margin`` of a sheet."""
    mask = np.zeros((size[1], size[0]), np.uint8)
    # Corners are in sixteenths of a pixel; 0.5 as in `warp_sheet`.
    corners = np.round((placed.corners - 0.5) * 16).astype(np.int32)
    cv2.fillConvexPoly(mask, corners, 1, shift=4)
    if margin:
        mask = cv2.dilate(mask, np.ones((2 * margin + 1,) * 2, np.uint8))
    return mask.astype(bool)


def opaque_mask(placed: RenderedText, size: tuple[int, int]) -> Mask:
    """The pixels ``bool[height, width]`` of an image that a sheet covers opaquely."""
    pixels, window = warp_sheet(placed, size)
    mask = np.zeros((size[1], size[0]), bool)
    mask[window] = pixels[..., 3] >= 128
    return mask


def warp_sheet(placed: RenderedText, size: tuple[int, int]) -> tuple[Pixels, tuple[slice, slice]]:
    """The sheet's pixels ``uint8[h, w, 4]`` in the image, and their rows and columns."""
    corners = placed.corners
    left, top = (int(max(0, value)) for value in np.floor(corners.min(axis=0)))
    right, bottom = (int(v) for v in np.minimum(np.ceil(corners.max(axis=0)), size))
    # In OpenCV integer coordinates are pixel centers, here they are pixel corners: hence 0.5.
    to_corners = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
    to_window = np.array([[1, 0, -0.5 - left], [0, 1, -0.5 - top], [0, 0, 1.0]])
    matrix = to_window @ placed.homography @ to_corners
    pixels = cv2.warpPerspective(placed.sheet.pixels, matrix, (right - left, bottom - top))
    return pixels, (slice(top, bottom), slice(left, right))


_INK_THRESHOLD = [255 if level > 40 else 0 for level in range(256)]


def _rectangle_corners(x0: float, y0: float, x1: float, y1: float) -> Points:
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float32)


def _map_points(homography: NDArray[np.float64], points: Points) -> Points:
    mapped = np.hstack([points, np.ones((len(points), 1))]) @ homography.T
    return (mapped[:, :2] / mapped[:, 2:]).astype(np.float32)


_MIN_CONTRAST = 95.0
_SIGN_COLORS = ("red", "green", "blue", "yellow", "white", "black", "brown", "orange", "purple")
_PAPERS: tuple[Rgb, ...] = ((252, 252, 250), (246, 240, 224), (232, 238, 246), (238, 238, 236))
_SCREENS: tuple[Rgb, ...] = ((18, 20, 26), (26, 38, 66), (30, 56, 42), (236, 240, 246))


def sample_text_color(rng: np.random.Generator, background: Rgb) -> str | None:
    """Sample a text color with enough contrast to a background; black and white are likelier."""
    level = luminance(background)
    readable = [
        name for name, color in PALETTE.items() if abs(luminance(color) - level) > _MIN_CONTRAST
    ]
    if not readable:
        return None
    weights = np.array([3.0 if name in ("black", "white") else 1.0 for name in readable])
    return readable[int(rng.choice(len(readable), p=weights / weights.sum()))]


def make_text_line(
    rng: np.random.Generator, face: Face, capital_height: float, max_width: float, background: Rgb
) -> Sheet | None:
    """A line without a background; lengths in pixels of the image."""
    color = sample_text_color(rng, background)
    if color is None:
        return None
    line = _render_fitting_line(rng, face, capital_height, max_width, color)
    return None if line is None else make_clear_sheet([line], "background")


def make_sign(
    rng: np.random.Generator, face: Face, capital_height: float, max_width: float
) -> Sheet | None:
    """A panel of one color with one to three centered lines, with or without a border."""
    panel = PALETTE[_SIGN_COLORS[int(rng.integers(len(_SIGN_COLORS)))]]
    color = sample_text_color(rng, panel)
    count = int(rng.choice([1, 2, 3], p=[0.6, 0.3, 0.1]))
    rendered = [
        _render_fitting_line(rng, face, capital_height, max_width * 0.9, color or "white")
        for _ in range(count)
    ]
    lines = [line for line in rendered if line is not None]
    if color is None or not lines:
        return None
    pitch = round(capital_height * OVERSAMPLING * rng.uniform(1.7, 2.1))
    margin = round(capital_height * OVERSAMPLING * rng.uniform(0.5, 0.9))
    width = max(line.coverage.shape[1] for line in lines) + 2 * margin
    placed = [
        move_line(line, (width - line.coverage.shape[1]) // 2 - line.left, number * pitch)
        for number, line in enumerate(lines)
    ]
    top = min(line.top for line in placed)
    bottom = max(line.top + line.coverage.shape[0] for line in placed)
    background = fill_sheet(width, bottom - top + 2 * margin, panel)
    if rng.random() < 0.4:
        _draw_border(background, PALETTE[color], max(2, margin // 4))
    return make_sheet([move_line(line, 0, margin - top) for line in placed], background, "sign")


def make_page(
    rng: np.random.Generator, faces: Sequence[Face], capital_height: float, size: tuple[int, int]
) -> Sheet:
    """A page with a title and a paragraph or a list; ``size`` in pixels of the image."""
    paper = _PAPERS[int(rng.integers(len(_PAPERS)))]
    return _make_text_sheet(rng, faces, capital_height, size, paper, "document")


def make_screen(
    rng: np.random.Generator, faces: Sequence[Face], capital_height: float, size: tuple[int, int]
) -> Sheet:
    """A screen with a frame and lines of text."""
    glass = _SCREENS[int(rng.integers(len(_SCREENS)))]
    sheet = _make_text_sheet(rng, faces, capital_height, size, glass, "screen")
    _draw_border(sheet.pixels, (58, 60, 66), 3 * OVERSAMPLING)
    return sheet


def _make_text_sheet(
    rng: np.random.Generator,
    faces: Sequence[Face],
    capital_height: float,
    size: tuple[int, int],
    background: Rgb,
    surface: Surface,
) -> Sheet:
    width, height = size[0] * OVERSAMPLING, size[1] * OVERSAMPLING
    face = faces[int(rng.integers(len(faces)))]
    em = font_size_for_capitals(face, capital_height * OVERSAMPLING)
    margin = round(em * rng.uniform(0.7, 1.2))
    pitch = round(em * rng.uniform(1.3, 1.7))
    max_width = width - 2 * margin
    count = max(2, min(8, (height - 2 * margin - em // 2) // pitch))
    count = int(rng.integers(max(2, count - 3), count + 1))
    color = _sample_body_color(rng, background)
    texts = _sample_page_texts(rng, count, max(6, int(max_width / (em * 0.56))))
    lines: list[RenderedLine] = []
    baseline = margin + em
    for text in texts:
        line = _render_shortened(text, face, em, max_width, color)
        if line is None or baseline + em // 3 > height - margin // 2:
            break
        lines.append(move_line(line, margin - min(0, line.left), baseline))
        baseline += pitch
    if not lines:
        # Not even the first word fits: use smaller text.
        return _make_text_sheet(rng, faces, 0.8 * capital_height, size, background, surface)
    return make_sheet(lines, fill_sheet(width, height, background), surface)


def _sample_page_texts(rng: np.random.Generator, count: int, max_length: int) -> list[str]:
    if rng.random() < 0.3:
        return sample_listing(rng, count)
    if rng.random() < 0.5:
        return [sample_short_text(rng, max_length), *sample_prose(rng, count - 1, max_length)]
    return sample_prose(rng, count, max_length)


def _sample_body_color(rng: np.random.Generator, background: Rgb) -> str:
    """Mostly black or white, sometimes another color with enough contrast."""
    plain = "black" if luminance(background) > 128 else "white"
    chosen = sample_text_color(rng, background) if rng.random() < 0.25 else None
    return chosen or plain


def _render_fitting_line(
    rng: np.random.Generator, face: Face, capital_height: float, max_width: float, color: str
) -> RenderedLine | None:
    em = font_size_for_capitals(face, capital_height * OVERSAMPLING)
    for max_length in (22, 12, 6):
        text = sample_short_text(rng, max_length)
        if load_font(face, em).getlength(text) <= max_width * OVERSAMPLING:
            return render_line(text, face, em, color)
    return None


def _render_shortened(
    text: str, face: Face, em: int, max_width: float, color: str
) -> RenderedLine | None:
    """Render as many words of a line as fit."""
    words = text.split()
    while words and load_font(face, em).getlength(" ".join(words)) > max_width:
        words.pop()
    return render_line(" ".join(words), face, em, color) if words else None


def _draw_border(background: Pixels, color: Rgb, width: int) -> None:
    for side in (np.s_[:width], np.s_[-width:], np.s_[:, :width], np.s_[:, -width:]):
        background[side] = (*color, 255)
