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
    for path, name in _PATH.findall(_read(page)):
        if _NOT_THERE.search(path):
            continue
        found = [base / path for base in (PACKAGE, ROOT) if (base / path).exists()]
        if not found:
            missing.append(path)
        elif name and not defines(found[0], name):
            missing.append(f"{path}:{name}")
    assert not missing


def test_listed_names_exist() -> None:
    """Rows of tables: a file, then names that it defines."""
    rows = re.findall(r"^ *\| `([\w/]+\.py)` \| (`[^|]+) \|", _read("CONTRIBUTING.md"), re.M)
    assert rows
    for path, names in rows:
        for name in re.findall(r"`(\w+)`", names):
            assert defines(PACKAGE / path, name), f"{path}: {name}"


def defines(file: Path, name: str) -> bool:
    """Whether ``file`` defines ``name`` at its top level."""
    return bool(re.search(rf"^(?:def |class )?{name}\b", file.read_text("utf-8"), re.M))


def test_every_package_has_a_layer() -> None:
    text = _read("docs/architecture.md")
    for package in PACKAGE.iterdir():
        if package.is_dir() and (package / "__init__.py").exists():
            assert re.search(rf"^\| \d \| `{package.name}/`", text, re.M), package.name


def _read(page: str) -> str:
    return (ROOT / page).read_text("utf-8")
