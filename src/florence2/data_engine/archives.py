"""Tars and Parquet tables as lists of places: what can be used, and what is wrong with the rest.

What a header claims is checked before memory is taken for it. A member or row that can't be used
is a place with an error; a container that is damaged gives what lies before the damage, and then
a place with an error of its own.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from ..io.file_types import IMAGE_SUFFIXES
from .captions import (
    MAX_CAPTION_BYTES,
    Captions,
    clean_text,
    read_caption_file,
    read_caption_json,
    to_captions,
)

# Columns that hold an image's bytes, or a struct with them, and those that hold its text.
IMAGE_COLUMNS = ("image", "jpg", "jpeg", "png", "webp", "bytes", "image_bytes")
TEXT_COLUMNS = ("caption", "text", "TEXT", "txt")
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst")
MAX_COLUMN_BYTES = 2**32
_BLOCK = 512
_COMPRESSED = {
    b"\x1f\x8b": "gunzip",
    b"BZh": "bunzip2",
    b"\xfd7zXZ": "unxz",
    b"(\xb5/\xfd": "unzstd",
}
# What damaged containers make their readers raise, besides OSError and ValueError.
DAMAGE = (
    tarfile.TarError,
    pa.ArrowException,
    MemoryError,
    OverflowError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
)


@dataclass(frozen=True)
class Place:
    """Where one image's bytes lie, and the texts that came with it.

    ``file`` alone is the image; with ``offset`` and ``size`` it is a part of a file, with ``row``
    and ``column`` a value of a Parquet table, with ``unit`` (``#page=2``, ``#t=1.000``) a page or
    frame. ``id`` is unique within a source. ``text`` is the first text, ``more`` are the others.
    ``error`` says why there is no image here, ``note`` what of the rest could not be used.
    """

    id: str
    file: str
    offset: int | None = None
    size: int | None = None
    row: int | None = None
    column: str = ""
    text: str = ""
    more: tuple[str, ...] = ()
    unit: str = ""
    error: str = ""
    note: str = ""

    @property
    def texts(self) -> tuple[str, ...]:
        """All texts that came with the image."""
        return (self.text, *self.more) if self.text else ()


def place_with(captions: Captions, id: str, file: str, **where: Any) -> Place:
    """A place with the texts that came with its image."""
    first, *others = captions.texts or ("",)
    return Place(id, file, text=first, more=tuple(others), note=captions.note, **where)


def list_tar(stream: BinaryIO, file: str, name: str) -> Iterator[Place]:
    """The images of a WebDataset tar; ``key.txt`` and ``key.json`` are the texts of ``key.jpg``."""
    start, total = stream.read(8), stream.seek(0, os.SEEK_END)
    stream.seek(0)
    tool = next((tool for magic, tool in _COMPRESSED.items() if start.startswith(magic)), None)
    if tool is not None or not total:
        problem = f"is compressed: decompress it with {tool} first" if tool else "is empty"
        yield Place(name, file, error=f"{name} {problem}")
        return
    found = _TarContents()
    try:
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            found.read(tar, total)
            found.check_end(stream, tar.offset, total)
    except (OSError, ValueError, *DAMAGE) as error:
        found.error = f"{error}"
    for member, offset, size, problem in found.images:
        captions = Captions() if problem else found.captions_of(member)
        id = clean_text(f"{name}/{member}")
        where = {"offset": offset, "size": size, "error": problem}
        yield place_with(captions, id, file, **where)
    if found.error:
        yield Place(name, file, error=f"{name} is damaged or cut: {found.error}")
    elif not found.images:
        yield Place(name, file, error=f"{name} holds no image")


def list_parquet(stream: BinaryIO, file: str, name: str) -> Iterator[Place] | None:
    """The images of a Parquet table; None for a table that has no column for them.

    What img2dataset writes beside its tars has none.
    """
    try:
        table = pq.ParquetFile(stream)
        columns = table.schema_arrow
        column = next((each for each in IMAGE_COLUMNS if each in columns.names), None)
        if column is None or not _holds_bytes(columns.field(column).type):
            return None
        text = next((each for each in TEXT_COLUMNS if each in columns.names), None)
    except (OSError, ValueError, *DAMAGE) as error:
        return iter([Place(name, file, error=f"{name} is damaged or cut: {error}")])
    return _list_rows(table, file, name, column, text)


def _list_rows(
    table: pq.ParquetFile, file: str, name: str, column: str, text: str | None
) -> Iterator[Place]:
    row = 0
    try:
        for group in range(table.num_row_groups):
            count = table.metadata.row_group(group).num_rows
            values = _read_texts(table, group, text, count)
            for value in values:
                yield place_with(value, f"{name}/{row:08d}", file, row=row, column=column)
                row += 1
    except (OSError, ValueError, *DAMAGE) as error:
        yield Place(name, file, error=f"{name} is damaged or cut after row {row}: {error}")
        return
    if not row:
        yield Place(name, file, error=f"{name} has no rows")


def _read_texts(
    table: pq.ParquetFile, group: int, text: str | None, count: int
) -> Iterator[Captions]:
    if text is None:
        return iter([Captions()] * count)
    check_column_size(table, group, text)
    cells = table.read_row_group(group, [text]).to_pylist()
    return (to_captions(each[text]) for each in cells)


def check_column_size(table: pq.ParquetFile, group: int, column: str) -> None:
    """Raise ``ValueError`` when a row group claims more bytes of a column than are read at once."""
    held = table.metadata.row_group(group)
    parts = (held.column(index) for index in range(held.num_columns))
    size = sum(
        each.total_uncompressed_size
        for each in parts
        if each.path_in_schema.partition(".")[0] == column
    )
    if size > MAX_COLUMN_BYTES:
        raise ValueError(
            f"row group {group} claims {size} bytes of {column}, the limit is {MAX_COLUMN_BYTES}: "
            "write the table with smaller row groups"
        )


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


class _TarContents:
    """What was found in a tar: images by name, offset, size and problem; texts by key."""

    def __init__(self) -> None:
        self.images: list[tuple[str, int, int, str]] = []
        self.error = ""
        self._texts: dict[str, Captions] = {}
        # How many images have a WebDataset key: one text can't belong to several.
        self._keys: dict[str, int] = {}

    def read(self, tar: tarfile.TarFile, total: int) -> None:
        """Go through the members; raises what a damaged tar makes its reader raise."""
        readers: dict[str, Callable[[bytes], Captions]] = {
            ".txt": read_caption_file,
            ".json": read_caption_json,
        }
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # it would keep all in memory
            path = PurePosixPath(member.name)
            suffix = path.suffix.lower()
            if path.name.startswith(".") or member.isdir():
                continue
            if suffix in IMAGE_SUFFIXES:
                self._add_image(member, total)
            elif suffix in readers and member.isfile():
                stream = tar.extractfile(member)
                content = b"" if stream is None else stream.read(MAX_CAPTION_BYTES + 1)
                self._add_text(path, readers[suffix](content))

    def _add_image(self, member: tarfile.TarInfo, total: int) -> None:
        problem = ""
        if not member.isreg() or member.issparse():
            problem = f"{clean_text(member.name)} is a link or a sparse file, not a plain one"
        elif member.offset_data + member.size > total:
            problem = f"{clean_text(member.name)} is cut off"
        self.images.append((member.name, member.offset_data, member.size, problem))
        key = _web_key(PurePosixPath(member.name))
        self._keys[key] = self._keys.get(key, 0) + 1

    def _add_text(self, path: PurePosixPath, captions: Captions) -> None:
        # A text file is what people write; JSON beside it repeats it among other fields.
        wins = path.suffix == ".txt" and bool(captions.texts or captions.note)
        for key in {str(path.with_suffix("")), f"\0{_web_key(path)}"}:
            known = self._texts.get(key)
            if wins or known is None or not (known.texts or known.note):
                self._texts[key] = captions

    def captions_of(self, member: str) -> Captions:
        """The texts of an image: those of its very name, or of its key up to the first dot."""
        path = PurePosixPath(member)
        own = self._texts.get(str(path.with_suffix("")))
        if own is not None:
            return own
        key = _web_key(path)
        alone = self._keys.get(key, 0) == 1
        return self._texts.get(f"\0{key}", Captions()) if alone else Captions()

    def check_end(self, stream: BinaryIO, offset: int, total: int) -> None:
        """Raise ``ValueError`` when the members end where no tar ends."""
        if total % _BLOCK:
            raise ValueError("its length is not a multiple of 512 bytes")
        stream.seek(offset)
        if any(stream.read(_BLOCK)):
            raise ValueError(f"what is at byte {offset} is no header of a member")


def _web_key(path: PurePosixPath) -> str:
    """What WebDataset calls the key of a sample: the name up to its first dot."""
    return str(path.with_name(path.name.partition(".")[0] or path.name))
