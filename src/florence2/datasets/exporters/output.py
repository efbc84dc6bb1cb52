"""The directory that a dataset is exported to, and what exporters share."""

from __future__ import annotations

import io
import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ...io.atomic import atomic_replace
from ...io.file_types import IMAGE_SUFFIXES
from ...processing.image import load_image, open_image
from ...results.records import Record
from .class_map import ExportClasses
from .export_options import ExportOptions

_ORIENTATION = 0x0112
_FICLONE = 0x40049409
# Formats that keep every pixel; the others are saved at this quality when an image is turned.
_QUALITY: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True},
}


@dataclass
class Written:
    """What was written: ``files``, without those of single images; how many of everything.

    ``problems`` are images that could not be written, by name, with the reason. What was left
    out is counted: regions by label (``unmapped``: they mean no class) and by task
    (``other_tasks``: their labels are no classes here), regions without extent (``unusable``), and
    by name what the format cannot hold (``dropped``). ``has_place`` tells whether it has a place
    for any answer or label of the source, also for one that says that nothing is there.
    """

    folder: Path
    files: list[Path] = field(default_factory=list)
    pictures: int = 0
    regions: int = 0
    problems: dict[str, str] = field(default_factory=dict)
    unmapped: Counter[str] = field(default_factory=Counter)
    other_tasks: Counter[str] = field(default_factory=Counter)
    unusable: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    has_place: bool = False

    @property
    def left_out(self) -> int:
        """How many regions mean no class of the set."""
        return self.unmapped.total()


class Exporter(Protocol):
    """Writes records one by one; ``finish`` completes the dataset."""

    def add(self, record: Record, name: str) -> int:
        """Write a record under a unique name; return the number of regions or texts written."""
        ...

    def finish(self) -> list[Path]:
        """Write the files of the whole dataset; return their paths."""
        ...


@dataclass
class ExportDirectory:
    """The directory of an export, with its classes and options.

    ``note`` is called with the place of each file before it is written. ``dropped`` counts what
    the format cannot hold.
    """

    folder: Path
    options: ExportOptions
    classes: ExportClasses = field(init=False)
    note: Callable[[str], None] = field(default=lambda place: None)
    dropped: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.classes = ExportClasses(self.options.classes)

    def write(self, place: str, content: bytes | str) -> Path:
        """Write a file at a place in the directory, whole or not at all, and on the disk."""
        self.note(place)
        path = self.folder / place
        atomic_replace(path, _encoded(content))
        return path

    def write_one(self, place: str, content: bytes | str) -> Path:
        """Write one of many files, whole or not at all; the last of the set goes to the disk.

        Waiting for the disk after each of 100,000 files would take most of the time.
        """
        self.note(place)
        path = self.folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.part")
        try:
            temporary.write_bytes(_encoded(content))
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return path

    def write_image(self, record: Record, place: str) -> Path | None:
        """Put the image of a record at a place: a copy, or a link where links are asked for.

        An image that its file only turns by its orientation is written upright, as its labels are.
        ``None`` when images are not asked for. Raises ``OSError`` or ``ValueError`` when the
        image is gone or was changed.
        """
        if not self.options.copy_images:
            return None
        source = Path(record.path or "")
        if record.image is not None or not source.is_file():
            content = record.image_bytes()
            return self.write_one(place, turn_upright(content) or content)
        if self._is_here(place, source):
            return self.folder / place
        turned = turn_upright(source)
        if turned is not None:
            return self.write_one(place, turned)
        self.note(place)
        path = self.folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.part")
        temporary.unlink(missing_ok=True)
        try:
            if not (self.options.link_images and _link(source, temporary)):
                _copy(source, temporary)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return path

    def _is_here(self, place: str, source: Path) -> bool:
        """Whether the file at a place is the source itself: sidecars may lie beside originals."""
        path = self.folder / place
        linked = self.options.link_images and path.exists() and path.samefile(source)
        return linked or path.absolute() == source.absolute()


def image_suffix(record: Record) -> str:
    """The suffix of an image's file as the source writes it; ``.jpg`` where it has none.

    What follows the last dot of a name that has no image suffix (``scan.v2``) is no suffix.
    """
    if record.image is None and record.image_loader is not None:
        return ".png"
    for name in (record.file_name, record.path, record.id):
        suffix = Path(name or "").suffix
        if suffix.lower() in IMAGE_SUFFIXES:
            return suffix
    return ".jpg"


def turn_upright(source: Path | bytes) -> bytes | None:
    """An image file whose pixels lie as they are shown; ``None`` where they do already.

    JPEG is coded again at quality 95, for its pixels are turned. Raises ``ImageError``.
    """
    with open_image(source) as image:
        if image.getexif().get(_ORIENTATION, 1) in (0, 1):
            return None
        format, profile = image.format or "PNG", image.info.get("icc_profile")
    format = "JPEG" if format == "MPO" else format
    stream = io.BytesIO()
    options = dict(_QUALITY.get(format, {}))
    if profile:
        options["icc_profile"] = profile
    load_image(source).save(stream, format, **options)
    return stream.getvalue()


def _link(source: Path, path: Path) -> bool:
    """Whether a hard link could be made. A symbolic link is followed: the file is what counts."""
    try:
        os.link(source.resolve(), path)
    except OSError:
        return False
    return True


def _copy(source: Path, path: Path) -> None:
    """A copy of a file, sharing its blocks until one of both is changed where the disk can."""
    try:
        import fcntl

        with source.open("rb") as read, path.open("wb") as write:
            fcntl.ioctl(write.fileno(), _FICLONE, read.fileno())
    except (ImportError, OSError):
        shutil.copyfile(source, path)


def _encoded(content: bytes | str) -> bytes:
    """Text as UTF-8; what it cannot hold becomes a question mark, and never ends a set."""
    return content.encode("utf-8", "replace") if isinstance(content, str) else content
