"""Fixtures for synthetic images: sprites without files, and a cache of art that a test builds."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("cv2")

from florence2.synthetic.asset_cache import Drawing, write_assets
from florence2.synthetic.asset_fetch import NOTO
from florence2.synthetic.scene import Kind, Mask, Scene, SceneObject, TextLine
from florence2.synthetic.sprite_library import SpriteLibrary, load_library


@pytest.fixture(scope="session")
def shapes() -> SpriteLibrary:
    """The procedural sprites that training may see."""
    return load_library(None, "train")


@pytest.fixture
def art(tmp_path: Path) -> Path:
    """A directory of art with four drawings of cars and one of a zebra, all plain rectangles."""
    folder = tmp_path / "art"
    drawings = [Drawing(f"noto/car-{n}", "🚗", _png(20 + n)) for n in range(4)]
    drawings.append(Drawing("noto/zebra", "🦓", _png(30)))
    drawings.append(Drawing("noto/unknown", "🈁", _png(10)))
    write_assets(folder, drawings, {}, [NOTO])
    return folder


ObjectSpec = tuple[str, str | None, tuple[int, int, int, int]]


@pytest.fixture(scope="session")
def build() -> Callable[..., Scene]:
    """Builds a 200x200 scene of rectangles, ``(category, color, box)``, the farthest first."""
    return _build


def _build(
    *specs: ObjectSpec,
    lines: Sequence[TextLine] = (),
    background: str = "green grass",
    kind: Kind = "scene",
) -> Scene:
    covered: Mask = np.zeros((200, 200), bool)
    objects = []
    for category, color, (x0, y0, x1, y1) in reversed(specs):
        whole: Mask = np.zeros((200, 200), bool)
        whole[y0:y1, x0:x1] = True
        mask = whole & ~covered
        covered |= whole
        rows, columns = np.nonzero(mask)
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        visible = mask.sum() / whole.sum()
        objects.append(
            SceneObject(category, f"test/{category}", color, mask, tuple(map(float, box)), visible)
        )
    image = np.full((200, 200, 3), 200, np.uint8)
    return Scene(3, kind, image, background, tuple(reversed(objects)), tuple(lines))


def _png(side: int) -> bytes:
    pixels = np.full((side, side + 4, 4), (200, 30, 30, 255), np.uint8)
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, "PNG")
    return stored.getvalue()
