"""The lines of YOLO label files: what their columns hold, decided once for a whole dataset.

After the class number come ``x y width height`` (detection), a polygon ``x y x y ...``
(segmentation, and the four corners of oriented boxes), or a box and its keypoints (pose, for which
``data.yaml`` has ``kpt_shape``). Predictions have a confidence at the end.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...results.geometry import point_bounds
from ...results.types import ImageSize
from .instances import Instance
from .problems import LabelError
from .region_checks import checked_box, checked_polygon

_DIGITS = re.compile(r"[+-]?[0-9]{1,18}\Z")
_COMMENT = "#"
# A value above this is meant in pixels or percent, not as a fraction of the image.
_MAX_FRACTION = 2.0
# A keypoint may be outside its box by this fraction of the box.
_KEYPOINT_SLACK = 0.25
# One or two triangles do not decide: a box with one keypoint has as many numbers.
_FEW_TRIANGLES = 3
_SHOWN = 80


@dataclass(frozen=True)
class LabelLayout:
    """What the numbers after the class are, for all label files of a dataset.

    ``keypoint_values`` is the number of columns that hold keypoints; 0 in sets without. The two
    others say whether boxes and polygons are followed by a confidence.
    """

    keypoint_values: int = 0
    box_confidence: bool = False
    polygon_confidence: bool = False


@dataclass
class LabelSurvey:
    """Counts over all label lines of a dataset, from which ``layout`` is decided."""

    lengths: Counter[int] = field(default_factory=Counter)
    # How many of the long lines of each length fit a box with keypoints of 2 and 3 values.
    pose_fits: Counter[tuple[int, int]] = field(default_factory=Counter)
    in_pixels: int = 0
    first: tuple[Path, int] | None = None

    def add(self, file: Path, lines: Iterable[tuple[int, str]]) -> None:
        """Count the lines of one label file. Lines that are not numbers are skipped."""
        for number, line in lines:
            fields = line.split()
            if is_comment(line) or len(fields) < 5:
                continue
            try:
                values = [_number(text) for text in fields[1:]]
            except ValueError:
                continue
            self.first = self.first or (file, number)
            self.lengths[len(values)] += 1
            self.in_pixels += max(map(abs, values[:4])) > _MAX_FRACTION
            if len(values) > 5:
                for dimensions in (2, 3):
                    if _fits_pose(values, dimensions):
                        self.pose_fits[len(values), dimensions] += 1

    def layout(self, file: Path, kpt_shape: tuple[int, int] | None, task: str) -> LabelLayout:
        """Decide the layout. ``file`` is the ``data.yaml``, whose ``task`` may be ``""``.

        Raises ``ValueError`` where two readings are possible, and for labels in pixels.
        """
        total = sum(self.lengths.values())
        if total and self.in_pixels == total:
            raise ValueError(
                f"{self._location()}: all {total} labels of this set have values above "
                f"{_MAX_FRACTION:g}, but YOLO labels are fractions of the image from 0 to 1; "
                "divide x by the image width and y by its height"
            )
        if kpt_shape is not None:
            self._check_pose(file, kpt_shape)
            return LabelLayout(math.prod(kpt_shape), box_confidence=True)
        longer = {length: count for length, count in self.lengths.items() if length > 5}
        if task not in ("segment", "obb"):
            self._refuse_unnamed_pose(file, longer)
        odd = sum(count for length, count in longer.items() if length % 2)
        # An odd number of values is a polygon with a confidence only where all polygons have one.
        polygon_confidence = bool(longer) and odd == sum(longer.values())
        return LabelLayout(0, not longer or polygon_confidence, polygon_confidence)

    def _check_pose(self, file: Path, kpt_shape: tuple[int, int]) -> None:
        keypoints = math.prod(kpt_shape)
        longer = [length for length in self.lengths if length > 5]
        if longer and not any(length in (4 + keypoints, 5 + keypoints) for length in longer):
            raise ValueError(
                f"{file}: kpt_shape {list(kpt_shape)} means {5 + keypoints} columns, but the "
                f"labels have {min(longer) + 1} ({self._location()}); correct kpt_shape, or remove "
                "it if the labels are polygons"
            )

    def _refuse_unnamed_pose(self, file: Path, longer: dict[int, int]) -> None:
        if len(longer) != 1:
            return
        ((length, count),) = longer.items()
        if length == 6 and count < _FEW_TRIANGLES:
            return
        for dimensions in (3, 2):
            points, left = divmod(length - 4, dimensions)
            if left == 0 and points and self.pose_fits[length, dimensions] >= 0.95 * count:
                raise ValueError(
                    f"{file} has no kpt_shape, and the labels of {length + 1} columns "
                    f"({self._location()}) can be boxes with {points} keypoints as well as "
                    f"polygons; write 'kpt_shape: [{points}, {dimensions}]' into it for a pose "
                    "set, or "
                    "'task: segment' for polygons"
                )

    def _location(self) -> str:
        return "no line" if self.first is None else f"{self.first[0]}:{self.first[1]}"


def is_comment(line: str) -> bool:
    """Whether a line holds no label."""
    return line.startswith(_COMMENT)


def parse_label(
    line: str, names: dict[int, str], image_size: ImageSize, layout: LabelLayout
) -> Instance:
    """The object that a label line describes. Raises ``LabelError`` for a bad line."""
    category, values = _parse_numbers(line)
    values, confidence = _split_confidence(values, layout)
    if category not in names:
        raise LabelError("unknown-class", f"there is no class {category}; there are {len(names)}")
    width, height = image_size
    pixels = [value * (width, height)[index % 2] for index, value in enumerate(values)]
    if len(pixels) > 4:
        polygon = checked_polygon(pixels, image_size)
        box = checked_box(point_bounds(polygon).tolist(), image_size)
        return Instance(names[category], box, (polygon,), score=confidence)
    x, y, box_width, box_height = pixels
    corners = [x - box_width / 2, y - box_height / 2, x + box_width / 2, y + box_height / 2]
    return Instance(names[category], checked_box(corners, image_size), score=confidence)


def has_keypoints(line: str, layout: LabelLayout) -> bool:
    """Whether a line has keypoints, which are not read."""
    return bool(layout.keypoint_values) and len(line.split()) > 6


def _parse_numbers(line: str) -> tuple[int, list[float]]:
    try:
        first, *rest = line.split()
        return _class_number(first), [_number(text) for text in rest]
    except ValueError as error:
        hint = "; separate the numbers with spaces" if "," in line else ""
        raise LabelError(
            "malformed", f"a line is a class number and numbers, got {line[:_SHOWN]!r}{hint}"
        ) from error


def _split_confidence(values: list[float], layout: LabelLayout) -> tuple[list[float], float | None]:
    """The box or polygon without keypoints, and the confidence where the line has one."""
    count, confidence = len(values), None
    if layout.keypoint_values:
        known = (4, 5, 4 + layout.keypoint_values, 5 + layout.keypoint_values)
        if count not in known:
            raise LabelError(
                "malformed",
                f"{count} numbers follow the class; a box and keypoints (kpt_shape) are {known[2]}",
            )
        confidence = values[-1] if count in (known[1], known[3]) else None
        values = values[:4]
    elif (count == 5 and layout.box_confidence) or (
        count > 6 and count % 2 and layout.polygon_confidence
    ):
        values, confidence = values[:-1], values[-1]
    if len(values) < 4 or len(values) % 2:
        raise LabelError(
            "malformed",
            f"a class is followed by x y width height or by the points of a polygon, "
            f"got {count} numbers",
        )
    if confidence is not None and not 0 <= confidence <= 1:
        raise LabelError("malformed", f"a confidence is 0 to 1, got {confidence:g}")
    return values, confidence


def _class_number(text: str) -> int:
    """A class number, also as other tools write it (``1.0e+00``)."""
    if _DIGITS.match(text):
        return int(text)
    value = _number(text)
    if not value.is_integer():
        raise ValueError(f"{text!r} is not a whole number")
    return int(value)


def _number(text: str) -> float:
    if "_" in text or not text.isascii():
        raise ValueError(f"{text!r} is not a number")
    return float(text)


def _fits_pose(values: Sequence[float], dimensions: int) -> bool:
    """Whether the values can be a box and the keypoints in it."""
    points = values[4:]
    if len(points) % dimensions:
        return False
    x, y, width, height = values[:4]
    left, top = x - width / 2, y - height / 2
    if min(width, height) <= 0 or min(left, top) < -0.01 or max(x * 2 - left, y * 2 - top) > 1.01:
        return False
    for index in range(0, len(points), dimensions):
        px, py = points[index], points[index + 1]
        if dimensions == 3 and points[index + 2] not in (0, 1, 2):
            return False
        visible = points[index + 2] > 0 if dimensions == 3 else (px, py) != (0, 0)
        if visible and (
            abs(px - x) > width * (0.5 + _KEYPOINT_SLACK)
            or abs(py - y) > height * (0.5 + _KEYPOINT_SLACK)
        ):
            return False
    return True
