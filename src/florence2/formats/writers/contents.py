"""What of a record goes into files of other tools: regions with a class, lines of text, texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ...geometry import clip_boxes, clip_points, order_corners, point_bounds
from ...records import Annotation, Record
from ...results import Answer, Boxes, ImageSize, Polygons, Quads, Text
from ...tasks import CAPTIONS
from .ontology import Classes

# The class of what is written.
TEXT = "text"
Points = NDArray[np.float32]


@dataclass(frozen=True)
class Found:
    """One region: its class, the upright box around it, and its outlines where it has some.

    ``corners`` are the four of a quad, ``words`` what is written there. Everything lies within the
    picture. ``score`` is ``None`` where nobody gave one.
    """

    name: str
    box: Points
    outlines: tuple[Points, ...] = ()
    corners: Points | None = None
    score: float | None = None
    words: str = ""

    @property
    def outlines_or_corners(self) -> tuple[Points, ...]:
        """The outlines; that of the quad where there are no others; none of a box."""
        return self.outlines or (() if self.corners is None else (self.corners,))

    @property
    def outlines_or_box(self) -> tuple[Points, ...]:
        """The outlines; those of the quad or box where there are no others."""
        return self.outlines or (self.quad,)

    @property
    def quad(self) -> Points:
        """The four corners, clockwise from the top left: those of the box where none are known."""
        if self.corners is not None:
            return self.corners
        x0, y0, x1, y1 = self.box
        return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], np.float32)


def regions_of(record: Record, classes: Classes) -> Iterator[Found]:
    """The kept regions of a record that mean a class, one after another.

    A region asked about (``<REGION_TO_CATEGORY>`` and its like) is one too: its box comes from the
    question, its class from the answer or, for outlines, from the words asked with. Lines of text
    are of the class ``text``. Regions without extent, and those outside the picture, are left out.
    """
    for annotation in record.kept():
        for label, answer, index in _labelled(annotation):
            name = classes.name_of(label)
            found = None if name is None else _found(name, answer, index, record.image_size)
            if found is not None:
                yield found


def left_out(record: Record, classes: Classes) -> int:
    """How many kept regions of a record mean no class of the set."""
    labels = (label for each in record.kept() for label, _, _ in _labelled(each))
    return sum(classes.name_of(label) is None for label in labels)


def texts_of(record: Record) -> dict[str, str]:
    """The captions of a record by task, without location tokens, the shortest kind first."""
    found = {
        each.task: each.answer.plain for each in record.kept() if isinstance(each.answer, Text)
    }
    return {task: found[task] for task in CAPTIONS if task in found}


def lines_of(record: Record) -> list[Found]:
    """The lines of text that were read, with their corners, in the order of the answer."""
    found = [
        _found(TEXT, each.answer, index, record.image_size)
        for each in record.kept()
        if isinstance(each.answer, Quads)
        for index in range(len(each.answer))
    ]
    return [each for each in found if each is not None and each.words.strip()]


def _labelled(annotation: Annotation) -> Iterator[tuple[str, Boxes | Quads | Polygons, int]]:
    answer = annotation.answer
    if isinstance(answer, Text):
        if annotation.task == "<REGION_TO_CATEGORY>" and annotation.region is not None:
            # The record's size is not known here; a box carries the one it is checked against.
            size = _around(annotation.region)
            yield answer.plain, Boxes([annotation.region], [answer.plain], size), 0
        return
    for index, label in enumerate(answer.labels):
        yield TEXT if isinstance(answer, Quads) else label or annotation.text, answer, index


def _around(region: tuple[float, float, float, float]) -> ImageSize:
    return max(1, int(region[2]) + 1), max(1, int(region[3]) + 1)


def _found(name: str, answer: Answer, index: int, size: ImageSize) -> Found | None:
    assert not isinstance(answer, Text)
    score = None if answer.scores is None else float(answer.scores[index])
    outlines: tuple[Points, ...] = ()
    corners, words = None, ""
    if isinstance(answer, Polygons):
        clipped = (clip_points(part, size) for part in answer.polygons[index] if len(part) > 2)
        outlines = tuple(part.astype(np.float32) for part in clipped)
        if not outlines:
            return None
        box = point_bounds(np.concatenate(outlines))
    else:
        if isinstance(answer, Quads):
            words = answer.labels[index]
            corners = clip_points(answer.corners[index], size).astype(np.float32)
        ordered = order_corners(answer.bounds[index : index + 1])
        box = clip_boxes(ordered, size)[0].astype(np.float32)
    if box[2] <= box[0] or box[3] <= box[1]:
        return None
    return Found(name, box, outlines, corners, score, words)


@dataclass
class OutputNames:
    """A name of its own, without suffix, for every picture: ``below/a`` for ``below/a.png``.

    Without ``folders`` it is ``below_a``: many readers of data sets look into one folder only.
    Pictures that differ in their suffix alone get it appended: ``a-png``.
    """

    folders: bool = True
    _taken: set[str] = field(default_factory=set)

    def of(self, record_id: str) -> str:
        """The name of a picture; never leads out of the folder that is written to."""
        path = PurePosixPath(record_id.replace("\\", "/").replace("://", "/"))
        parts = [part for part in path.parts if part not in ("/", "..", ".")]
        path = PurePosixPath(*parts) if parts else PurePosixPath("picture")
        if not self.folders:
            path = PurePosixPath("_".join(path.parts))
        stem, suffix = str(path.with_suffix("")), path.suffix.lstrip(".")
        names = [stem, f"{stem}-{suffix}" if suffix else stem]
        names += [f"{stem}-{number}" for number in range(2, len(self._taken) + 3)]
        name = next(each for each in names if each.casefold() not in self._taken)
        self._taken.add(name.casefold())
        return name
