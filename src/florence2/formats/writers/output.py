"""The folder that a set is written to, and what its writers share."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ...durable import replace_file, replacing
from ...records import Record
from .ontology import Classes, Ontology


@dataclass(frozen=True)
class Options:
    """How a set is written.

    ``classes`` are the only ones there are, else labels become classes as they come by.
    ``pictures`` says whether formats that have a place for pictures get them. Sidecars hold
    ``trigger``, ``prefix``, the text and ``suffix``; of several captions the ``caption`` task's.
    """

    classes: Ontology | None = None
    pictures: bool = True
    prefix: str = ""
    suffix: str = ""
    trigger: str = ""
    caption: str | None = None


@dataclass
class Written:
    """What was written: ``files``, without those of single pictures; how many of everything.

    ``problems`` are pictures that could not be written, by name, with the reason.
    """

    folder: Path
    files: list[Path] = field(default_factory=list)
    pictures: int = 0
    regions: int = 0
    left_out: int = 0
    problems: dict[str, str] = field(default_factory=dict)


class Writer(Protocol):
    """Takes records one by one; a set is whole when it is finished."""

    def add(self, record: Record, name: str) -> int:
        """Write a record under a name of its own; how many regions or texts of it were written."""
        ...

    def finish(self) -> list[Path]:
        """Write what speaks of the whole set; the files that do."""
        ...


@dataclass
class Output:
    """Where a writer writes, with the classes of the set."""

    folder: Path
    options: Options
    classes: Classes = field(init=False)

    def __post_init__(self) -> None:
        self.classes = Classes(self.options.classes)

    def put(self, place: str, content: bytes | str) -> Path:
        """Write a file at a place in the folder, whole or not at all."""
        path = self.folder / place
        replace_file(path, content)
        return path

    def picture(self, record: Record, place: str) -> Path | None:
        """Put the picture of a record at a place, a link to it where the disk allows one.

        ``None`` when pictures are not asked for. Raises ``OSError`` or ``ValueError`` when the
        picture is gone or was changed.
        """
        if not self.options.pictures:
            return None
        path = self.folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        if record.image is not None or record.image_loader is not None:
            return self.put(place, record.image_bytes())
        source = Path(record.path or "")
        if path.exists():
            if path.samefile(source):
                return path
            path.unlink()
        try:
            os.link(source, path)
        except OSError:
            with replacing(path) as temporary:
                shutil.copyfile(source, temporary)
        return path


def suffix_of(record: Record) -> str:
    """The suffix of a picture's file, ``.jpg`` where its name has none."""
    if record.image is None and record.image_loader is not None:
        return ".png"
    suffix = Path(record.path or record.id).suffix.lower()
    return suffix if 1 < len(suffix) <= 5 else ".jpg"
