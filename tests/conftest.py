"""Fixtures for the whole suite."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

# Tests that are about other runtimes name them; the others ask the reference.
os.environ.setdefault("FLORENCE2_RUNTIME", "torch")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The directory of goldens and evaluation fixtures that lies beside a development checkout."""
    if not SHARED.is_dir():
        pytest.skip("the shared goldens are not beside this checkout")
    return SHARED


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A directory with five images, two of one stem and one in a directory below."""
    directory = tmp_path / "photos"
    (directory / "below").mkdir(parents=True)
    for name in ("a.png", "b.jpg", "b.png", "c.bmp", "below/a.png"):
        Image.new("RGB", (4, 3)).save(directory / name)
    (directory / "notes.txt").write_text("not an image")
    (directory / ".hidden.png").write_bytes(b"")
    return directory
