"""CSV of prompts: a row has an image, the text of the prompt (``question``) and the answer."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ...io.files import open_regular
from ...io.messages import suggest
from ...results.records import Record
from .grouped_rows import WrittenRow, grouped_records
from .problems import ImportContext, ImportProblem, LabelError
from .splits import choose_splits

_DELIMITERS = (",", ";", "\t", "|")
_MAX_HEADER = 2**20
# What one field may hold; the csv module's own limit is less than a long answer.
_MAX_FIELD = 2**20


@dataclass(frozen=True)
class CsvColumns:
    """The names of the columns in the first row. Without ``question``, all rows have one prompt.

    ``split`` is the column with the split of a row, where the file has splits.
    """

    image: str = "image"
    question: str | None = "question"
    answer: str = "answer"
    split: str | None = None


def read_csv_prompts(
    file: Path,
    root: Path,
    context: ImportContext,
    prompt: str = "<VQA>",
    columns: CsvColumns | None = None,
    images: Path | None = None,
    split: str | None = None,
) -> Iterator[Record]:
    """A record for each image that the rows name; its id is its path from ``root``.

    The prompt of a row is ``prompt`` and the ``question``. Images are in ``images``, beside the
    file or in its image directory by default. Fields are separated by commas, semicolons, tabs or
    bars, as the first row shows. Raises ``ValueError`` when the file lacks a column, and for a
    ``split`` where no column of splits is named.
    """
    requested = columns or CsvColumns()
    if split is not None and requested.split is None:
        raise ValueError(
            f"{file} has no splits, so split {split!r} (--split) does not apply; name the column "
            "that has them: --column split=COLUMN"
        )
    delimiter, found = _read_header(file, requested)
    if found.split is None:
        rows = _rows(file, context, prompt, found, delimiter, None)
        return grouped_records(rows, file, images, root, context)
    return _read_splits(file, root, context, prompt, found, delimiter, images, split)


def _read_splits(
    file: Path,
    root: Path,
    context: ImportContext,
    prompt: str,
    columns: CsvColumns,
    delimiter: str,
    images: Path | None,
    split: str | None,
) -> Iterator[Record]:
    names = _split_names(file, columns, delimiter)
    chosen = names if split is None else choose_splits(split, names, file)
    return (
        record
        for name in chosen
        for record in grouped_records(
            _rows(file, context, prompt, columns, delimiter, name),
            file,
            images,
            root,
            context,
            name or None,
        )
    )


def _open_text(file: Path) -> io.TextIOWrapper:
    """The file as text. Bytes that are not UTF-8 spoil their own row: they become U+FFFD."""
    stream = open_regular(file)
    start = stream.read(2)
    stream.seek(0)
    encoding = "utf-16" if start in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    return io.TextIOWrapper(stream, encoding=encoding, errors="replace", newline="")


def _read_header(file: Path, columns: CsvColumns) -> tuple[str, CsvColumns]:
    """The delimiter, and the columns as the first row spells them."""
    with _open_text(file) as stream:
        header = stream.readline(_MAX_HEADER)
    named = [columns.image, columns.question, columns.answer, columns.split]
    requested = [name for name in named if name is not None]
    best: tuple[int, str, list[str]] = (-1, ",", [])
    for delimiter in _DELIMITERS:
        try:
            names = next(csv.reader([header], delimiter=delimiter, strict=True), [])
        except csv.Error:
            continue
        known = {_fold(name) for name in names}
        count = sum(_fold(name) in known for name in requested)
        # Of delimiters that show as many of the columns, the one that shows more fields.
        if (count, len(names)) > (best[0], len(best[2])):
            best = (count, delimiter, names)
    _, delimiter, names = best
    spelled = {name: _find_column(file, name, names) for name in requested}
    return delimiter, replace(
        columns,
        image=spelled[columns.image],
        question=None if columns.question is None else spelled[columns.question],
        answer=spelled[columns.answer],
        split=None if columns.split is None else spelled[columns.split],
    )


def _find_column(file: Path, requested: str, names: list[str]) -> str:
    """The column called ``requested``; case and spaces at the ends may differ."""
    same = [name for name in names if name == requested]
    same = same or [name for name in names if _fold(name) == _fold(requested)]
    if len(same) > 1:
        raise ValueError(f"{file} has {len(same)} columns called {same[0]!r}; rename all but one")
    if not same:
        hint = suggest(requested, names)
        hint = f"{hint} (--column)" if hint else ""
        shown = ", ".join(map(repr, names[:40])) or "none"
        raise ValueError(f"{file} has no column {requested!r}; it has {shown}{hint}")
    return same[0]


def _fold(name: str) -> str:
    return name.strip().casefold()


def _reader(stream: io.TextIOWrapper, delimiter: str) -> csv.DictReader[str]:
    csv.field_size_limit(max(_MAX_FIELD, csv.field_size_limit()))
    return csv.DictReader(stream, strict=True, delimiter=delimiter)


def _split_names(file: Path, columns: CsvColumns, delimiter: str) -> list[str]:
    """The splits of the rows in the order of their first rows."""
    names: dict[str, None] = {}
    with _open_text(file) as stream:
        reader = _reader(stream, delimiter)
        while True:
            try:
                row = next(reader, None)
            except csv.Error:  # listed when the rows are read
                continue
            if row is None:
                return list(names)
            names.setdefault((row.get(columns.split or "") or "").strip())


def _rows(
    file: Path,
    context: ImportContext,
    prompt: str,
    columns: CsvColumns,
    delimiter: str,
    split: str | None,
) -> Iterator[WrittenRow]:
    with _open_text(file) as stream:
        reader = _reader(stream, delimiter)
        while True:
            try:
                row = next(reader, None)
            except csv.Error as error:
                line = reader.reader.line_num
                context.report(ImportProblem(str(file), line, f"not CSV: {error}", "malformed"))
                continue
            if row is None:
                return
            if split is not None and (row.get(columns.split or "") or "").strip() != split:
                continue
            with context.collect_errors(file, reader.line_num):
                yield _row(row, columns, prompt, reader.line_num)


def _row(row: dict[str, str | None], columns: CsvColumns, prompt: str, line: int) -> WrittenRow:
    if None in row or None in row.values():
        raise LabelError("malformed", "the row has not as many fields as the first one")
    if any("\ufffd" in (value or "") for value in row.values()):
        raise LabelError("malformed", "the row is not UTF-8; save the file as 'CSV UTF-8'")
    question = "" if columns.question is None else row[columns.question] or ""
    answer = (row[columns.answer] or "").strip()
    if columns.question is not None and not question.strip():
        raise LabelError("empty-text", "the question is empty")
    if not answer:
        raise LabelError("empty-text", "the answer is empty")
    return WrittenRow(row[columns.image] or "", prompt + question.strip(), answer, line)
