"""COCO exporter: instances, captions if there are any, and a results file if there are scores.

Boxes are ``[x, y, width, height]`` in pixels (cocodataset.org, "Data format" and "Results format").
Images, categories and annotations keep the ids and the other fields that the source gives them;
categories without an id count from 1. A set with splits has ``annotations/instances_SPLIT.json``
and ``images/SPLIT`` for each, one without has ``annotations/instances.json`` and ``images``.
Both files hold scores; the results file needs one for each region and has 1 where none is known.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...results.geometry import polygon_area
from ...results.records import Record, SourceId
from ..importers.class_list import fill_ids
from .export_names import split_file_name
from .output import ExportDirectory, image_suffix
from .record_regions import ExportRegion, list_captions, list_regions

_RESERVED = frozenset(("id", "image_id", "category_id", "bbox", "score", "segmentation", "caption"))
_RESULTS = ("image_id", "category_id", "bbox", "segmentation", "score")


@dataclass
class _Part:
    """The labels of one split. Ids are assigned at the end, when all requested ids are known."""

    directory: str
    images: list[dict[str, Any]] = field(default_factory=list)
    image_ids: list[SourceId | None] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    ids: list[SourceId | None] = field(default_factory=list)
    captions: list[dict[str, Any]] = field(default_factory=list)
    has_results: bool = False


class CocoExporter:
    """Collects the labels of the dataset: the format has one file per split."""

    def __init__(self, output: ExportDirectory) -> None:
        self._output = output
        self._parts: dict[str | None, _Part] = {}

    def add(self, record: Record, name: str) -> int:
        part = self._part(record.split)
        file_name = f"{name}{image_suffix(record)}"
        index = len(part.images)
        regions = list_regions(record, self._output.classes)
        annotations = [self._annotation(found, index) for found in regions]
        image = {"file_name": file_name, "width": record.width, "height": record.height}
        self._output.write_image(record, f"{part.directory}/{file_name}")
        part.images.append(clean_values(dict(record.attributes)) | image)
        part.image_ids.append(record.source_id)
        part.annotations += annotations
        part.ids += [found.id for found in regions]
        part.has_results |= any(
            not region.is_source or region.score is not None for region in regions
        )
        texts = list_captions(record).values()
        part.captions += [{"image": index, "caption": text} for text in texts]
        return len(annotations) + len(texts)

    def finish(self) -> list[Path]:
        files = []
        listed = self._output.classes.listed
        category_ids = listed.ids()
        categories = [
            clean_values(dict(category.attributes))
            | {"id": id, "name": category.name, "supercategory": category.supercategory}
            for id, category in zip(category_ids, listed.categories, strict=True)
        ]
        for split, part in (self._parts or {None: _Part("images")}).items():
            ending = "" if split is None else f"_{split_file_name(split)}"
            image_ids = fill_ids(part.image_ids)
            images = [{"id": id, **image} for id, image in zip(image_ids, part.images, strict=True)]
            annotations = []
            for id, annotation in zip(fill_ids(part.ids), part.annotations, strict=True):
                found = {**annotation, "category_id": category_ids[annotation["category_id"]]}
                annotations.append(
                    {"id": id, **found, "image_id": image_ids[annotation["image_id"]]}
                )
            whole = {"images": images, "annotations": annotations, "categories": categories}
            files.append(self._write(f"annotations/instances{ending}.json", whole))
            if part.has_results or not annotations:
                results = [
                    {"score": 1.0} | {key: annotation[key] for key in _RESULTS if key in annotation}
                    for annotation in annotations
                ]
                results = [
                    {key: value for key, value in result.items() if value != []}
                    for result in results
                ]
                files.append(self._write(f"results{ending}.json", results))
            if part.captions:
                captions = [
                    {
                        "id": number,
                        "image_id": image_ids[caption["image"]],
                        "caption": caption["caption"],
                    }
                    for number, caption in enumerate(part.captions, start=1)
                ]
                texts = {"images": images, "annotations": captions}
                files.append(self._write(f"annotations/captions{ending}.json", texts))
        return files

    def _write(self, name: str, values: Any) -> Path:
        return self._output.write(name, json.dumps(values, allow_nan=False))

    def _part(self, split: str | None) -> _Part:
        if split not in self._parts:
            directory = "images" if split is None else f"images/{split_file_name(split)}"
            self._parts[split] = _Part(directory)
        return self._parts[split]

    def _annotation(self, found: ExportRegion, image: int) -> dict[str, Any]:
        x0, y0, x1, y1 = (float(value) for value in found.box)
        outlines = found.outlines_or_corners
        attributes = clean_values(dict(found.attributes))
        area = attributes.pop("area", None)
        if not _is_number(area):
            area = sum(map(polygon_area, outlines)) if outlines else (x1 - x0) * (y1 - y0)
        annotation = {
            "image_id": image,
            "category_id": self._output.classes.find_class_index(found.name, found.category_id),
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": area,
            "iscrowd": _as_flag(attributes.pop("iscrowd", 0)),
            "segmentation": [part.reshape(-1).tolist() for part in outlines],
        }
        mask = _as_mask(attributes.get("segmentation"))
        if mask is not None:
            annotation["segmentation"] = mask
        if found.score is not None:
            annotation["score"] = found.score
        if found.words:
            annotation["text"] = found.words
        others = {name: value for name, value in attributes.items() if name not in _RESERVED}
        return {**others, **annotation}


def clean_values(value: Any) -> Any:
    """Values that strict JSON has: numbers that are not finite become ``None``."""
    if isinstance(value, float) and not (float("-inf") < value < float("inf")):
        return None
    if isinstance(value, Mapping):
        return {str(name): clean_values(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean_values(item) for item in value]
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_flag(value: Any) -> int:
    """0 or 1, of what formats whose attributes are texts made of it."""
    return int(str(value).strip().lower() in ("1", "1.0", "true", "yes"))


def _as_mask(value: Any) -> dict[str, Any] | None:
    """A run-length mask, also as the text that other formats keep it as."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value if isinstance(value, dict) and "counts" in value and "size" in value else None
