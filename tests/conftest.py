"""Fixtures for the whole suite."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Tests that are about other runtimes name them; the others ask the reference.
os.environ.setdefault("FLORENCE2_RUNTIME", "torch")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of goldens and evaluation fixtures that lies beside a development checkout."""
    if not SHARED.is_dir():
        pytest.skip("the shared goldens are not beside this checkout")
    return SHARED
