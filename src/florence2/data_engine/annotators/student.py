"""A Florence-2 checkpoint as an annotator: all its tasks, in batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...inference.prepared import Request
from ...io.atomic import file_hash
from ...results.records import Annotation, Annotator, Record
from ...results.tasks import CAPTIONS, find_task
from ...results.types import Boxes, Failure, Text
from ..chunk_files import make_failure
from ..engine_config import REGION_TASKS

if TYPE_CHECKING:
    from ...inference.predictor import Prediction

GROUNDING = "<CAPTION_TO_PHRASE_GROUNDING>"
SEGMENTATION = "<REFERRING_EXPRESSION_SEGMENTATION>"
# Phrases of one image that are segmented.
_MAX_PHRASES = 8
# Index of the image in the batch, task, text input.
_Prompt = tuple[int, str, str]


class Student:
    """Annotates with the checkpoint ``source``, by default with greedy decoding.

    Captions, its own and those of other annotators, are grounded, and the grounded phrases are
    segmented, if ``tasks`` has these tasks. Annotations with a text have its score.
    """

    def __init__(
        self,
        source: str = "nano",
        *,
        version: str = "",
        tasks: Sequence[str] = (*CAPTIONS, *REGION_TASKS, GROUNDING, SEGMENTATION),
        beams: int = 1,
        max_new_tokens: int = 256,
        device: str | None = None,
        runtime: str | None = None,
    ) -> None:
        from ...inference.model_source import resolve_checkpoint
        from ...inference.predictor import load

        self._model = load(source, device=device, runtime=runtime)
        self._tasks = tuple(find_task(task).token for task in tasks)
        self._beams, self._max_new_tokens = beams, max_new_tokens
        weights = resolve_checkpoint(source) / "model.safetensors"
        checkpoint = file_hash(weights)[:16] if weights.is_file() else ""
        self.annotator = Annotator("student", version or str(source), checkpoint)

    def annotate(self, records: Sequence[Record]) -> list[tuple[Annotation, ...]]:
        """The predictions of all tasks for each record; a prediction that fails is a failure."""
        images = [record.image_bytes() for record in records]
        annotations: list[list[Annotation]] = [[] for _ in records]
        plain_text = [task for task in self._tasks if find_task(task).input == "none"]
        prompts = [(index, task, "") for index in range(len(records)) for task in plain_text]
        self._predict(prompts, images, annotations)
        if GROUNDING in self._tasks:
            captions = [
                (index, GROUNDING, text)
                for index, record in enumerate(records)
                for text in list_texts((*record.annotations, *annotations[index]))
            ]
            self._predict(captions, images, annotations)
        if SEGMENTATION in self._tasks:
            phrases = [
                (index, SEGMENTATION, phrase)
                for index in range(len(records))
                for phrase in _list_phrases(annotations[index])
            ]
            self._predict(phrases, images, annotations)
        return [tuple(each) for each in annotations]

    def _predict(
        self,
        prompts: Sequence[_Prompt],
        images: Sequence[bytes],
        annotations: Sequence[list[Annotation]],
    ) -> None:
        """Add the predictions for ``prompts`` to the annotations of their images."""
        requests: list[Request] = [
            (images[index], task, text or None) for index, task, text in prompts
        ]
        predictions = self._model.batch(
            requests, beams=self._beams, max_new_tokens=self._max_new_tokens
        )
        for (index, task, text), prediction in zip(prompts, predictions, strict=True):
            annotations[index].append(self._to_annotation(task, text, prediction))

    def _to_annotation(self, task: str, text: str, prediction: Prediction | Failure) -> Annotation:
        if isinstance(prediction, Failure):
            return make_failure(self.annotator, f"{task}: {prediction.error}")
        answer = prediction.answer
        score = answer.score if isinstance(answer, Text) else None
        return Annotation(task, answer, text=text, annotator=self.annotator, score=score)


def list_texts(annotations: Sequence[Annotation]) -> list[str]:
    """The different captions among annotations, in order."""
    found = [
        each.answer.plain_text
        for each in annotations
        if each.task in CAPTIONS and isinstance(each.answer, Text) and each.answer.plain_text
    ]
    return list(dict.fromkeys(found))


def _list_phrases(annotations: Sequence[Annotation]) -> list[str]:
    """The different grounded phrases among annotations, in order."""
    found = [
        label
        for each in annotations
        if each.task == GROUNDING and isinstance(each.answer, Boxes)
        for label in each.answer.labels
        if label.strip()
    ]
    return list(dict.fromkeys(found))[:_MAX_PHRASES]
