"""What an annotation must pass to be trained on: the grammar writes it, and the model holds it."""

from __future__ import annotations

from ..processing import grammar
from ..processing.processor import Processor
from ..results.records import Annotation
from ..results.tasks import Task
from ..results.types import Answer, Boxes, ImageSize, Polygons, Quads, Text
from . import LabelError


class LabelChecker:
    """Checks annotations against one vocabulary and the positions of one model.

    ``max_answer_tokens`` counts an answer with its ``<s>`` and ``</s>``.
    """

    def __init__(self, processor: Processor, max_answer_tokens: int = 1024) -> None:
        self._processor = processor
        self._tokenizer = processor.tokenizer
        self._max_answer_tokens = max_answer_tokens

    def check(self, annotation: Annotation, image_size: ImageSize) -> None:
        """Raise ``LabelError`` when the prompt or the answer does not fit the model."""
        try:
            self._processor.prompt(annotation.task_definition, annotation.prompt_input, image_size)
        except ValueError as error:
            raise LabelError("too-long", str(error)) from error
        try:
            answer = self._processor.encode_target(annotation.answer, annotation.kind)
        except ValueError as error:
            raise LabelError("unwritable-answer", f"{annotation.task}: {error}") from error
        if len(answer) > self._max_answer_tokens:
            raise LabelError(
                "too-long",
                f"the answer to {annotation.task} has {len(answer)} tokens; "
                f"the model has positions for {self._max_answer_tokens}",
            )

    def read_suffix(self, suffix: str, task: Task, image_size: ImageSize) -> Answer:
        """The answer that ``suffix`` writes, of the task's kind.

        An empty suffix is an answer without regions. Raises ``LabelError`` when any word or
        location of it would be lost in the reading, or a region makes no sense.
        """
        if task.answer == "text":
            if not suffix.strip():
                raise LabelError("empty-text", "the answer is empty")
            return Text(suffix.strip())
        token_ids = self._tokenizer.encode(suffix)
        answer = grammar.read(token_ids, task.answer, image_size, self._tokenizer)
        assert not isinstance(answer, Text)
        locations = sum(self._tokenizer.is_location(token) for token in token_ids)
        if locations != _location_count(answer):
            raise LabelError(
                "unreadable-suffix",
                f"{task.token}: {locations} locations do not make whole regions of kind "
                f"{task.answer!r} in {_short(suffix)}",
            )
        surplus = [words for words in self._words(token_ids) if words not in answer.labels]
        if surplus:
            raise LabelError(
                "unreadable-suffix",
                f"{task.token}: {surplus[0]!r} is followed by no region in {_short(suffix)}; "
                "a label comes before its locations",
            )
        _check_labels(answer, task, suffix)
        _check_shapes(answer, suffix)
        return answer

    def _words(self, token_ids: list[int]) -> list[str]:
        """The runs of words between added tokens, without white space at their ends."""
        first, last = self._tokenizer.first_added, self._tokenizer.first_added + 1024
        runs: list[list[int]] = [[]]
        for token in token_ids:
            if first <= token < last:
                runs.append([])
            else:
                runs[-1].append(token)
        words = [self._tokenizer.decode(run).strip() for run in runs]
        return [run for run in words if run]


def _location_count(answer: Boxes | Quads | Polygons) -> int:
    if isinstance(answer, Boxes):
        return answer.xyxy.size
    if isinstance(answer, Quads):
        return answer.corners.size
    return sum(part.size for parts in answer.polygons for part in parts)


def _check_labels(answer: Boxes | Quads | Polygons, task: Task, suffix: str) -> None:
    if task.answer in ("boxes", "phrases", "quads") and not all(answer.labels):
        raise LabelError(
            "unreadable-suffix", f"{task.token}: a label is missing in {_short(suffix)}"
        )
    # A bin past the last is not a token: the tokenizer reads it as words.
    strange = [label for label in answer.labels if "<loc_" in label]
    if strange:
        raise LabelError(
            "unreadable-suffix", f"{strange[0]!r} holds a location that does not exist"
        )


def _check_shapes(answer: Boxes | Quads | Polygons, suffix: str) -> None:
    if isinstance(answer, Boxes):
        if (answer.xyxy[:, 2:] < answer.xyxy[:, :2]).any():
            raise LabelError("degenerate-box", f"a box ends before it begins in {_short(suffix)}")
    elif isinstance(answer, Polygons) and any(
        len(part) < 3 for parts in answer.polygons for part in parts
    ):
        raise LabelError(
            "empty-polygon", f"a polygon has fewer than three points in {_short(suffix)}"
        )


def _short(suffix: str) -> str:
    return repr(suffix if len(suffix) <= 80 else suffix[:77] + "...")
