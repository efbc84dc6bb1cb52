"""Answers as JSON and back, exactly: every float32 returns as the same float32."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from ..results.types import Answer, Boxes, Polygons, Quads, Text

_KINDS = ("text", "boxes", "quads", "polygons")


def answer_to_json(answer: Answer) -> dict[str, Any]:
    """``answer`` under the name of its kind: ``{"boxes": [[x0, y0, x1, y1]], "labels": ...}``.

    Corners and polygons are lists of points. Scores are there where the answer has them. Raises
    ``ValueError`` for numbers that are not finite.
    """
    form: dict[str, Any]
    if isinstance(answer, Text):
        form = {"text": answer.text, "score": answer.score}
    else:
        form = {
            **_coordinates(answer),
            "labels": list(answer.labels),
            "image_size": list(answer.image_size),
            "scores": None if answer.scores is None else answer.scores.tolist(),
            "label_scores": None if answer.label_scores is None else answer.label_scores.tolist(),
        }
    form = {name: value for name, value in form.items() if value is not None}
    _check_finite(form)
    return form


def answer_from_json(form: Any) -> Answer:
    """The answer that ``answer_to_json`` wrote; ``ValueError`` for anything else."""
    kinds = [kind for kind in _KINDS if isinstance(form, Mapping) and kind in form]
    if len(kinds) != 1:
        raise ValueError(f"an answer has one of {', '.join(_KINDS)}, got {str(form)[:200]}")
    _check_finite(form)
    try:
        return _READ[kinds[0]](form)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{str(form)[:200]} is no answer: {error!r}") from error


def _coordinates(answer: Boxes | Quads | Polygons) -> dict[str, Any]:
    if isinstance(answer, Boxes):
        return {"boxes": answer.xyxy.tolist()}
    if isinstance(answer, Quads):
        return {"quads": answer.corners.tolist()}
    return {"polygons": [[part.tolist() for part in parts] for parts in answer.polygons]}


def _read_text(form: Mapping[str, Any]) -> Text:
    score = form.get("score")
    if not isinstance(form["text"], str):
        raise ValueError(f"a text is a string, got {form['text']!r}")
    return Text(form["text"], None if score is None else float(score))


def _region_fields(form: Mapping[str, Any]) -> tuple[Any, ...]:
    """What follows the coordinates in the three kinds of regions."""
    width, height = form["image_size"]
    size = (int(width), int(height))
    return form["labels"], size, form.get("scores"), form.get("label_scores")


_READ: Mapping[str, Callable[[Mapping[str, Any]], Answer]] = {
    "text": _read_text,
    "boxes": lambda form: Boxes(form["boxes"], *_region_fields(form)),
    "quads": lambda form: Quads(form["quads"], *_region_fields(form)),
    "polygons": lambda form: Polygons(form["polygons"], *_region_fields(form)),
}


def _check_finite(form: Mapping[str, Any]) -> None:
    for name, values in form.items():
        strange = _first_strange(values)
        if strange is not None:
            raise ValueError(f"{name} must be finite numbers, there is {strange}")


def _first_strange(values: Any) -> float | None:
    """The first NaN or infinite number in lists of lists, if there is one."""
    if isinstance(values, list | tuple):
        found = (_first_strange(each) for each in values)
        return next((each for each in found if each is not None), None)
    return values if isinstance(values, float) and not math.isfinite(values) else None
