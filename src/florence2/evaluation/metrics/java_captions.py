"""METEOR, which exists only as a Java program; pycocoevalcap includes and calls it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .caption_scores import Words
from .input_checks import check_not_empty, check_same_length
from .libraries import load_library


@dataclass(frozen=True)
class CaptionMetrics:
    """The metric of the set and the score ``float[images]`` of each image."""

    score: float
    per_item: NDArray[np.float64]


def has_java() -> bool:
    """Whether there is a ``java`` command."""
    return shutil.which("java") is not None


def meteor(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> CaptionMetrics:
    """METEOR 1.5 of the set, which is not the mean of its images (Denkowski and Lavie 2014).

    Takes words of ``ptb.tokenize``. Raises ``FileNotFoundError`` without Java.
    """
    ground_truths, answers = _by_image(captions, references)
    _need_java("METEOR")
    scorer = load_library("pycocoevalcap.meteor.meteor").Meteor()
    score, per_item = scorer.compute_score(ground_truths, answers)
    return CaptionMetrics(float(score), np.asarray(per_item, np.float64))


def _by_image(
    captions: Sequence[Words], references: Sequence[Sequence[Words]]
) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """References and captions in pycocoevalcap's form: sentences by image index."""
    check_not_empty(captions, "captions")
    check_same_length(captions, references, "captions and sets of references")
    ground_truths: dict[int, Any] = {
        index: [" ".join(words) for words in others] for index, others in enumerate(references)
    }
    return ground_truths, {index: [" ".join(words)] for index, words in enumerate(captions)}


def _need_java(metric: str) -> None:
    if not has_java():
        raise FileNotFoundError(
            f"{metric} is a Java program and no java command was found on the PATH; "
            "install a Java runtime (8 or newer) or exclude this metric"
        )
