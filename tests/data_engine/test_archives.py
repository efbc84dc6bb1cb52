"""Damaged, empty and unusual containers: usable images are listed, the others are named."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from florence2.data_engine.image_sources import ImageLocation, list_images, read_images
from florence2.data_engine.index import IndexEntry, make_entries, read_entries, write_entries

from .conftest import make_image


def write_tar(path: Path, members: list[tuple[str, bytes]], mode: Any = "w") -> None:
    with tarfile.open(path, mode) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def listed(source: Path) -> tuple[dict[str, ImageLocation], dict[str, str]]:
    """The locations by id, and the errors by id."""
    locations = list(list_images(str(source)))
    good = {each.id: each for each in locations if not each.error}
    return good, {each.id: each.error for each in locations if each.error}


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A directory with a good image, next to which tests put bad files."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "good.png").write_bytes(make_image(0)[0])
    return folder


def test_an_empty_a_truncated_and_a_compressed_tar_do_not_affect_others(good: Path) -> None:
    (good / "empty.tar").write_bytes(b"")
    members = [(f"{number}.png", make_image(number)[0]) for number in (1, 2)]
    write_tar(good / "cut.tar", members)
    whole = (good / "cut.tar").read_bytes()
    (good / "cut.tar").write_bytes(whole[: 512 * (2 + -(-len(members[0][1]) // 512)) + 7])
    write_tar(good / "z.tar.gz", members, "w:gz")
    (good / "noise.tar").write_bytes(b"noise" * 999)
    locations, errors = listed(good)
    assert set(locations) == {"good.png", "cut.tar/1.png"}
    assert "is empty" in errors["empty.tar"] and "gunzip" in errors["z.tar.gz"]
    assert "cut" in errors["cut.tar"] and "noise.tar" in errors
    assert list(read_images([locations["cut.tar/1.png"]])) == [members[0][1]]


def test_a_damaged_header_in_the_middle_is_reported(good: Path) -> None:
    members = [(f"{number}.png", make_image(number)[0]) for number in (1, 2, 3)]
    write_tar(good / "a.tar", members)
    content = bytearray((good / "a.tar").read_bytes())
    second = 512 + -(-len(members[0][1]) // 512) * 512
    content[second : second + 300] = b"\x07" * 300
    (good / "a.tar").write_bytes(content)
    locations, errors = listed(good)
    assert "a.tar/1.png" in locations and f"byte {second}" in errors["a.tar"]


def test_captions_of_a_tar_by_name_by_key_and_from_json(tmp_path: Path) -> None:
    image = make_image(0)[0]
    write_tar(
        tmp_path / "a.tar",
        [
            ("s0.input.png", image),
            ("s0.output.txt", b"\xef\xbb\xbfone\r\n"),
            ("b.png", image),
            ("b.json", json.dumps({"caption": ["two", "three", None]}).encode()),
            ("c.png", image),
            ("c.txt", b"four"),
            ("c.json", b'{"caption": "five"}'),
            ("d.1.png", image),
            ("d.2.png", image),
            ("d.txt", b"whose?"),
            ("e.png", image),
            ("e.txt", b"x" * (2**20 + 1)),
            ("f.png", image),
            ("f.txt", b"caf\xe9"),
            ("._g.png", b"AppleDouble"),
            ("h.png", image),
            ("h.json", b"[" * 90_000),
        ],
    )
    locations, errors = listed(tmp_path / "a.tar")
    assert not errors
    assert {id.partition("/")[2]: location.texts for id, location in locations.items()} == {
        "s0.input.png": ("one",),
        "b.png": ("two", "three"),
        "c.png": ("four",),
        "d.1.png": (),
        "d.2.png": (),
        "e.png": (),
        "f.png": (),
        "h.png": (),
    }
    notes = {
        id.partition("/")[2]: location.note for id, location in locations.items() if location.note
    }
    assert set(notes) == {"e.png", "f.png", "h.png"} and "UTF-8" in notes["f.png"]


def test_a_name_twice_in_a_tar_is_two_images(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", [("a.png", make_image(1)[0]), ("a.png", make_image(2)[0])])
    locations, _ = listed(tmp_path / "a.tar")
    assert list(locations) == ["a.tar/a.png", "a.tar/a.png#2"]
    assert list(read_images(locations.values())) == [make_image(1)[0], make_image(2)[0]]


def test_links_and_sparse_members_are_reported(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", [("a.png", make_image(1)[0])])
    with tarfile.open(tmp_path / "a.tar", "a") as tar:
        link = tarfile.TarInfo("b.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    locations, errors = listed(tmp_path / "a.tar")
    assert list(locations) == ["a.tar/a.png"] and "link" in errors["a.tar/b.png"]


def test_captions_of_a_table_in_lists_and_of_wrong_types(tmp_path: Path) -> None:
    image = make_image(0)[0]
    cases: list[tuple[str, Any, list[Any]]] = [
        ("lists", pa.list_(pa.string()), [["one", "two"], None, [], [None, "three"]]),
        ("plain", pa.string(), ["one", None, " ", "three"]),
        ("numbers", pa.int64(), [1, None, 2, 3]),
    ]
    for name, kind, captions in cases:
        table = pa.table({"image": [image] * 4, "caption": pa.array(captions, kind)})
        pq.write_table(table, tmp_path / f"{name}.parquet")
    texts = {
        name: [location.texts for location in list_images(str(tmp_path / f"{name}.parquet"))]
        for name, _, _ in cases
    }
    assert texts == {
        "lists": [("one", "two"), (), (), ("three",)],
        "plain": [("one",), (), (), ("three",)],
        "numbers": [()] * 4,
    }


def test_a_truncated_an_empty_and_a_rowless_table_do_not_affect_others(good: Path) -> None:
    pq.write_table(pa.table({"image": [make_image(1)[0]] * 3}), good / "cut.parquet")
    (good / "cut.parquet").write_bytes((good / "cut.parquet").read_bytes()[:-40])
    (good / "empty.parquet").write_bytes(b"")
    rowless = pa.table({"image": pa.array([], pa.binary())})
    pq.write_table(rowless, good / "rowless.parquet")
    locations, errors = listed(good)
    assert set(locations) == {"good.png"}
    assert set(errors) == {"cut.parquet", "empty.parquet", "rowless.parquet"}


def test_special_files_are_reported_and_do_not_block(good: Path) -> None:
    os.mkfifo(good / "a.png")
    os.mkfifo(good / "b.tar")
    os.mkfifo(good / "good.txt")
    (good / "zero.png").symlink_to("/dev/zero")
    (good / "gone.png").symlink_to("nowhere")
    locations = list(list_images(str(good)))
    entries = {each.location.id: each for each in make_entries(locations)}
    assert not entries["good.png"].error and "pipe" in entries["good.png"].location.note
    assert all(entries[name].error for name in ("a.png", "b.tar", "zero.png"))


def test_a_file_name_that_is_not_utf_8_round_trips(good: Path) -> None:
    try:
        (good / os.fsdecode(b"caf\xe9.png")).write_bytes(make_image(1)[0])
    except OSError:
        pytest.skip("the file system takes UTF-8 names only")
    (good / "Grüße.png").write_bytes(make_image(2)[0])
    path = good / "entries.table"
    write_entries(path, [IndexEntry(each) for each in list_images(str(good))])
    locations = [each.location for each in read_entries(path)]
    assert [each.id for each in locations] == ["Grüße.png", "caf\\xe9.png", "good.png"]
    assert list(read_images(locations)) == [make_image(2)[0], make_image(1)[0], make_image(0)[0]]


def test_hidden_files_and_other_kinds_of_files_are_counted(good: Path) -> None:
    (good / ".ipynb_checkpoints").mkdir()
    (good / ".ipynb_checkpoints" / "a.png").write_bytes(make_image(1)[0])
    (good / "._good.png").write_bytes(b"AppleDouble")
    (good / "photo.heic").write_bytes(b"x")
    (good / "good.txt").write_text("a square")
    skipped_files: Counter[str] = Counter()
    locations = list(list_images(str(good), skipped_files))
    assert [each.id for each in locations] == ["good.png"]
    assert skipped_files == {"hidden": 2, ".heic": 1}


def test_pages_of_a_tiff_and_frames_of_an_animation_are_separate_images(good: Path) -> None:
    frames = [Image.new("RGB", (20, 10), color) for color in ("red", "blue")]
    frames[0].save(good / "scan.tif", save_all=True, append_images=frames[1:])
    locations, errors = listed(good)
    assert set(locations) == {"good.png", "scan.tif#page=1", "scan.tif#page=2"} and not errors
    contents = read_images([locations["scan.tif#page=1"], locations["scan.tif#page=2"]])
    colors = [Image.open(io.BytesIO(bytes(each))).getpixel((5, 5)) for each in contents]  # type: ignore[arg-type]
    assert colors == [(255, 0, 0), (0, 0, 255)]
    assert list(read_images([locations["scan.tif#page=2"]])) == list(
        read_images([locations["scan.tif#page=2"]])
    )
    (good / "bad.pdf").write_bytes(b"%PDF-1.7 noise")
    assert set(listed(good)[1]) == {"bad.pdf"}
