"""The index of a run: every picture once, what is wrong with it, and which ones are copies.

It is made part by part, each a file that is there whole or not at all, and then put together; a
picture's place in it never changes afterwards, so that the parts of all later work are the same
after any number of kills.
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
from ..processing.image import ImageError, open_image, probe_image
from ..results.records import content_hash
from .image_sources import Place, read_pictures
from .near_hashes import NEAR, NearHashes

__all__ = [
    "NEAR",
    "Entry",
    "look_at",
    "perceptual_hash",
    "read_entries",
    "with_copies",
    "write_entries",
]

SCHEMA = pa.schema(
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
# An index of an earlier version lacks some of them.
_PLACE_FIELDS = tuple(each.name for each in fields(Place) if each.name != "error")


@dataclass(frozen=True)
class Entry:
    """One picture: its ``place``, what it is, what is wrong with it, and whose copy it is.

    ``width`` and ``height`` are those of the upright picture. ``phash`` is the perceptual hash in
    hexadecimal. ``duplicate_of`` and ``near_duplicate_of`` are ids of pictures that come earlier.
    With an ``error`` the rest is empty.
    """

    place: Place
    sha256: str = ""
    width: int = 0
    height: int = 0
    phash: str = ""
    error: str = ""
    duplicate_of: str = ""
    near_duplicate_of: str = ""

    @property
    def wanted(self) -> bool:
        """Whether it is to be annotated: it can be read, and is no copy of an earlier one."""
        return not self.error and not self.duplicate_of

    def problem_with(self, content: bytes | Exception) -> str:
        """Why what is read now is not the picture that the index knows; "" when it is."""
        if not isinstance(content, bytes):
            return f"cannot be read: {content}"
        return "" if content_hash(content) == self.sha256 else "has changed"


def look_at(places: Sequence[Place]) -> list[Entry]:
    """The entries of pictures, read and hashed; broken ones have the reason."""
    return [
        _entry(place, content) for place, content in zip(places, read_pictures(places), strict=True)
    ]


def _entry(place: Place, content: bytes | Exception) -> Entry:
    if place.error:
        return Entry(replace(place, error=""), error=place.error)
    if not isinstance(content, bytes):
        return Entry(place, error=f"cannot be read: {content}")
    try:
        info = probe_image(content, place.id)
        phash = perceptual_hash(content)
        return Entry(place, content_hash(content), info.width, info.height, phash)
    except (ImageError, MemoryError) as error:
        return Entry(place, error=str(error) or "needs more memory than there is")


def perceptual_hash(content: bytes) -> str:
    """The 64-bit perceptual hash of a picture's file, in hexadecimal (ImageHash's ``phash``).

    Raises ``ImageError`` for a file that is no image.
    """
    from imagehash import phash

    with open_image(content) as image:
        image.draft("L", (64, 64))
        return str(phash(image))


def with_copies(entries: Iterable[Entry]) -> list[Entry]:
    """The entries, each copy marked with the first of its kind.

    The same bytes are duplicates. Perceptual hashes that differ in at most ``NEAR`` bits are near
    duplicates of the earliest picture that is none itself.
    """
    by_content: dict[str, str] = {}
    hashes = NearHashes()
    marked: list[Entry] = []
    for entry in entries:
        if entry.error:
            marked.append(entry)
            continue
        first = by_content.setdefault(entry.sha256, entry.place.id)
        if first != entry.place.id:
            marked.append(replace(entry, duplicate_of=first))
            continue
        number = int(entry.phash, 16)
        near = hashes.find(number)
        if near is None:
            hashes.add(number, len(marked))
        other = "" if near is None else marked[near].place.id
        marked.append(replace(entry, near_duplicate_of=other))
    return marked


def write_entries(path: Path, entries: Iterable[Entry]) -> None:
    """Put a table of entries at ``path``."""
    rows = [_row(entry) for entry in entries]
    with atomic_write(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), temporary, compression="zstd")


def read_entries(path: Path) -> list[Entry]:
    """The entries that ``write_entries`` put there."""
    return [_from_row(row) for row in pq.read_table(path).to_pylist()]


def _row(entry: Entry) -> dict[str, Any]:
    values = asdict(entry)
    place = values.pop("place")
    place.pop("error")
    error = values.pop("error")
    # Reasons quote what is in the files, which need not be text.
    return {
        **place,
        **values,
        "file": _to_utf8(place["file"]),
        "error": _escaped(error),
        "note": _escaped(place["note"]),
    }


def _from_row(row: Mapping[str, Any]) -> Entry:
    where = {name: row[name] for name in _PLACE_FIELDS if row.get(name) is not None}
    where |= {"file": _from_utf8(row["file"]), "more": tuple(row.get("more") or ())}
    error = row["error"] or ""
    others = {name: value for name, value in row.items() if name not in _PLACE_FIELDS}
    return Entry(Place(**where), **{**others, "error": error})


def _escaped(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _to_utf8(file: str) -> str:
    """A file's name as text that is UTF-8, whatever its bytes are.

    The bytes that are not are written behind a NUL, which no name has.
    """
    if file.isascii():
        return file
    content = os.fsencode(file).decode("utf-8", "surrogateescape")
    return "".join(
        f"\0{ord(char) - 0xDC00:02x}" if "\udc80" <= char <= "\udcff" else char for char in content
    )


def _from_utf8(text: str) -> str:
    first, *others = text.split("\0")
    content = first.encode()
    for each in others:
        content += bytes.fromhex(each[:2]) + each[2:].encode()
    return os.fsdecode(content) if others else text
