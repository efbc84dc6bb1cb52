"""Sources of images: directories, WebDataset tars, Parquet tables, local or in object stores.

A source is a path or a URL that ``fsspec`` supports (``s3://bucket/directory``). The output of
img2dataset is read in each of its formats. Pages and frames of local files (PDF, video, multi-page
TIFF, animation) are separate images. A file that cannot be used is a location with an error, so
that it does not affect others.
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
    DAMAGE_ERRORS,
    IMAGE_COLUMNS,
    TAR_SUFFIXES,
    ImageLocation,
    check_column_size,
    list_parquet,
    list_tar,
    make_location,
)
from .captions import MAX_CAPTION_BYTES, Captions, clean_text, read_caption_file

__all__ = ["ImageLocation", "list_images", "read_images"]

# An uncompressed image of the largest size that is decoded has some 400 MB.
MAX_IMAGE_BYTES = 2**29
_UNIT_SUFFIXES = PDF_SUFFIXES | VIDEO_SUFFIXES
# Files next to images that are not images themselves.
_SIDECARS = frozenset({".txt", ".json"})


def list_images(source: str, skipped_files: Counter[str] | None = None) -> Iterator[ImageLocation]:
    """The images of a source, in the order of their names.

    A file that cannot be used is a location with an error. Files of other kinds, and hidden ones,
    are counted by suffix in ``skipped_files``.

    Raises:
        FileNotFoundError: There is nothing at ``source``.
        ValueError: The source has no images.
    """
    system, root = _open_source(source)
    files = [root] if system.isfile(root) else sorted(system.find(root))
    listing = _Listing(
        system, root, set(files), Counter() if skipped_files is None else skipped_files
    )
    found, errors = False, []
    ids: set[str] = set()
    for file in files:
        for location in listing.locations(file):
            if location.error:
                errors.append(location.error)
            else:
                found = True
            yield _with_unique_id(location, ids)
    if not found:
        more = f" ({'; '.join(errors[:3])})" if errors else ""
        raise ValueError(
            f"{source} has no images{more}; expected {', '.join(sorted(IMAGE_SUFFIXES))} files, "
            f"tars of them, or Parquet with a column of {', '.join(IMAGE_COLUMNS)}"
        )


def read_images(locations: Iterable[ImageLocation]) -> Iterator[bytes | OSError | ValueError]:
    """The bytes of each image, in order, or the error that prevents reading it.

    A file is opened once for consecutive locations in it.
    """
    with _Files() as files:
        for location in locations:
            try:
                yield files.read(location)
            except (OSError, ValueError) as error:
                yield error
            except DAMAGE_ERRORS as error:
                yield ValueError(str(error) or type(error).__name__)


def is_local(file: str) -> bool:
    """Whether a file is a path of this machine and not a URL."""
    return "://" not in file


def _open_source(source: str) -> tuple[AbstractFileSystem, str]:
    # An existing path is a path, even if fsspec would read it as a URL.
    if os.path.exists(source):
        return LocalFileSystem(), os.path.abspath(source)
    system, root = url_to_fs(source)
    if not system.exists(root):
        raise FileNotFoundError(
            f"{source} does not exist: name a directory, a tar or a Parquet file"
        )
    return system, root


def _with_unique_id(location: ImageLocation, ids: set[str]) -> ImageLocation:
    """The location with an id that no earlier one has: a tar may have a name twice."""
    id, number = location.id, 1
    while id in ids:
        number += 1
        id = f"{location.id}#{number}"
    ids.add(id)
    return location if id == location.id else replace(location, id=id)


class _Listing:
    """Lists the images in each file of a source."""

    def __init__(
        self, system: AbstractFileSystem, root: str, files: set[str], skipped_files: Counter[str]
    ) -> None:
        self._system, self._root, self._files = system, root, files
        self._skipped_files = skipped_files
        self._unit_reader = UnitReader()

    def locations(self, file: str) -> Iterator[ImageLocation]:
        """The images in a file."""
        # A file name may not be UTF-8; ids are.
        name = os.fsencode(self._name(file)).decode("utf-8", "backslashreplace")
        url = file if self._is_local() else self._system.unstrip_protocol(file)
        suffix = PurePosixPath(file).suffix.lower()
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))
        tar = file.lower().endswith(TAR_SUFFIXES)
        image = suffix in IMAGE_SUFFIXES or (suffix in _UNIT_SUFFIXES and self._is_local())
        if hidden or not (image or tar or suffix == ".parquet"):
            if suffix not in _SIDECARS or hidden:
                self._skipped_files["hidden" if hidden else suffix or "no suffix"] += 1
            return
        try:
            if image:
                yield from self._units(file, self._image(file, url, name))
                return
            with self._open(file) as stream:
                list_container = list_tar if tar else list_parquet
                locations = list_container(stream, url, name)
                if locations is None:
                    self._skipped_files[f"{suffix} without images"] += 1
                else:
                    yield from locations
        except (OSError, ValueError, *DAMAGE_ERRORS) as error:
            yield ImageLocation(name, url, error=f"{name} cannot be read: {error}")

    def _units(self, file: str, location: ImageLocation) -> Iterator[ImageLocation]:
        """The location of an image file, or of each page or frame in it."""
        units = self._unit_reader.list_units(file) if self._is_local() else []
        if not units or units[0].name == file:
            yield location
            return
        for unit in units:
            suffix = unit.name[len(file) :]
            yield replace(location, id=f"{location.id}{suffix}", unit=suffix)

    def _image(self, file: str, url: str, name: str) -> ImageLocation:
        sidecar = str(PurePosixPath(file).with_suffix(".txt"))
        captions = Captions()
        if sidecar in self._files:
            try:
                with self._open(sidecar) as stream:
                    captions = read_caption_file(stream.read(MAX_CAPTION_BYTES + 1))
            except (OSError, ValueError) as error:
                captions = Captions(note=f"its caption cannot be read: {clean_text(str(error))}")
        return make_location(captions, name, url)

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
    """Reads locations; keeps the last file open, and the last row group."""

    def __init__(self) -> None:
        self._url = ""
        self._stream: Any = None
        self._table: pq.ParquetFile | None = None
        self._group: tuple[int, int, list[Any]] | None = None

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def read(self, location: ImageLocation) -> bytes:
        if location.error:
            raise ValueError(location.error)
        if location.unit:
            return _read_unit(location)
        if self._url != location.file:
            self._close()
            self._stream, self._url = _open_file(location.file), location.file
        if location.row is not None:
            return self._read_row(location.row, location.column)
        size = MAX_IMAGE_BYTES + 1 if location.size is None else location.size
        if size > MAX_IMAGE_BYTES and location.size is None:
            size = self._stream.seek(0, os.SEEK_END)
        if size > MAX_IMAGE_BYTES:
            raise ValueError(f"{location.id} has {size} bytes; the limit is {MAX_IMAGE_BYTES}")
        self._stream.seek(location.offset or 0)
        content: bytes = self._stream.read(size)
        if location.size is not None and len(content) < location.size:
            raise ValueError(
                f"{location.file} ends before the end of {location.id}: it is truncated"
            )
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
            raise ValueError(f"row {row} of {self._url} has no image in {column}")
        return content

    def _close(self) -> None:
        if self._stream is not None:
            self._stream.close()
        self._stream, self._table, self._group = None, None, None
        self._url = ""


def _read_unit(location: ImageLocation) -> bytes:
    """A page or frame as the bytes of a PNG file, the same every time."""
    found = parse_unit_name(f"f{location.unit}")
    stream = io.BytesIO()
    image = load_unit(replace(found, file=location.file))
    image.save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def _open_file(file: str) -> Any:
    if is_local(file):
        return open_regular(file)
    system, path = url_to_fs(file)
    return system.open(path)
