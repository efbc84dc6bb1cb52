"""Answers as values of other libraries, which are imported when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..io.extras import optional_import
from .geometry import clip_boxes, fix_inverted_boxes

if TYPE_CHECKING:
    from .types import Result


def to_supervision(result: Result) -> Any:
    """``supervision.Detections`` of a result's regions, a row each.

    ``xyxy`` is upright and within the image. ``confidence`` is there when the answer has scores,
    ``mask`` when it has outlines. Classes are numbered in the order of their names; the names are
    in ``data["class_name"]``. The four corners of lines of text are in
    ``data["xyxyxyxy"]``. Raises ``ValueError`` for a text answer.
    """
    supervision = optional_import("supervision", "supervision")
    from .types import Polygons, Quads

    answer = _regions(result)
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


def to_fiftyone(result: Result) -> Any:
    """FiftyOne's label: ``Detections``, ``Polylines`` or, for a text, ``Classification``.

    Coordinates are parts of the image's width and height.
    """
    fiftyone = optional_import("fiftyone", "fiftyone")
    from .types import Boxes, Polygons, Text

    answer = result.answer
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


def to_pandas(result: Result) -> Any:
    """A ``pandas.DataFrame`` of a result: a row a region, or one row with a text.

    Columns are ``task``, ``label``, ``x0``, ``y0``, ``x1``, ``y1`` (pixels), ``score``,
    ``label_score`` and ``outlines``; of a text ``task`` and ``text``.
    """
    pandas = optional_import("pandas", "pandas")
    from .types import Boxes, Polygons, Text

    answer = result.answer
    if isinstance(answer, Text):
        return pandas.DataFrame({"task": [result.task.token], "text": [answer.plain_text]})
    table: dict[str, Any] = {"task": [result.task.token] * len(answer), "label": answer.labels}
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


def _regions(result: Result) -> Any:
    from .types import Text

    if isinstance(result.answer, Text):
        raise ValueError(
            f"{result.task.token} answers with a text, which has no regions: use result.answer.text"
        )
    return result.answer


def _masks(answer: Any) -> NDArray[np.bool_]:
    """Masks ``bool[N, H, W]`` of the outlines."""
    from PIL import Image, ImageDraw

    width, height = answer.image_size
    masks = np.zeros((len(answer), height, width), np.bool_)
    for index, parts in enumerate(answer.polygons):
        image = Image.new("1", (width, height))
        for part in parts:
            if len(part) > 2:
                ImageDraw.Draw(image).polygon([tuple(point) for point in part.tolist()], fill=1)
        masks[index] = np.asarray(image)
    return masks
