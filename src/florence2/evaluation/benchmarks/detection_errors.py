"""Error analysis of a detector: missed objects and false positives, by size and by class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from ...results.geometry import box_area
from ..benchmark import Table
from ..metrics.detection import DetectedObjects, GroundTruthObjects, match_objects, pair_images

# COCO's limits of area, in pixels.
SIZES = {"small": 0.0, "medium": 32.0**2, "large": 96.0**2}
_COLUMNS = ("objects", "missed", "false positives")
_Event = tuple[str, str, float]


def error_tables(
    ground_truths: Sequence[GroundTruthObjects],
    detections: Sequence[DetectedObjects],
    iou: float = 0.5,
) -> tuple[Table, Table]:
    """Missed objects and false positives at one IoU, by COCO's sizes and by class.

    The size of an object is that of its area, the size of a false positive that of its box. Classes
    with most errors come first. Crowds and the detections that match them are excluded.
    """
    by_size: Counter[tuple[str, str]] = Counter()
    by_class: Counter[tuple[str, str]] = Counter()
    for kind, label, area in _events(ground_truths, detections, iou):
        by_size[size_class(area), kind] += 1
        by_class[label, kind] += 1
    classes = sorted({label for label, _ in by_class})
    classes.sort(key=lambda label: -by_class[label, "missed"] - by_class[label, "false positives"])
    return (
        _table(f"Errors by size (IoU {iou:g})", "size", list(SIZES), by_size),
        _table(f"Errors by class (IoU {iou:g})", "class", classes, by_class),
    )


def size_class(area: float) -> str:
    """COCO's size class of an area in pixels: small, medium or large."""
    return [name for name, bound in SIZES.items() if area >= bound][-1]


def _events(
    ground_truths: Sequence[GroundTruthObjects], detections: Sequence[DetectedObjects], iou: float
) -> Iterator[_Event]:
    """Each object, each miss and each false positive, with its class and area."""
    for ground_truth, found in pair_images(ground_truths, detections):
        pairs = match_objects(ground_truth, found, iou)
        areas = box_area(ground_truth.boxes) if ground_truth.areas is None else ground_truth.areas
        for index in np.flatnonzero(~ground_truth.ignored).tolist():
            yield "objects", ground_truth.labels[index], float(areas[index])
            if index not in pairs[:, 0]:
                yield "missed", ground_truth.labels[index], float(areas[index])
        for index, area in enumerate(box_area(found.boxes).tolist()):
            if index not in pairs[:, 1]:
                yield "false positives", found.labels[index], area


def _table(title: str, column: str, names: list[str], counts: Counter[tuple[str, str]]) -> Table:
    rows = []
    for name in names:
        objects, missed, false_positives = (counts[name, kind] for kind in _COLUMNS)
        rows.append((name, objects, missed, false_positives))
    return Table(title, (column, *_COLUMNS), tuple(rows))
