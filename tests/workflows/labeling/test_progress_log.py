from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from florence2.io.run_dir import RunDir, RunFormat
from florence2.results.tasks import find_task
from florence2.workflows.labeling.label_requests import LabelRequest
from florence2.workflows.labeling.progress_log import ProgressLog

CAPTION = LabelRequest(find_task("caption"))
OD = LabelRequest(find_task("od"))


@contextmanager
def open_log(path: Path) -> Iterator[ProgressLog]:
    """The log in a run directory of its own."""
    with RunDir.open(path.parent, {}, RunFormat(allow_other_files=True)) as run:
        yield ProgressLog(run, path.name)


def line(image: str, request: LabelRequest = CAPTION, **more: object) -> dict[str, object]:
    return {"image": image, **request.fields, **(more or {"answer": "ä" * 20})}


def encoded(*lines: dict[str, object]) -> bytes:
    return b"".join(json.dumps(each, ensure_ascii=False).encode() + b"\n" for each in lines)


def test_lines_are_found_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "answers.jsonl"
    with open_log(path) as log:
        log.append([line("a"), line("a", OD)])
        log.append([line("b", answer="two", name="below/b")])
    assert path.read_bytes() == encoded(
        line("a"), line("a", OD), line("b", answer="two", name="below/b")
    )
    with open_log(path) as log:
        assert log.has("a", CAPTION) and log.has("a", OD) and log.has("b", CAPTION)
        assert not log.has("b", OD)
        assert log.read("b", CAPTION)["answer"] == "two"
        assert log.output_names == {"below/b": "b"}


def test_a_file_cut_anywhere_keeps_its_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    content = encoded(line("a"), line("b"), line("c"))
    for length in range(len(content) + 1):
        path.write_bytes(content[:length])
        with open_log(path) as log:
            missing = [image for image in "abc" if not log.has(image, CAPTION)]
            log.append([line(image) for image in missing])
        assert path.read_bytes() == content


def test_error_lines_are_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_bytes(encoded(line("a"), line("b", error="torn"), line("c")))
    with open_log(path) as log:
        assert not log.has("b", CAPTION)
    assert path.read_bytes() == encoded(line("a"), line("c"))


def test_a_sound_file_is_not_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_bytes(encoded(line("a")))
    before = path.stat().st_ino
    with open_log(path):
        assert path.stat().st_ino == before


@pytest.mark.parametrize("foreign", [b"words\n", b"[1]\n", b'{"image": "a"}\n', b"\xff\n"])
def test_a_foreign_file_is_refused_and_left_alone(tmp_path: Path, foreign: bytes) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_bytes(encoded(line("a")) + foreign)
    with pytest.raises(ValueError, match="not a prediction line"), open_log(path):
        pass
    assert path.read_bytes() == encoded(line("a")) + foreign


def test_a_full_disk_leaves_no_part_of_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "answers.jsonl"
    write = os.write

    def write_a_little(file: int, content: bytes) -> int:
        monkeypatch.setattr(os, "write", refuse)
        return write(file, content[:7])

    def refuse(file: int, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "no space left")

    with open_log(path) as log:
        log.append([line("a")])
        monkeypatch.setattr(os, "write", write_a_little)
        with pytest.raises(OSError, match="no space"):
            log.append([line("b")])
    assert path.read_bytes() == encoded(line("a"))
