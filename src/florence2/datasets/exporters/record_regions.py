"""The content of a record for other tools: regions with a class, lines of text, captions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...results.geometry import box_iou, clip_boxes, clip_points, fix_inverted_boxes, point_bounds
from ...results.records import Annotation, LabeledObject, Record, SourceId
from ...results.tasks import CAPTIONS
from ...results.types import Answer, Boxes, ImageSize, Polygons, Quads, Text
from ..importers.instances import INSTANCE_TASKS
from .class_map import ExportClasses

# The class of lines of text.
TEXT = "text"
# Their labels are phrases or empty: they give classes only if no other task does, and then only
# the first of these tasks.
PHRASE_TASKS = ("<CAPTION_TO_PHRASE_GROUNDING>", "<DENSE_REGION_CAPTION>", "<REGION_PROPOSAL>")
# Regions of two tasks with this IoU and the same class are one object.
SAME_OBJECT = 0.8
Points = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class ExportRegion:
    """One region: its class, the upright box around it, and its outlines where it has some.

    ``corners`` are the four of a quad, ``words`` the recognized text. Everything is within the
    image. ``score`` is ``None`` if there is none. ``category_id``, ``id`` and ``attributes``
    are those of the source dataset, whose own labels are ``is_source``.
    """

    name: str
    box: Points
    outlines: tuple[Points, ...] = ()
    corners: Points | None = None
    score: float | None = None
    words: str = ""
    category_id: SourceId | None = None
    id: SourceId | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    is_source: bool = False

    @property
    def outlines_or_corners(self) -> tuple[Points, ...]:
        """The outlines; else the corners of a quad; empty for a box."""
        return self.outlines or (() if self.corners is None else (self.corners,))

    @property
    def outlines_or_box(self) -> tuple[Points, ...]:
        """The outlines; else the corners of the quad or box."""
        return self.outlines or (self.quad,)

    @property
    def quad(self) -> Points:
        """The four corners, clockwise from the top left: those of the box where none are known."""
        if self.corners is not None:
            return self.corners
        x0, y0, x1, y1 = self.box
        return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])


@dataclass
class CollectedRegions:
    """The regions of a record that mean a class, and what was skipped of them.

    ``unmapped`` counts the labels that mean no class, ``other_tasks`` the regions of tasks that
    give no classes here, ``unusable`` those without extent or outside the image.
    """

    regions: list[ExportRegion] = field(default_factory=list)
    unmapped: Counter[str] = field(default_factory=Counter)
    other_tasks: Counter[str] = field(default_factory=Counter)
    unusable: int = 0


def collect_regions(record: Record, classes: ExportClasses) -> CollectedRegions:
    """The kept regions of a record that mean a class, one after another, each object once.

    The objects of the source dataset come first; annotations that were made from them are not
    repeated. The region of a prompt (``<REGION_TO_CATEGORY>`` and similar tasks) counts too: its
    box comes from the prompt, its class from the prediction or, for outlines, from the text of the
    prompt or the object in the region. Lines of text have the class ``text``.
    """
    if classes.collected is not None and classes.collected[0] is record:
        regions: CollectedRegions = classes.collected[1]
        return regions
    collected = CollectedRegions()
    for labeled in record.objects or ():
        _add(collected, classes, labeled.label, _from_source(labeled, record.image_size))
    used, others = choose_annotations(record)
    tasks = [""] * len(collected.regions)
    for annotation in used:
        before = len(collected.regions)
        for label, answer, index in _labeled_regions(annotation):
            found = _found(label, answer, index, record.image_size)
            same = None if found is None else _same_object(found, collected.regions[:before], tasks)
            if same is None:
                _add(collected, classes, label, found)
            elif found is not None and found.outlines and not collected.regions[same].outlines:
                collected.regions[same] = replace(collected.regions[same], outlines=found.outlines)
        tasks += [annotation.task] * (len(collected.regions) - len(tasks))
    for annotation in others:
        count = sum(1 for _ in _labeled_regions(annotation))
        if count:
            collected.other_tasks[annotation.task] += count
    classes.collected = record, collected
    return collected


def choose_annotations(record: Record) -> tuple[list[Annotation], list[Annotation]]:
    """The kept annotations whose regions give classes, and those whose regions do not."""
    sources = {labeled.annotator for labeled in record.objects or ()}
    kept = [
        annotation
        for annotation in record.kept()
        if not (annotation.task in INSTANCE_TASKS and annotation.annotator in sources)
    ]
    with_regions = [
        annotation
        for annotation in kept
        if any(True for _ in _labeled_regions(annotation)) or _detects(annotation)
    ]
    chosen: str | None = None
    if not record.objects and not any(_detects(annotation) for annotation in with_regions):
        present = {annotation.task for annotation in with_regions}
        chosen = next((task for task in PHRASE_TASKS if task in present), None)
    others = [
        annotation
        for annotation in kept
        if annotation.task in PHRASE_TASKS and annotation.task != chosen
    ]
    return [annotation for annotation in kept if annotation not in others], others


def list_regions(record: Record, classes: ExportClasses) -> list[ExportRegion]:
    """The regions that ``collect_regions`` finds."""
    return collect_regions(record, classes).regions


def list_captions(record: Record) -> dict[str, str]:
    """The captions of a record by task, without location tokens, the shortest kind first."""
    found = {
        annotation.task: annotation.answer.plain_text
        for annotation in record.kept()
        if isinstance(annotation.answer, Text)
    }
    return {task: found[task] for task in CAPTIONS if task in found}


def list_text_lines(record: Record) -> list[ExportRegion]:
    """The lines of text that were read, with their corners, in the order of the answer."""
    found = [
        _found(TEXT, annotation.answer, index, record.image_size)
        for annotation in record.kept()
        if isinstance(annotation.answer, Quads)
        for index in range(len(annotation.answer))
    ]
    return [region for region in found if region is not None and region.words.strip()]


def clean_text(text: str) -> str:
    """The text as UTF-8 can hold it: what it cannot becomes U+FFFD."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def _detects(annotation: Annotation) -> bool:
    """Whether the task names objects, also where it found none."""
    return (
        not isinstance(annotation.answer, Text | Quads) and annotation.task not in PHRASE_TASKS
    ) or annotation.task == "<REGION_TO_CATEGORY>"


def _add(
    collected: CollectedRegions, classes: ExportClasses, label: str, found: ExportRegion | None
) -> None:
    if found is None:
        collected.unusable += 1
        return
    name = classes.find_class_name(clean_text(label))
    if name is None:
        collected.unmapped[label] += 1
    else:
        collected.regions.append(replace(found, name=name))


def _labeled_regions(annotation: Annotation) -> Iterator[tuple[str, Boxes | Quads | Polygons, int]]:
    answer = annotation.answer
    if isinstance(answer, Text):
        if annotation.task == "<REGION_TO_CATEGORY>" and annotation.region is not None:
            # The size of the record is not known here; ``Boxes`` needs one.
            yield answer.plain_text, Boxes([annotation.region], [answer.plain_text], (1, 1)), 0
        return
    for index, label in enumerate(answer.labels):
        yield TEXT if isinstance(answer, Quads) else label or annotation.text, answer, index


def _same_object(found: ExportRegion, before: list[ExportRegion], tasks: list[str]) -> int | None:
    """The index of the region in ``before`` (of other tasks) that shows the same object."""
    if found.corners is not None or not before:
        return None
    names = [
        not found.name.strip() or region.name.casefold() == found.name.strip().casefold()
        for region in before
    ]
    possible = np.array(names) & np.array([region.corners is None for region in before])
    if not possible.any():
        return None
    overlap = box_iou(found.box[None], np.array([region.box for region in before]))[0] * possible
    best = int(overlap.argmax())
    return best if overlap[best] >= SAME_OBJECT else None


def _from_source(labeled: LabeledObject, size: ImageSize) -> ExportRegion | None:
    box = clip_boxes(fix_inverted_boxes(np.array([labeled.box], np.float64)), size)[0]
    parts = (np.array(part, np.float64).reshape(-1, 2) for part in labeled.outlines)
    outlines = tuple(clip_points(part, size) for part in parts if len(part) > 2)
    if not _has_extent(box) or not all(np.isfinite(part).all() for part in outlines):
        return None
    return ExportRegion(
        labeled.label,
        box,
        outlines,
        score=_finite(labeled.score),
        category_id=labeled.category_id,
        id=labeled.id,
        attributes=labeled.attributes,
        is_source=True,
    )


def _found(name: str, answer: Answer, index: int, size: ImageSize) -> ExportRegion | None:
    assert not isinstance(answer, Text)
    score = None if answer.scores is None else _finite(float(answer.scores[index]))
    outlines: tuple[Points, ...] = ()
    corners, words = None, ""
    if isinstance(answer, Polygons):
        whole = [part.astype(np.float64) for part in answer.polygons[index] if len(part) > 2]
        if not whole or not all(np.isfinite(part).all() for part in whole):
            return None
        outlines = tuple(clip_points(part, size) for part in whole)
        box = point_bounds(np.concatenate(outlines))
    else:
        if isinstance(answer, Quads):
            words = clean_text(answer.labels[index])
            corners = clip_points(answer.corners[index].astype(np.float64), size)
        ordered = fix_inverted_boxes(answer.bounds[index : index + 1].astype(np.float64))
        box = clip_boxes(ordered, size)[0]
    if not _has_extent(box):
        return None
    return ExportRegion(name, box, outlines, corners, score, words)


def _has_extent(box: Points) -> bool:
    return bool(np.isfinite(box).all() and box[2] > box[0] and box[3] > box[1])


def _finite(score: float | None) -> float | None:
    return score if score is not None and np.isfinite(score) else None
