"""COCO out: ``instances.json``, a results file, and ``captions.json`` where there are captions.

Boxes are ``[x, y, width, height]`` in pixels; categories count from 1 (cocodataset.org, "Data
format" and "Results format"). Scores stand in both files; the results file needs one for
everything and has 1 where nobody gave one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...geometry import polygon_area
from ...records import Record
from .contents import Found, regions_of, texts_of
from .output import Output, suffix_of


class CocoWriter:
    """Holds the labels of the whole set, for the format is one file."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self._captions: list[dict[str, Any]] = []

    def add(self, record: Record, name: str) -> int:
        file_name = f"{name}{suffix_of(record)}"
        self._output.picture(record, f"images/{file_name}")
        number = len(self._images) + 1
        self._images.append({
            "id": number, "file_name": file_name, "width": record.width, "height": record.height,
        })  # fmt: skip
        before = len(self._annotations), len(self._captions)
        for found in regions_of(record, self._output.classes):
            self._annotations.append(self._annotation(found, number))
        for caption in texts_of(record).values():
            self._captions.append(
                {"id": len(self._captions) + 1, "image_id": number, "caption": caption}
            )
        return len(self._annotations) - before[0] + len(self._captions) - before[1]

    def finish(self) -> list[Path]:
        names = self._output.classes.names
        categories = [
            {"id": number, "name": name, "supercategory": ""}
            for number, name in enumerate(names, start=1)
        ]
        whole = {
            "images": self._images, "annotations": self._annotations, "categories": categories,
        }  # fmt: skip
        files = [self._output.put("annotations/instances.json", json.dumps(whole))]
        kept = ("image_id", "category_id", "bbox", "segmentation", "score")
        results = [
            {"score": 1.0, **{key: each[key] for key in kept if each.get(key)}}
            for each in self._annotations
        ]
        files.append(self._output.put("results.json", json.dumps(results)))
        if self._captions:
            captions = {"images": self._images, "annotations": self._captions}
            files.append(self._output.put("annotations/captions.json", json.dumps(captions)))
        return files

    def _annotation(self, found: Found, image: int) -> dict[str, Any]:
        x0, y0, x1, y1 = (float(value) for value in found.box)
        outlines = found.outlines_or_corners
        area = sum(map(polygon_area, outlines)) if outlines else (x1 - x0) * (y1 - y0)
        annotation = {
            "id": len(self._annotations) + 1,
            "image_id": image,
            "category_id": self._output.classes.number_of(found.name) + 1,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": float(area),
            "iscrowd": 0,
            "segmentation": [part.reshape(-1).tolist() for part in outlines],
        }
        if found.score is not None:
            annotation["score"] = found.score
        if found.words:
            annotation["text"] = found.words
        return annotation
