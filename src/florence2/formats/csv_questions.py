"""CSV of questions: a picture, a question about it, and the answer, a row each."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..records import Record
from .grouped import WrittenRow, grouped_records
from .problems import Intake, LabelError, Problem


@dataclass(frozen=True)
class CsvColumns:
    """What the columns are called in the first row. Without ``question``, the prompt is all."""

    image: str = "image"
    question: str | None = "question"
    answer: str = "answer"


def read_csv_questions(
    file: Path,
    root: Path,
    intake: Intake,
    prompt: str = "<VQA>",
    columns: CsvColumns | None = None,
    images: Path | None = None,
) -> Iterator[Record]:
    """A record for each picture that the rows name; its id is its path from ``root``.

    The model is asked ``prompt`` followed by the question. Pictures lie in ``images``, beside the
    file by default. Raises ``ValueError`` when the file lacks a column.
    """
    rows = _rows(file, intake, prompt, columns or CsvColumns())
    yield from grouped_records(rows, file, images or file.parent, root, intake)


def _rows(file: Path, intake: Intake, prompt: str, columns: CsvColumns) -> Iterator[WrittenRow]:
    # Bytes that are no UTF-8 spoil their own row only: they come through as U+FFFD.
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        reader = csv.DictReader(stream, strict=True)
        _check_columns(file, list(reader.fieldnames or ()), columns)
        while True:
            try:
                row = next(reader, None)
            except csv.Error as error:
                line = reader.reader.line_num
                intake.report(Problem(str(file), line, f"not CSV: {error}", "malformed"))
                continue
            if row is None:
                return
            with intake.listing(file, reader.line_num):
                yield _row(row, columns, prompt, reader.line_num)


def _check_columns(file: Path, names: list[str], columns: CsvColumns) -> None:
    for wanted in (columns.image, columns.question, columns.answer):
        if wanted is not None and wanted not in names:
            raise ValueError(
                f"{file} has no column {wanted!r}; it has {', '.join(map(repr, names)) or 'none'}"
            )


def _row(row: dict[str, str | None], columns: CsvColumns, prompt: str, line: int) -> WrittenRow:
    if None in row or None in row.values():
        raise LabelError("malformed", "the row has not as many fields as the first one")
    if any("\ufffd" in (value or "") for value in row.values()):
        raise LabelError("malformed", "the row is not UTF-8")
    question = "" if columns.question is None else row[columns.question] or ""
    answer = (row[columns.answer] or "").strip()
    if columns.question is not None and not question.strip():
        raise LabelError("empty-text", "the question is empty")
    if not answer:
        raise LabelError("empty-text", "the answer is empty")
    return WrittenRow(row[columns.image] or "", prompt + question.strip(), answer, line)
