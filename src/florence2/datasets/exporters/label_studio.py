"""Label Studio exporter: ``tasks.json`` and its labeling configuration ``config.xml``.

Coordinates are percentages of the image. The source's own labels are annotations, those of a model
predictions. The configuration lists exactly the labels of the dataset: Label Studio does not show
labels that its project lacks. Other fields are in a region's ``meta``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as Xml

from ...results.records import Record, SourceId
from ..importers.class_list import fill_ids
from .coco import clean_values
from .output import ExportDirectory, image_suffix
from .record_regions import ExportRegion, clean_text, list_captions, list_regions, list_text_lines
from .xml_text import strip_invalid_xml

_MODEL = "florence2"


class LabelStudioExporter:
    """Collects the tasks of the dataset: the format is one file.

    Images are named as local files below ``images``, for "Local files" storage of the directory.
    """

    def __init__(self, output: ExportDirectory) -> None:
        self._output = output
        self._tasks: list[dict[str, Any]] = []
        self._ids: list[SourceId | None] = []
        self._kinds: set[str] = set()

    def add(self, record: Record, name: str) -> int:
        file_name = f"{name}{image_suffix(record)}"
        labeled: list[dict[str, Any]] = []
        guessed: list[dict[str, Any]] = []
        for found in list_regions(record, self._output.classes):
            if not found.words:
                self._output.classes.find_class_index(found.name, found.category_id)
                first = len(labeled) + len(guessed)
                results = labeled if found.is_source else guessed
                results += _regions(found, record.image_size, first)
        for line in list_text_lines(record):
            guessed += _line(line, record.image_size, len(labeled) + len(guessed))
        for task, text in list_captions(record).items():
            guessed.append(
                {
                    "id": f"r{len(labeled) + len(guessed)}",
                    "from_name": _text_name(task),
                    "to_name": "image",
                    "type": "textarea",
                    "value": {"text": [clean_text(text)]},
                }
            )
        self._output.write_image(record, f"images/{file_name}")
        values = {"image": f"/data/local-files/?d={quote(f'images/{file_name}')}"}
        if record.split is not None:
            values["split"] = clean_text(record.split)
        task_values: dict[str, Any] = {"data": values}
        if record.objects is not None:
            task_values["annotations"] = [{"result": labeled}]
        if guessed or record.objects is None:
            task_values["predictions"] = [_prediction(guessed)]
        self._kinds |= {result["from_name"] for result in (*labeled, *guessed)}
        self._tasks.append(task_values)
        id = record.source_id
        self._ids.append(id if isinstance(id, int) else None)
        return len(labeled) + len(guessed)

    def finish(self) -> list[Path]:
        if any(id is not None for id in self._ids):
            ids = fill_ids(self._ids)
            self._tasks = [{"id": id, **task} for id, task in zip(ids, self._tasks, strict=True)]
        content = json.dumps(self._tasks, ensure_ascii=False, allow_nan=False)
        return [
            self._output.write("tasks.json", content),
            self._output.write("config.xml", self._config()),
        ]

    def _config(self) -> str:
        view = Xml.Element("View")
        Xml.SubElement(view, "Image", {"name": "image", "value": "$image", "zoom": "true"})
        names = self._output.classes.names
        for tag, name in (("RectangleLabels", "box"), ("PolygonLabels", "polygon")):
            # Without this control, classes without a region would be lost.
            if name in self._kinds or (name == "box" and names and "polygon" not in self._kinds):
                parent = Xml.SubElement(view, tag, {"name": name, "toName": "image"})
                for label in names:
                    Xml.SubElement(parent, "Label", {"value": strip_invalid_xml(label)})
        if "line" in self._kinds:
            Xml.SubElement(view, "Polygon", {"name": "line", "toName": "image"})
            Xml.SubElement(
                view,
                "TextArea",
                {
                    "name": "transcription",
                    "toName": "image",
                    "perRegion": "true",
                    "editable": "true",
                    "required": "false",
                },
            )
        for name in ("caption", "detailed_caption", "more_detailed_caption"):
            if name in self._kinds:
                Xml.SubElement(view, "TextArea", {"name": name, "toName": "image", "rows": "3"})
        Xml.indent(view)
        return Xml.tostring(view, "unicode") + "\n"


def _prediction(results: list[dict[str, Any]]) -> dict[str, Any]:
    scores = [result["score"] for result in results if "score" in result]
    prediction: dict[str, Any] = {"model_version": _MODEL, "result": results}
    if scores:
        prediction["score"] = sum(scores) / len(scores)
    return prediction


def _text_name(task: str) -> str:
    return task.strip("<>").lower()


def _sizes(image_size: tuple[int, int]) -> dict[str, int]:
    return {"original_width": image_size[0], "original_height": image_size[1]}


def _regions(found: ExportRegion, image_size: tuple[int, int], first: int) -> list[dict[str, Any]]:
    """A rectangle, or a polygon for each outline; the later parts have the first as parent."""
    width, height = image_size
    shared: dict[str, Any] = {"to_name": "image", "image_rotation": 0, **_sizes(image_size)}
    if found.score is not None:
        shared["score"] = found.score
    meta = clean_values(dict(found.attributes))
    if found.id is not None:
        meta["id"] = found.id
    if meta:
        shared["meta"] = meta
    name = strip_invalid_xml(found.name)
    outlines = found.outlines_or_corners
    if outlines:
        return [
            {
                "id": f"r{first + number}",
                "from_name": "polygon",
                "type": "polygonlabels",
                "value": {
                    "points": _percent(part, image_size),
                    "closed": True,
                    "polygonlabels": [name],
                },
                **({"parentID": f"r{first}"} if number else {}),
                **shared,
            }
            for number, part in enumerate(outlines)
        ]
    x0, y0, x1, y1 = (float(value) for value in found.box)
    value = {
        "x": 100 * x0 / width,
        "y": 100 * y0 / height,
        "width": 100 * (x1 - x0) / width,
        "height": 100 * (y1 - y0) / height,
        "rotation": 0,
        "rectanglelabels": [name],
    }
    return [
        {"id": f"r{first}", "from_name": "box", "type": "rectanglelabels", "value": value, **shared}
    ]


def _line(line: ExportRegion, image_size: tuple[int, int], number: int) -> list[dict[str, Any]]:
    """A line of text: its polygon, and its words as a text area of the same region."""
    identity, points = f"r{number}", _percent(line.quad, image_size)
    shared: dict[str, Any] = {
        "id": identity,
        "to_name": "image",
        "image_rotation": 0,
        **_sizes(image_size),
    }
    if line.score is not None:
        shared["score"] = line.score
    value = {"points": points, "closed": True}
    return [
        {**shared, "from_name": "line", "type": "polygon", "value": value},
        {
            **shared,
            "from_name": "transcription",
            "type": "textarea",
            "value": {**value, "text": [line.words]},
        },
    ]


def _percent(points: Any, image_size: tuple[int, int]) -> list[list[float]]:
    width, height = image_size
    return [[100 * float(x) / width, 100 * float(y) / height] for x, y in points]
