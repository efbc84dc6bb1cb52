"""Where a detector fails: objects missed and false alarms, by size and by class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from ...results.geometry import box_area
from ..benchmark import Table
from ..metrics.detection import DetectedObjects, TrueObjects, match_objects, pair_images

# COCO's limits of area, in pixels.
SIZES = {"small": 0.0, "medium": 32.0**2, "large": 96.0**2}
_COLUMNS = ("objects", "missed", "false alarms")
_Event = tuple[str, str, float]


def failure_tables(
    truths: Sequence[TrueObjects], detections: Sequence[DetectedObjects], iou: float = 0.5
) -> tuple[Table, Table]:
    """What was missed and what was invented at one IoU, by COCO's sizes and by class.

    An object is as large as its area says, a false alarm as its box. Classes with most failures
    come first. Crowds, and what matches them, are left out.
    """
    by_size: Counter[tuple[str, str]] = Counter()
    by_class: Counter[tuple[str, str]] = Counter()
    for kind, label, area in _events(truths, detections, iou):
        by_size[size_of(area), kind] += 1
        by_class[label, kind] += 1
    classes = sorted({label for label, _ in by_class})
    classes.sort(key=lambda label: -by_class[label, "missed"] - by_class[label, "false alarms"])
    return (
        _table(f"Failures by size (IoU {iou:g})", "size", list(SIZES), by_size),
        _table(f"Failures by class (IoU {iou:g})", "class", classes, by_class),
    )


def size_of(area: float) -> str:
    """What COCO calls an object of so many pixels: small, medium or large."""
    return [name for name, least in SIZES.items() if area >= least][-1]


def _events(
    truths: Sequence[TrueObjects], detections: Sequence[DetectedObjects], iou: float
) -> Iterator[_Event]:
    """Each object, each miss and each false alarm, with its class and area."""
    for truth, found in pair_images(truths, detections):
        pairs = match_objects(truth, found, iou)
        areas = box_area(truth.boxes) if truth.areas is None else truth.areas
        for index in np.flatnonzero(~truth.ignored).tolist():
            yield "objects", truth.labels[index], float(areas[index])
            if index not in pairs[:, 0]:
                yield "missed", truth.labels[index], float(areas[index])
        for index, area in enumerate(box_area(found.boxes).tolist()):
            if index not in pairs[:, 1]:
                yield "false alarms", found.labels[index], area


def _table(title: str, column: str, names: list[str], counts: Counter[tuple[str, str]]) -> Table:
    rows = []
    for name in names:
        objects, missed, invented = (counts[name, kind] for kind in _COLUMNS)
        rows.append((name, objects, missed, invented))
    return Table(title, (column, *_COLUMNS), tuple(rows))
