"""Following files that other processes write."""

from __future__ import annotations

from pathlib import Path

from florence2.cli.processes import _GrowingFile


def test_lines_are_counted_as_they_come_and_again_when_the_file_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "answers"
    file = _GrowingFile(path)
    assert file.lines() == 0
    path.write_bytes(b"one\ntwo\nthr")
    assert file.lines() == 2
    with path.open("ab") as stream:
        stream.write(b"ee\n")
    assert file.lines() == 3
    path.write_bytes(b"one\n")
    assert file.lines() == 1
