"""Problems of a dataset: their kinds, and how an importer reports them and continues.

An importer raises ``LabelError`` for one bad item inside ``ImportContext.collect_errors``, which
reports it as an ``ImportProblem`` with its file and line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...results.records import HUMAN, Annotation, Annotator, Category
from ...results.tasks import Task
from ...results.types import Answer, ImageSize, Text

ProblemKind = Literal[
    "malformed",  # a file, line, element or field that cannot be read
    "missing-file",
    "broken-image",
    "image-size",  # the labels are for another image size
    "outside-image",
    "degenerate-box",  # without area, inverted or not finite
    "empty-polygon",  # fewer than three points, or without area
    "unsupported-mask",  # a mask that polygons cannot express
    "unsupported-shape",  # a shape that is neither a box nor a polygon
    "crowd",  # one region for many objects
    "unknown-class",
    "unknown-image",  # a label for an image that the dataset does not list
    "duplicate",
    "empty-text",
    "unreadable-prompt",
    "unreadable-suffix",
    "unwritable-answer",  # an answer that the grammar cannot write
    "too-long",  # more tokens than the model has positions for
    "fractions",  # coordinates between 0 and 1 where the format has pixels
    "passed-over",  # files or values of a kind that is not read
]

# No answer that a model has positions for is longer than this; a longer one is not tokenized.
MAX_TEXT_LENGTH = 200_000
_MAX_MESSAGE = 600


@dataclass(frozen=True)
class ImportProblem:
    """One item that was skipped. ``line`` counts from 1, where the file has lines."""

    file: str
    line: int | None
    message: str
    kind: ProblemKind

    def __str__(self) -> str:
        location = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{location}: {self.kind}: {self.message}"


class LabelError(ValueError):
    """One item of a dataset that cannot be used; the importer reports it and continues."""

    def __init__(self, kind: ProblemKind, message: str) -> None:
        super().__init__(message)
        self.kind: ProblemKind = kind


def refuse_suffix(suffix: str, task: Task, image_size: ImageSize) -> Answer:
    """Raise ``LabelError``: the default where no grammar was given to parse answers."""
    raise LabelError("unreadable-suffix", f"no grammar was given to parse {suffix[:60]!r}")


def accept(annotation: Annotation, image_size: ImageSize) -> None:
    """The check that accepts every annotation."""


def ignore_categories(categories: Sequence[Category]) -> None:
    """The default where the classes of a dataset are not needed."""


@dataclass(frozen=True)
class ImportContext:
    """What every importer is given: where problems go, and which annotations are accepted.

    Attributes:
        report: Called with each problem.
        check: Raises ``LabelError`` for an annotation that cannot be used.
        read_suffix: Parses a written answer (``"car<loc_1>..."``) to a value of the task's kind;
            raises ``LabelError`` when it cannot.
        annotator: The annotator of all annotations.
        declare: Called with the classes that the dataset lists, before the first record.
    """

    report: Callable[[ImportProblem], None]
    check: Callable[[Annotation, ImageSize], None] = accept
    read_suffix: Callable[[str, Task, ImageSize], Answer] = refuse_suffix
    annotator: Annotator = HUMAN
    declare: Callable[[Sequence[Category]], None] = ignore_categories

    @contextmanager
    def collect_errors(self, file: Path, line: int | None = None, item: str = "") -> Iterator[None]:
        """A block that a ``LabelError`` ends; the error is reported as a problem.

        ``item`` names the item in a file without lines.
        """
        try:
            yield
        except LabelError as error:
            message = f"{item}: {error}" if item else str(error)
            self.report(ImportProblem(_printable(str(file)), line, _printable(message), error.kind))

    def keep_valid(
        self,
        candidates: Iterable[Annotation],
        image_size: ImageSize,
        file: Path,
        line: int | None = None,
    ) -> tuple[Annotation, ...]:
        """The ``candidates`` that pass the check; the others are reported."""
        passed = []
        for annotation in candidates:
            with self.collect_errors(file, line):
                _check_length(annotation)
                self.check(annotation, image_size)
                passed.append(annotation)
        return tuple(passed)


def check_text(text: str, what: str) -> str:
    """``text`` as it is. Raises ``LabelError`` when it cannot be stored or is far too long."""
    if len(text) > MAX_TEXT_LENGTH:
        raise LabelError(
            "too-long", f"{what} has {len(text):,} characters; the limit is {MAX_TEXT_LENGTH:,}"
        )
    if "\0" in text:
        raise LabelError("malformed", f"{what} holds a NUL character: {text[:60]!r}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise LabelError(
            "malformed", f"{what} holds half of a surrogate pair: {text[:60]!a}"
        ) from error
    return text


def _check_length(annotation: Annotation) -> None:
    """Check the texts of an annotation before anything tokenizes them."""
    check_text(annotation.text, "the text of the prompt")
    answer = annotation.answer
    labels = [answer.text] if isinstance(answer, Text) else answer.labels
    if sum(map(len, labels)) > MAX_TEXT_LENGTH:
        raise LabelError(
            "too-long",
            f"the answer to {annotation.task} has {sum(map(len, labels)):,} characters; "
            f"the limit is {MAX_TEXT_LENGTH:,}",
        )
    for label in labels:
        check_text(label, "a label" if len(labels) > 1 else f"the answer to {annotation.task}")


def _printable(text: str) -> str:
    """``text`` short enough to print, and without characters that cannot be written."""
    short = text if len(text) <= _MAX_MESSAGE else f"{text[:_MAX_MESSAGE]}..."
    return short.encode("utf-8", "backslashreplace").decode("utf-8")
