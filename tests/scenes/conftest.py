"""Fixtures for made pictures: sprites without files, and a cache of art that a test builds."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("cv2")

from florence2.scenes.cache import Drawing, write_art
from florence2.scenes.packages import NOTO
from florence2.scenes.sprites import SpriteLibrary, library


@pytest.fixture(scope="session")
def shapes() -> SpriteLibrary:
    """The procedural sprites that training may see."""
    return library(None, "train")


@pytest.fixture
def art(tmp_path: Path) -> Path:
    """A folder of art with four drawings of cars and one of a zebra, all plain rectangles."""
    folder = tmp_path / "art"
    drawings = [Drawing(f"noto/car-{n}", "🚗", _png(20 + n)) for n in range(4)]
    drawings.append(Drawing("noto/zebra", "🦓", _png(30)))
    drawings.append(Drawing("noto/unknown", "🈁", _png(10)))
    write_art(folder, drawings, {}, [NOTO])
    return folder


def _png(side: int) -> bytes:
    pixels = np.full((side, side + 4, 4), (200, 30, 30, 255), np.uint8)
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, "PNG")
    return stored.getvalue()
