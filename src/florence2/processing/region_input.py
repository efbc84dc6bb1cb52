"""The region of a region task: a box in pixels, or four location tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..results.locations import quantize

_LOCATIONS = re.compile(r"(?:<loc_\d{1,3}>\s*){4}")
_LOCATION = re.compile(r"<loc_(\d{1,3})>")


def write_region(text: str | Sequence[str] | Sequence[float], image_size: tuple[int, int]) -> str:
    """The location tokens of a region of an image of ``image_size`` (width, height).

    Raises ``ValueError`` for what is neither a box nor four location tokens.
    """
    if isinstance(text, str):
        if not _LOCATIONS.fullmatch(text.strip()):
            raise ValueError(
                "a region is a box (x0, y0, x1, y1) in pixels or four <loc_i> tokens, got "
                f"{shorten_value(text)}"
            )
        return text.strip()
    return "".join(f"<loc_{index}>" for index in quantize(_checked_box(text), image_size))


def check_region(text: Any, image_size: tuple[int, int]) -> None:
    """Raise ``ValueError`` for a region that is inverted, a point, or outside the image.

    ``text`` is a box in pixels, or holds four location tokens. A box that is partly outside is
    fine: it is clipped to the image.
    """
    if text is None:
        return
    if isinstance(text, str):
        left, top, right, bottom = (int(index) for index in _LOCATION.findall(text)[:4])
        # Corners in one bin are those of a small object.
        if left > right or top > bottom or (left, top) == (right, bottom):
            raise ValueError(
                f"a region has its top left corner first and is not a point, got {text[:100]!r}"
            )
        return
    x0, y0, x1, y1 = (float(value) for value in _checked_box(text))
    width, height = image_size
    if x0 >= x1 or y0 >= y1:
        raise ValueError(
            f"a region has x0 < x1 and y0 < y1, got {x0:g},{y0:g},{x1:g},{y1:g}: give a box, not a "
            "point, with its top left corner first"
        )
    if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
        raise ValueError(
            f"the region {x0:g},{y0:g},{x1:g},{y1:g} is outside the image, which is "
            f"{width} x {height} pixels"
        )


def shorten_value(value: Any, limit: int = 100) -> str:
    """The value as it is written in Python, cut to about ``limit`` characters."""
    words = repr(value[: 2 * limit] if isinstance(value, str | list) else value)
    return words if len(words) <= limit else f"{words[:limit]}..."


def _checked_box(text: Any) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):
            box = np.asarray(text, dtype=np.float32)
    except (ValueError, TypeError, OverflowError):
        box = np.zeros(0, np.float32)
    if box.shape != (4,) or not np.isfinite(box).all():
        raise ValueError(
            f"a region is one box (x0, y0, x1, y1) in pixels, got {shorten_value(text)}"
        )
    return box
