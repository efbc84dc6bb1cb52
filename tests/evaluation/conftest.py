"""A benchmark of colored images with a stand-in for the model; see ``stand_in.py``."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

STAND_IN = Path(__file__).with_name("stand_in.py")
IMAGES = 20


@pytest.fixture(scope="session")
def stand_in_script() -> Path:
    """The stand-in as a script, for tests that need a process of its own."""
    return STAND_IN


@pytest.fixture(scope="session")
def stand_in() -> Any:
    """The module of the benchmark and the model."""
    specification = importlib.util.spec_from_file_location("evaluation_stand_in", STAND_IN)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twenty images, and the files that list them for each split."""
    directory = tmp_path / "data"
    directory.mkdir()
    names = [f"{number:03}" for number in range(IMAGES)]
    for number, name in enumerate(names):
        Image.new("RGB", (8, 6), (12 * number, 80, 200)).save(directory / f"{name}.png")
    for split in ("val", "hidden", "other"):
        (directory / f"{split}.json").write_text(json.dumps(names))
    return directory


@pytest.fixture
def model(stand_in: Any) -> Any:
    """A model that is right but for the shapes of every third image."""
    return stand_in.StandInModel(stand_in.mostly_right)
