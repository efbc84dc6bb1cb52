"""Where pictures come from: folders, WebDataset tars, Parquet tables, here or in object stores.

A source is a path or an address that ``fsspec`` knows (``s3://bucket/folder``). What img2dataset
writes is read as it lies, in each of its formats.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs

from ..formats.pictures import SUFFIXES

# Columns that hold a picture's bytes, or a struct with them, and those that hold its text.
_IMAGE_COLUMNS = ("image", "jpg", "jpeg", "png", "webp", "bytes", "image_bytes")
_TEXT_COLUMNS = ("caption", "text", "TEXT", "txt")


@dataclass(frozen=True)
class Place:
    """Where one picture's bytes lie, and the text that came with it.

    ``file`` alone is the picture; with ``offset`` and ``size`` it is a part of a file, with
    ``row`` and ``column`` a value of a Parquet table. ``id`` is unique within a source.
    """

    id: str
    file: str
    offset: int | None = None
    size: int | None = None
    row: int | None = None
    column: str = ""
    text: str = ""


def list_pictures(source: str) -> Iterator[Place]:
    """The pictures of a source, in the order of their names.

    Raises ``FileNotFoundError`` when there is nothing at ``source``, ``ValueError`` when nothing
    there is a picture or a container of pictures.
    """
    system, root = url_to_fs(source)
    if not system.exists(root):
        raise FileNotFoundError(f"{source} is not there: name a folder, a tar or a Parquet file")
    files = [root] if system.isfile(root) else sorted(system.find(root))
    known = set(files)
    found = False
    for file in files:
        for place in _places(system, file, _name(root, file), known):
            found = True
            yield place
    if not found:
        raise ValueError(
            f"{source} holds no pictures: wanted {', '.join(sorted(SUFFIXES))} files, tars of "
            f"them, or Parquet with a column of {', '.join(_IMAGE_COLUMNS)}"
        )


def read_pictures(places: Iterable[Place]) -> Iterator[bytes | OSError | ValueError]:
    """The bytes at each place, in order, or the error that stands in their way.

    A file is opened once while places of it follow each other.
    """
    with _Files() as files:
        for place in places:
            try:
                yield files.read(place)
            except (OSError, ValueError, pa.ArrowException, KeyError, IndexError) as error:
                kept = error if isinstance(error, OSError | ValueError) else ValueError(str(error))
                yield kept


def _places(system: AbstractFileSystem, file: str, name: str, known: set[str]) -> Iterator[Place]:
    suffix = PurePosixPath(file).suffix.lower()
    address = system.unstrip_protocol(file) if not _is_local(system) else file
    if suffix in SUFFIXES:
        beside = str(PurePosixPath(file).with_suffix(".txt"))
        text = system.cat_file(beside).decode("utf-8", "replace") if beside in known else ""
        yield Place(name, address, text=text.strip())
    elif suffix == ".tar":
        yield from _in_tar(system, file, address, name)
    elif suffix == ".parquet":
        yield from _in_table(system, file, address, name)


def _in_tar(system: AbstractFileSystem, file: str, address: str, name: str) -> Iterator[Place]:
    """The pictures of a WebDataset tar; a member ``key.txt`` is the text of ``key.jpg``."""
    pictures: list[tarfile.TarInfo] = []
    texts: dict[str, str] = {}
    with system.open(file) as stream, tarfile.open(fileobj=stream) as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            if not member.isfile():
                continue
            if path.suffix.lower() in SUFFIXES:
                pictures.append(member)
            elif path.suffix == ".txt":
                content = tar.extractfile(member)
                assert content is not None
                texts[str(path.with_suffix(""))] = content.read().decode("utf-8", "replace").strip()
    for member in pictures:
        text = texts.get(str(PurePosixPath(member.name).with_suffix("")), "")
        yield Place(f"{name}/{member.name}", address, member.offset_data, member.size, text=text)


def _in_table(system: AbstractFileSystem, file: str, address: str, name: str) -> Iterator[Place]:
    with system.open(file) as stream, pq.ParquetFile(stream) as table:
        schema = table.schema_arrow
        column = next((each for each in _IMAGE_COLUMNS if each in schema.names), None)
        if column is None or not _holds_bytes(schema.field(column).type):
            return  # what img2dataset writes beside its tars has no pictures
        worded = [each for each in _TEXT_COLUMNS if each in schema.names][:1]
        row = 0
        for group in range(table.num_row_groups):
            texts = table.read_row_group(group, worded).to_pylist()
            for values in texts:
                text = values[worded[0]] if worded else ""
                yield Place(f"{name}/{row:08d}", address, row=row, column=column, text=text or "")
                row += 1


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _name(root: str, file: str) -> str:
    return PurePosixPath(file).name if file == root else file[len(root) :].lstrip("/")


def _is_local(system: AbstractFileSystem) -> bool:
    return "file" in (system.protocol if isinstance(system.protocol, tuple) else [system.protocol])


class _Files:
    """The file that was read last, open, and the last group of rows."""

    def __init__(self) -> None:
        self._address = ""
        self._stream: Any = None
        self._table: pq.ParquetFile | None = None
        self._group: tuple[int, int, list[Any]] | None = None

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def read(self, place: Place) -> bytes:
        if self._address != place.file:
            self._close()
            system, path = url_to_fs(place.file)
            self._stream, self._address = system.open(path), place.file
        if place.row is not None:
            return self._read_row(place.row, place.column)
        self._stream.seek(place.offset or 0)
        content: bytes = self._stream.read(-1 if place.size is None else place.size)
        if place.size is not None and len(content) < place.size:
            raise ValueError(f"{place.file} ends before {place.id} does: it was cut")
        return content

    def _read_row(self, row: int, column: str) -> bytes:
        if self._group is None or not self._group[0] <= row < self._group[1]:
            self._table = self._table or pq.ParquetFile(self._stream)
            begin, group = 0, 0
            while row >= begin + self._table.metadata.row_group(group).num_rows:
                begin += self._table.metadata.row_group(group).num_rows
                group += 1
            values = self._table.read_row_group(group, [column])[column].to_pylist()
            self._group = begin, begin + len(values), values
        value = self._group[2][row - self._group[0]]
        content = value["bytes"] if isinstance(value, dict) else value
        if not isinstance(content, bytes):
            raise ValueError(f"row {row} of {self._address} holds no picture in {column}")
        return content

    def _close(self) -> None:
        if self._stream is not None:
            self._stream.close()
        self._stream, self._table, self._group = None, None, None
        self._address = ""
