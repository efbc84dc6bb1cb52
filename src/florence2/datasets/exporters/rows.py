"""CSV and JSON lines exporters: one row per region, or one line per annotation."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ...results.records import Annotation, Category, Record
from ...results.types import Text
from ..importers.prediction_lines import PREDICTIONS_FILE, annotation_to_line, record_to_line
from ..importers.prediction_rows import CLASSES_FILE, COLUMNS, CSV_FILE
from .coco import clean_values
from .output import ExportDirectory, image_suffix
from .record_regions import ExportRegion, choose_annotations, list_regions


def place_image(output: ExportDirectory, record: Record, name: str) -> str:
    """The path of the image for a line: its own, or that of the written image without a file."""
    if record.image is None or not output.options.copy_images:
        return record.path or record.id
    image_name = f"images/{name}{image_suffix(record)}"
    output.write_image(record, image_name)
    return image_name


class JsonLinesExporter:
    """``answers.jsonl``: a line for every kept annotation, as ``florence2 run`` writes them.

    The first line holds the classes of the source. An image with other fields, or without
    annotations, has its own line.
    """

    def __init__(self, output: ExportDirectory) -> None:
        self._output = output
        self._lines: list[str] = []

    def add(self, record: Record, name: str) -> int:
        named = replace(record, path=place_image(self._output, record, name))
        answers = [annotation_to_line(named, annotation) for annotation in record.kept()]
        about = record_to_line(named)
        lines = (
            [about, *answers] if about.keys() > {"image", "image_size"} or not answers else answers
        )
        self._lines += [_json(line) for line in lines]
        for labeled in record.objects or ():
            self._output.classes.find_class_index(labeled.label, labeled.category_id)
        return len(answers) or len(record.objects or ())

    def finish(self) -> list[Path]:
        categories = [asdict(category) for category in self._output.classes.listed.categories]
        head = [_json({"categories": categories, "base": "file"})]
        content = "".join(f"{line}\n" for line in (*head, *self._lines))
        return [self._output.write(PREDICTIONS_FILE, content.encode("utf-8", "backslashreplace"))]


class CsvExporter:
    """``answers.csv``: a row for every region and every text; outlines as JSON in one column.

    The objects of the source have no task. An image without any row gets an empty one. The
    classes, empty ones too, are in ``classes.json``.
    """

    def __init__(self, output: ExportDirectory) -> None:
        self._output = output
        self._rows: list[dict[str, object]] = []

    def add(self, record: Record, name: str) -> int:
        shared: dict[str, object] = {
            "image": place_image(self._output, record, name),
            "width": record.width,
            "height": record.height,
            "split": record.split,
            "file_name": record.file_name,
            "image_id": record.source_id,
        }
        alone = replace(record, annotations=())
        rows = [
            {**shared, **self._region(region)}
            for region in list_regions(alone, self._output.classes)
        ]
        used, _ = choose_annotations(record)
        for annotation in (kept for kept in record.kept() if kept in used):
            rows += [{**shared, **row} for row in self._answer(record, annotation)]
        count = len(rows)
        if not rows:
            # A round without a task: the source was labeled and has no object here.
            rows = [shared if record.objects is None else {**shared, "round": 0}]
        self._rows += rows
        return count

    def finish(self) -> list[Path]:
        stream = io.StringIO(newline="")
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(self._rows)
        content = stream.getvalue().encode("utf-8", "backslashreplace")
        listed: tuple[Category, ...] = self._output.classes.listed.categories
        classes = json.dumps([asdict(category) for category in listed], indent=1)
        return [self._output.write(CSV_FILE, content), self._output.write(CLASSES_FILE, classes)]

    def _answer(self, record: Record, annotation: Annotation) -> list[dict[str, object]]:
        prompt = annotation.prompt_input
        words = " ".join(map(str, prompt)) if isinstance(prompt, tuple) else prompt
        shared: dict[str, object] = {
            "task": annotation.task,
            "annotator": annotation.annotator.name,
            "round": annotation.round,
            "score": annotation.score,
            "question": words,
        }
        if isinstance(annotation.answer, Text):
            return [{**shared, "text": annotation.answer.plain_text}]
        alone = replace(record, annotations=(annotation,), objects=None)
        found = list_regions(alone, self._output.classes)
        return [{**shared, **self._region(region)} for region in found]

    def _region(self, found: ExportRegion) -> dict[str, object]:
        self._output.classes.find_class_index(found.name, found.category_id)
        row: dict[str, object] = {"class": found.name, "text": found.words}
        row |= {key: float(at) for key, at in zip(("x0", "y0", "x1", "y1"), found.box, strict=True)}
        if found.score is not None:
            row["score"] = found.score
        outlines = found.outlines_or_corners
        if outlines:
            row["outlines"] = json.dumps([part.tolist() for part in outlines])
        if found.is_source:
            row |= {"category_id": found.category_id, "object_id": found.id, "round": 0}
        if found.attributes:
            row["attributes"] = json.dumps(clean_values(dict(found.attributes)))
        return row


def _json(values: dict[str, Any]) -> str:
    return json.dumps(clean_values(values), ensure_ascii=False, allow_nan=False)
