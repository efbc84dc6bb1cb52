"""Files from outside: regular ones, of a stated size."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from florence2.io.files import FileRefusedError, open_regular, read_json, read_regular, read_text


def test_a_regular_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    with open_regular(tmp_path / "a") as stream:
        assert stream.read() == b"abc"
    assert read_regular(tmp_path / "a", 3) == b"abc"
    with pytest.raises(FileRefusedError, match="3 bytes; the limit is 2"):
        read_regular(tmp_path / "a", 2)


def test_what_is_not_a_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    for name, words in (("pipe", "named pipe"), ("link", "device"), (".", "directory")):
        with pytest.raises(FileRefusedError, match=words):
            open_regular(tmp_path / name)
    with pytest.raises(FileRefusedError, match="not a path"):
        open_regular("a\0b")
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "none")


def test_a_file_that_claims_no_bytes_is_empty() -> None:
    assert read_regular("/proc/self/status", 100) == b""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_with_or_without_a_mark(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a").write_bytes("straße".encode(encoding))
    assert read_text(tmp_path / "a") == "straße"


def test_other_text_and_bad_json_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for content, words in (
        (b"\xff\xe4", "not UTF-8|decode"),
        (b'{"a": 1,\n oops}', r"a\.json:2: not valid JSON"),
        (b"[" * 200_000, "nested too deeply"),
        (b"1" * 5000, "cannot be read as JSON"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=words):
            read_json(path)
    path.write_bytes(b'\xef\xbb\xbf{"a": [1]}')
    assert read_json(path) == {"a": [1]}
