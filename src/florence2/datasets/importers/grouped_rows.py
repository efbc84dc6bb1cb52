"""Rows with one annotation of an image each, grouped into one record per image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ...results.records import Annotation, Record
from .image_files import UniqueNameCheck, load_record, name_in
from .image_finder import ImageFinder
from .problems import ImportContext
from .prompts import written_annotation


@dataclass(frozen=True)
class WrittenRow:
    """A prompt and its answer as text, about the image called ``image``; the line it is from."""

    image: str
    prefix: str
    suffix: str
    line: int


def grouped_records(
    rows: Iterable[WrittenRow],
    file: Path,
    images: Path | None,
    root: Path,
    context: ImportContext,
    split: str | None = None,
) -> Iterator[Record]:
    """A record for each image that can be read, in the order of its first row.

    Images are in ``images``, by default beside the file or where ``ImageFinder`` looks; they are
    named by their path from ``root``. The rows are kept in memory, the images are not. A row
    that came before is listed.
    """
    named: dict[str, list[WrittenRow]] = {}
    unique_rows = UniqueNameCheck()
    for row in rows:
        with context.collect_errors(file, row.line):
            unique_rows.add((row.image, row.prefix, row.suffix), "the row")
            named.setdefault(row.image, []).append(row)
    finder = ImageFinder(root, [file.parent], images)
    groups: dict[Path, list[WrittenRow]] = {}
    for image, group in named.items():
        with context.collect_errors(file, group[0].line):
            groups.setdefault(finder.find(image), []).extend(group)
    for path, group in groups.items():
        with context.collect_errors(file, group[0].line):
            name = name_in(root, path) if path.is_relative_to(root) else finder.name(path)
            record = replace(load_record(path, name), split=split)
            annotations: list[Annotation] = []
            for row in group:
                with context.collect_errors(file, row.line):
                    annotation = written_annotation(
                        row.prefix, row.suffix, record.image_size, context
                    )
                    annotations += context.keep_valid(
                        [annotation], record.image_size, file, row.line
                    )
            yield replace(record, annotations=tuple(annotations))
