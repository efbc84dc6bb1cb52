"""The truth of a case as something that can be drawn or read, whichever benchmark it is from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..results.types import Boxes, ImageSize, Polygons, Regions, Text
from .metrics.detection import TrueObjects
from .metrics.ocr import TextRegions

_SEGMENTS = frozenset({"segmentation", "segments", "polygons"})
_BOXES = frozenset({"box", "boxes", "bbox", "bboxes", "xyxy"})


@dataclass(frozen=True)
class DrawnTruth:
    """What a truth holds: regions to draw, and words to write."""

    regions: Regions | None
    words: tuple[str, ...]


def draw_ground_truth(truth: Any, image_size: ImageSize, *, outlines: bool = False) -> DrawnTruth:
    """The drawable and readable parts of ``truth``: an answer, words, what a metric takes, or a
    record with fields of these kinds. With ``outlines``, polygons are preferred to boxes."""
    regions: list[Regions] = []
    words: list[str] = []
    for found in _parts(truth, image_size):
        if isinstance(found, str):
            words.append(found)
        elif len(found):
            regions.append(found)
    regions.sort(key=lambda each: isinstance(each, Polygons) != outlines)
    return DrawnTruth(regions[0] if regions else None, tuple(dict.fromkeys(filter(None, words))))


def _parts(truth: Any, size: ImageSize) -> Iterator[Regions | str]:
    if _is_known(truth) or not (record := _record(truth)):
        yield from _known(truth, size)
        return
    boxes = next((_boxes(value) for name, value in record.items() if name in _BOXES), None)
    labels: Sequence[str] | None = None
    for name, value in record.items():
        if name in _BOXES:
            continue
        if name in _SEGMENTS:
            yield from _outlines(value, size)
        elif boxes is not None and (names := _names(value, len(boxes))):
            labels = labels or names
        else:
            yield from _known(value, size)
    if boxes is not None:
        yield Boxes(boxes, labels or [""] * len(boxes), size)


def _record(truth: Any) -> dict[str, Any]:
    """The fields of a dataclass or a mapping by name; none for anything else."""
    if is_dataclass(truth):
        return {field.name: getattr(truth, field.name) for field in fields(truth)}
    return dict(truth) if isinstance(truth, Mapping) else {}


def _is_known(value: Any) -> bool:
    return isinstance(value, str | Text | Regions | TrueObjects | TextRegions)


def _known(value: Any, size: ImageSize) -> Iterator[Regions | str]:
    """What a value of a known kind, or a sequence of them, has to show; else nothing."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Text):
        yield value.plain_text
    elif isinstance(value, Regions):
        yield value
    elif isinstance(value, TrueObjects):
        yield Boxes(value.boxes, _marked(value.labels, value.ignored), size)
    elif isinstance(value, TextRegions):
        words = [[np.asarray(each, np.float32)] for each in value.outlines]
        yield Polygons(words, _marked(value.texts, ~value.scored), size)
    elif isinstance(value, Sequence):
        for part in value:
            yield from _known(part, size)


def _marked(labels: Sequence[str], ignored: NDArray[np.bool_]) -> list[str]:
    return [
        f"{label} (not counted)" if left_out else label
        for label, left_out in zip(labels, ignored, strict=True)
    ]


def _boxes(value: Any) -> NDArray[np.float32]:
    """Boxes ``float32[N, 4]`` of one box, of several, or of several for each of many things."""
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


def _outlines(segmentation: Any, size: ImageSize) -> Iterator[Polygons]:
    """COCO's polygons of one object; run lengths are not drawn."""
    if isinstance(segmentation, Sequence):
        parts = [np.asarray(part, np.float32).reshape(-1, 2) for part in segmentation]
        yield Polygons([parts], [""], size)
