"""YOLO out: ``data.yaml``, ``images/train`` and ``labels/train`` with a text file a picture.

Lines are ``class x y width height`` (the centre), ``class x y x y ...`` (an outline) or ``class``
and four corners (oriented boxes), all as fractions of the picture (docs.ultralytics.com). A picture
with nothing on it has an empty file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...records import Record
from .contents import Found, Points, regions_of
from .output import Output, suffix_of

Lines = Literal["boxes", "segments", "corners"]


class YoloWriter:
    """Writes the labels of a picture when it comes, and ``data.yaml`` at the end."""

    def __init__(self, output: Output, lines: Lines = "boxes") -> None:
        self._output, self._lines = output, lines

    def add(self, record: Record, name: str) -> int:
        self._output.picture(record, f"images/train/{name}{suffix_of(record)}")
        lines = [
            self._line(found, record.image_size)
            for found in regions_of(record, self._output.classes)
        ]
        self._output.put(f"labels/train/{name}.txt", "".join(lines))
        return len(lines)

    def finish(self) -> list[Path]:
        import yaml

        names = dict(enumerate(self._output.classes.names))
        # Without a path, folders are looked for beside the file itself.
        values = {"train": "images/train", "val": "images/train", "names": names}
        text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
        return [self._output.put("data.yaml", text)]

    def _line(self, found: Found, size: tuple[int, int]) -> str:
        if self._lines == "boxes":
            corners = found.box.reshape(2, 2).astype(np.float64) / size
            numbers = np.concatenate([corners.mean(axis=0), corners[1] - corners[0]])
        elif self._lines == "segments":
            numbers = (joined(found.outlines_or_box) / size).reshape(-1)
        else:
            numbers = (oriented(found) / size).reshape(-1)
        words = [str(self._output.classes.number_of(found.name))]
        return " ".join([*words, *(f"{value:.6f}" for value in np.clip(numbers, 0, 1))]) + "\n"


def joined(parts: tuple[Points, ...]) -> NDArray[np.float64]:
    """The outlines of one thing as a single line ``float64[K, 2]``, for a YOLO line has one.

    From each part a bridge goes to the next at their nearest points, and back: without extent.
    """
    whole = parts[0].astype(np.float64)
    for part in parts[1:]:
        distances = np.linalg.norm(whole[:, None] - part[None], axis=2)
        here, there = np.unravel_index(int(distances.argmin()), distances.shape)
        inserted = np.concatenate([np.roll(part, -there, axis=0), part[there : there + 1]])
        whole = np.concatenate([whole[: here + 1], inserted, whole[here:]])
    return whole


def oriented(found: Found) -> NDArray[np.float64]:
    """The four corners of a region: its own, or those of the smallest turned box around it."""
    if found.corners is not None or not found.outlines:
        return found.quad.astype(np.float64)
    points = np.concatenate(found.outlines).astype(np.float64)
    best = found.quad.astype(np.float64)
    smallest = np.prod(np.ptp(points, axis=0))
    following = np.concatenate([np.roll(part, -1, axis=0) for part in found.outlines])
    edges = following.astype(np.float64) - points
    for angle in np.unique(np.arctan2(edges[:, 1], edges[:, 0]) % (np.pi / 2)):
        turn = np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
        turned = points @ turn
        low, high = turned.min(axis=0), turned.max(axis=0)
        if np.prod(high - low) < smallest - 1e-9:
            smallest = np.prod(high - low)
            box = np.array([low, (high[0], low[1]), high, (low[0], high[1])])
            best = box @ turn.T
    return best
