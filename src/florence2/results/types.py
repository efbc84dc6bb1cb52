"""The one family of answers: what a model says, a specialist reports, a shard stores.

``Text``, ``Boxes``, ``Quads`` and ``Polygons`` are immutable values that compare by content.
Coordinates are float32 pixels of the upright image; ``image_size`` is ``(width, height)``.
A score is the exponential of the mean log-probability of the location tokens that gave the
coordinates; a label score is the same over the label's own tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..io.deprecation import renamed_fields
from .geometry import point_bounds, quad_bounds
from .locations import BINS
from .tasks import Task

ImageSize = tuple[int, int]
Scores = NDArray[np.float32]
_LOCATION_TOKENS = tuple(f"<loc_{index}>" for index in range(BINS))


class _Value:
    """Equality by content for frozen dataclasses that hold arrays."""

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(
            _same(getattr(self, field.name), getattr(other, field.name))
            for field in fields(self)  # type: ignore[arg-type]
        )

    __hash__ = None  # type: ignore[assignment]


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, np.ndarray) or isinstance(second, np.ndarray):
        return (first is None) == (second is None) and bool(np.array_equal(first, second))
    if isinstance(first, tuple) and isinstance(second, tuple):
        return len(first) == len(second) and all(map(_same, first, second))
    return bool(first == second)


@renamed_fields(plain="plain_text")
@dataclass(frozen=True, eq=False)
class Text(_Value):
    """Words. ``text`` keeps location tokens (region tasks repeat the region they speak of)."""

    text: str
    score: float | None = None

    @property
    def plain_text(self) -> str:
        """The words alone: without location tokens, without white space at the ends."""
        text = self.text
        if "<loc_" in text:
            for token in _LOCATION_TOKENS:
                text = text.replace(token, "")
        return text.strip()


@dataclass(frozen=True, eq=False)
class Boxes(_Value):
    """Boxes ``float32[N, 4]`` as ``(x0, y0, x1, y1)``, one label each (``""`` where none)."""

    xyxy: NDArray[np.float32]
    labels: tuple[str, ...]
    image_size: ImageSize
    scores: Scores | None = None
    label_scores: Scores | None = None

    def __init__(
        self,
        xyxy: ArrayLike,
        labels: Iterable[str],
        image_size: ImageSize,
        scores: ArrayLike | None = None,
        label_scores: ArrayLike | None = None,
    ) -> None:
        object.__setattr__(self, "xyxy", _array(xyxy, (4,)))
        _set_shared(self, len(self.xyxy), labels, image_size, scores, label_scores)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def bounds(self) -> NDArray[np.float32]:
        """The boxes themselves, ``float32[N, 4]``."""
        return self.xyxy

    def select(self, indices: ArrayLike) -> Boxes:
        """The instances at ``indices`` (integers or a mask), in that order."""
        return _select(self, "xyxy", indices)


@dataclass(frozen=True, eq=False)
class Quads(_Value):
    """Four corners ``float32[N, 4, 2]`` clockwise from the top left, one text each."""

    corners: NDArray[np.float32]
    labels: tuple[str, ...]
    image_size: ImageSize
    scores: Scores | None = None
    label_scores: Scores | None = None

    def __init__(
        self,
        corners: ArrayLike,
        labels: Iterable[str],
        image_size: ImageSize,
        scores: ArrayLike | None = None,
        label_scores: ArrayLike | None = None,
    ) -> None:
        object.__setattr__(self, "corners", _array(corners, (4, 2)))
        _set_shared(self, len(self.corners), labels, image_size, scores, label_scores)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def bounds(self) -> NDArray[np.float32]:
        """The upright boxes around the quads, ``float32[N, 4]``."""
        return quad_bounds(self.corners)

    def select(self, indices: ArrayLike) -> Quads:
        """The instances at ``indices`` (integers or a mask), in that order."""
        return _select(self, "corners", indices)


@dataclass(frozen=True, eq=False)
class Polygons(_Value):
    """Instances of one or more polygons each: ``polygons[i][j]`` is ``float32[K, 2]``."""

    polygons: tuple[tuple[NDArray[np.float32], ...], ...]
    labels: tuple[str, ...]
    image_size: ImageSize
    scores: Scores | None = None
    label_scores: Scores | None = None

    def __init__(
        self,
        polygons: Iterable[Iterable[ArrayLike]],
        labels: Iterable[str],
        image_size: ImageSize,
        scores: ArrayLike | None = None,
        label_scores: ArrayLike | None = None,
    ) -> None:
        instances = tuple(tuple(_array(part, (2,)) for part in parts) for parts in polygons)
        object.__setattr__(self, "polygons", instances)
        _set_shared(self, len(instances), labels, image_size, scores, label_scores)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def bounds(self) -> NDArray[np.float32]:
        """The upright boxes around the instances, ``float32[N, 4]``."""
        boxes = [
            point_bounds(np.concatenate(parts) if parts else np.zeros((0, 2), np.float32))
            for parts in self.polygons
        ]
        return np.asarray(boxes, dtype=np.float32).reshape(-1, 4)

    def select(self, indices: ArrayLike) -> Polygons:
        """The instances at ``indices`` (integers or a mask), in that order."""
        return _select(self, "polygons", indices)


Regions = Boxes | Quads | Polygons
Answer = Text | Regions
RegionsType = TypeVar("RegionsType", Boxes, Quads, Polygons)


@renamed_fields(value="data")
@dataclass(frozen=True)
class Result:
    """One answer with all that led to it.

    ``prompt`` is the sentence the model saw. ``token_ids`` are the generated ids without the
    decoder start token, and ``token_logprobs`` belong to them one by one (``None`` when the
    answer was parsed from text). ``truncated`` tells that the length limit, not the model, ended
    the answer: what was unfinished is skipped of it.
    """

    task: Task
    prompt: str
    answer: Answer
    image_size: ImageSize
    token_ids: tuple[int, ...] = ()
    token_logprobs: tuple[float, ...] | None = None
    truncated: bool = False

    def to_dict(self) -> dict[str, Any]:
        """``{"<TASK>": answer}`` as the released processor writes it, with scores where known."""
        return {self.task.token: self.data}

    @property
    def data(self) -> Any:
        """The answer as the released processor writes it: a text, or lists by name."""
        return _answer_dict(self.answer, self.task)

    def to_supervision(self) -> Any:
        """``supervision.Detections`` of the regions; ``ValueError`` for a text."""
        from .interop import to_supervision

        return to_supervision(self)

    def to_fiftyone(self) -> Any:
        """FiftyOne's ``Detections``, ``Polylines`` or, for a text, ``Classification``."""
        from .interop import to_fiftyone

        return to_fiftyone(self)

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame``: a row a region, or one row with a text."""
        from .interop import to_pandas

        return to_pandas(self)


@dataclass(frozen=True)
class Failure:
    """What stands in the place of a result that could not be had: one bad item ends no batch."""

    source: str
    error: str

    def __getattr__(self, name: str) -> Any:
        """Say that there is no answer, where a result's field is asked for."""
        if name in _RESULT_NAMES:
            raise AttributeError(
                f"the request about {self.source} failed and has no {name}: {self.error} (test "
                "with isinstance(result, florence2.Failure))"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


_RESULT_NAMES = frozenset(
    {
        "answer",
        "task",
        "prompt",
        "image_size",
        "token_ids",
        "token_logprobs",
        "truncated",
        "to_dict",
        "draw",
        "save",
        "to_supervision",
        "to_fiftyone",
        "to_pandas",
    }
)


def _answer_dict(answer: Answer, task: Task) -> Any:
    if isinstance(answer, Text):
        return answer.text
    if task.answer == "boxes_or_polygons":
        return _mixed_dict(answer)
    known = {"scores": answer.scores, "label_scores": answer.label_scores}
    scores = {name: values.tolist() for name, values in known.items() if values is not None}
    if isinstance(answer, Boxes):
        shape = {"bboxes": answer.xyxy.tolist()}
    elif isinstance(answer, Quads):
        shape = {"quad_boxes": answer.corners.reshape(-1, 8).tolist()}
    else:
        shape = {"polygons": _flat_polygons(answer)}
    return {**shape, "labels": list(answer.labels), **scores}


def _mixed_dict(answer: Regions) -> dict[str, Any]:
    """The form of open-vocabulary detection: boxes and polygons under names of their own."""
    is_polygons = isinstance(answer, Polygons)
    form: dict[str, Any] = {
        "bboxes": [] if is_polygons else answer.bounds.tolist(),
        "bboxes_labels": [] if is_polygons else list(answer.labels),
        "polygons": _flat_polygons(answer) if isinstance(answer, Polygons) else [],
        "polygons_labels": list(answer.labels) if is_polygons else [],
    }
    if answer.scores is not None:
        form["polygons_scores" if is_polygons else "scores"] = answer.scores.tolist()
    return form


def _flat_polygons(answer: Polygons) -> list[list[list[float]]]:
    return [[part.reshape(-1).tolist() for part in parts] for parts in answer.polygons]


def _array(values: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A read-only ``float32[N, *shape]`` of ``values``; ``N`` may be 0."""
    array = np.array(values, dtype=np.float32)
    if array.size == 0:
        array = array.reshape(0, *shape)
    if array.shape[1:] != shape or array.ndim != len(shape) + 1:
        wanted = ", ".join(map(str, ("N", *shape)))
        raise ValueError(f"coordinates must have shape [{wanted}], got {list(array.shape)}")
    array.flags.writeable = False
    return array


def _set_shared(
    answer: Any,
    count: int,
    labels: Iterable[str],
    image_size: ImageSize,
    scores: ArrayLike | None,
    label_scores: ArrayLike | None,
) -> None:
    """Set and check the fields that all kinds of regions have."""
    names = tuple(labels)
    if len(names) != count:
        raise ValueError(f"{count} regions need {count} labels, got {len(names)}: {names}")
    width, height = image_size
    if width <= 0 or height <= 0:
        raise ValueError(f"image_size must be (width, height) above zero, got {image_size}")
    object.__setattr__(answer, "labels", names)
    object.__setattr__(answer, "image_size", (int(width), int(height)))
    for name, values in (("scores", scores), ("label_scores", label_scores)):
        array = None if values is None else _array(values, ())
        if array is not None and len(array) != count:
            raise ValueError(f"{count} regions need {count} {name}, got {len(array)}")
        object.__setattr__(answer, name, array)


def _select(answer: RegionsType, field: str, indices: ArrayLike) -> RegionsType:
    chosen = np.asarray(indices)
    if chosen.dtype == bool:
        chosen = np.flatnonzero(chosen)
    chosen = chosen.astype(np.int64)
    coordinates: Sequence[Any] = getattr(answer, field)
    changes: dict[str, Any] = {
        field: [coordinates[index] for index in chosen],
        "labels": tuple(answer.labels[index] for index in chosen),
        "scores": None if answer.scores is None else answer.scores[chosen],
        "label_scores": None if answer.label_scores is None else answer.label_scores[chosen],
    }
    return replace(answer, **changes)
