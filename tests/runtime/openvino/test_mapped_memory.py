"""Pages of mapped files are given back, and can be read again."""

from __future__ import annotations

import mmap
import sys
from pathlib import Path

import numpy as np
import pytest

import florence2
from florence2.runtime.openvino.mapped_memory import drop_mapped_pages

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the list of mappings is Linux's"
)
CONTENT = bytes(range(256)) * 1024


def held(file: Path) -> int:
    """The bytes of a mapped file that this process holds in memory."""
    resident = 0
    inside = False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        if "-" in line.split()[0]:
            inside = line.endswith(str(file.resolve()))
        elif inside and line.startswith("Rss:"):
            resident += int(line.split()[1]) * 1024
    return resident


def test_what_was_read_is_given_back_and_read_again(tmp_path: Path) -> None:
    file = tmp_path / "weights.bin"
    file.write_bytes(CONTENT)
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as seen:
        assert seen[:] == CONTENT
        assert held(file) == len(CONTENT)
        assert drop_mapped_pages(tmp_path) == len(CONTENT)
        assert held(file) == 0
        assert seen[:] == CONTENT


def test_what_was_written_is_kept_and_other_folders_are_left_alone(tmp_path: Path) -> None:
    file, other = tmp_path / "in" / "weights.bin", tmp_path / "in-beside" / "weights.bin"
    for each in (file, other):
        each.parent.mkdir()
        each.write_bytes(CONTENT)
    with (
        file.open("rb") as mine,
        other.open("rb") as beside,
        mmap.mmap(mine.fileno(), 0, access=mmap.ACCESS_COPY) as copied,
        mmap.mmap(beside.fileno(), 0, access=mmap.ACCESS_READ) as seen,
    ):
        copied[0] = 77
        assert seen[:] == CONTENT
        assert drop_mapped_pages(tmp_path / "in") == 0
        assert copied[0] == 77
        assert held(other) == len(CONTENT)


def test_without_a_list_of_mappings_nothing_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("florence2.runtime.openvino.mapped_memory._MAPS", tmp_path / "maps")
    assert drop_mapped_pages(tmp_path) == 0


def test_a_loaded_model_holds_no_pages_of_its_graphs_once_it_has_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLORENCE2_GRAPHS", str(tmp_path))
    picture = np.full((40, 60, 3), 90, np.uint8)
    converted = florence2.load("nano", device="cpu", runtime="openvino")
    expected = converted(picture, "caption", max_new_tokens=8)
    model = florence2.load("nano", device="cpu", runtime="openvino")
    answers = [model(picture, "caption", max_new_tokens=8) for _ in range(2)]
    assert [each.token_ids for each in answers] == [expected.token_ids] * 2
    files = list(tmp_path.glob("*/*.bin"))
    assert len(files) == 3
    size = sum(file.stat().st_size for file in files)
    # The rows of the embedding that were looked up have been read again.
    assert sum(map(held, files)) < size / 4
