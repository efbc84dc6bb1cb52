"""Image files: found, decoded once to prove them whole, measured and hashed."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from ...io.file_types import (
    ARCHIVE_SUFFIXES,
    IMAGE_SUFFIXES,
    PDF_SUFFIXES,
    UNSUPPORTED_SUFFIXES,
    VIDEO_SUFFIXES,
)
from ...io.files import FileRefusedError, read_regular
from ...processing.image import ImageError, ImageInfo, probe_image
from ...results.records import Record, content_hash
from .problems import ImportContext, LabelError

# Files with images that are not read here: they are counted and reported.
SKIPPED_SUFFIXES = UNSUPPORTED_SUFFIXES | PDF_SUFFIXES | VIDEO_SUFFIXES | ARCHIVE_SUFFIXES
# A larger file is not a training image.
MAX_IMAGE_BYTES = 512 * 2**20
_SHOWN_NAMES = 3


def is_hidden(name: str) -> bool:
    """Whether a file or directory of this name is a tool's own (``._a.jpg``, ``__MACOSX``)."""
    return name.startswith(".") or name == "__MACOSX"


def find_files(directory: Path) -> list[Path]:
    """The files in ``directory`` and below, in the order of their paths, without hidden ones."""
    found = []
    for current, directories, files in os.walk(directory):
        directories[:] = [name for name in directories if not is_hidden(name)]
        found += [Path(current, name) for name in files if not is_hidden(name)]
    return sorted(found)


def find_images(directory: Path) -> Iterator[Path]:
    """The image files in ``directory`` and below, in the order of their paths.

    Hidden files and directories are skipped, as ``.ipynb_checkpoints`` and ``._a.jpg``.
    """
    return (path for path in find_files(directory) if _is_image_name(path.name) and path.is_file())


def list_passed_over(files: Iterable[Path], directory: Path, context: ImportContext) -> None:
    """Report files that hold images which are not read (HEIC, TGA, raw, archives), as one item."""
    by_suffix: dict[str, list[str]] = defaultdict(list)
    for path in files:
        suffix = path.suffix.lower()
        if suffix in SKIPPED_SUFFIXES:
            by_suffix[suffix].append(name_in(directory, path))
    if not by_suffix:
        return
    with context.collect_errors(directory):
        kinds = []
        for suffix, names in sorted(by_suffix.items()):
            more = ", ..." if len(names) > _SHOWN_NAMES else ""
            kinds.append(f"{len(names)} {suffix} ({', '.join(names[:_SHOWN_NAMES])}{more})")
        raise LabelError(
            "passed-over",
            f"files of other types were skipped: {'; '.join(kinds)}; "
            "save images as JPEG or PNG to have them read",
        )


def name_in(directory: Path, path: Path) -> str:
    """The path as a dataset calls it: from its directory on, with forward slashes."""
    path = path.relative_to(directory) if path.is_relative_to(directory) else path
    return path.as_posix()


def read_image_record(path: Path, name: str) -> tuple[Record, ImageInfo]:
    """Read the image at ``path`` as a record without annotations, with what its file holds.

    Raises ``LabelError`` when there is no such regular file or no whole image in it.
    """
    try:
        content = read_regular(path, MAX_IMAGE_BYTES)
    except FileNotFoundError as error:
        raise LabelError("missing-file", f"the image {path} is missing") from error
    except FileRefusedError as error:
        raise LabelError("missing-file", f"the image {path} cannot be read: {error}") from error
    except OSError as error:
        raise LabelError("missing-file", f"the image {path} cannot be read: {error}") from error
    return decode_image_record(content, name)


def decode_image_record(content: bytes, name: str) -> tuple[Record, ImageInfo]:
    """Take the image in ``content`` as a record without annotations, called ``name``.

    Raises ``LabelError`` when the bytes are not a whole image, or the name is not text.
    """
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise LabelError(
            "malformed", f"the file name {name!a} is not UTF-8; rename the file"
        ) from error
    try:
        info = probe_image(content, name)
    except ImageError as error:
        raise LabelError("broken-image", str(error)) from error
    record = Record(name, info.width, info.height, content_hash(content), content, name)
    return record, info


def load_record(path: Path, name: str) -> Record:
    """The image at ``path`` as a record without annotations, called ``name``.

    Raises ``LabelError`` when there is no such file or no whole image in it.
    """
    return read_image_record(path, name)[0]


def record_from_bytes(content: bytes, name: str) -> Record:
    """The image in ``content`` as a record without annotations, called ``name``.

    Raises ``LabelError`` when the bytes are not a whole image.
    """
    return decode_image_record(content, name)[0]


def check_declared_size(record: Record, declared: tuple[object, object]) -> None:
    """Raise ``LabelError`` when a label file gives the image a size it does not have.

    Missing or zero sizes are ignored.
    """
    width, height = (size_value(value) for value in declared)
    if width and height and (width, height) != record.image_size:
        found = f"{record.width} x {record.height}"
        raise LabelError(
            "image-size",
            f"labels are for {record.id} at {width:g} x {height:g}, the upright image is {found}",
        )


class UniqueNameCheck:
    """The names that were added, to detect duplicates."""

    def __init__(self) -> None:
        self._names: set[object] = set()

    def add(self, name: object, what: str) -> None:
        """Add ``name``. Raises ``LabelError`` when it was added before."""
        if name in self._names:
            raise LabelError("duplicate", f"{what} {name!r} appears more than once")
        self._names.add(name)


def read_listed(
    paths: Iterator[Path], directory: Path, context: ImportContext
) -> Iterator[tuple[Path, Record]]:
    """Each image that can be read, with its path; the others are listed."""
    for path in paths:
        with context.collect_errors(path):
            record = load_record(path, name_in(directory, path))
            yield path, record


def size_value(value: object) -> float:
    """The side of an image as a label file gives it; 0 where it gives none that makes sense."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return 0
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return 0
    return number if 0 < number < float("inf") else 0


def _is_image_name(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES
