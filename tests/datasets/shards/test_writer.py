from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from florence2.datasets.shards import ShardDataset, ShardWriter
from florence2.datasets.shards.manifest import read_manifest
from florence2.datasets.shards.writer import remove_shards
from florence2.results.records import Record, content_hash

MakeRecord = Callable[[int], Record]


def files_of(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_records_come_back_in_order_over_several_shards(
    tmp_path: Path, make_record: MakeRecord
) -> None:
    records = [make_record(number) for number in range(45)]
    with ShardWriter(tmp_path, max_records=20) as writer:
        for record in records:
            writer.write(record)
    assert [shard.rows for shard in writer.manifest.shards] == [20, 20, 5]
    assert list(ShardDataset(tmp_path)) == records
    assert writer.manifest.complete


def test_the_manifest_counts_tasks_annotators_and_verdicts(
    tmp_path: Path, make_record: MakeRecord
) -> None:
    with ShardWriter(tmp_path, max_records=2) as writer:
        for number in range(5):
            writer.write(make_record(number))
    counts = writer.manifest.counts
    assert counts.task == {"<CAPTION>": 5, "<OD>": 5, "<VQA>": 5}
    assert counts.annotator == {"human": 15}
    assert counts.decision == {"kept": 10, "too short": 5}
    assert read_manifest(tmp_path) == writer.manifest


def test_a_shard_closes_at_its_bytes(tmp_path: Path, make_record: MakeRecord) -> None:
    size = len(make_record(0).image or b"")
    with ShardWriter(tmp_path, max_bytes=2 * size - 4) as writer:
        for _ in range(6):
            writer.write(make_record(0))
    assert [shard.rows for shard in writer.manifest.shards] == [2, 2, 2]


def test_an_image_known_by_its_path_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"content")
    record = Record("a", 4, 4, content_hash(b"content"), path=str(path))
    with ShardWriter(tmp_path / "shards") as writer:
        writer.write(record)
    path.unlink()
    assert ShardDataset(tmp_path / "shards")[0] == replace(record, image=b"content")


def test_the_same_records_make_the_same_files(tmp_path: Path, make_record: MakeRecord) -> None:
    for name in ("first", "second"):
        with ShardWriter(tmp_path / name, max_records=4) as writer:
            for number in range(10):
                writer.write(make_record(number))
    assert files_of(tmp_path / "first") == files_of(tmp_path / "second")


def test_an_error_leaves_the_finished_shards_and_no_others(
    tmp_path: Path, make_record: MakeRecord
) -> None:
    def stop_after(count: int) -> None:
        with ShardWriter(tmp_path, max_records=2) as writer:
            for number in range(count):
                writer.write(make_record(number))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stop_after(5)
    assert sorted(files_of(tmp_path)) == [
        "manifest.json", "shard-000000.parquet", "shard-000001.parquet"
    ]  # fmt: skip
    manifest = read_manifest(tmp_path)
    assert manifest is not None and manifest.rows == 4 and not manifest.complete


def test_a_file_that_the_manifest_does_not_list_is_written_over(
    tmp_path: Path, make_record: MakeRecord
) -> None:
    (tmp_path / "shard-000000.parquet").write_bytes(b"left by a killed run")
    (tmp_path / ".shard-000000.parquet.part").write_bytes(b"and this")
    with ShardWriter(tmp_path) as writer:
        writer.write(make_record(1))
    assert list(ShardDataset(tmp_path)) == [make_record(1)]
    assert sorted(files_of(tmp_path)) == ["manifest.json", "shard-000000.parquet"]


def test_another_origin_is_refused(tmp_path: Path, make_record: MakeRecord) -> None:
    with ShardWriter(tmp_path, origin={"source": "cats"}) as writer:
        writer.write(make_record(1))
    with pytest.raises(ValueError, match="made with source 'cats', not 'dogs'"):
        ShardWriter(tmp_path, origin={"source": "dogs"})


@pytest.mark.parametrize("limits", [{"max_records": 0}, {"max_bytes": 0}])
def test_empty_shards_are_refused(tmp_path: Path, limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1 record and 1 byte"):
        ShardWriter(tmp_path, **limits)  # type: ignore[arg-type]


def test_removing_shards_leaves_other_files(tmp_path: Path, make_record: MakeRecord) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with ShardWriter(tmp_path) as writer:
        writer.write(make_record(1))
    remove_shards(tmp_path)
    assert list(files_of(tmp_path)) == ["notes.txt"]


WRITE_SLOWLY = textwrap.dedent(
    """
    import sys
    from florence2.results.records import Annotation, Record, content_hash
    from florence2.results.types import Text
    from florence2.datasets.shards import ShardDataset, ShardWriter

    directory = sys.argv[1]
    with ShardWriter(directory, max_records=3) as writer:
        done = set(ShardDataset(directory).ids()) if writer.manifest.rows else set()
        for number in range(200):
            if str(number) not in done:
                content = str(number).encode() * 2000
                caption = Annotation("<CAPTION>", Text(f"image {number}"))
                writer.write(
                    Record(str(number), 4, 4, content_hash(content), content, None, (caption,))
                )
                print(number, flush=True)
    """
)


def test_a_writer_killed_at_random_moments_ends_with_the_same_files(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITE_SLOWLY]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [*command, str(tmp_path / "whole")], check=True, env=environment, stdout=subprocess.DEVNULL
    )
    generator = random.Random(5)
    killed = tmp_path / "killed"
    for _ in range(4):
        process = subprocess.Popen(
            [*command, str(killed)], stdout=subprocess.PIPE, env=environment, text=True
        )
        assert process.stdout is not None
        for _ in range(generator.randint(4, 40)):
            process.stdout.readline()
        time.sleep(generator.random() * 0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        manifest = read_manifest(killed)
        assert manifest is not None and not manifest.complete
        ShardDataset(killed).verify()
        assert list(ShardDataset(killed).ids()) == [str(n) for n in range(manifest.rows)]
    subprocess.run([*command, str(killed)], check=True, env=environment, stdout=subprocess.DEVNULL)
    assert files_of(killed) == files_of(tmp_path / "whole")


def test_the_old_keyword_of_the_directory_warns(tmp_path: Path, make_record: MakeRecord) -> None:
    with (
        pytest.warns(DeprecationWarning, match="'folder' is now 'directory'"),
        ShardWriter(folder=tmp_path) as writer,  # type: ignore[call-arg]
    ):
        writer.write(make_record(0))
    with pytest.warns(DeprecationWarning, match="'folder' is now 'directory'"):
        dataset = ShardDataset(folder=tmp_path)  # type: ignore[call-arg]
    assert len(dataset) == 1
