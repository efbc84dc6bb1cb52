"""Type faces: fetched ones where there are any, else the one that Pillow brings."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

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
