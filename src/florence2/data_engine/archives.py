"""Images in tars and Parquet tables, as lists of locations.

The sizes in headers are checked before memory is allocated for them. A member or row that cannot
be used is a location with an error. A damaged container gives the images before the damage, and
then a location with the container's error.
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

# Columns with an image's bytes, or a struct with them, and columns with its caption.
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
# What readers of damaged containers raise, besides OSError and ValueError.
DAMAGE_ERRORS = (
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
class ImageLocation:
    """Where the bytes of one image are, and the captions that came with it.

    ``file`` alone is the image. With ``offset`` and ``size`` the image is a part of the file, with
    ``row`` and ``column`` a value of a Parquet table, with ``unit`` (``#page=2``, ``#t=1.000``) a
    page or frame. ``id`` is unique within a source. ``text`` is the first caption, ``more`` are
    the others. ``error`` is why there is no image, ``note`` why a caption is not used.
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
        """All captions that came with the image."""
        return (self.text, *self.more) if self.text else ()


def make_location(captions: Captions, id: str, file: str, **fields: Any) -> ImageLocation:
    """A location with the captions that came with its image."""
    first, *others = captions.texts or ("",)
    return ImageLocation(id, file, text=first, more=tuple(others), note=captions.note, **fields)


def list_tar(stream: BinaryIO, file: str, name: str) -> Iterator[ImageLocation]:
    """The images of a WebDataset tar; ``key.txt`` and ``key.json`` caption ``key.jpg``."""
    start, total = stream.read(8), stream.seek(0, os.SEEK_END)
    stream.seek(0)
    tool = next((tool for magic, tool in _COMPRESSED.items() if start.startswith(magic)), None)
    if tool is not None or not total:
        problem = f"is compressed: decompress it with {tool} first" if tool else "is empty"
        yield ImageLocation(name, file, error=f"{name} {problem}")
        return
    found = _TarContents()
    try:
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            found.read(tar, total)
            found.check_end(stream, tar.offset, total)
    except (OSError, ValueError, *DAMAGE_ERRORS) as error:
        found.error = f"{error}"
    for member, offset, size, problem in found.images:
        captions = Captions() if problem else found.find_captions(member)
        id = clean_text(f"{name}/{member}")
        yield make_location(captions, id, file, offset=offset, size=size, error=problem)
    if found.error:
        yield ImageLocation(name, file, error=f"{name} is damaged or cut: {found.error}")
    elif not found.images:
        yield ImageLocation(name, file, error=f"{name} has no images")


def list_parquet(stream: BinaryIO, file: str, name: str) -> Iterator[ImageLocation] | None:
    """The images of a Parquet table; None for a table without an image column.

    The tables that img2dataset writes next to its tars have none.
    """
    try:
        table = pq.ParquetFile(stream)
        columns = table.schema_arrow
        column = next((each for each in IMAGE_COLUMNS if each in columns.names), None)
        if column is None or not _has_bytes(columns.field(column).type):
            return None
        text = next((each for each in TEXT_COLUMNS if each in columns.names), None)
    except (OSError, ValueError, *DAMAGE_ERRORS) as error:
        return iter([ImageLocation(name, file, error=f"{name} is damaged or cut: {error}")])
    return _list_rows(table, file, name, column, text)


def _list_rows(
    table: pq.ParquetFile, file: str, name: str, column: str, text: str | None
) -> Iterator[ImageLocation]:
    row = 0
    try:
        for group in range(table.num_row_groups):
            count = table.metadata.row_group(group).num_rows
            values = _read_texts(table, group, text, count)
            for value in values:
                yield make_location(value, f"{name}/{row:08d}", file, row=row, column=column)
                row += 1
    except (OSError, ValueError, *DAMAGE_ERRORS) as error:
        yield ImageLocation(name, file, error=f"{name} is damaged or cut after row {row}: {error}")
        return
    if not row:
        yield ImageLocation(name, file, error=f"{name} has no rows")


def _read_texts(
    table: pq.ParquetFile, group: int, text: str | None, count: int
) -> Iterator[Captions]:
    if text is None:
        return iter([Captions()] * count)
    check_column_size(table, group, text)
    cells = table.read_row_group(group, [text]).to_pylist()
    return (to_captions(each[text]) for each in cells)


def check_column_size(table: pq.ParquetFile, group: int, column: str) -> None:
    """Raise ``ValueError`` when a row group has more bytes of a column than are read at once."""
    metadata = table.metadata.row_group(group)
    columns = (metadata.column(index) for index in range(metadata.num_columns))
    size = sum(
        each.total_uncompressed_size
        for each in columns
        if each.path_in_schema.partition(".")[0] == column
    )
    if size > MAX_COLUMN_BYTES:
        raise ValueError(
            f"row group {group} has {size} bytes of {column}; the limit is {MAX_COLUMN_BYTES}: "
            "write the table with smaller row groups"
        )


def _has_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


class _TarContents:
    """The contents of a tar: images (name, offset, size, problem), and captions by key."""

    def __init__(self) -> None:
        self.images: list[tuple[str, int, int, str]] = []
        self.error = ""
        self._captions: dict[str, Captions] = {}
        # Number of images with a WebDataset key: a caption cannot belong to several.
        self._key_counts: dict[str, int] = {}

    def read(self, tar: tarfile.TarFile, total: int) -> None:
        """Read all members. Raises one of ``DAMAGE_ERRORS`` for a damaged tar."""
        readers: dict[str, Callable[[bytes], Captions]] = {
            ".txt": read_caption_file,
            ".json": read_caption_json,
        }
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # it keeps all in memory otherwise
            path = PurePosixPath(member.name)
            suffix = path.suffix.lower()
            if path.name.startswith(".") or member.isdir():
                continue
            if suffix in IMAGE_SUFFIXES:
                self._add_image(member, total)
            elif suffix in readers and member.isfile():
                stream = tar.extractfile(member)
                content = b"" if stream is None else stream.read(MAX_CAPTION_BYTES + 1)
                self._add_captions(path, readers[suffix](content))

    def _add_image(self, member: tarfile.TarInfo, total: int) -> None:
        problem = ""
        if not member.isreg() or member.issparse():
            problem = f"{clean_text(member.name)} is a link or a sparse file, not a regular file"
        elif member.offset_data + member.size > total:
            problem = f"{clean_text(member.name)} is cut off"
        self.images.append((member.name, member.offset_data, member.size, problem))
        key = _sample_key(PurePosixPath(member.name))
        self._key_counts[key] = self._key_counts.get(key, 0) + 1

    def _add_captions(self, path: PurePosixPath, captions: Captions) -> None:
        # A text file takes precedence: JSON next to it repeats the caption among other fields.
        takes_precedence = path.suffix == ".txt" and bool(captions.texts or captions.note)
        for key in {str(path.with_suffix("")), f"\0{_sample_key(path)}"}:
            known = self._captions.get(key)
            if takes_precedence or known is None or not (known.texts or known.note):
                self._captions[key] = captions

    def find_captions(self, member: str) -> Captions:
        """The captions of an image: those of its exact name, or of its WebDataset key."""
        path = PurePosixPath(member)
        own = self._captions.get(str(path.with_suffix("")))
        if own is not None:
            return own
        key = _sample_key(path)
        is_unique = self._key_counts.get(key, 0) == 1
        return self._captions.get(f"\0{key}", Captions()) if is_unique else Captions()

    def check_end(self, stream: BinaryIO, offset: int, total: int) -> None:
        """Raise ``ValueError`` when the members do not end at the end of the tar."""
        if total % _BLOCK:
            raise ValueError("its length is not a multiple of 512 bytes")
        stream.seek(offset)
        if any(stream.read(_BLOCK)):
            raise ValueError(f"there is no member header at byte {offset}")


def _sample_key(path: PurePosixPath) -> str:
    """The WebDataset key of a sample: the name up to its first dot."""
    return str(path.with_name(path.name.partition(".")[0] or path.name))
