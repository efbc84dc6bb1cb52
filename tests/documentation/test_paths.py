"""The files and names that the pages about the code name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .extraction import ROOT

PAGES = ("CONTRIBUTING.md", "docs/architecture.md", "docs/glossary.md", "docs/walkthrough.md")
PACKAGE = ROOT / "src" / "florence2"
# A file or a directory in backquotes, with a name in it behind a colon or without.
_PATH = re.compile(r"`((?:[\w.-]+/)+(?:[\w.-]+)?)(?::(\w+))?`")
# Outputs and placeholders.
_NOT_THERE = re.compile(r"NAME|^build/|^microsoft/|^\.venv/|^benchmarks/results$")


@pytest.mark.parametrize("page", PAGES)
def test_named_files_exist(page: str) -> None:
    missing = []
    for path, name in _PATH.findall((ROOT / page).read_text("utf-8")):
        if _NOT_THERE.search(path):
            continue
        found = [base / path for base in (PACKAGE, ROOT) if (base / path).exists()]
        if not found:
            missing.append(path)
        elif name and not defines(found[0], name):
            missing.append(f"{path}:{name}")
    assert not missing


def defines(file: Path, name: str) -> bool:
    """Whether ``file`` defines ``name`` at its top level."""
    return bool(re.search(rf"^(?:def |class )?{name}\b", file.read_text("utf-8"), re.M))


def test_every_package_has_a_layer() -> None:
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    for package in PACKAGE.iterdir():
        if package.is_dir() and (package / "__init__.py").exists():
            assert re.search(rf"^\| \d \| `{package.name}/`", text, re.M), package.name
