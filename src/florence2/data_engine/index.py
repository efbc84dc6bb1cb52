"""The index of a run: every picture once, what is wrong with it, and which ones are copies.

It is made part by part, each a file that is there whole or not at all, and then put together; a
picture's place in it never changes afterwards, so that the parts of all later work are the same
after any number of kills.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ..durable import replacing
from ..formats.pictures import picture_record
from ..formats.problems import LabelError
from .sources import Place, read_pictures

_BANDS = 4
# Two hashes that differ in fewer bits than there are bands agree in one band at least.
NEAR = _BANDS - 1

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("file", pa.string()),
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("row", pa.int64()),
        ("column", pa.string()),
        ("text", pa.string()),
        ("sha256", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("phash", pa.string()),
        ("error", pa.string()),
        ("duplicate_of", pa.string()),
        ("near_duplicate_of", pa.string()),
    ]
)
_PLACE_FIELDS = tuple(each.name for each in fields(Place))


@dataclass(frozen=True)
class Entry:
    """One picture: its ``place``, what it is, what is wrong with it, and whose copy it is.

    ``phash`` is the perceptual hash in hexadecimal. ``duplicate_of`` and ``near_duplicate_of`` are
    ids of pictures that come earlier. With an ``error`` the rest is empty.
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


def look_at(places: Sequence[Place]) -> list[Entry]:
    """The entries of pictures, read and hashed; broken ones have the reason."""
    return [
        _entry(place, content) for place, content in zip(places, read_pictures(places), strict=True)
    ]


def _entry(place: Place, content: bytes | Exception) -> Entry:
    if not isinstance(content, bytes):
        return Entry(place, error=f"cannot be read: {content}")
    try:
        record = picture_record(content, place.id)
        return Entry(place, record.sha256, record.width, record.height, perceptual_hash(content))
    except LabelError as error:
        return Entry(place, error=str(error))


def perceptual_hash(content: bytes) -> str:
    """The 64-bit perceptual hash of a picture's file, in hexadecimal (ImageHash's ``phash``)."""
    from imagehash import phash

    with Image.open(io.BytesIO(content)) as image:
        image.draft("L", (64, 64))
        return str(phash(image))


def with_copies(entries: Iterable[Entry]) -> list[Entry]:
    """The entries, each copy marked with the first of its kind.

    The same bytes are duplicates. Perceptual hashes that differ in at most ``NEAR`` bits are near
    duplicates of the earliest picture that is none itself.
    """
    by_content: dict[str, str] = {}
    bands: Mapping[tuple[int, int], list[tuple[int, str]]] = defaultdict(list)
    marked = []
    for entry in entries:
        if entry.error:
            marked.append(entry)
            continue
        first = by_content.setdefault(entry.sha256, entry.place.id)
        if first != entry.place.id:
            marked.append(replace(entry, duplicate_of=first))
            continue
        number = int(entry.phash, 16)
        keys = [(band, number >> (16 * band) & 0xFFFF) for band in range(_BANDS)]
        near = next(
            (
                other
                for key in keys
                for hashed, other in bands[key]
                if (hashed ^ number).bit_count() <= NEAR
            ),
            "",
        )
        if not near:
            for key in keys:
                bands[key].append((number, entry.place.id))
        marked.append(replace(entry, near_duplicate_of=near))
    return marked


def write_entries(path: Path, entries: Iterable[Entry]) -> None:
    """Put a table of entries at ``path``."""
    rows = [_row(entry) for entry in entries]
    with replacing(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), temporary, compression="zstd")


def read_entries(path: Path) -> list[Entry]:
    """The entries that ``write_entries`` put there."""
    return [_from_row(row) for row in pq.read_table(path).to_pylist()]


def _row(entry: Entry) -> dict[str, Any]:
    values = asdict(entry)
    return {**values.pop("place"), **values}


def _from_row(row: Mapping[str, Any]) -> Entry:
    place = Place(**{name: row[name] for name in _PLACE_FIELDS})
    others = {name: value for name, value in row.items() if name not in _PLACE_FIELDS}
    return Entry(place, **others)
