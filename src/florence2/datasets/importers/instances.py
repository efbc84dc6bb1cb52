"""Labeled objects of an image, and the annotations of tasks that are made from them.

COCO, YOLO, VOC and the others are converted to this one form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...results.records import Annotation, Annotator, LabeledObject, Region, SourceId
from ...results.tasks import find_task
from ...results.types import Boxes, ImageSize, Polygons, Text
from .problems import LabelError


@dataclass(frozen=True)
class Instance:
    """One object: its class name, its box, and its polygons (``float[K, 2]``) where known.

    ``category_id``, ``id``, ``score`` and ``attributes`` are its other fields in the dataset. A
    ``crowd`` is one region for many objects: it is kept, but no task is made from it. Raises
    ``LabelError`` for a blank name.
    """

    label: str
    box: Region
    polygons: tuple[NDArray[np.floating], ...] = ()
    category_id: SourceId | None = None
    id: SourceId | None = None
    score: float | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    crowd: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", self.label.strip())
        if not self.label:
            raise LabelError("empty-text", "the class name is blank")


Maker = Callable[[Sequence[Instance], ImageSize, Annotator], Iterator[Annotation]]


def check_tasks(names: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """The tokens of the tasks called ``names``. ``ValueError`` for one not among ``known``."""
    tokens = tuple(find_task(name).token for name in names)
    for name, token in zip(names, tokens, strict=True):
        if token not in known:
            choices = ", ".join(find_task(known_token).name for known_token in known)
            raise ValueError(f"this format has no labels for task {name!r}; it has {choices}")
    if not tokens:
        raise ValueError("name at least one task to convert to")
    return tokens


def label_objects(instances: Iterable[Instance], annotator: Annotator) -> tuple[LabeledObject, ...]:
    """``instances`` as the objects of a record."""
    return tuple(
        LabeledObject(
            instance.label,
            instance.box,
            tuple(tuple(part.reshape(-1).tolist()) for part in instance.polygons),
            instance.score,
            instance.category_id,
            instance.id,
            instance.attributes,
            annotator,
        )
        for instance in instances
    )


def instance_annotations(
    instances: Sequence[Instance],
    image_size: ImageSize,
    tokens: Sequence[str],
    annotator: Annotator,
) -> Iterator[Annotation]:
    """What ``instances`` answer to each of the tasks in ``tokens`` that they can answer."""
    single = [instance for instance in instances if not instance.crowd]
    for token in tokens:
        if token in _MAKERS:
            yield from _MAKERS[token](single, image_size, annotator)


def _detection(
    instances: Sequence[Instance], image_size: ImageSize, annotator: Annotator
) -> Iterator[Annotation]:
    labels = [instance.label for instance in instances]
    boxes = Boxes([instance.box for instance in instances], labels, image_size)
    yield Annotation("<OD>", boxes, annotator=annotator)


def _proposals(
    instances: Sequence[Instance], image_size: ImageSize, annotator: Annotator
) -> Iterator[Annotation]:
    boxes = Boxes([instance.box for instance in instances], [""] * len(instances), image_size)
    yield Annotation("<REGION_PROPOSAL>", boxes, annotator=annotator)


def _categories(
    instances: Sequence[Instance], image_size: ImageSize, annotator: Annotator
) -> Iterator[Annotation]:
    for instance in instances:
        answer = Text(instance.label)
        yield Annotation("<REGION_TO_CATEGORY>", answer, region=instance.box, annotator=annotator)


def _segmentations(
    instances: Sequence[Instance], image_size: ImageSize, annotator: Annotator
) -> Iterator[Annotation]:
    for instance in instances:
        if instance.polygons:
            yield Annotation(
                "<REGION_TO_SEGMENTATION>",
                Polygons([instance.polygons], [""], image_size),
                region=instance.box,
                annotator=annotator,
            )


def _open_vocabulary(
    instances: Sequence[Instance], image_size: ImageSize, annotator: Annotator
) -> Iterator[Annotation]:
    for label in dict.fromkeys(instance.label for instance in instances):
        boxes = [instance.box for instance in instances if instance.label == label]
        yield Annotation(
            "<OPEN_VOCABULARY_DETECTION>",
            Boxes(boxes, [label] * len(boxes), image_size),
            text=label,
            annotator=annotator,
        )


_MAKERS: dict[str, Maker] = {
    "<OD>": _detection,
    "<REGION_PROPOSAL>": _proposals,
    "<REGION_TO_CATEGORY>": _categories,
    "<REGION_TO_SEGMENTATION>": _segmentations,
    "<OPEN_VOCABULARY_DETECTION>": _open_vocabulary,
}
INSTANCE_TASKS = tuple(_MAKERS)
