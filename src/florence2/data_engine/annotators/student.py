"""A Florence-2 checkpoint as a specialist: all its tasks, through the batching scheduler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...inference.prepared import Request
from ...io.atomic import file_hash
from ...results.records import Annotation, Annotator, Record
from ...results.tasks import CAPTIONS, find_task
from ...results.types import Answer, Boxes, Failure, Text
from ..part_files import failure

if TYPE_CHECKING:
    from ...inference.predictor import Florence2

REGIONS = ("<OD>", "<DENSE_REGION_CAPTION>", "<REGION_PROPOSAL>", "<OCR>", "<OCR_WITH_REGION>")
GROUNDING = "<CAPTION_TO_PHRASE_GROUNDING>"
SEGMENTATION = "<REFERRING_EXPRESSION_SEGMENTATION>"
# Phrases of one picture that polygons are asked for.
_MOST_PHRASES = 8


class Student:
    """What the checkpoint at ``source`` answers, greedily unless told otherwise.

    Texts, its own and those it is given, are grounded, and the phrases found are segmented, where
    ``tasks`` has these. An answer is scored where its type has a score.
    """

    def __init__(
        self,
        source: str = "nano",
        *,
        name: str = "student",
        version: str = "",
        tasks: Sequence[str] = (*CAPTIONS, *REGIONS, GROUNDING, SEGMENTATION),
        beams: int = 1,
        max_new_tokens: int = 256,
        device: str | None = None,
        runtime: str | None = None,
        model: Florence2 | None = None,
    ) -> None:
        from ...inference.predictor import load, resolve_checkpoint

        self._model = model or load(source, device=device, runtime=runtime)
        self._tasks = tuple(find_task(task).token for task in tasks)
        self._beams, self._max_new_tokens = beams, max_new_tokens
        weights = resolve_checkpoint(source) / "model.safetensors"
        checkpoint = file_hash(weights)[:16] if weights.is_file() else ""
        self.annotator = Annotator(name, version or str(source), checkpoint)

    def annotate(self, records: Sequence[Record]) -> list[tuple[Annotation, ...]]:
        """The answers to all tasks about each record; one it cannot give is a noted failure."""
        pictures = [record.image_bytes() for record in records]
        plain = [task for task in self._tasks if find_task(task).input == "none"]
        given = self._answers(
            [(at, task, "") for at in range(len(records)) for task in plain], pictures
        )
        if GROUNDING in self._tasks:
            texts = [
                (at, GROUNDING, text)
                for at, record in enumerate(records)
                for text in _texts((*record.annotations, *given[at]))
            ]
            self._add(given, texts, pictures)
        if SEGMENTATION in self._tasks:
            phrases = [
                (at, SEGMENTATION, phrase)
                for at in range(len(records))
                for phrase in _phrases(given[at])
            ]
            self._add(given, phrases, pictures)
        return [tuple(each) for each in given]

    def _add(
        self,
        given: list[list[Annotation]],
        asked: Sequence[tuple[int, str, str]],
        pictures: Sequence[bytes],
    ) -> None:
        for mine, more in zip(given, self._answers(asked, pictures), strict=True):
            mine += more

    def _answers(
        self, asked: Sequence[tuple[int, str, str]], pictures: Sequence[bytes]
    ) -> list[list[Annotation]]:
        """Annotations by picture, for questions ``(picture, task, text)``."""
        given: list[list[Annotation]] = [[] for _ in pictures]
        requests: list[Request] = [(pictures[at], task, text or None) for at, task, text in asked]
        outcomes = self._model.batch(
            requests, beams=self._beams, max_new_tokens=self._max_new_tokens
        )
        for (at, task, text), outcome in zip(asked, outcomes, strict=True):
            if isinstance(outcome, Failure):
                given[at].append(failure(self.annotator, f"{task}: {outcome.error}"))
            else:
                given[at].append(
                    Annotation(
                        task,
                        outcome.answer,
                        text=text,
                        annotator=self.annotator,
                        score=_score(outcome.answer),
                    )
                )
        return given


def _texts(annotations: Sequence[Annotation]) -> list[str]:
    """The captions among annotations, each once."""
    found = [
        each.answer.plain_text
        for each in annotations
        if each.task in CAPTIONS and isinstance(each.answer, Text) and each.answer.plain_text
    ]
    return list(dict.fromkeys(found))


def _phrases(annotations: Sequence[Annotation]) -> list[str]:
    """Phrases with boxes among the groundings, each once."""
    found = [
        label
        for each in annotations
        if each.task == GROUNDING and isinstance(each.answer, Boxes)
        for label in each.answer.labels
        if label.strip()
    ]
    return list(dict.fromkeys(found))[:_MOST_PHRASES]


def _score(answer: Answer) -> float | None:
    return answer.score if isinstance(answer, Text) else None
