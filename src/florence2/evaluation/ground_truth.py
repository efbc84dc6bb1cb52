"""The ground truth of any benchmark as regions to draw and texts to print."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..results.types import Boxes, ImageSize, Polygons, Regions, Text
from .metrics.detection import GroundTruthObjects
from .metrics.ocr import TextRegions

_SEGMENTS = frozenset({"segmentation", "segments", "polygons"})
_BOXES = frozenset({"box", "boxes", "bbox", "bboxes", "xyxy"})


@dataclass(frozen=True)
class Drawable:
    """Regions to draw on the image, and texts to print next to it."""

    regions: Regions | None
    texts: tuple[str, ...]


def to_drawable(
    ground_truth: Any, image_size: ImageSize, *, prefer_polygons: bool = False
) -> Drawable:
    """The drawable and printable parts of ``ground_truth``.

    Args:
        ground_truth: an answer, texts, what a metric takes, or a dataclass or mapping with fields
            of these kinds.
        image_size: ``(width, height)``.
        prefer_polygons: draw polygons where there are polygons and boxes.
    """
    regions: list[Regions] = []
    texts: list[str] = []
    for found in _parts(ground_truth, image_size):
        if isinstance(found, str):
            texts.append(found)
        elif len(found):
            regions.append(found)
    regions.sort(key=lambda each: isinstance(each, Polygons) != prefer_polygons)
    return Drawable(regions[0] if regions else None, tuple(dict.fromkeys(filter(None, texts))))


def _parts(ground_truth: Any, size: ImageSize) -> Iterator[Regions | str]:
    if _is_known(ground_truth) or not (record := _to_fields(ground_truth)):
        yield from _known(ground_truth, size)
        return
    boxes = next((_boxes(value) for name, value in record.items() if name in _BOXES), None)
    labels: Sequence[str] | None = None
    for name, value in record.items():
        if name in _BOXES:
            continue
        if name in _SEGMENTS:
            yield from _polygons(value, size)
        elif boxes is not None and (names := _names(value, len(boxes))):
            labels = labels or names
        else:
            yield from _known(value, size)
    if boxes is not None:
        yield Boxes(boxes, labels or [""] * len(boxes), size)


def _to_fields(ground_truth: Any) -> dict[str, Any]:
    """The fields of a dataclass or a mapping by name; empty for another value."""
    if is_dataclass(ground_truth):
        return {field.name: getattr(ground_truth, field.name) for field in fields(ground_truth)}
    return dict(ground_truth) if isinstance(ground_truth, Mapping) else {}


def _is_known(value: Any) -> bool:
    return isinstance(value, str | Text | Regions | GroundTruthObjects | TextRegions)


def _known(value: Any, size: ImageSize) -> Iterator[Regions | str]:
    """The parts of a value of a known type, or of a sequence of them; else nothing."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Text):
        yield value.plain_text
    elif isinstance(value, Regions):
        yield value
    elif isinstance(value, GroundTruthObjects):
        yield Boxes(value.boxes, _mark_ignored(value.labels, value.ignored), size)
    elif isinstance(value, TextRegions):
        polygons = [[np.asarray(each, np.float32)] for each in value.outlines]
        yield Polygons(polygons, _mark_ignored(value.texts, ~value.scored), size)
    elif isinstance(value, Sequence):
        for part in value:
            yield from _known(part, size)


def _mark_ignored(labels: Sequence[str], ignored: NDArray[np.bool_]) -> list[str]:
    return [
        f"{label} (not counted)" if is_ignored else label
        for label, is_ignored in zip(labels, ignored, strict=True)
    ]


def _boxes(value: Any) -> NDArray[np.float32]:
    """Boxes ``float32[N, 4]`` from one box, from several, or from several for each object."""
    parts = value if isinstance(value, tuple | list) else [value]
    flat = [np.asarray(part, np.float32).reshape(-1) for part in parts]
    return np.concatenate(flat).reshape(-1, 4) if flat else np.zeros((0, 4), np.float32)


def _names(value: Any, count: int) -> list[str] | None:
    """A name for each of ``count`` boxes, if ``value`` has as many strings, or groups of them."""
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != count:
        return None
    groups = [(each,) if isinstance(each, str) else each for each in value]
    if not all(isinstance(each, tuple | list) for each in groups):
        return None
    if not all(isinstance(name, str) for each in groups for name in each):
        return None
    return ["; ".join(each) for each in groups]


def _polygons(segmentation: Any, size: ImageSize) -> Iterator[Polygons]:
    """COCO's polygons of one object; RLE is not drawn."""
    if isinstance(segmentation, Sequence):
        parts = [np.asarray(part, np.float32).reshape(-1, 2) for part in segmentation]
        yield Polygons([parts], [""], size)
