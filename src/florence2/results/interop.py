"""Answers as values of other libraries, which are imported at first use."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..io.extras import optional_import
from .answers import Answer, Boxes, Polygons, Quads, Regions, Text
from .geometry import clip_boxes, fix_inverted_boxes
from .masks import fill_polygons


def to_supervision(answer: Answer, task: str) -> Any:
    """``supervision.Detections`` of the regions of an answer, one row each.

    ``xyxy`` is upright and within the image. ``confidence`` is there when the answer has scores,
    ``mask`` when it has polygons. Classes are numbered in the order of their names; the names are
    in ``data["class_name"]``. The four corners of lines of text are in
    ``data["xyxyxyxy"]``. Raises ``ValueError`` for a text answer.
    """
    supervision = optional_import("supervision", "supervision")
    answer = _regions(answer, task)
    if not len(answer):
        return supervision.Detections.empty()
    numbers = {name: number for number, name in enumerate(sorted(set(answer.labels)))}
    data: dict[str, Any] = {"class_name": np.array(answer.labels, dtype=object).astype(str)}
    if isinstance(answer, Quads):
        data["xyxyxyxy"] = answer.corners.copy()
    return supervision.Detections(
        xyxy=clip_boxes(fix_inverted_boxes(answer.bounds), answer.image_size).astype(np.float32),
        mask=_masks(answer) if isinstance(answer, Polygons) else None,
        confidence=None if answer.scores is None else answer.scores.copy(),
        class_id=np.array([numbers[label] for label in answer.labels], int),
        data=data,
    )


def to_fiftyone(answer: Answer) -> Any:
    """FiftyOne's label: ``Detections``, ``Polylines`` or, for a text, ``Classification``.

    Coordinates are parts of the image's width and height.
    """
    fiftyone = optional_import("fiftyone", "fiftyone")
    if isinstance(answer, Text):
        return fiftyone.Classification(label=answer.plain_text)
    size = np.asarray(answer.image_size, np.float64)
    confidences = [None] * len(answer) if answer.scores is None else answer.scores.tolist()
    if isinstance(answer, Boxes):
        clipped = clip_boxes(fix_inverted_boxes(answer.xyxy), answer.image_size)
        boxes = clipped.reshape(-1, 2, 2) / size
        return fiftyone.Detections(
            detections=[
                fiftyone.Detection(
                    label=label,
                    confidence=confidence,
                    bounding_box=[*low.tolist(), *(high - low).tolist()],
                )
                for label, confidence, (low, high) in zip(
                    answer.labels, confidences, boxes, strict=True
                )
            ]
        )
    outlines = (
        answer.polygons
        if isinstance(answer, Polygons)
        else [(corners,) for corners in answer.corners]
    )
    return fiftyone.Polylines(
        polylines=[
            fiftyone.Polyline(
                label=label,
                confidence=confidence,
                closed=True,
                filled=True,
                points=[(part / size).tolist() for part in parts],
            )
            for label, confidence, parts in zip(answer.labels, confidences, outlines, strict=True)
        ]
    )


def to_pandas(answer: Answer, task: str) -> Any:
    """A ``pandas.DataFrame`` of an answer: a row a region, or one row with a text.

    Columns are ``task``, ``label``, ``x0``, ``y0``, ``x1``, ``y1`` (pixels), ``score``,
    ``label_score`` and ``outlines``; of a text ``task`` and ``text``.
    """
    pandas = optional_import("pandas", "pandas")
    if isinstance(answer, Text):
        return pandas.DataFrame({"task": [task], "text": [answer.plain_text]})
    table: dict[str, Any] = {"task": [task] * len(answer), "label": answer.labels}
    table |= dict(zip(("x0", "y0", "x1", "y1"), answer.bounds.T.copy(), strict=True))
    nothing = [None] * len(answer)
    table["score"] = nothing if answer.scores is None else answer.scores.copy()
    table["label_score"] = nothing if answer.label_scores is None else answer.label_scores.copy()
    if isinstance(answer, Polygons):
        table["outlines"] = [[part.tolist() for part in parts] for parts in answer.polygons]
    else:
        table["outlines"] = (
            nothing if isinstance(answer, Boxes) else [[c.tolist()] for c in answer.corners]
        )
    return pandas.DataFrame(table)


def _regions(answer: Answer, task: str) -> Regions:
    if isinstance(answer, Text):
        raise ValueError(f"{task} gives a text, which has no regions: use result.answer.text")
    return answer


def _masks(answer: Polygons) -> NDArray[np.bool_]:
    """Masks ``bool[N, H, W]`` of the instances."""
    width, height = answer.image_size
    masks = np.zeros((len(answer), height, width), np.bool_)
    for mask, parts in zip(masks, answer.polygons, strict=True):
        for part in parts:
            mask |= fill_polygons([part], answer.image_size)
    return masks
