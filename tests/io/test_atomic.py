"""Files are there whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from florence2.io.atomic import (
    JsonlAppender,
    atomic_replace,
    atomic_write,
    complete_lines,
    replace_json,
    truncate_partial_line,
)


def test_what_is_written_takes_the_place_of_what_was(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file"
    atomic_replace(path, b"\x00one")
    assert path.read_bytes() == b"\x00one"
    atomic_replace(path, "zwei é")
    assert path.read_bytes() == "zwei é".encode()
    replace_json(path, {"three": [3]})
    assert json.loads(path.read_text()) == {"three": [3]}
    assert [each.name for each in path.parent.iterdir()] == ["file"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    atomic_replace(path, "old")
    with pytest.raises(RuntimeError, match="half-way"), atomic_write(path) as temporary:
        temporary.write_text("ne")
        raise RuntimeError("half-way")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    with pytest.raises(OSError, match="No space left") as raised, atomic_write(path):
        raise OSError(28, "No space left on device")
    assert raised.value.filename == str(path)

    def refuse(descriptor: int, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    with JsonlAppender(path) as lines:
        monkeypatch.setattr("florence2.io.atomic.os.write", refuse)
        with pytest.raises(OSError, match="No space left") as raised:
            lines.append(b"line\n")
    assert raised.value.filename == str(path)


def test_what_a_kill_left_behind_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "file"
    (tmp_path / ".file.part").write_text("a part of some earlier run, and longer")
    atomic_replace(path, "whole")
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_lines_grow_and_a_torn_last_one_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    assert complete_lines(path) == []
    with JsonlAppender(path) as file:
        file.append(b"one\ntwo\n")
    path.write_bytes(path.read_bytes() + b"thr")
    assert complete_lines(path) == [b"one\n", b"two\n"]
    truncate_partial_line(path, [b"two\n"])
    assert path.read_bytes() == b"two\n"


def test_a_refused_line_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lines"
    write = os.write

    def full(descriptor: int, content: bytes) -> int:
        if len(content) < 8:
            raise OSError("no space left on device")
        return write(descriptor, content[:4])

    with JsonlAppender(path) as file:
        file.append(b"one\n")
        monkeypatch.setattr("florence2.io.atomic.os.write", full)
        with pytest.raises(OSError, match="no space"):
            file.append(b"a longer one\n")
        monkeypatch.undo()
        file.append(b"two\n")
    assert path.read_bytes() == b"one\ntwo\n"


def test_a_file_that_is_as_wanted_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    truncate_partial_line(path, [])
    assert not path.exists()
    path.write_bytes(b"one\n")
    before = path.stat().st_ino
    truncate_partial_line(path, [b"one\n"])
    assert path.stat().st_ino == before
