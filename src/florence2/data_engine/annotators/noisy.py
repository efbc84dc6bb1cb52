"""Specialists whose faults are known: the truth of made records, spoiled by a stated noise.

For proving a filter or a whole loop: precision and recall can be counted, for the truth is there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ...datasets.shards import ShardDataset
from ...results.records import Annotation, Annotator, Record
from ...results.types import Boxes, Text


@dataclass(frozen=True)
class Noise:
    """What goes wrong, as shares of objects: missed, named wrongly, and boxes of nothing beside
    them. ``jitter`` is the deviation of each edge in parts of the box's side; ``wrong_texts`` the
    share of captions taken from another picture. With ``honest`` scores, faults have lower ones.
    """

    missed: float = 0.2
    wrong_labels: float = 0.2
    invented: float = 0.3
    jitter: float = 0.08
    wrong_texts: float = 0.3
    honest: bool = True


class NoisyAnnotator:
    """Detection and captions of the truth in ``shards``, spoiled the same way in every run."""

    def __init__(
        self, shards: str | Path, noise: Noise = Noise(), *, name: str = "degraded", seed: int = 0
    ) -> None:
        self.annotator = Annotator(name, str(seed))
        self._shards, self._noise, self._seed = Path(shards), noise, seed

    @cached_property
    def _truth(self) -> dict[str, tuple[Annotation, ...]]:
        """What is true, by the picture's content: the engine's names for pictures are its own."""
        return {record.sha256: record.annotations for record in ShardDataset(self._shards)}

    @cached_property
    def _names(self) -> tuple[str, ...]:
        found = {
            label
            for annotations in self._truth.values()
            for each in annotations
            if each.task == "<OD>" and isinstance(each.answer, Boxes)
            for label in each.answer.labels
        }
        return tuple(sorted(found))

    @cached_property
    def _captions(self) -> tuple[str, ...]:
        return tuple(
            each.answer.text
            for annotations in self._truth.values()
            for each in annotations
            if each.task == "<CAPTION>" and isinstance(each.answer, Text)
        )

    def annotate(self, records: Sequence[Record]) -> list[tuple[Annotation, ...]]:
        """``<OD>`` and ``<CAPTION>`` of each record."""
        return [self._spoil(record) for record in records]

    def _spoil(self, record: Record) -> tuple[Annotation, ...]:
        if record.sha256 not in self._truth:
            raise ValueError(f"{record.id} is no picture of {self._shards}")
        key = hashlib.sha256(f"{self._seed}:{self.annotator.name}:{record.sha256}".encode())
        rng = np.random.default_rng(int.from_bytes(key.digest()[:8], "little"))
        given: list[Annotation] = []
        for each in self._truth[record.sha256]:
            if each.task == "<OD>" and isinstance(each.answer, Boxes):
                boxes = self._boxes(each.answer, rng)
                given.append(Annotation("<OD>", boxes, annotator=self.annotator))
            elif each.task == "<CAPTION>" and isinstance(each.answer, Text):
                wrong = rng.random() < self._noise.wrong_texts
                pool = self._captions
                text = pool[int(rng.integers(len(pool)))] if wrong else each.answer.text
                given.append(Annotation("<CAPTION>", Text(text), annotator=self.annotator))
        return tuple(given)

    def _boxes(self, truth: Boxes, rng: np.random.Generator) -> Boxes:
        noise, (width, height) = self._noise, truth.image_size
        seen = np.flatnonzero(rng.random(len(truth)) >= noise.missed)
        xyxy = truth.xyxy[seen].astype(np.float64)
        sides = np.tile(xyxy[:, 2:] - xyxy[:, :2], 2)
        xyxy += rng.normal(0, noise.jitter, xyxy.shape) * sides
        wrong = rng.random(len(seen)) < noise.wrong_labels
        labels = [
            self._other(truth.labels[at], rng) if bad else truth.labels[at]
            for at, bad in zip(seen, wrong, strict=True)
        ]
        count = int(rng.binomial(max(len(truth), 1), noise.invented))
        extents = rng.uniform(0.1, 0.5, (count, 2)) * (width, height)
        corners = rng.uniform(0, 1, (count, 2)) * ((width, height) - extents)
        xyxy = np.concatenate([xyxy, np.concatenate([corners, corners + extents], axis=1)])
        labels += [self._names[int(rng.integers(len(self._names)))] for _ in range(count)]
        faulty = np.concatenate([wrong, np.ones(count, bool)])
        means = np.where(faulty & noise.honest, 0.45, 0.7)
        scores = np.clip(rng.normal(means, 0.15), 0.01, 0.99)
        xyxy = np.clip(
            np.sort(xyxy.reshape(-1, 2, 2), axis=1).reshape(-1, 4),
            0,
            (width, height, width, height),
        )
        return Boxes(xyxy, labels, truth.image_size, scores=scores)

    def _other(self, label: str, rng: np.random.Generator) -> str:
        while len(self._names) > 1:
            other = self._names[int(rng.integers(len(self._names)))]
            if other != label:
                return other
        return label
