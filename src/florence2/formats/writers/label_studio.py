"""Label Studio out: ``tasks.json`` with predictions, and the ``config.xml`` they belong to.

Coordinates are per cent of the picture. The configuration holds exactly the labels of the
predictions: Label Studio shows nothing for a label that its project does not know.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

from ...records import Record
from .contents import Found, lines_of, regions_of, texts_of
from .output import Output, suffix_of
from .xml_text import allowed

_MODEL = "florence2"


class LabelStudioWriter:
    """Holds the tasks of the whole set, for the format is one file.

    Pictures are named as local files below ``images``, for "Local files" storage of the folder.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._tasks: list[dict[str, Any]] = []

    def add(self, record: Record, name: str) -> int:
        file_name = f"{name}{suffix_of(record)}"
        self._output.picture(record, f"images/{file_name}")
        size = {"original_width": record.width, "original_height": record.height}
        results: list[dict[str, Any]] = []
        for found in regions_of(record, self._output.classes):
            if not found.words:
                self._output.classes.number_of(found.name)
                results += _regions(found, record.image_size, size, len(results))
        for line in lines_of(record):
            results += _line(line, record.image_size, size, len(results))
        for task, text in texts_of(record).items():
            results.append({
                "id": f"r{len(results)}", "from_name": _text_name(task), "to_name": "image",
                "type": "textarea", "value": {"text": [text]},
            })  # fmt: skip
        scores = [each["score"] for each in results if "score" in each]
        prediction: dict[str, Any] = {"model_version": _MODEL, "result": results}
        if scores:
            prediction["score"] = sum(scores) / len(scores)
        image = f"/data/local-files/?d=images/{file_name}"
        self._tasks.append({"data": {"image": image}, "predictions": [prediction]})
        return len(results)

    def finish(self) -> list[Path]:
        return [
            self._output.put("tasks.json", json.dumps(self._tasks, ensure_ascii=False)),
            self._output.put("config.xml", self._config()),
        ]

    def _config(self) -> str:
        view = Xml.Element("View")
        Xml.SubElement(view, "Image", {"name": "image", "value": "$image", "zoom": "true"})
        used = {result["from_name"] for task in self._tasks for result in _results(task)}
        for tag, name in (("RectangleLabels", "box"), ("PolygonLabels", "polygon")):
            if name in used:
                parent = Xml.SubElement(view, tag, {"name": name, "toName": "image"})
                for label in self._output.classes.names:
                    Xml.SubElement(parent, "Label", {"value": allowed(label)})
        if "line" in used:
            Xml.SubElement(view, "Polygon", {"name": "line", "toName": "image"})
            Xml.SubElement(view, "TextArea", {
                "name": "transcription", "toName": "image", "perRegion": "true",
                "editable": "true", "required": "false",
            })  # fmt: skip
        for name in ("caption", "detailed_caption", "more_detailed_caption"):
            if name in used:
                Xml.SubElement(view, "TextArea", {"name": name, "toName": "image", "rows": "3"})
        Xml.indent(view)
        return Xml.tostring(view, "unicode") + "\n"


def _results(task: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = task["predictions"][0]["result"]
    return found


def _text_name(task: str) -> str:
    return task.strip("<>").lower()


def _regions(
    found: Found, image_size: tuple[int, int], size: dict[str, int], first: int
) -> list[dict[str, Any]]:
    width, height = image_size
    shared: dict[str, Any] = {"to_name": "image", "image_rotation": 0, **size}
    if found.score is not None:
        shared["score"] = found.score
    outlines = found.outlines_or_corners
    if outlines:
        return [
            {
                "id": f"r{first + number}", "from_name": "polygon", "type": "polygonlabels",
                "value": {
                    "points": _percent(part, image_size), "closed": True,
                    "polygonlabels": [found.name],
                },
                **shared,
            }
            for number, part in enumerate(outlines)
        ]  # fmt: skip
    x0, y0, x1, y1 = (float(value) for value in found.box)
    value = {
        "x": 100 * x0 / width, "y": 100 * y0 / height, "width": 100 * (x1 - x0) / width,
        "height": 100 * (y1 - y0) / height, "rotation": 0, "rectanglelabels": [found.name],
    }  # fmt: skip
    return [
        {"id": f"r{first}", "from_name": "box", "type": "rectanglelabels", "value": value, **shared}
    ]


def _line(
    line: Found, image_size: tuple[int, int], size: dict[str, int], number: int
) -> list[dict[str, Any]]:
    """A line of text: its polygon, and its words as a text area of the same region."""
    identity, points = f"r{number}", _percent(line.quad, image_size)
    shared: dict[str, Any] = {"id": identity, "to_name": "image", "image_rotation": 0, **size}
    if line.score is not None:
        shared["score"] = line.score
    value = {"points": points, "closed": True}
    return [
        {**shared, "from_name": "line", "type": "polygon", "value": value},
        {
            **shared, "from_name": "transcription", "type": "textarea",
            "value": {**value, "text": [line.words]},
        },
    ]  # fmt: skip


def _percent(points: Any, image_size: tuple[int, int]) -> list[list[float]]:
    width, height = image_size
    return [[100 * float(x) / width, 100 * float(y) / height] for x, y in points]
