"""Annotators with known errors: the ground truth of synthetic records with a stated noise.

They test a filter or a whole self-training loop, since precision and recall can be measured.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ...datasets.shards import ShardDataset
from ...io.deprecation import renamed_fields
from ...results.records import Annotation, Annotator, Record
from ...results.types import Boxes, Text


@renamed_fields(
    missed="miss_rate",
    wrong_labels="label_error_rate",
    invented="false_positive_rate",
    jitter="box_jitter",
    wrong_texts="caption_error_rate",
    honest="calibrated_scores",
)
@dataclass(frozen=True)
class Noise:
    """The errors of a ``NoisyAnnotator``.

    Args:
        miss_rate: Fraction of objects without a box.
        label_error_rate: Fraction of boxes with another label.
        false_positive_rate: Number of boxes without an object, as a fraction of the objects.
        box_jitter: Standard deviation of each edge, as a fraction of the box's side.
        caption_error_rate: Fraction of captions taken from another image.
        calibrated_scores: Errors have lower scores.
    """

    miss_rate: float = 0.2
    label_error_rate: float = 0.2
    false_positive_rate: float = 0.3
    box_jitter: float = 0.08
    caption_error_rate: float = 0.3
    calibrated_scores: bool = True


class NoisyAnnotator:
    """Detections and captions of the ground truth in ``shards``, with the same noise every time."""

    def __init__(
        self, shards: str | Path, noise: Noise = Noise(), *, name: str = "noisy", seed: int = 0
    ) -> None:
        self.annotator = Annotator(name, str(seed))
        self._shards, self._noise, self._seed = Path(shards), noise, seed

    @cached_property
    def _ground_truth(self) -> dict[str, tuple[Annotation, ...]]:
        """Annotations by the hash of the image: the engine has its own ids for images."""
        return {record.sha256: record.annotations for record in ShardDataset(self._shards)}

    @cached_property
    def _names(self) -> tuple[str, ...]:
        found = {
            label
            for annotations in self._ground_truth.values()
            for each in annotations
            if each.task == "<OD>" and isinstance(each.answer, Boxes)
            for label in each.answer.labels
        }
        return tuple(sorted(found))

    @cached_property
    def _captions(self) -> tuple[str, ...]:
        return tuple(
            each.answer.text
            for annotations in self._ground_truth.values()
            for each in annotations
            if each.task == "<CAPTION>" and isinstance(each.answer, Text)
        )

    def annotate(self, records: Sequence[Record]) -> list[tuple[Annotation, ...]]:
        """``<OD>`` and ``<CAPTION>`` for each record."""
        return [self._annotate(record) for record in records]

    def _annotate(self, record: Record) -> tuple[Annotation, ...]:
        if record.sha256 not in self._ground_truth:
            raise ValueError(f"{record.id} is not an image of {self._shards}")
        key = hashlib.sha256(f"{self._seed}:{self.annotator.name}:{record.sha256}".encode())
        rng = np.random.default_rng(int.from_bytes(key.digest()[:8], "little"))
        annotations: list[Annotation] = []
        for each in self._ground_truth[record.sha256]:
            if each.task == "<OD>" and isinstance(each.answer, Boxes):
                boxes = self._add_noise(each.answer, rng)
                annotations.append(Annotation("<OD>", boxes, annotator=self.annotator))
            elif each.task == "<CAPTION>" and isinstance(each.answer, Text):
                is_wrong = rng.random() < self._noise.caption_error_rate
                captions = self._captions
                text = captions[int(rng.integers(len(captions)))] if is_wrong else each.answer.text
                annotations.append(Annotation("<CAPTION>", Text(text), annotator=self.annotator))
        return tuple(annotations)

    def _add_noise(self, boxes: Boxes, rng: np.random.Generator) -> Boxes:
        noise, (width, height) = self._noise, boxes.image_size
        found = np.flatnonzero(rng.random(len(boxes)) >= noise.miss_rate)
        xyxy = boxes.xyxy[found].astype(np.float64)
        sides = np.tile(xyxy[:, 2:] - xyxy[:, :2], 2)
        xyxy += rng.normal(0, noise.box_jitter, xyxy.shape) * sides
        is_wrong = rng.random(len(found)) < noise.label_error_rate
        labels = [
            self._other_label(boxes.labels[index], rng) if wrong else boxes.labels[index]
            for index, wrong in zip(found, is_wrong, strict=True)
        ]
        count = int(rng.binomial(max(len(boxes), 1), noise.false_positive_rate))
        extents = rng.uniform(0.1, 0.5, (count, 2)) * (width, height)
        corners = rng.uniform(0, 1, (count, 2)) * ((width, height) - extents)
        xyxy = np.concatenate([xyxy, np.concatenate([corners, corners + extents], axis=1)])
        labels += [self._names[int(rng.integers(len(self._names)))] for _ in range(count)]
        is_error = np.concatenate([is_wrong, np.ones(count, bool)])
        means = np.where(is_error & noise.calibrated_scores, 0.45, 0.7)
        scores = np.clip(rng.normal(means, 0.15), 0.01, 0.99)
        xyxy = np.clip(
            np.sort(xyxy.reshape(-1, 2, 2), axis=1).reshape(-1, 4),
            0,
            (width, height, width, height),
        )
        return Boxes(xyxy, labels, boxes.image_size, scores=scores)

    def _other_label(self, label: str, rng: np.random.Generator) -> str:
        while len(self._names) > 1:
            other = self._names[int(rng.integers(len(self._names)))]
            if other != label:
                return other
        return label
