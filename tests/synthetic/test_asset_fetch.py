"""Drawings out of icon sets, with and without a table of code points."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from florence2.synthetic.asset_fetch import _read_icon_set

_BODY = '<circle cx="8" cy="8" r="7" fill="red"/>'


def _package(folder: Path, icons: dict[str, str], characters: dict[str, str]) -> Path:
    folder.mkdir()
    bodies = {name: {"body": body} for name, body in icons.items()}
    (folder / "icons.json").write_text(json.dumps({"icons": bodies, "width": 16, "height": 16}))
    (folder / "chars.json").write_text(json.dumps(characters))
    return folder


def test_a_set_without_code_points_uses_names_of_earlier_sets(tmp_path: Path) -> None:
    pytest.importorskip("resvg_py")
    names: dict[str, list[str]] = {}
    wanted = ["🐱", "🐶", "🦊"]
    told = _package(tmp_path / "told", {"cat-face": _BODY, "dog-face": _BODY},
                    {"1f431": "cat-face", "1f436-fe0f": "dog-face"})  # fmt: skip
    untold = _package(tmp_path / "untold", {"cat-face": _BODY, "zebra": _BODY}, {})
    first = list(_read_icon_set("told", told, wanted, names))
    second = list(_read_icon_set("untold", untold, wanted, names))
    assert [(each.asset, each.emoji) for each in first] == [
        ("told/cat-face", "🐱"), ("told/dog-face", "🐶"),
    ]  # fmt: skip
    assert [each.asset for each in second] == ["untold/cat-face"]
    assert second[0].png.startswith(b"\x89PNG")


def test_a_set_with_other_names_uses_unicode_names(tmp_path: Path) -> None:
    pytest.importorskip("resvg_py")
    names = {"1f697": ["car-front"], "1f42b": ["two-hump-camel"]}
    package = _package(tmp_path / "set", {"automobile": _BODY, "bactriancamel": _BODY}, {})
    found = list(_read_icon_set("set", package, ["🚗", "🐫", "👩‍🍳"], names))
    assert [each.asset for each in found] == ["set/automobile", "set/bactriancamel"]


def test_numbered_drawings_are_used_if_the_name_itself_is_missing(
    tmp_path: Path,
) -> None:
    pytest.importorskip("resvg_py")
    names = {"1f335": ["cactus"], "1f431": ["cat-face"], "1f98a": ["fox"]}
    icons = dict.fromkeys(["cactus-1", "cactus-2", "cat-face", "cat-face-1", "foxglove-1"], _BODY)
    package = _package(tmp_path / "set", icons, {})
    found = list(_read_icon_set("set", package, ["🌵", "🐱", "🦊"], names))
    assert [(each.asset, each.emoji) for each in found] == [
        ("set/cactus-1", "🌵"), ("set/cactus-2", "🌵"), ("set/cat-face", "🐱"),
    ]  # fmt: skip
