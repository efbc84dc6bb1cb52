"""Small objects and dense pages: predict on overlapping tiles and merge the results.

The model resizes every image to one square, in which objects of a few pixels are not found. Tiles
are predicted besides the whole image, regions are moved to their position in it, and duplicates
are removed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..io.deprecation import renamed_attributes, renamed_fields
from ..processing.image import ImageSource, load_image
from ..processing.processor import TextInput
from ..results.geometry import box_area, box_iou, fix_inverted_boxes
from ..results.reading_order import reading_order
from ..results.tasks import Task
from ..results.types import Answer, Boxes, Failure, ImageSize, Polygons, Quads, Result, Text

# A box that ends this close to a cut, as a fraction of the tile, was truncated there.
_EDGE_MARGIN = 0.02
# Each tile is an image to encode: more only cost memory and time.
MAX_TILES = 1024

# ``Florence2.batch`` or a function like it: requests in, results out in their order.
Batch = Callable[..., Sequence[Result | Failure]]


@renamed_fields(inside="containment")
@dataclass(frozen=True)
class Tiling:
    """How an image is cut into tiles, and when two regions are duplicates.

    Of duplicates the region that was not truncated by a cut is kept, then the one with the higher
    score.

    Attributes:
        columns: number of tiles in a row.
        rows: number of tiles in a column.
        overlap: overlap of neighboring tiles, as a fraction of their side.
        whole: predict on the whole image too, for objects that are larger than a tile.
        iou: two regions of one label with a greater IoU are duplicates.
        containment: so are two of which a greater fraction of the smaller lies in the larger, if
            a cut truncates one of them.
    """

    columns: int = 2
    rows: int = 2
    overlap: float = 0.25
    whole: bool = True
    iou: float = 0.5
    containment: float = 0.75

    def __post_init__(self) -> None:
        if self.columns < 1 or self.rows < 1:
            raise ValueError(f"tiles must be at least 1 x 1, got {self.columns} x {self.rows}")
        if self.columns * self.rows > MAX_TILES:
            raise ValueError(
                f"{self.columns:,} x {self.rows:,} tiles exceed the limit of {MAX_TILES:,}"
            )
        if not 0 <= self.overlap < 0.9:
            raise ValueError(f"overlap must be from 0 to below 0.9, got {self.overlap}")
        for name in ("iou", "containment"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1, got {getattr(self, name)}")

    @classmethod
    def parse(cls, text: str) -> Tiling:
        """``"2x2"`` or ``"3x2"``: columns and rows."""
        try:
            columns, rows = (int(part) for part in text.lower().split("x"))
        except ValueError:
            raise ValueError(f"tiles are written COLUMNSxROWS, such as 2x2, got {text!r}") from None
        return cls(columns, rows)

    def __str__(self) -> str:
        """``"2x2"``, with the other fields where they are not the defaults."""
        others = [each for each in fields(self) if each.name not in ("columns", "rows")]
        changed = [
            f" {each.name}={getattr(self, each.name)}"
            for each in others
            if getattr(self, each.name) != each.default
        ]
        return f"{self.columns}x{self.rows}" + "".join(changed)

    def boxes(self, size: ImageSize) -> list[tuple[int, int, int, int]]:
        """The tiles ``(x0, y0, x1, y1)`` in whole pixels, row by row, without the whole image."""
        columns = _split_length(size[0], self.columns, self.overlap)
        rows = _split_length(size[1], self.rows, self.overlap)
        return [(x0, y0, x1, y1) for y0, y1 in rows for x0, x1 in columns]


def predict_tiles(
    batch: Batch,
    image: ImageSource,
    task: str | Task,
    text: TextInput | None = None,
    tiling: Tiling = Tiling(),
    **options: Any,
) -> Result:
    """Predict a task on the tiles of an image and merge the results.

    Lines of text are put in reading order.

    Args:
        batch: ``Florence2.batch`` of a model.
        image: the image.
        task: a task that predicts regions.
        text: its text input.
        tiling: how the image is cut.
        options: options of ``batch``.

    Returns:
        One result, in pixels of the whole image.

    Raises:
        ValueError: the task predicts text or takes a region, or every tile failed.
    """
    whole = load_image(image, allow_urls=options.get("allow_urls", False))
    boxes = tiling.boxes(whole.size)
    if tiling.whole and len(boxes) > 1:
        boxes.append((0, 0, *whole.size))
    crops: list[Image.Image] = [whole.crop(box) for box in boxes]
    outcomes = batch([(crop, task, text) for crop in crops], **options)
    results = [
        (box, outcome)
        for box, outcome in zip(boxes, outcomes, strict=True)
        if not isinstance(outcome, Failure)
    ]
    if not results:
        raise ValueError(next(each.error for each in outcomes if isinstance(each, Failure)))
    first = results[0][1]
    moved = [_to_whole(each.answer, box, whole.size, each.task) for box, each in results]
    truncated_N = np.concatenate(
        [
            _is_truncated(each.bounds, box, whole.size)
            for (box, _), each in zip(results, moved, strict=True)
        ]
    )
    merged = merge_regions(moved)
    answer = merged.select(_remove_duplicates(merged, truncated_N, tiling))
    if isinstance(answer, Quads):
        answer = answer.select(reading_order(answer))
    truncated = any(each.truncated for _, each in results)
    return Result(first.task, first.prompt, answer, whole.size, truncated=truncated)


def merge_regions(answers: Sequence[Boxes | Quads | Polygons]) -> Boxes | Quads | Polygons:
    """All regions of answers about one image, of the kind that most answers have.

    A task may predict boxes in one tile and polygons in another; the rarer kind is dropped.
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
    coordinates = [region for each in chosen for region in getattr(each, field)]
    return kind(coordinates, labels, chosen[0].image_size, **scores)


def _split_length(length: int, count: int, overlap: float) -> list[tuple[int, int]]:
    """``count`` intervals of one length over ``length`` pixels, each overlapping the next."""
    side = length / (count - (count - 1) * overlap)
    starts = np.linspace(0, length - side, count)
    return [(round(start), min(length, round(start + side))) for start in starts]


def _to_whole(
    answer: Answer, tile: tuple[int, int, int, int], size: ImageSize, task: Task
) -> Boxes | Quads | Polygons:
    """The regions of a tile in pixels of the whole image."""
    if isinstance(answer, Text):
        raise ValueError(f"{task.token} predicts text, which cannot be merged from tiles")
    x, y = tile[:2]
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


def _is_truncated(
    bounds: NDArray[np.float32], tile: tuple[int, int, int, int], size: ImageSize
) -> NDArray[np.bool_]:
    """Whether a region ends at a side of its tile that is not a side of the image, ``bool[N]``."""
    x0, y0, x1, y1 = tile
    width, height = _EDGE_MARGIN * (x1 - x0), _EDGE_MARGIN * (y1 - y0)
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


def _remove_duplicates(
    answer: Boxes | Quads | Polygons, cut: NDArray[np.bool_], tiling: Tiling
) -> NDArray[np.int64]:
    """The indices of the regions that are kept: ``int64[K]``, in their order.

    Of duplicates, regions that are not ``cut`` (``bool[N]``) are preferred, then high scores, then
    large areas.
    """
    bounds = answer.bounds
    if len(cut) != len(bounds):
        # Kinds were mixed and the rarer was dropped: which of the rest are cut is not known.
        cut = np.zeros(len(bounds), np.bool_)
    areas = box_area(bounds)
    scores = np.zeros(len(bounds)) if answer.scores is None else answer.scores
    overlap = box_iou(bounds, bounds)
    shared = overlap * (areas[:, None] + areas[None, :]) / (1 + overlap)
    smaller = np.maximum(np.minimum(areas[:, None], areas[None, :]), 1e-9)
    # One line of text may be read differently in two tiles.
    labels = np.array(answer.labels, dtype=object)
    one_label = labels[:, None] == labels[None, :]
    if isinstance(answer, Quads):
        one_label = np.ones_like(one_label)
    part = (shared / smaller > tiling.containment) & (cut[:, None] | cut[None, :])
    same = one_label & ((overlap > tiling.iou) | part)
    kept: list[int] = []
    for index in np.lexsort((-areas, -scores, cut)):
        if not same[index, kept].any():
            kept.append(int(index))
    return np.array(sorted(kept), np.int64)


__getattr__ = renamed_attributes(
    __name__, {"tiled": "predict_tiles", "joined_regions": "merge_regions"}
)
