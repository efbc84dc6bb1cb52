"""Directories, tars and tables give the same bytes, local or remote."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from florence2.data_engine.image_sources import list_images, read_images

from .conftest import make_image


def contents(source: object) -> dict[str, bytes]:
    locations = list(list_images(str(source)))
    return dict(zip([each.id for each in locations], read_images(locations), strict=True))


def test_a_directory_with_caption_files(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.png").write_bytes(make_image(1)[0])
    (tmp_path / "a.png").write_bytes(make_image(0)[0])
    (tmp_path / "a.txt").write_text(" a square \n")
    (tmp_path / "notes.md").write_text("not an image")
    locations = list(list_images(str(tmp_path)))
    assert [(each.id, each.text) for each in locations] == [
        ("a.png", "a square"),
        ("deep/b.png", ""),
    ]
    assert contents(tmp_path) == {"a.png": make_image(0)[0], "deep/b.png": make_image(1)[0]}


def write_tar(path: Path) -> None:
    """A tar as img2dataset writes it: images, captions and metadata by key."""
    with tarfile.open(path, "w") as tar:
        for number in range(3):
            for suffix, content in (
                ("png", make_image(number)[0]),
                ("txt", f"text {number}".encode()),
                ("json", b"{}"),
            ):
                member = tarfile.TarInfo(f"0000{number}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def test_the_output_of_img2dataset_is_read(tmp_path: Path) -> None:
    write_tar(tmp_path / "00000.tar")
    pq.write_table(pa.table({"url": ["http://x"], "caption": ["c"]}), tmp_path / "00000.parquet")
    (tmp_path / "00000_stats.json").write_text("{}")
    found = list(list_images(str(tmp_path)))
    assert [(each.id, each.text) for each in found] == [
        (f"00000.tar/0000{number}.png", f"text {number}") for number in range(3)
    ]
    assert list(read_images(reversed(found))) == [make_image(number)[0] for number in (2, 1, 0)]


@pytest.mark.parametrize("column", ["image", "jpg"])
def test_tables_have_bytes_or_pairs_of_bytes_and_path(tmp_path: Path, column: str) -> None:
    values = [make_image(number)[0] for number in range(5)]
    cells = [{"bytes": each, "path": None} for each in values] if column == "image" else values
    table = pa.table({column: cells, "caption": [f"text {number}" for number in range(5)]})
    pq.write_table(table, tmp_path / "data.parquet", row_group_size=2)
    locations = list(list_images(str(tmp_path / "data.parquet")))
    assert [each.text for each in locations] == [f"text {number}" for number in range(5)]
    assert list(read_images(locations)) == values


def test_an_object_store_by_its_url() -> None:
    store = fsspec.filesystem("memory")
    store.pipe("/bucket/images/a.png", make_image(0)[0])
    try:
        assert contents("memory://bucket/images") == {"a.png": make_image(0)[0]}
    finally:
        store.rm("/bucket", recursive=True)


def test_a_truncated_tar_and_a_missing_file_are_errors_of_their_images(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar")
    (tmp_path / "b.png").write_bytes(make_image(7)[0])
    locations = list(list_images(str(tmp_path)))
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[: locations[1].offset + 10])
    (tmp_path / "b.png").unlink()
    read = list(read_images(locations))
    assert read[0] == make_image(0)[0]
    assert isinstance(read[1], ValueError) and "is truncated" in str(read[1])
    assert isinstance(read[3], FileNotFoundError)


def test_a_missing_source_and_one_without_images_have_different_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        list(list_images(str(tmp_path / "nowhere")))
    (tmp_path / "readme.txt").write_text("words")
    with pytest.raises(ValueError, match="has no images"):
        list(list_images(str(tmp_path)))
