"""Answers as JSON and back; each pair of functions is tested as a round trip.

``answer_to_json`` gives the form of the released processor: the lines of ``florence2 run``, HTTP
responses and MCP tools. It has no score of a text and no image size, and an answer without regions
is read back as boxes; ``answer_to_exact_json``, for the predictions of an evaluation, keeps all of
them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .answers import Answer, Boxes, ImageSize, Polygons, Quads, Regions, Text
from .tasks import Task

_KINDS = ("text", "boxes", "quads", "polygons")


def answer_to_json(answer: Answer, task: Task) -> Any:
    """The answer as the released processor gives it, with scores where known.

    A text is a string. Regions are an object with ``bboxes``, ``quad_boxes`` (eight numbers each)
    or ``polygons`` (flat lists ``x, y, x, y, ...``), and ``labels``; ``answer_from_json`` reads it.
    """
    if isinstance(answer, Text):
        return answer.text
    if task.answer == "boxes_or_polygons":
        return _mixed_dict(answer)
    known = {"scores": answer.scores, "label_scores": answer.label_scores}
    scores = {name: values.tolist() for name, values in known.items() if values is not None}
    if isinstance(answer, Boxes):
        coordinates = {"bboxes": answer.xyxy.tolist()}
    elif isinstance(answer, Quads):
        coordinates = {"quad_boxes": answer.corners.reshape(-1, 8).tolist()}
    else:
        coordinates = {"polygons": _flat_polygons(answer)}
    return {**coordinates, "labels": list(answer.labels), **scores}


def answer_from_json(value: Any, image_size: ImageSize) -> Answer:
    """The answer that ``answer_to_json`` wrote, for an image of ``image_size`` (width, height).

    Raises:
        ValueError, KeyError, TypeError, AttributeError, ArithmeticError: It wrote no such value.
    """
    if isinstance(value, str):
        value.encode("utf-8")
        return Text(value)
    if not isinstance(value, dict):
        raise ValueError(f"an answer must be a text or an object, got {value!r:.80}")
    for name in ("labels", "bboxes_labels", "polygons_labels"):
        labels = value.get(name, [])
        if not isinstance(labels, list) or not all(isinstance(each, str) for each in labels):
            raise ValueError(f"{name!r} must be a list of texts, got {labels!r:.80}")
        for label in labels:
            label.encode("utf-8")
    known = {key: value[key] for key in ("scores", "label_scores") if key in value}
    if "bboxes_labels" in value:
        if value["polygons_labels"]:
            scores = value.get("polygons_scores")
            return Polygons(_parts(value["polygons"]), value["polygons_labels"], image_size, scores)
        return Boxes(value["bboxes"], value["bboxes_labels"], image_size, **known)
    if "quad_boxes" in value:
        corners = np.asarray(value["quad_boxes"], np.float32).reshape(-1, 4, 2)
        return Quads(corners, value["labels"], image_size, **known)
    if "polygons" in value:
        return Polygons(_parts(value["polygons"]), value["labels"], image_size, **known)
    return Boxes(value["bboxes"], value["labels"], image_size, **known)


def answer_to_exact_json(answer: Answer) -> dict[str, Any]:
    """``answer`` under the name of its kind: ``{"boxes": [[x0, y0, x1, y1]], "labels": ...}``.

    Corners and polygons are lists of points. Scores are there where the answer has them. Raises
    ``ValueError`` for numbers that are not finite.
    """
    values: dict[str, Any]
    if isinstance(answer, Text):
        values = {"text": answer.text, "score": answer.score}
    else:
        values = {
            **_coordinates(answer),
            "labels": list(answer.labels),
            "image_size": list(answer.image_size),
            "scores": None if answer.scores is None else answer.scores.tolist(),
            "label_scores": None if answer.label_scores is None else answer.label_scores.tolist(),
        }
    values = {name: value for name, value in values.items() if value is not None}
    _check_finite(values)
    return values


def answer_from_exact_json(values: Any) -> Answer:
    """The answer that ``answer_to_exact_json`` wrote; ``ValueError`` for anything else."""
    kinds = [kind for kind in _KINDS if isinstance(values, Mapping) and kind in values]
    if len(kinds) != 1:
        raise ValueError(f"an answer must have one of {', '.join(_KINDS)}, got {str(values)[:200]}")
    _check_finite(values)
    try:
        return _READ[kinds[0]](values)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{str(values)[:200]} is not an answer: {error!r}") from error


def _mixed_dict(answer: Regions) -> dict[str, Any]:
    """Open-vocabulary detection: boxes and polygons under separate names."""
    is_polygons = isinstance(answer, Polygons)
    values: dict[str, Any] = {
        "bboxes": [] if is_polygons else answer.bounds.tolist(),
        "bboxes_labels": [] if is_polygons else list(answer.labels),
        "polygons": _flat_polygons(answer) if isinstance(answer, Polygons) else [],
        "polygons_labels": list(answer.labels) if is_polygons else [],
    }
    if answer.scores is not None:
        values["polygons_scores" if is_polygons else "scores"] = answer.scores.tolist()
    return values


def _flat_polygons(answer: Polygons) -> list[list[list[float]]]:
    return [[part.reshape(-1).tolist() for part in parts] for parts in answer.polygons]


def _parts(polygons: Any) -> list[list[Any]]:
    return [[np.asarray(part, np.float32).reshape(-1, 2) for part in parts] for parts in polygons]


def _coordinates(answer: Boxes | Quads | Polygons) -> dict[str, Any]:
    if isinstance(answer, Boxes):
        return {"boxes": answer.xyxy.tolist()}
    if isinstance(answer, Quads):
        return {"quads": answer.corners.tolist()}
    return {"polygons": [[part.tolist() for part in parts] for parts in answer.polygons]}


def _read_text(values: Mapping[str, Any]) -> Text:
    score = values.get("score")
    if not isinstance(values["text"], str):
        raise ValueError(f"a text must be a string, got {values['text']!r}")
    return Text(values["text"], None if score is None else float(score))


def _region_fields(values: Mapping[str, Any]) -> tuple[Any, ...]:
    """What follows the coordinates in the three kinds of regions."""
    width, height = values["image_size"]
    size = (int(width), int(height))
    return values["labels"], size, values.get("scores"), values.get("label_scores")


_READ: Mapping[str, Callable[[Mapping[str, Any]], Answer]] = {
    "text": _read_text,
    "boxes": lambda values: Boxes(values["boxes"], *_region_fields(values)),
    "quads": lambda values: Quads(values["quads"], *_region_fields(values)),
    "polygons": lambda values: Polygons(values["polygons"], *_region_fields(values)),
}


def _check_finite(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        found = _first_not_finite(value)
        if found is not None:
            raise ValueError(f"{name} must be finite numbers, got {found}")


def _first_not_finite(values: Any) -> float | None:
    """The first NaN or infinite number in lists of lists, if there is one."""
    if isinstance(values, list | tuple):
        found = (_first_not_finite(each) for each in values)
        return next((each for each in found if each is not None), None)
    return values if isinstance(values, float) and not math.isfinite(values) else None
