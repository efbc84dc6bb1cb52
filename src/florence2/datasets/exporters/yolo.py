"""YOLO exporter: ``data.yaml``, ``images/SPLIT`` and ``labels/SPLIT`` with a text file per image.

Lines are ``class x y width height`` (the center), ``class x y x y ...`` (a polygon) or ``class``
and four corners (oriented boxes), all as fractions of the image (docs.ultralytics.com). An image
without objects has an empty file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...results.records import Record
from ..importers.splits import find_role
from .export_names import split_file_name
from .output import ExportDirectory, image_suffix
from .record_regions import ExportRegion, Points, list_regions

Shape = Literal["boxes", "polygons", "oriented-boxes"]
_NO_SPLIT = "train"


class YoloExporter:
    """Writes the labels of each image at once, and ``data.yaml`` at the end."""

    def __init__(self, output: ExportDirectory, shape: Shape = "boxes") -> None:
        self._output, self._shape = output, shape
        self._splits: dict[str, None] = {}

    def add(self, record: Record, name: str) -> int:
        split = _NO_SPLIT if record.split is None else split_file_name(record.split)
        lines = []
        for found in list_regions(record, self._output.classes):
            if found.attributes.get("iscrowd") not in (None, 0, "0", False):
                self._output.dropped["crowd regions"] += 1
                continue
            self._count_dropped(found)
            lines.append(self._line(found, record.image_size))
        self._output.write_image(record, f"images/{split}/{name}{image_suffix(record)}")
        self._output.write_one(f"labels/{split}/{name}.txt", "".join(lines))
        self._splits[split] = None
        return len(lines)

    def finish(self) -> list[Path]:
        import yaml

        names = dict(enumerate(self._output.classes.names))
        values: dict[str, Any] = {"path": str(self._output.directory.absolute())}
        values |= _split_entries(list(self._splits) or [_NO_SPLIT])
        text = yaml.safe_dump(values | {"names": names}, sort_keys=False, allow_unicode=True)
        return [self._output.write("data.yaml", text)]

    def _count_dropped(self, found: ExportRegion) -> None:
        if found.score is not None and found.is_source:
            self._output.dropped["scores"] += 1
        if any(name not in ("area", "iscrowd", "segmentation") for name in found.attributes):
            self._output.dropped["attributes"] += 1
        if "segmentation" in found.attributes and not found.outlines and self._shape != "boxes":
            self._output.dropped["masks that polygons cannot express (boxes are written)"] += 1
        if found.outlines and self._shape == "boxes" and found.is_source:
            self._output.dropped["outlines (yolo-seg keeps them)"] += 1

    def _line(self, found: ExportRegion, size: tuple[int, int]) -> str:
        if self._shape == "boxes":
            corners = found.box.reshape(2, 2) / size
            numbers = np.concatenate([corners.mean(axis=0), corners[1] - corners[0]])
        elif self._shape == "polygons":
            numbers = (join_polygons(found.outlines_or_box) / size).reshape(-1)
        else:
            numbers = (min_area_rect(found) / size).reshape(-1)
        words = [str(self._output.classes.find_class_index(found.name, found.category_id))]
        return " ".join([*words, *(_fraction(value) for value in np.clip(numbers, 0, 1))]) + "\n"


def _split_entries(splits: list[str]) -> dict[str, str | list[str]]:
    """The directories of ``train``, ``val`` and ``test``.

    Trainers require ``train`` and ``val``: a dataset with one of them names its directory twice.
    """
    directories: dict[str, list[str]] = {}
    for split in splits:
        directories.setdefault(find_role(split) or "train", []).append(f"images/{split}")
    for role in ("train", "val"):
        directories.setdefault(role, next(iter(directories.values())))
    order = [role for role in ("train", "val", "test") if role in directories]
    return {role: found[0] if len(found := directories[role]) == 1 else found for role in order}


def _fraction(value: float) -> str:
    return f"{value:.8f}".rstrip("0").rstrip(".") or "0"


def join_polygons(parts: tuple[Points, ...]) -> NDArray[np.float64]:
    """The polygons of one object as a single one ``float64[K, 2]``: a YOLO line holds one.

    Each part is connected to the next at their nearest points, by a bridge without area.
    """
    whole = parts[0].astype(np.float64)
    for part in parts[1:]:
        distances = np.linalg.norm(whole[:, None] - part[None], axis=2)
        end, start = np.unravel_index(int(distances.argmin()), distances.shape)
        inserted = np.concatenate([np.roll(part, -start, axis=0), part[start : start + 1]])
        whole = np.concatenate([whole[: end + 1], inserted, whole[end:]])
    return whole


def min_area_rect(found: ExportRegion) -> NDArray[np.float64]:
    """The four corners of a region: its own, or those of the smallest rotated box around it."""
    if found.corners is not None or not found.outlines:
        return found.quad.astype(np.float64)
    points = np.concatenate(found.outlines).astype(np.float64)
    best = found.quad.astype(np.float64)
    smallest = np.prod(np.ptp(points, axis=0))
    following = np.concatenate([np.roll(part, -1, axis=0) for part in found.outlines])
    edges = following.astype(np.float64) - points
    for angle in np.unique(np.arctan2(edges[:, 1], edges[:, 0]) % (np.pi / 2)):
        turn = np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
        turned = points @ turn
        low, high = turned.min(axis=0), turned.max(axis=0)
        if np.prod(high - low) < smallest - 1e-9:
            smallest = np.prod(high - low)
            box = np.array([low, (high[0], low[1]), high, (low[0], high[1])])
            best = box @ turn.T
    return best
