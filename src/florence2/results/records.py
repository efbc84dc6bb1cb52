"""Records: an image with its annotations and the annotator of each.

Datasets are converted to records, the data engine adds annotations to them, shards store them and
training reads them. Records are immutable and compare by content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..io.deprecation import renamed_fields
from ..io.files import read_regular
from .tasks import TASKS, AnswerKind, Task, custom_task
from .types import Answer, Boxes, ImageSize, Polygons, Quads, Text

MAX_IMAGE_BYTES = 2**31
Region = tuple[float, float, float, float]
SourceId = int | str

_BY_TOKEN = {task.token: task for task in TASKS}
_ANSWER_TYPES: dict[AnswerKind, tuple[type, ...]] = {
    "text": (Text,),
    "boxes": (Boxes,),
    "phrases": (Boxes,),
    "proposals": (Boxes,),
    "quads": (Quads,),
    "polygons": (Polygons,),
    "boxes_or_polygons": (Boxes, Polygons),
}


@dataclass(frozen=True)
class Annotator:
    """The source of an annotation: a person, a model, or a checkpoint known by its hash."""

    name: str
    version: str = ""
    checkpoint: str = ""


HUMAN = Annotator("human")


@dataclass(frozen=True)
class Category:
    """A class of a dataset: its name, its id where the dataset has ids, and its supercategory.

    ``attributes`` are the other fields that the dataset has for it (COCO's ``keypoints`` and
    ``skeleton``), as JSON holds them.

    Raises ``ValueError`` for a name that is no text and an id that is neither number nor text.
    """

    name: str
    id: SourceId | None = None
    supercategory: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not isinstance(self.id, int | str | None):
            raise ValueError(
                f"a class has a name and an id, got {self.name!r:.80}, {self.id!r:.80}"
            )
        if not isinstance(self.attributes, Mapping):
            raise ValueError(f"attributes of a class are a mapping, got {self.attributes!r:.80}")


@dataclass(frozen=True)
class LabeledObject:
    """One object as its dataset labels it, in full precision.

    Tasks are made from it, and exporters write it unchanged. ``box`` is
    ``(x0, y0, x1, y1)`` in pixels; ``outlines`` are the parts of its polygon, each ``x, y, x, y,
    ...``. ``category_id`` is the id of its class in the dataset and ``id`` its own. ``attributes``
    are the other fields that the dataset has for it, as JSON holds them.
    """

    label: str
    box: Region
    outlines: tuple[tuple[float, ...], ...] = ()
    score: float | None = None
    category_id: SourceId | None = None
    id: SourceId | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    annotator: Annotator = HUMAN


@renamed_fields(keep="kept")
@dataclass(frozen=True)
class FilterDecision:
    """Whether an annotation is kept, or why it is dropped. Dropped annotations are stored, too."""

    kept: bool = True
    reason: str = ""


KEPT = FilterDecision()


@renamed_fields(verdict="decision", question="prompt_input", known_task="task_definition")
@dataclass(frozen=True)
class Annotation:
    """One answer to one request about an image.

    Attributes:
        task: A token of the table (``"<OD>"``), or the prompt of a fine-tuned model (``"<VQA>"``).
        answer: The answer, of the task's kind.
        text: The text input of the prompt: a caption, an expression, a question, class names.
        region: The box of a region task, in pixels.
        annotator: The source of the answer.
        score: The confidence in the whole answer; scores of single regions are in the answer.
        round: The self-training round of the data engine.
        decision: The decision of the filters.

    Raises:
        ValueError: The answer is not of the task's kind, or the task's input is missing.
    """

    task: str
    answer: Answer
    text: str = ""
    region: Region | None = None
    annotator: Annotator = HUMAN
    score: float | None = None
    round: int = 0
    decision: FilterDecision = KEPT

    def __post_init__(self) -> None:
        if self.region is not None:
            x0, y0, x1, y1 = (float(value) for value in self.region)
            object.__setattr__(self, "region", (x0, y0, x1, y1))
        task = _BY_TOKEN.get(self.task)
        if task is None:
            return
        if not isinstance(self.answer, _ANSWER_TYPES[task.answer]):
            wanted = " or ".join(each.__name__ for each in _ANSWER_TYPES[task.answer])
            raise ValueError(f"{self.task} needs an answer of type {wanted}, got {self.answer!r}")
        _check_input(task, self.text, self.region)

    @property
    def task_definition(self) -> Task:
        """The task of the table, or the custom task of this annotation."""
        return _BY_TOKEN.get(self.task) or custom_task(self.task)

    @property
    def prompt_input(self) -> str | Region | None:
        """The input of the prompt: the region, or else the text, or None."""
        return self.region if self.region is not None else self.text or None

    @property
    def kind(self) -> AnswerKind:
        """The kind of the answer: the task's; for a custom task that of the answer itself."""
        if self.task in _BY_TOKEN:
            return _BY_TOKEN[self.task].answer
        if isinstance(self.answer, Text):
            return "text"
        if isinstance(self.answer, Quads):
            return "quads"
        named = any(self.answer.labels)
        if isinstance(self.answer, Boxes):
            return "boxes" if named else "proposals"
        return "boxes_or_polygons" if named else "polygons"


@dataclass(frozen=True)
class Record:
    """An image with its annotations.

    The image is ``image`` (the bytes of its file), comes from ``image_loader`` (a page or frame,
    rendered as PNG on demand), or is the file ``path``; with one of the first two, ``path``
    is only the name it came by. ``width`` and ``height`` are those of the upright image, and
    ``sha256`` is of the file's bytes. Fields from its dataset: ``split``, ``file_name`` (its
    name among the images of the split), ``source_id`` (its id), ``attributes`` (other fields of the
    image), and ``objects``, ``None`` where the dataset labels no objects. Raises ``ValueError``
    when there is no image, or regions belong to another image size.
    """

    id: str
    width: int
    height: int
    sha256: str
    image: bytes | None = field(default=None, repr=False)
    path: str | None = None
    annotations: tuple[Annotation, ...] = ()
    split: str | None = None
    file_name: str | None = None
    source_id: SourceId | None = None
    objects: tuple[LabeledObject, ...] | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    image_loader: Callable[[], bytes] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.image is None and self.path is None:
            raise ValueError(f"record {self.id!r} has no image: give its bytes or its path")
        if self.width <= 0 or self.height <= 0:
            size = (self.width, self.height)
            raise ValueError(f"record {self.id!r} needs a size above zero, got {size}")
        for annotation in self.annotations:
            answer = annotation.answer
            if not isinstance(answer, Text) and answer.image_size != self.image_size:
                raise ValueError(
                    f"record {self.id!r} is {self.image_size}, but its {annotation.task} answer "
                    f"is for an image of {answer.image_size}"
                )

    @property
    def image_size(self) -> ImageSize:
        """``(width, height)`` of the upright image."""
        return self.width, self.height

    def image_bytes(self) -> bytes:
        """The bytes of the image's file, loaded when the record does not hold them.

        Raises ``FileNotFoundError`` when the file is gone, ``ValueError`` when it was changed or
        cannot be decoded.
        """
        if self.image is not None:
            return self.image
        if self.image_loader is not None:
            return self.image_loader()
        content = read_regular(self.path or "", MAX_IMAGE_BYTES)
        if content_hash(content) != self.sha256:
            raise ValueError(f"{self.path} was changed since record {self.id!r} was made from it")
        return content

    def kept(self) -> tuple[Annotation, ...]:
        """The annotations that were not dropped by a filter."""
        return tuple(each for each in self.annotations if each.decision.kept)


def content_hash(content: bytes) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def source_values(record: Record) -> dict[str, Any]:
    """The id, attributes and objects that the source gives an image, as JSON holds them."""
    values: dict[str, Any] = {}
    if record.source_id is not None:
        values["source_id"] = record.source_id
    if record.attributes:
        values["attributes"] = dict(record.attributes)
    if record.objects is not None:
        values["objects"] = [asdict(each) for each in record.objects]
    return values


def source_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a record that ``source_values`` made ``values`` of; others are left alone.

    Raises ``ValueError``, ``TypeError``, ``LookupError`` or ``ArithmeticError`` for values that it
    did not make.
    """
    fields: dict[str, Any] = {}
    if values.get("source_id") is not None:
        fields["source_id"] = _checked_id(values["source_id"])
    if values.get("attributes"):
        fields["attributes"] = dict(values["attributes"])
    if values.get("objects") is not None:
        fields["objects"] = tuple(map(_read_object, values["objects"]))
    return fields


def _read_object(values: Mapping[str, Any]) -> LabeledObject:
    x0, y0, x1, y1 = (float(value) for value in values["box"])
    if not isinstance(values["label"], str):
        raise ValueError(f"the label of an object is a text, got {values['label']!r:.80}")
    return LabeledObject(
        values["label"],
        (x0, y0, x1, y1),
        tuple(tuple(float(value) for value in part) for part in values["outlines"]),
        None if values["score"] is None else float(values["score"]),
        _checked_id(values["category_id"]),
        _checked_id(values["id"]),
        dict(values["attributes"]),
        Annotator(**values["annotator"]),
    )


def _checked_id(value: Any) -> SourceId | None:
    if value is not None and not isinstance(value, int | str):
        raise ValueError(f"an id is a number or a text, got {value!r:.80}")
    return value


def _check_input(task: Task, text: str, region: Region | None) -> None:
    if task.input == "region":
        if region is None:
            raise ValueError(f"{task.token} needs a region; give the box in pixels")
        return
    if region is not None:
        raise ValueError(f"{task.token} takes no region, got {region}")
    # Raises for text that is missing or not taken.
    task.format_prompt(text)
