"""Augmentations that keep labels true: zooming out, cropping, mirroring.

A change that would make the label false is not applied: text is never mirrored, and an image is
never cropped when its label may describe what the crop removes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..results.geometry import FloatArray, box_area, clip_boxes
from ..results.locations import dequantize, quantize
from ..results.records import Annotation, Region
from ..results.tasks import TASKS
from ..results.types import Answer, Boxes, ImageSize, Polygons, Quads, Text
from .recipe import Augmentation

_OCR_TASKS = frozenset({"<OCR>", "<OCR_WITH_REGION>", "<REGION_TO_OCR>"})
# Custom prompts are missing here: their words may mean anything, so no sides are swapped.
_FLIPPABLE = frozenset(task.token for task in TASKS) - _OCR_TASKS
_CROPPABLE = frozenset(
    {
        "<OD>",
        "<DENSE_REGION_CAPTION>",
        "<REGION_PROPOSAL>",
        "<OCR_WITH_REGION>",
        "<REGION_TO_CATEGORY>",
        "<REGION_TO_DESCRIPTION>",
        "<REGION_TO_SEGMENTATION>",
    }
)
_MIN_VISIBLE = 0.5
_BIN = re.compile(r"<loc_(\d+)>")
_RUN = re.compile(r"(?:<loc_\d+>)+")
# "leftmost", "right-hand" and "bottom-left", but not "bright", "rights" or "leftover".
_SIDE = re.compile(
    r"(?<![^\W\d_])(left|right)(?=(?:most|hand(?:ed)?|side|wards?)?(?![^\W\d_]))", re.IGNORECASE
)


def augment(
    image: Image.Image,
    annotation: Annotation,
    settings: Augmentation,
    generator: np.random.Generator,
) -> tuple[Image.Image, Annotation]:
    """The image after random zoom-out, crop and flip, and the label that fits it.

    The given objects are returned when nothing changes. Every call draws the same number of values
    from ``generator``, so what happens to one image does not affect the next.
    """
    zoom_draws, crop_draws, flip_draw = generator.random(3), generator.random(5), generator.random()
    if _has_loose_locations(annotation):
        return image, annotation
    if settings.scale_jitter > 0:
        image, annotation = _zoom_out(image, annotation, settings.scale_jitter, zoom_draws)
    if crop_draws[0] < settings.crop:
        image, annotation = _crop(image, annotation, settings.smallest_crop, crop_draws[1:])
    if flip_draw < settings.flip and annotation.task in _FLIPPABLE:
        image, annotation = _flip(image, annotation)
    return image, annotation


@dataclass(frozen=True)
class CoordinateTransform:
    """Maps coordinates of an image to those of the augmented image.

    ``before`` and ``after`` are the sizes ``(width, height)`` of the two. Points are shifted by
    ``offset`` pixels, or ``mirrored`` left to right.
    """

    before: ImageSize
    after: ImageSize
    offset: tuple[int, int] = (0, 0)
    mirrored: bool = False

    def points(self, points: FloatArray) -> FloatArray:
        """Points ``float[..., 2]`` in the augmented image, in the old order."""
        if self.mirrored:
            return np.stack([self.before[0] - points[..., 0], points[..., 1]], axis=-1)
        return points + np.asarray(self.offset, dtype=points.dtype)

    def boxes(self, boxes: FloatArray) -> FloatArray:
        """Boxes ``float[N, 4]`` in the augmented image, with x0 below x1 as before."""
        moved = self.points(boxes.reshape(-1, 2, 2)).reshape(-1, 4)
        return moved[:, [2, 1, 0, 3]] if self.mirrored else moved

    def quads(self, corners: FloatArray) -> FloatArray:
        """Quads ``float[N, 4, 2]`` in the augmented image, clockwise from the top left."""
        moved = self.points(corners)
        return moved[:, [1, 0, 3, 2]] if self.mirrored else moved

    def polygon(self, points: FloatArray) -> FloatArray:
        """A polygon ``float[K, 2]`` in the augmented image, with the same orientation."""
        moved = self.points(points)
        return moved[::-1] if self.mirrored else moved

    def region(self, region: Region) -> Region:
        """One box in the augmented image."""
        x0, y0, x1, y1 = self.boxes(np.asarray([region], dtype=np.float64))[0].tolist()
        return x0, y0, x1, y1

    def words(self, text: str, region: Region | None) -> str:
        """``text`` with its location tokens, four to a box, written for the augmented image.

        Tokens that repeat ``region`` follow it exactly; others are mapped by their bins' centers.
        """
        repeated = None if region is None else quantize(region, self.before).tolist()

        def rewrite(run: re.Match[str]) -> str:
            bins = np.asarray([int(index) for index in _BIN.findall(run[0])]).reshape(-1, 4)
            pixels = np.asarray(
                [
                    region if row.tolist() == repeated else dequantize(row, self.before)
                    for row in bins
                ],
                dtype=np.float64,
            )
            moved = quantize(self.boxes(pixels), self.after)
            return "".join(f"<loc_{index}>" for index in moved.reshape(-1))

        return _RUN.sub(rewrite, text)

    def annotation(self, annotation: Annotation) -> Annotation:
        """The annotation in the augmented image: its answer, its region and its location tokens."""
        region = annotation.region
        return replace(
            annotation,
            answer=self._answer(annotation.answer, region),
            text=self.words(annotation.text, region),
            region=None if region is None else self.region(region),
        )

    def _answer(self, answer: Answer, region: Region | None) -> Answer:
        if isinstance(answer, Text):
            return replace(answer, text=self.words(answer.text, region))
        if isinstance(answer, Boxes):
            return replace(answer, xyxy=self.boxes(answer.xyxy), image_size=self.after)
        if isinstance(answer, Quads):
            return replace(answer, corners=self.quads(answer.corners), image_size=self.after)
        polygons = tuple(tuple(self.polygon(part) for part in parts) for parts in answer.polygons)
        return replace(answer, polygons=polygons, image_size=self.after)


def swap_sides(text: str) -> str:
    """``text`` with left and right exchanged, also in compounds such as "leftmost"; keeps case."""
    return _SIDE.sub(_other_side, text)


def _other_side(found: re.Match[str]) -> str:
    side = found[0]
    other = "right" if side.lower() == "left" else "left"
    if side.isupper():
        return other.upper()
    return other.capitalize() if side[0].isupper() else other


def _zoom_out(
    image: Image.Image, annotation: Annotation, max_growth: float, draws: NDArray[np.float64]
) -> tuple[Image.Image, Annotation]:
    growth = 1 + max_growth * draws[0]
    size = round(image.width * growth), round(image.height * growth)
    if size == image.size:
        return image, annotation
    left = int(draws[1] * (size[0] - image.width + 1))
    top = int(draws[2] * (size[1] - image.height + 1))
    # A box filter down to one pixel is the mean.
    mean_color = image.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    canvas = Image.new(image.mode, size, mean_color)
    canvas.paste(image, (left, top))
    return canvas, CoordinateTransform(image.size, size, (left, top)).annotation(annotation)


def _crop(
    image: Image.Image, annotation: Annotation, min_side: float, draws: NDArray[np.float64]
) -> tuple[Image.Image, Annotation]:
    fractions = min_side + (1 - min_side) * draws[:2]
    width = max(1, round(image.width * fractions[0]))
    height = max(1, round(image.height * fractions[1]))
    left = int(draws[2] * (image.width - width + 1))
    top = int(draws[3] * (image.height - height + 1))
    cropped = _crop_annotation(
        annotation, CoordinateTransform(image.size, (width, height), (-left, -top))
    )
    if cropped is None:
        return image, annotation
    return image.crop((left, top, left + width, top + height)), cropped


def _crop_annotation(annotation: Annotation, transform: CoordinateTransform) -> Annotation | None:
    """The annotation of the cropped image, or ``None`` when it would be false."""
    if annotation.task not in _CROPPABLE or any(_location_runs(annotation)):
        return None
    moved = transform.annotation(annotation)
    if moved.region is not None and not _inside(np.asarray([moved.region]), transform.after).all():
        return None
    answer = moved.answer
    if isinstance(answer, Text):
        return moved
    clipped = clip_boxes(answer.bounds, transform.after)
    kept = _inside(answer.bounds, transform.after)
    if isinstance(answer, Polygons) and not kept.all():
        return None
    # Half a word is visible, but can be neither read nor left out.
    if isinstance(answer, Quads) and (box_area(clipped)[~kept] > 0).any():
        return None
    if isinstance(answer, Boxes):
        area = box_area(answer.bounds)
        kept |= (area > 0) & (box_area(clipped) >= _MIN_VISIBLE * area)
        answer = replace(answer, xyxy=clipped)
    if len(answer) and not kept.any():
        return None
    return replace(moved, answer=answer.select(kept))


def _inside(boxes: FloatArray, image_size: ImageSize) -> NDArray[np.bool_]:
    """Which boxes ``float[N, 4]`` are entirely inside the image, ``bool[N]``."""
    inside: NDArray[np.bool_] = (clip_boxes(boxes, image_size) == boxes).all(axis=1)
    return inside


def _flip(image: Image.Image, annotation: Annotation) -> tuple[Image.Image, Annotation]:
    moved = CoordinateTransform(image.size, image.size, mirrored=True).annotation(annotation)
    answer = moved.answer
    if isinstance(answer, Text):
        answer = replace(answer, text=swap_sides(answer.text))
    else:
        answer = replace(answer, labels=tuple(map(swap_sides, answer.labels)))
    mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return mirrored, replace(moved, answer=answer, text=swap_sides(moved.text))


def _has_loose_locations(annotation: Annotation) -> bool:
    """Whether the text has location tokens that are not boxes: they cannot be mapped."""
    return any(len(_BIN.findall(run)) % 4 for run in _location_runs(annotation))


def _location_runs(annotation: Annotation) -> list[str]:
    answer = annotation.answer
    words = [annotation.text, answer.text if isinstance(answer, Text) else ""]
    return [run for text in words for run in _RUN.findall(text)]
