from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from florence2.datasets.shards import ShardDataset, ShardWriter
from florence2.datasets.shards.manifest import MANIFEST_FILE
from florence2.results.records import Record

MakeRecord = Callable[[int], Record]


@pytest.fixture
def directory(tmp_path: Path, make_record: MakeRecord) -> Path:
    """100 records in shards of 40: several row groups, several files, a short last one."""
    with ShardWriter(tmp_path, max_records=40) as writer:
        for number in range(100):
            writer.write(make_record(number))
    return tmp_path


def test_any_record_by_its_number(directory: Path, make_record: MakeRecord) -> None:
    dataset = ShardDataset(directory)
    assert len(dataset) == 100
    for index in (0, 99, 15, 16, 39, 40, 79, 80, 3):
        assert dataset[index] == make_record(index)
    assert dataset[-1] == make_record(99)
    for outside in (100, -101):
        with pytest.raises(IndexError, match=f"100 records, got index {outside}"):
            dataset[outside]


def test_ids_and_annotations_come_without_images(directory: Path, make_record: MakeRecord) -> None:
    dataset = ShardDataset(directory)
    assert list(dataset.ids()) == [f"{number:04d}.png" for number in range(100)]
    assert list(dataset.annotations()) == [make_record(n).annotations for n in range(100)]


def test_few_row_groups_are_held(directory: Path) -> None:
    dataset = ShardDataset(directory)
    before = pa.total_allocated_bytes()
    for index in range(100):
        dataset[index]
    assert pa.total_allocated_bytes() - before < 1_000_000
    assert len(dataset._groups) <= 4


def test_a_pickled_set_reads_on_its_own(directory: Path, make_record: MakeRecord) -> None:
    dataset = ShardDataset(directory)
    dataset[0]
    assert pickle.loads(pickle.dumps(dataset))[50] == make_record(50)


def test_hugging_face_datasets_decodes_the_images(directory: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(
        "parquet",
        data_files=str(directory / "*.parquet"),
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    assert isinstance(loaded.features["image"], datasets.Image)
    assert loaded[41]["image"].size == (10, 6)
    assert loaded[41]["image"].getpixel((0, 0)) == (41, 40, 90)
    assert loaded[41]["annotations"][0]["answer"]["text"] == "image 41"


def test_a_directory_without_shards_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="not a directory of shards"):
        ShardDataset(tmp_path)


def test_a_missing_or_short_shard_is_named_at_once(directory: Path) -> None:
    path = directory / "shard-000001.parquet"
    content = path.read_bytes()
    path.write_bytes(content[:-10])
    with pytest.raises(ValueError, match=r"shard-000001\.parquet is damaged: it has"):
        ShardDataset(directory)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"shard-000001\.parquet is missing"):
        ShardDataset(directory)


def test_a_changed_byte_is_found_and_the_file_named(directory: Path) -> None:
    path = directory / "shard-000001.parquet"
    content = bytearray(path.read_bytes())
    content[60] ^= 0xFF
    path.write_bytes(content)
    dataset = ShardDataset(directory)
    for read in (dataset.verify, lambda: dataset[40], lambda: list(dataset)):
        with pytest.raises(ValueError, match=r"shard-000001\.parquet is damaged"):
            read()


def test_a_parquet_file_that_is_no_shard_is_refused(directory: Path) -> None:
    path = directory / "shard-000000.parquet"
    pq.write_table(pa.table({"id": ["a"]}), path)
    manifest = json.loads((directory / MANIFEST_FILE).read_text())
    manifest["shards"][0]["bytes"] = path.stat().st_size
    (directory / MANIFEST_FILE).write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"shard-000000\.parquet is damaged: .* not a shard"):
        ShardDataset(directory)[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"version": 1, "shards"', "is damaged"),
        ('{"version": 1}', "is damaged"),
        ('{"version": 2, "shards": []}', "has version 2"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_named(
    tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / MANIFEST_FILE).write_text(content)
    with pytest.raises(ValueError, match=f"{MANIFEST_FILE} {message}"):
        ShardDataset(tmp_path)
