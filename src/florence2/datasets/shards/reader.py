"""Read records from shards: in order, or by index."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ...io.atomic import file_hash
from ...io.deprecation import renamed_arguments
from ...results.records import Annotation, Record
from .columns import annotations_from_row, check_version, from_row
from .manifest import MANIFEST_FILE, Manifest, Shard, read_manifest

_OPEN_FILES = 16
_CACHED_GROUPS = 4
_DAMAGE = (pa.ArrowException, OSError, ValueError, KeyError, TypeError)


@dataclass(frozen=True)
class _OpenShard:
    """A file open for reading, and the number of the first row in each of its groups."""

    file: pq.ParquetFile
    starts: tuple[int, ...]


class ShardDataset:
    """The records of a directory of shards, in the order they were written.

    Holds a few row groups at a time, whatever the size of the set. Raises ``FileNotFoundError``
    when the directory has no manifest or lacks a shard, and ``ValueError`` that names the
    file when a shard is damaged.
    """

    @renamed_arguments(folder="directory")
    def __init__(self, directory: str | Path) -> None:
        self._directory = Path(directory)
        found = read_manifest(self._directory)
        if found is None:
            raise FileNotFoundError(
                f"{self._directory / MANIFEST_FILE} is missing: {directory} is not a directory of "
                "shards; make one with florence2 convert"
            )
        self._manifest = found
        self._starts = [0, *accumulate(shard.rows for shard in found.shards)]
        self._files: OrderedDict[int, _OpenShard] = OrderedDict()
        self._groups: OrderedDict[tuple[int, int], pa.Table] = OrderedDict()
        for shard in found.shards:
            self._check_size(shard)

    def __reduce__(self) -> tuple[type[ShardDataset], tuple[Path]]:
        # Open files are not pickled: another process opens its own.
        return ShardDataset, (self._directory,)

    @property
    def manifest(self) -> Manifest:
        """The list of shards and their content."""
        return self._manifest

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, index: int) -> Record:
        if not -len(self) <= index < len(self):
            raise IndexError(f"there are {len(self)} records, got index {index}")
        row = index % len(self)
        number = bisect_right(self._starts, row) - 1
        shard, row = self._manifest.shards[number], row - self._starts[number]
        try:
            opened = self._file(number)
            group = bisect_right(opened.starts, row) - 1
            table = self._group(number, group, opened.file)
            return from_row(table.slice(row - opened.starts[group], 1).to_pylist()[0])
        except _DAMAGE as error:
            raise self._damaged(shard, error) from error

    def __iter__(self) -> Iterator[Record]:
        for shard in self._manifest.shards:
            for table in self._tables(shard, None):
                for row in range(len(table)):
                    yield from_row(table.slice(row, 1).to_pylist()[0])

    def ids(self) -> Iterator[str]:
        """The ids of all records, in order, read without the images."""
        for shard in self._manifest.shards:
            for table in self._tables(shard, ["id"]):
                yield from table["id"].to_pylist()

    def image_hashes(self) -> Iterator[str]:
        """The SHA-256 of every image file, in order, read without the images."""
        for shard in self._manifest.shards:
            for table in self._tables(shard, ["sha256"]):
                yield from table["sha256"].to_pylist()

    def annotations(self) -> Iterator[tuple[Annotation, ...]]:
        """The annotations of all records, in order, read without the images."""
        for shard in self._manifest.shards:
            for table in self._tables(shard, ["width", "height", "annotations"]):
                for row in table.to_pylist():
                    yield annotations_from_row(row)

    def verify(self) -> None:
        """Raise ``ValueError`` that names the first shard whose bytes are not those written."""
        for shard in self._manifest.shards:
            if file_hash(self._directory / shard.file) != shard.sha256:
                raise self._damaged(shard, "its SHA-256 is not that of the manifest")

    def _tables(self, shard: Shard, columns: list[str] | None) -> Iterator[pa.Table]:
        """The row groups of a shard; damage is reported as such wherever it shows."""
        try:
            with _open(self._directory / shard.file) as file:
                for group in range(file.num_row_groups):
                    yield file.read_row_group(group, columns, use_threads=False)
        except _DAMAGE as error:
            raise self._damaged(shard, error) from error

    def _file(self, number: int) -> _OpenShard:
        if number not in self._files:
            file = _open(self._directory / self._manifest.shards[number].file)
            groups = range(file.num_row_groups)
            rows = accumulate(file.metadata.row_group(group).num_rows for group in groups)
            self._files[number] = _OpenShard(file, (0, *rows))
            if len(self._files) > _OPEN_FILES:
                self._files.popitem(last=False)[1].file.close()
        self._files.move_to_end(number)
        return self._files[number]

    def _group(self, number: int, group: int, file: pq.ParquetFile) -> pa.Table:
        key = number, group
        if key not in self._groups:
            # A group is small: starting threads takes longer than reading it.
            self._groups[key] = file.read_row_group(group, use_threads=False)
            if len(self._groups) > _CACHED_GROUPS:
                self._groups.popitem(last=False)
        self._groups.move_to_end(key)
        return self._groups[key]

    def _check_size(self, shard: Shard) -> None:
        path = self._directory / shard.file
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing, though the manifest lists it")
        if path.stat().st_size != shard.bytes:
            found = path.stat().st_size
            raise self._damaged(shard, f"it has {found} bytes and should have {shard.bytes}")

    def _damaged(self, shard: Shard, cause: object) -> ValueError:
        return ValueError(
            f"{self._directory / shard.file} is damaged: {cause}; "
            "restore the file, or make the shards again"
        )


def _open(path: Path) -> pq.ParquetFile:
    file = pq.ParquetFile(path, page_checksum_verification=True)
    check_version(file.schema_arrow.metadata)
    return file
