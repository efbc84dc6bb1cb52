"""The command line with a stand-in for the model, and folders of pictures."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from florence2.cli import app

STAND_IN = Path(__file__).with_name("stand_in.py")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"


def documented(verb: str) -> set[str]:
    """The options in the tables below the heading of ``verb`` in ``docs/cli.md``."""
    text = PAGE.read_text(encoding="utf-8")
    section = re.search(rf"^## florence2 {verb}\b.*?(?=^## |\Z)", text, re.M | re.S)
    assert section is not None, f"docs/cli.md has no heading for {verb}"
    rows = re.findall(r"^\|([^|]*)\|", section[0], re.M)
    return {name for row in rows for name in re.findall(r"--[a-z][a-z-]*", row)}


@pytest.fixture(scope="session")
def stand_in_script() -> Path:
    """The command as a script, for tests that need a process of its own."""
    return STAND_IN


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The stand-in that every command of the test loads."""
    specification = importlib.util.spec_from_file_location("florence2_stand_in", STAND_IN)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, specification.name, module)
    specification.loader.exec_module(module)
    model = module.StandInModel()
    monkeypatch.setitem(sys.modules, "florence2.inference.predictor", module.predictor(model))
    return model


@pytest.fixture
def command(model: Any) -> Callable[..., Any]:
    """Runs ``florence2 ARGUMENTS`` in this process; the result has exit_code, stdout, stderr."""

    def run(*arguments: object, input: str | None = None) -> Any:
        return CliRunner().invoke(app, [str(each) for each in arguments], input=input)

    return run
