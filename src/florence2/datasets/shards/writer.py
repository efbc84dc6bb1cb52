"""Write records to shards, one atomic file at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...io.atomic import atomic_write, file_hash
from ...io.deprecation import renamed_arguments
from ...io.messages import shorten
from ...results.records import Category, Record
from .columns import SCHEMA, to_row, with_bytes
from .manifest import MANIFEST_FILE, Counts, Manifest, Shard, read_manifest, write_manifest

# A reader of one record reads its whole row group: small groups keep random access cheap.
ROWS_PER_GROUP = 4


class ShardWriter:
    """Writes records to ``directory`` after its finished shards.

    A shard is closed at ``max_records`` records or ``max_bytes`` of images, whichever comes
    first. Its file is written atomically and counts once the manifest lists it; a file that the
    manifest does not list is overwritten. Leaving the block
    without an error closes the last shard and marks the manifest complete. Raises ``ValueError``
    when the directory holds shards of another ``origin``.
    """

    @renamed_arguments(folder="directory")
    def __init__(
        self,
        directory: str | Path,
        *,
        max_records: int = 2048,
        max_bytes: int = 128 * 1024**2,
        origin: Mapping[str, Any] | None = None,
    ) -> None:
        if max_records < 1 or max_bytes < 1:
            raise ValueError(
                f"a shard holds at least 1 record and 1 byte, got max_records={max_records}, "
                f"max_bytes={max_bytes}"
            )
        self._directory = Path(directory)
        self._directory.mkdir(parents=True, exist_ok=True)
        self._max_records, self._max_bytes = max_records, max_bytes
        self._manifest = _open_manifest(self._directory, dict(origin or {}))
        self._waiting: list[Record] = []
        self._waiting_bytes = 0

    @property
    def manifest(self) -> Manifest:
        """The shards finished so far."""
        return self._manifest

    def declare(self, categories: Iterable[Category]) -> None:
        """Keep the classes of the source dataset in the manifest, from the next shard on."""
        self._manifest = replace(self._manifest, categories=tuple(categories))

    def write(self, record: Record) -> None:
        """Add the record; an image that is given by its path is read now."""
        loaded = with_bytes(record)
        self._waiting.append(loaded)
        self._waiting_bytes += len(loaded.image or b"")
        if len(self._waiting) >= self._max_records or self._waiting_bytes >= self._max_bytes:
            self.flush()

    def flush(self) -> None:
        """Close the current shard, if it has records, and list it in the manifest."""
        if not self._waiting:
            return
        path = self._directory / shard_name(len(self._manifest.shards))
        with atomic_write(path) as temporary:
            _write_parquet(self._waiting, temporary)
        shard = Shard(
            path.name,
            len(self._waiting),
            path.stat().st_size,
            file_hash(path),
            Counts.of(self._waiting),
        )
        manifest = self._manifest.adding(shard)
        write_manifest(manifest, self._directory)
        self._manifest = manifest
        self._waiting, self._waiting_bytes = [], 0

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.flush()
            self._manifest = replace(self._manifest, complete=True)
            write_manifest(self._manifest, self._directory)


def shard_name(index: int) -> str:
    """The file name of the shard number ``index``, from 0."""
    return f"shard-{index:06d}.parquet"


def remove_shards(directory: Path) -> None:
    """Remove the shards and their manifest from ``directory``; other files stay."""
    # The manifest goes first: a kill in between leaves no partial dataset.
    (directory / MANIFEST_FILE).unlink(missing_ok=True)
    for path in directory.glob("shard-*.parquet"):
        path.unlink()


def _open_manifest(directory: Path, origin: dict[str, Any]) -> Manifest:
    """The manifest to continue: that of the directory, reopened, or an empty one."""
    found = read_manifest(directory)
    if found is None:
        return Manifest(origin=origin)
    if found.origin != origin:
        name, before, now = _first_difference(dict(found.origin), origin)
        raise ValueError(
            f"{directory} holds shards made with {name} {shorten(repr(before))}, not "
            f"{shorten(repr(now))}; choose another directory"
        )
    return replace(found, complete=False)


def _first_difference(before: Any, now: Any, name: str = "origin") -> tuple[str, Any, Any]:
    """The innermost name under which two origins differ, with the value of each."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in sorted({*before, *now}):
            if before.get(key) != now.get(key):
                inner = key if name == "origin" else f"{name}.{key}"
                return _first_difference(before.get(key), now.get(key), inner)
    return name, before, now


def _write_parquet(records: Iterable[Record], path: Path) -> None:
    table = pa.Table.from_pylist([to_row(record) for record in records], schema=SCHEMA)
    pq.write_table(
        table,
        path,
        row_group_size=ROWS_PER_GROUP,
        # Images are compressed already; numbers and words are worth it.
        compression={name: _compression(name) for name in _leaves(table.schema)},
        use_dictionary=["annotations.list.element.task"],
        write_statistics=False,
        write_page_checksum=True,
    )


def _compression(leaf: str) -> str:
    return "NONE" if leaf == "image.bytes" else "ZSTD"


def _leaves(schema: pa.Schema) -> list[str]:
    """The dotted paths of the columns that Parquet stores, as pyarrow names them."""
    return [leaf for field in schema for leaf in _field_leaves(field.name, field.type)]


def _field_leaves(name: str, kind: pa.DataType) -> list[str]:
    if pa.types.is_struct(kind):
        return [
            leaf for child in kind for leaf in _field_leaves(f"{name}.{child.name}", child.type)
        ]
    if pa.types.is_list(kind):
        return _field_leaves(f"{name}.list.element", kind.value_type)
    return [name]
