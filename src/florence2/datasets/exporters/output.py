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
from ...io.deprecation import renamed_fields
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


@renamed_fields(folder="directory", pictures="images")
@dataclass
class Written:
    """What was written: ``files``, without those of single images, and counts.

    ``problems`` are images that could not be written, by name, with the reason. Skipped regions
    are counted: by label (``unmapped``: the class map has no such label), by task
    (``other_tasks``: their labels are not classes), and those without area (``unusable``).
    ``dropped`` counts by kind what the format cannot hold. ``has_place`` is True when the format
    can hold any prediction or label of the source, also an empty one.
    """

    directory: Path
    files: list[Path] = field(default_factory=list)
    images: int = 0
    regions: int = 0
    problems: dict[str, str] = field(default_factory=dict)
    unmapped: Counter[str] = field(default_factory=Counter)
    other_tasks: Counter[str] = field(default_factory=Counter)
    unusable: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    has_place: bool = False

    @property
    def left_out(self) -> int:
        """The number of regions whose label is not in the class map."""
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

    ``note`` is called with the relative path of each file before it is written. ``dropped`` counts
    what the format cannot hold.
    """

    directory: Path
    options: ExportOptions
    classes: ExportClasses = field(init=False)
    note: Callable[[str], None] = field(default=lambda name: None)
    dropped: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.classes = ExportClasses(self.options.classes)

    def write(self, name: str, content: bytes | str) -> Path:
        """Write the file ``name`` of the directory atomically and sync it to the disk."""
        self.note(name)
        path = self.directory / name
        atomic_replace(path, _encoded(content))
        return path

    def write_one(self, name: str, content: bytes | str) -> Path:
        """Write one of many files atomically, without a sync.

        A sync after each of 100,000 files would take most of the time.
        """
        self.note(name)
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.part")
        try:
            temporary.write_bytes(_encoded(content))
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return path

    def write_image(self, record: Record, name: str) -> Path | None:
        """Write the image of a record to the file ``name``: a copy, or a hard link if requested.

        An image with an EXIF orientation is written upright, as its labels are. Returns ``None``
        with ``copy_images=False``. Raises ``OSError`` or ``ValueError`` when the image is gone or
        was changed.
        """
        if not self.options.copy_images:
            return None
        source = Path(record.path or "")
        if record.image is not None or not source.is_file():
            content = record.image_bytes()
            return self.write_one(name, turn_upright(content) or content)
        if self._is_here(name, source):
            return self.directory / name
        turned = turn_upright(source)
        if turned is not None:
            return self.write_one(name, turned)
        self.note(name)
        path = self.directory / name
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

    def _is_here(self, name: str, source: Path) -> bool:
        """Whether the file ``name`` is the source itself: sidecars may be written beside it."""
        path = self.directory / name
        linked = self.options.link_images and path.exists() and path.samefile(source)
        return linked or path.absolute() == source.absolute()


def image_suffix(record: Record) -> str:
    """The suffix of an image's file as the source writes it; ``.jpg`` where it has none.

    The end of a name without an image suffix (``scan.v2``) is not a suffix.
    """
    if record.image is None and record.image_loader is not None:
        return ".png"
    for name in (record.file_name, record.path, record.id):
        suffix = Path(name or "").suffix
        if suffix.lower() in IMAGE_SUFFIXES:
            return suffix
    return ".jpg"


def turn_upright(source: Path | bytes) -> bytes | None:
    """The image file with upright pixels; ``None`` when the pixels are upright already.

    JPEG is encoded again at quality 95, because its pixels are turned. Raises ``ImageError``.
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
    """Make a hard link; False when that is not possible. Symbolic links are followed."""
    try:
        os.link(source.resolve(), path)
    except OSError:
        return False
    return True


def _copy(source: Path, path: Path) -> None:
    """Copy a file; the copy shares the blocks of the source where the file system supports it."""
    try:
        import fcntl

        with source.open("rb") as read, path.open("wb") as write:
            fcntl.ioctl(write.fileno(), _FICLONE, read.fileno())
    except (ImportError, OSError):
        shutil.copyfile(source, path)


def _encoded(content: bytes | str) -> bytes:
    """Text as UTF-8; characters that UTF-8 cannot encode become question marks."""
    return content.encode("utf-8", "replace") if isinstance(content, str) else content
