"""Lines of text on a flat sheet, and such a sheet laid into a picture at a slant.

Letters are drawn on a sheet at twice the scale of the picture and mapped onto it by a
homography; the same map takes the bounds of the ink to the quad of the line, so quads are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .colors import PALETTE, Rgb
from .fonts import Face, load_font
from .scene import Mask, Surface, TextLine

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
