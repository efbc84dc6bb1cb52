"""Files are there whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from florence2.durable import replace_file, replace_json, replacing


def test_what_is_written_takes_the_place_of_what_was(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file"
    replace_file(path, b"\x00one")
    assert path.read_bytes() == b"\x00one"
    replace_file(path, "zwei é")
    assert path.read_bytes() == "zwei é".encode()
    replace_json(path, {"three": [3]})
    assert json.loads(path.read_text()) == {"three": [3]}
    assert [each.name for each in path.parent.iterdir()] == ["file"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, "old")
    with pytest.raises(RuntimeError, match="half-way"), replacing(path) as temporary:
        temporary.write_text("ne")
        raise RuntimeError("half-way")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_kill_left_behind_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "file"
    (tmp_path / ".file.part").write_text("a part of some earlier run, and longer")
    replace_file(path, "whole")
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]
