"""The values that a result holds: text, boxes, quads and polygons.

A model predicts them, an annotator reports them, a shard stores them, a metric compares them.
``Text``, ``Boxes``, ``Quads`` and ``Polygons`` are immutable and compare by content. Coordinates
are float32 pixels of the upright image; ``image_size`` is ``(width, height)``. A score is the
exponential of the mean log-probability of the location tokens that gave the coordinates; a label
score is the same over the label's own tokens.
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
    """A text. ``text`` keeps location tokens: the answers of region tasks repeat the region."""

    text: str
    score: float | None = None

    @property
    def plain_text(self) -> str:
        """The text without location tokens, and without white space at the ends."""
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
