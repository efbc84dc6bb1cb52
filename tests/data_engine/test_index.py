"""Every image once: broken ones reported, duplicates marked, the same after any kill."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from florence2.data_engine.annotate import index_images, read_index
from florence2.data_engine.chunk_files import EngineFiles
from florence2.data_engine.duplicates import mark_duplicates
from florence2.data_engine.executor import LocalExecutor
from florence2.data_engine.image_sources import ImageLocation
from florence2.data_engine.index import IndexEntry, read_entries, write_entries

from .conftest import make_image


def entry(id: str, sha256: str, phash: int) -> IndexEntry:
    return IndexEntry(ImageLocation(id, id), sha256, 10, 10, f"{phash:016x}")


def test_duplicates_are_marked_with_the_first_one() -> None:
    first = 0x0123_4567_89AB_CDEF
    near, far = first ^ 0b111, first ^ 0b1111 << 20 ^ 0b1111
    made = mark_duplicates(
        [
            entry("a", "1", first),
            entry("b", "1", first),
            entry("c", "2", near),
            IndexEntry(ImageLocation("d", "d"), error="broken"),
            entry("e", "3", far),
            entry("f", "4", near),
        ]
    )
    assert [(each.duplicate_of, each.near_duplicate_of) for each in made] == [
        ("", ""),
        ("a", ""),
        ("", "a"),
        ("", ""),
        ("", ""),
        ("", "a"),
    ]
    assert [each.needs_annotation for each in made] == [True, False, True, False, True, True]


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_near_duplicates_are_found_for_any_changed_bits(bits: int) -> None:
    for shift in range(0, 64 - bits, 5):
        changed = sum(1 << (shift + 13 * at) % 64 for at in range(bits))
        made = mark_duplicates([entry("a", "1", 0), entry("b", "2", changed)])
        assert made[1].near_duplicate_of == "a"


def test_a_resaved_image_is_a_near_duplicate(images: Path) -> None:
    stream = io.BytesIO()
    Image.open(images / "03.png").convert("RGB").save(stream, "JPEG", quality=92)
    (images / "99.jpg").write_bytes(stream.getvalue())
    (images / "98.png").write_bytes((images / "00.png").read_bytes())
    (images / "97.png").write_bytes(b"not an image")
    files = EngineFiles(images.parent / "run")
    summary = index_images(str(images), files, LocalExecutor(), chunk_size=4)
    assert (summary.images, summary.chunks, summary.broken) == (13, 4, 1)
    assert (summary.duplicates, summary.near_duplicates) == (1, 1)
    by_id = {each.location.id: each for each in read_index(files)}
    assert by_id["99.jpg"].near_duplicate_of == "03.png"
    assert by_id["98.png"].duplicate_of == "00.png"
    assert "97.png" in by_id["97.png"].error


def test_images_that_are_added_later_do_not_belong_to_the_run(images: Path) -> None:
    files = EngineFiles(images.parent / "run")
    first = index_images(str(images), files, LocalExecutor(), chunk_size=4)
    (images / "00a.png").write_bytes(make_image(50)[0])
    (files.path / "index.json").unlink()
    files.unmarked_index_chunk(1).unlink()
    assert index_images(str(images), files, LocalExecutor(), chunk_size=4) == first


def test_entries_round_trip(tmp_path: Path) -> None:
    entries = [
        IndexEntry(
            ImageLocation("a", "f", 10, 20, text="Grüße"), "1", 3, 4, "00", duplicate_of="b"
        ),
        IndexEntry(ImageLocation("b", "g", row=3, column="image"), error="cut"),
    ]
    write_entries(tmp_path / "entries.parquet", entries)
    assert read_entries(tmp_path / "entries.parquet") == entries
