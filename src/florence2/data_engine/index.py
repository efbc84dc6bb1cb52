"""The index of a run: every image once, with its size, hashes, error and duplicates.

It is written chunk by chunk, each an atomic file, and then merged. An image keeps its position in
the index, so that chunks are the same after any number of kills.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..io.atomic import atomic_write
from ..io.deprecation import renamed_attributes
from ..processing.image import ImageError, open_image, probe_image
from ..results.records import content_hash
from .image_sources import ImageLocation, read_images

_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("file", pa.string()),
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("row", pa.int64()),
        ("column", pa.string()),
        ("text", pa.string()),
        ("more", pa.list_(pa.string())),
        ("unit", pa.string()),
        ("note", pa.string()),
        ("sha256", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("phash", pa.string()),
        ("error", pa.string()),
        ("duplicate_of", pa.string()),
        ("near_duplicate_of", pa.string()),
    ]
)
# The index of an earlier release lacks some of them.
_LOCATION_FIELDS = tuple(each.name for each in fields(ImageLocation) if each.name != "error")


@dataclass(frozen=True)
class IndexEntry:
    """One image: its ``location``, size, hashes, error, and the image that it duplicates.

    ``width`` and ``height`` are those of the upright image, in pixels. ``phash`` is the perceptual
    hash in hexadecimal. ``duplicate_of`` and ``near_duplicate_of`` are ids of earlier images. With
    an ``error`` the other fields are empty.
    """

    location: ImageLocation
    sha256: str = ""
    width: int = 0
    height: int = 0
    phash: str = ""
    error: str = ""
    duplicate_of: str = ""
    near_duplicate_of: str = ""

    @property
    def needs_annotation(self) -> bool:
        """Whether the image can be read and is not a duplicate."""
        return not self.error and not self.duplicate_of

    def find_problem(self, content: bytes | Exception) -> str:
        """Why ``content`` is not the image that was indexed; "" when it is."""
        if not isinstance(content, bytes):
            return f"cannot be read: {content}"
        return "" if content_hash(content) == self.sha256 else "has changed"


def make_entries(locations: Sequence[ImageLocation]) -> list[IndexEntry]:
    """Read and hash images; the entry of a broken one has the reason as ``error``."""
    return [
        _make_entry(location, content)
        for location, content in zip(locations, read_images(locations), strict=True)
    ]


def _make_entry(location: ImageLocation, content: bytes | Exception) -> IndexEntry:
    if location.error:
        return IndexEntry(replace(location, error=""), error=location.error)
    if not isinstance(content, bytes):
        return IndexEntry(location, error=f"cannot be read: {content}")
    try:
        info = probe_image(content, location.id)
        phash = perceptual_hash(content)
        return IndexEntry(location, content_hash(content), info.width, info.height, phash)
    except (ImageError, MemoryError) as error:
        return IndexEntry(location, error=str(error) or "not enough memory")


def perceptual_hash(content: bytes) -> str:
    """The 64-bit perceptual hash of an image file, in hexadecimal (ImageHash's ``phash``).

    Raises ``ImageError`` for a file that is not an image.
    """
    from imagehash import phash

    with open_image(content) as image:
        image.draft("L", (64, 64))
        return str(phash(image))


def write_entries(path: Path, entries: Iterable[IndexEntry]) -> None:
    """Write a Parquet table of entries to ``path``, atomically."""
    rows = [_row(entry) for entry in entries]
    with atomic_write(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, _SCHEMA), temporary, compression="zstd")


def read_entries(path: Path) -> list[IndexEntry]:
    """Read the entries that ``write_entries`` wrote."""
    return [_from_row(row) for row in pq.read_table(path).to_pylist()]


def _row(entry: IndexEntry) -> dict[str, Any]:
    values = asdict(entry)
    location = values.pop("location")
    location.pop("error")
    error = values.pop("error")
    # Errors quote file contents, which may not be valid text.
    return {
        **location,
        **values,
        "file": _to_utf8(location["file"]),
        "error": _escape(error),
        "note": _escape(location["note"]),
    }


def _from_row(row: Mapping[str, Any]) -> IndexEntry:
    location = {name: row[name] for name in _LOCATION_FIELDS if row.get(name) is not None}
    location |= {"file": _from_utf8(row["file"]), "more": tuple(row.get("more") or ())}
    error = row["error"] or ""
    others = {name: value for name, value in row.items() if name not in _LOCATION_FIELDS}
    return IndexEntry(ImageLocation(**location), **{**others, "error": error})


def _escape(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _to_utf8(file: str) -> str:
    """A file name as UTF-8 text. Bytes that are not UTF-8 are written in hexadecimal after a NUL,
    which no file name contains."""
    if file.isascii():
        return file
    content = os.fsencode(file).decode("utf-8", "surrogateescape")
    return "".join(
        f"\0{ord(char) - 0xDC00:02x}" if "\udc80" <= char <= "\udcff" else char for char in content
    )


def _from_utf8(text: str) -> str:
    first, *escaped = text.split("\0")
    content = first.encode()
    for piece in escaped:
        content += bytes.fromhex(piece[:2]) + piece[2:].encode()
    return os.fsdecode(content) if escaped else text


__getattr__ = renamed_attributes(
    __name__,
    {"Entry": "IndexEntry", "with_copies": f"{__package__}.duplicates.mark_duplicates"},
)
