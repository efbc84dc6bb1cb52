"""Picture files: found, decoded once to prove them whole, measured and hashed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from PIL import ExifTags, Image

from ..records import Record, content_hash
from ..results import ImageSize
from .problems import Intake, LabelError

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"))
_FIRST_TURNED = 5  # EXIF orientations 5 to 8 turn the picture by a quarter


def find_pictures(folder: Path) -> Iterator[Path]:
    """The picture files in ``folder`` and below, in the order of their paths."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            yield path


def name_in(folder: Path, path: Path) -> str:
    """The path as a data set calls it: from its folder on, with forward slashes."""
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()


def read_picture(path: Path, name: str) -> Record:
    """The picture at ``path`` as a record without annotations, called ``name``.

    Raises ``LabelError`` when there is no such file or no whole picture in it.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise LabelError("missing-file", f"the picture {path} is missing") from error
    except OSError as error:
        raise LabelError("missing-file", f"the picture {path} cannot be read: {error}") from error
    return picture_record(content, name)


def picture_record(content: bytes, name: str) -> Record:
    """The picture in ``content`` as a record without annotations, called ``name``.

    Raises ``LabelError`` when the bytes are no whole picture.
    """
    width, height = _upright_size(content, name)
    return Record(name, width, height, content_hash(content), content, name)


def check_declared_size(record: Record, declared: tuple[object, object]) -> None:
    """Raise ``LabelError`` when a label file gives the picture a size it does not have.

    Sizes left out or zero are no statement.
    """
    width, height = declared
    if width and height and (width, height) != record.image_size:
        found = f"{record.width} x {record.height}"
        raise LabelError(
            "image-size",
            f"labels are for {record.id} at {width} x {height}, the upright picture is {found}",
        )


class SeenNames:
    """The names that came by, to notice one that comes twice."""

    def __init__(self) -> None:
        self._seen: set[object] = set()

    def add(self, name: object, what: str) -> None:
        """Remember ``name``. Raises ``LabelError`` when it is known already."""
        if name in self._seen:
            raise LabelError("duplicate", f"{what} {name!r} appears more than once")
        self._seen.add(name)


def read_listed(
    paths: Iterator[Path], folder: Path, intake: Intake
) -> Iterator[tuple[Path, Record]]:
    """Each picture that can be read, with its path; the others are listed."""
    for path in paths:
        with intake.listing(path):
            record = read_picture(path, name_in(folder, path))
            yield path, record


def _upright_size(content: bytes, name: str) -> ImageSize:
    try:
        with Image.open(io.BytesIO(content)) as image:
            width, height = image.size
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= _FIRST_TURNED
            # A reduced decode reads every byte of a JPEG at a fraction of the cost.
            image.draft(None, (max(1, width // 8), max(1, height // 8)))
            image.load()
    except (OSError, SyntaxError, ValueError, TypeError, EOFError) as error:
        raise LabelError("broken-image", f"{name} is no whole picture: {error}") from error
    except Image.DecompressionBombError as error:
        raise LabelError("broken-image", f"{name} is too large: {error}") from error
    return (height, width) if turned else (width, height)
