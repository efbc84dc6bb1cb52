"""Small objects and dense pages: the picture in overlapping tiles, the answers joined.

The model sees every picture as one square; what is a few pixels of it is not found. Tiles are asked
besides the whole picture, boxes are moved back and those that say the same are joined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..processing.image import ImageSource, load_image
from ..processing.processor import TextInput
from ..results.geometry import box_area, box_iou, fix_inverted_boxes
from ..results.reading_order import reading_order
from ..results.tasks import Task
from ..results.types import Answer, Boxes, Failure, ImageSize, Polygons, Quads, Result, Text

# A box that ends this close to a cut, in parts of the tile, was cut off there.
_AT_EDGE = 0.02
# Each tile is an image to encode: more only waste memory and time.
MAX_TILES = 1024

# ``Florence2.batch``, or what stands for it: requests in, answers out in their order.
Batch = Callable[..., Sequence[Result | Failure]]


@dataclass(frozen=True)
class Tiling:
    """How a picture is cut.

    ``columns`` by ``rows`` tiles overlap by ``overlap`` of their side. ``whole`` asks about the
    whole picture too, for what is larger than a tile. Of two boxes of one label that share more
    than ``iou``, or of which one lies in the other by more than ``inside``, one is kept: the one
    that no cut goes through, then the better score.
    """

    columns: int = 2
    rows: int = 2
    overlap: float = 0.25
    whole: bool = True
    iou: float = 0.5
    inside: float = 0.75

    def __post_init__(self) -> None:
        if self.columns < 1 or self.rows < 1:
            raise ValueError(f"tiles are at least 1 x 1, got {self.columns} x {self.rows}")
        if self.columns * self.rows > MAX_TILES:
            raise ValueError(
                f"{self.columns:,} x {self.rows:,} tiles are more than the limit of {MAX_TILES:,}"
            )
        if not 0 <= self.overlap < 0.9:
            raise ValueError(f"overlap is a part of a tile from 0 to 0.9, got {self.overlap}")
        for name in ("iou", "inside"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} is above 0 and at most 1, got {getattr(self, name)}")

    @classmethod
    def parse(cls, text: str) -> Tiling:
        """``"2x2"`` or ``"3x2"``: columns and rows."""
        try:
            columns, rows = (int(part) for part in text.lower().split("x"))
        except ValueError:
            raise ValueError(f"tiles are written COLUMNSxROWS, such as 2x2, got {text!r}") from None
        return cls(columns, rows)

    def boxes(self, size: ImageSize) -> list[tuple[int, int, int, int]]:
        """The tiles ``(x0, y0, x1, y1)`` in whole pixels, row by row, without the whole picture."""
        across = _spans(size[0], self.columns, self.overlap)
        down = _spans(size[1], self.rows, self.overlap)
        return [(x0, y0, x1, y1) for y0, y1 in down for x0, x1 in across]


def tiled(
    batch: Batch,
    image: ImageSource,
    task: str | Task,
    text: TextInput | None = None,
    tiling: Tiling = Tiling(),
    **options: Any,
) -> Result:
    """The joined answer to ``task`` about a picture in tiles; ``batch`` is that of a model.

    For tasks that answer with regions: boxes and outlines keep the better of two that say the
    same, lines of text are put in reading order. Raises ``ValueError`` for tasks that answer with
    a text or ask about a region, and when nothing could be answered.
    """
    allow_urls = options.get("allow_urls", False)
    picture = load_image(image, allow_urls=allow_urls)
    places = tiling.boxes(picture.size)
    if tiling.whole and len(places) > 1:
        places.append((0, 0, *picture.size))
    crops: list[Image.Image] = [picture.crop(place) for place in places]
    answers = batch([(crop, task, text) for crop in crops], **options)
    good = [
        (place, each)
        for place, each in zip(places, answers, strict=True)
        if not isinstance(each, Failure)
    ]
    if not good:
        raise ValueError(next(each.error for each in answers if isinstance(each, Failure)))
    first = good[0][1]
    moved = [_moved(each.answer, place, picture.size, each.task) for place, each in good]
    cut = np.concatenate(
        [
            _cut(each.bounds, place, picture.size)
            for (place, _), each in zip(good, moved, strict=True)
        ]
    )
    joined = joined_regions(moved)
    answer = joined.select(_best(joined, cut, tiling))
    if isinstance(answer, Quads):
        answer = answer.select(reading_order(answer))
    truncated = any(each.truncated for _, each in good)
    return Result(first.task, first.prompt, answer, picture.size, truncated=truncated)


def joined_regions(answers: Sequence[Boxes | Quads | Polygons]) -> Boxes | Quads | Polygons:
    """All regions of answers about one picture; those of the kind that the most have.

    A task may answer with boxes here and outlines there; the rarer kind is left out.
    """
    kinds = [type(each) for each in answers if len(each)] or [type(answers[0])]
    kind = max(set(kinds), key=kinds.count)
    chosen = [each for each in answers if isinstance(each, kind)]
    scores = {
        name: np.concatenate([getattr(each, name) for each in chosen if len(each)])
        for name in ("scores", "label_scores")
        if any(len(each) for each in chosen)
        and all(getattr(each, name) is not None for each in chosen if len(each))
    }
    labels = [label for each in chosen for label in each.labels]
    field = {Boxes: "xyxy", Quads: "corners", Polygons: "polygons"}[kind]
    coordinates = [one for each in chosen for one in getattr(each, field)]
    return kind(coordinates, labels, chosen[0].image_size, **scores)


def _spans(length: int, count: int, overlap: float) -> list[tuple[int, int]]:
    """``count`` spans of one length over ``length`` pixels, each overlapping the next."""
    side = length / (count - (count - 1) * overlap)
    starts = np.linspace(0, length - side, count)
    return [(round(start), min(length, round(start + side))) for start in starts]


def _moved(
    answer: Answer, place: tuple[int, int, int, int], size: ImageSize, task: Task
) -> Boxes | Quads | Polygons:
    """The regions of a tile in the pixels of the whole picture."""
    if isinstance(answer, Text):
        raise ValueError(f"{task.token} answers with a text, which tiles cannot be joined of")
    x, y = place[:2]
    if isinstance(answer, Boxes):
        boxes = fix_inverted_boxes(answer.xyxy) + np.array([x, y, x, y], np.float32)
        return replace(answer, xyxy=boxes, image_size=size)
    if isinstance(answer, Quads):
        return replace(
            answer, corners=answer.corners + np.array([x, y], np.float32), image_size=size
        )
    parts = tuple(
        tuple(part + np.array([x, y], np.float32) for part in each) for each in answer.polygons
    )
    return replace(answer, polygons=parts, image_size=size)


def _cut(
    bounds: NDArray[np.float32], place: tuple[int, int, int, int], size: ImageSize
) -> NDArray[np.bool_]:
    """Whether a region ends at a side of its tile that is no side of the picture, ``bool[N]``."""
    x0, y0, x1, y1 = place
    width, height = _AT_EDGE * (x1 - x0), _AT_EDGE * (y1 - y0)
    cut = np.zeros(len(bounds), np.bool_)
    if x0 > 0:
        cut |= bounds[:, 0] < x0 + width
    if y0 > 0:
        cut |= bounds[:, 1] < y0 + height
    if x1 < size[0]:
        cut |= bounds[:, 2] > x1 - width
    if y1 < size[1]:
        cut |= bounds[:, 3] > y1 - height
    return cut


def _best(
    answer: Boxes | Quads | Polygons, cut: NDArray[np.bool_], tiling: Tiling
) -> NDArray[np.int64]:
    """The regions that are kept, in their order: whole ones first, then by score, then by size."""
    bounds = answer.bounds
    if len(cut) != len(bounds):
        # Kinds were mixed and the rarer left out: nothing is known of cuts.
        cut = np.zeros(len(bounds), np.bool_)
    areas = box_area(bounds)
    scores = np.zeros(len(bounds)) if answer.scores is None else answer.scores
    overlap = box_iou(bounds, bounds)
    shared = overlap * (areas[:, None] + areas[None, :]) / (1 + overlap)
    smaller = np.maximum(np.minimum(areas[:, None], areas[None, :]), 1e-9)
    # Lines of text may be read differently in two tiles and still be one line.
    labels = np.array(answer.labels, dtype=object)
    one_label = labels[:, None] == labels[None, :]
    if isinstance(answer, Quads):
        one_label = np.ones_like(one_label)
    part = (shared / smaller > tiling.inside) & (cut[:, None] | cut[None, :])
    same = one_label & ((overlap > tiling.iou) | part)
    kept: list[int] = []
    for index in np.lexsort((-areas, -scores, cut)):
        if not same[index, kept].any():
            kept.append(int(index))
    return np.array(sorted(kept), np.int64)
