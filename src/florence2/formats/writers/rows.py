"""CSV and JSON lines out: everything there is, a row a region or a line an annotation."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from ...records import Record
from ...results import Text
from ..answers import ANSWERS, answer_line
from .contents import Found, regions_of
from .output import Output

_COLUMNS = (
    "image", "width", "height", "task", "question", "class", "text", "x0", "y0", "x1", "y1",
    "score", "outlines", "annotator", "round",
)  # fmt: skip


class JsonLinesWriter:
    """``answers.jsonl``: a line for every kept annotation, as ``florence2 run`` writes them."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._lines: list[str] = []

    def add(self, record: Record, name: str) -> int:
        del name
        lines = [answer_line(record, each) for each in record.kept()]
        self._lines += [json.dumps(each, ensure_ascii=False) for each in lines]
        return len(lines)

    def finish(self) -> list[Path]:
        content = "".join(f"{line}\n" for line in self._lines)
        return [self._output.put(ANSWERS, content.encode("utf-8", "backslashreplace"))]


class CsvWriter:
    """``answers.csv``: a row for every region and every text; outlines as JSON in one column."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._rows: list[dict[str, object]] = []

    def add(self, record: Record, name: str) -> int:
        del name
        before = len(self._rows)
        for annotation in record.kept():
            asked = annotation.question
            words = " ".join(map(str, asked)) if isinstance(asked, tuple) else asked
            shared: dict[str, object] = {
                "image": record.id, "width": record.width, "height": record.height,
                "task": annotation.task, "annotator": annotation.annotator.name,
                "round": annotation.round, "score": annotation.score, "question": words,
            }  # fmt: skip
            if isinstance(annotation.answer, Text):
                self._rows.append({**shared, "text": annotation.answer.plain})
                continue
            alone = Record(
                record.id, record.width, record.height, record.sha256, record.image, record.path,
                (annotation,),
            )  # fmt: skip
            for found in regions_of(alone, self._output.classes):
                self._output.classes.number_of(found.name)
                self._rows.append({**shared, **_region(found)})
        return len(self._rows) - before

    def finish(self) -> list[Path]:
        stream = io.StringIO(newline="")
        writer = csv.DictWriter(stream, _COLUMNS)
        writer.writeheader()
        writer.writerows(self._rows)
        content = stream.getvalue().encode("utf-8", "backslashreplace")
        return [self._output.put("answers.csv", content)]


def _region(found: Found) -> dict[str, object]:
    row: dict[str, object] = {"class": found.name, "text": found.words}
    row |= {key: float(at) for key, at in zip(("x0", "y0", "x1", "y1"), found.box, strict=True)}
    if found.score is not None:
        row["score"] = found.score
    outlines = found.outlines_or_corners
    if outlines:
        row["outlines"] = json.dumps([part.tolist() for part in outlines])
    return row
