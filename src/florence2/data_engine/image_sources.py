"""Where pictures come from: folders, WebDataset tars, Parquet tables, here or in object stores.

A source is a path or an address that ``fsspec`` knows (``s3://bucket/folder``). What img2dataset
writes is read as it lies, in each of its formats. Of files on this machine that hold several
images (PDF, video, multi-page TIFF, animation) each image is one. What can't be used is a place
with an error, so that one bad file costs no other.
"""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from ..io.file_types import IMAGE_SUFFIXES, PDF_SUFFIXES, VIDEO_SUFFIXES
from ..io.files import open_regular
from ..processing.containers import (
    UnitReader,
    load_unit,
    parse_unit_name,
)
from .archives import (
    DAMAGE,
    IMAGE_COLUMNS,
    TAR_SUFFIXES,
    Place,
    check_column_size,
    list_parquet,
    list_tar,
    place_with,
)
from .captions import MAX_CAPTION_BYTES, Captions, clean_text, read_caption_file

__all__ = ["Place", "list_pictures", "read_pictures"]

# An uncompressed image of the largest size that is decoded has some 400 MB.
MAX_IMAGE_BYTES = 2**29
_UNIT_SUFFIXES = PDF_SUFFIXES | VIDEO_SUFFIXES
# Files that lie beside images and are no images themselves.
_BESIDE = frozenset({".txt", ".json"})


def list_pictures(source: str, passed_over: Counter[str] | None = None) -> Iterator[Place]:
    """The pictures of a source, in the order of their names.

    A file that can't be used is a place with an error. Files of other kinds, and hidden ones, are
    counted by suffix in ``passed_over``. Raises ``FileNotFoundError`` when there is nothing at
    ``source``, ``ValueError`` when nothing there is a picture or a container of pictures.
    """
    system, root = _open_source(source)
    files = [root] if system.isfile(root) else sorted(system.find(root))
    listing = _Listing(system, root, set(files), Counter() if passed_over is None else passed_over)
    found, errors = False, []
    ids: set[str] = set()
    for file in files:
        for place in listing.places(file):
            if place.error:
                errors.append(place.error)
            else:
                found = True
            yield _with_own_id(place, ids)
    if not found:
        more = f" ({'; '.join(errors[:3])})" if errors else ""
        raise ValueError(
            f"{source} holds no pictures{more}: wanted {', '.join(sorted(IMAGE_SUFFIXES))} files, "
            f"tars of them, or Parquet with a column of {', '.join(IMAGE_COLUMNS)}"
        )


def read_pictures(places: Iterable[Place]) -> Iterator[bytes | OSError | ValueError]:
    """The bytes at each place, in order, or the error that stands in their way.

    A file is opened once while places of it follow each other.
    """
    with _Files() as files:
        for place in places:
            try:
                yield files.read(place)
            except (OSError, ValueError) as error:
                yield error
            except DAMAGE as error:
                yield ValueError(str(error) or type(error).__name__)


def is_local(file: str) -> bool:
    """Whether a file is on this machine's file systems, and not at a URL."""
    return "://" not in file


def _open_source(source: str) -> tuple[AbstractFileSystem, str]:
    # A path that is there is a path, whatever fsspec would make of its characters.
    if os.path.exists(source):
        return LocalFileSystem(), os.path.abspath(source)
    system, root = url_to_fs(source)
    if not system.exists(root):
        raise FileNotFoundError(f"{source} is not there: name a folder, a tar or a Parquet file")
    return system, root


def _with_own_id(place: Place, ids: set[str]) -> Place:
    """The place under an id that no earlier one has: a tar may hold a name twice."""
    id, number = place.id, 1
    while id in ids:
        number += 1
        id = f"{place.id}#{number}"
    ids.add(id)
    return place if id == place.id else replace(place, id=id)


class _Listing:
    """The files of a source, one by one."""

    def __init__(
        self, system: AbstractFileSystem, root: str, known: set[str], passed_over: Counter[str]
    ) -> None:
        self._system, self._root, self._known = system, root, known
        self._passed_over = passed_over
        self._units_of = UnitReader()

    def places(self, file: str) -> Iterator[Place]:
        """What is in a file."""
        # A name need not be UTF-8 on this machine's file systems; ids are.
        name = os.fsencode(self._name(file)).decode("utf-8", "backslashreplace")
        address = file if self._is_local() else self._system.unstrip_protocol(file)
        suffix = PurePosixPath(file).suffix.lower()
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))
        tar = file.lower().endswith(TAR_SUFFIXES)
        image = suffix in IMAGE_SUFFIXES or (suffix in _UNIT_SUFFIXES and self._is_local())
        if hidden or not (image or tar or suffix == ".parquet"):
            if suffix not in _BESIDE or hidden:
                self._passed_over["hidden" if hidden else suffix or "no suffix"] += 1
            return
        try:
            if image:
                yield from self._units(file, self._image(file, address, name))
                return
            with self._open(file) as stream:
                list_container = list_tar if tar else list_parquet
                places = list_container(stream, address, name)
                if places is None:
                    self._passed_over[f"{suffix} without images"] += 1
                else:
                    yield from places
        except (OSError, ValueError, *DAMAGE) as error:
            yield Place(name, address, error=f"{name} cannot be read: {error}")

    def _units(self, file: str, place: Place) -> Iterator[Place]:
        """The place of an image file, or those of the pages and frames in it."""
        units = self._units_of.list_units(file) if self._is_local() else []
        if not units or units[0].name == file:
            yield place
            return
        for unit in units:
            where = unit.name[len(file) :]
            yield replace(place, id=f"{place.id}{where}", unit=where)

    def _image(self, file: str, address: str, name: str) -> Place:
        beside = str(PurePosixPath(file).with_suffix(".txt"))
        captions = Captions()
        if beside in self._known:
            try:
                with self._open(beside) as stream:
                    captions = read_caption_file(stream.read(MAX_CAPTION_BYTES + 1))
            except (OSError, ValueError) as error:
                captions = Captions(note=f"its text cannot be read: {clean_text(str(error))}")
        return place_with(captions, name, address)

    def _open(self, file: str) -> BinaryIO:
        if self._is_local():
            return open_regular(file)
        return cast(BinaryIO, self._system.open(file))

    def _is_local(self) -> bool:
        return isinstance(self._system, LocalFileSystem)

    def _name(self, file: str) -> str:
        root = self._root
        return PurePosixPath(file).name if file == root else file[len(root) :].lstrip("/")


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
        if place.error:
            raise ValueError(place.error)
        if place.unit:
            return _read_unit(place)
        if self._address != place.file:
            self._close()
            self._stream, self._address = _open_file(place.file), place.file
        if place.row is not None:
            return self._read_row(place.row, place.column)
        size = MAX_IMAGE_BYTES + 1 if place.size is None else place.size
        if size > MAX_IMAGE_BYTES and place.size is None:
            size = self._stream.seek(0, os.SEEK_END)
        if size > MAX_IMAGE_BYTES:
            raise ValueError(f"{place.id} has {size} bytes; the limit is {MAX_IMAGE_BYTES}")
        self._stream.seek(place.offset or 0)
        content: bytes = self._stream.read(size)
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
            check_column_size(self._table, group, column)
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


def _read_unit(place: Place) -> bytes:
    """A page or frame as the bytes of a PNG file, the same ones every time."""
    found = parse_unit_name(f"f{place.unit}")
    stream = io.BytesIO()
    image = load_unit(replace(found, file=place.file))
    image.save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def _open_file(file: str) -> Any:
    if is_local(file):
        return open_regular(file)
    system, path = url_to_fs(file)
    return system.open(path)
