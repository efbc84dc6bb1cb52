"""Sidecars: a folder of pictures, each with its text in a ``.txt`` of the same name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..records import Annotation, Record
from .pictures import SUFFIXES, SeenNames, find_pictures, read_listed
from .problems import Intake, LabelError
from .prompts import written_annotation


def read_sidecars(folder: Path, intake: Intake, prompt: str = "<CAPTION>") -> Iterator[Record]:
    """A record for each picture in ``folder`` and below that can be read.

    The text answers ``prompt``. A picture without a text is listed and has no annotation; a text
    without a picture is listed.
    """
    seen = SeenNames()
    for path, record in read_listed(find_pictures(folder), folder, intake):
        file = path.with_suffix(".txt")
        annotations: tuple[Annotation, ...] = ()
        with intake.listing(file):
            seen.add(file, "the text of two pictures,")
            suffix = _text(file, record)
            annotation = written_annotation(prompt, suffix, record.image_size, intake)
            annotations = intake.checked([annotation], record.image_size, file)
        yield replace(record, annotations=annotations)
    for file in sorted(folder.rglob("*.txt")):
        with intake.listing(file):
            if not _has_picture(file):
                raise LabelError("unknown-image", "there is no picture of this name")


def _text(file: Path, record: Record) -> str:
    try:
        text = file.read_text(encoding="utf-8-sig").strip()
    except FileNotFoundError as error:
        raise LabelError("missing-file", f"{record.id} has no text") from error
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError("malformed", f"{file} cannot be read: {error}") from error
    if not text:
        raise LabelError("empty-text", "the text is empty")
    return text


def _has_picture(file: Path) -> bool:
    return any(
        each.stem == file.stem and each.suffix.lower() in SUFFIXES for each in file.parent.iterdir()
    )
