"""Rows that name a picture and say one thing about it, gathered to one record a picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ..records import Record
from .pictures import SeenNames, name_in, read_picture
from .problems import Intake
from .prompts import written_annotation


@dataclass(frozen=True)
class WrittenRow:
    """A prompt and its answer as text, about the picture called ``image``; the line it is from."""

    image: str
    prefix: str
    suffix: str
    line: int


def grouped_records(
    rows: Iterable[WrittenRow], file: Path, images: Path, root: Path, intake: Intake
) -> Iterator[Record]:
    """A record for each picture that can be read, in the order of its first row.

    Pictures lie in ``images`` and are called by their path from ``root``. The rows are held in
    memory, the pictures are not. A row that came before is listed.
    """
    groups: dict[Path, list[WrittenRow]] = {}
    seen = SeenNames()
    for row in rows:
        with intake.listing(file, row.line):
            seen.add((row.image, row.prefix, row.suffix), "the row")
            groups.setdefault(images / row.image, []).append(row)
    for path, group in groups.items():
        with intake.listing(file, group[0].line):
            record = read_picture(path, name_in(root, path))
            annotations = []
            for row in group:
                with intake.listing(file, row.line):
                    annotation = written_annotation(
                        row.prefix, row.suffix, record.image_size, intake
                    )
                    intake.check(annotation, record.image_size)
                    annotations.append(annotation)
            yield replace(record, annotations=tuple(annotations))
