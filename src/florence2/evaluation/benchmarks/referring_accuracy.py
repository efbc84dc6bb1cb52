"""Accuracy of the one box that a model gives for a referring expression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...results.tasks import find_task
from ...results.types import Answer
from ..answer_values import FloatArray, labels_of, scores_of, to_boxes
from ..benchmark import Answered, Benchmark, Reported, Scored
from ..metric import mean_metric
from ..metrics.grounding import referring_hits
from .referring_expressions import group_tables, read_expressions, source_of

PROTOCOL = """\
Prompt `<CAPTION_TO_PHRASE_GROUNDING>` with the expression (the field `sent`) as the caption.
An expression is right when the model's box has IoU above .5 with the annotated one. The model's
box is the surest of the phrase that it names first (by mean probability of the location tokens,
times that of the label where known; the first said where scores are equal or missing): the first
phrase is the head of the expression, later ones are what it is told apart by. No box is wrong.
The paper does not say which box it takes of several. Intervals draw pictures."""


def accuracy_benchmark(
    name: str,
    title: str,
    folder: str,
    partition: str,
    sizes: str,
    reported: Mapping[str, Reported],
) -> Benchmark:
    """A benchmark of one box for each expression, read from the refer project's ``folder``.

    ``partition`` is whose splits they are; ``reported`` has the accuracy for each split, the usual
    one first.
    """
    return Benchmark(
        name=name,
        title=title,
        splits=tuple(reported),
        protocol=f"{sizes}\n\n{PROTOCOL}",
        source=source_of(folder, partition),
        read=lambda data, split: read_expressions(
            data, folder, partition, split, find_task("phrase-grounding")
        ),
        score=score_boxes,
        reported={split: {"accuracy": each} for split, each in reported.items()},
    )


def score_boxes(answered: Sequence[Answered]) -> Scored:
    """The accuracy, by size and class of the object and by length of the expression."""
    cases = [each.case for each in answered]
    predicted = np.stack([chosen_box(each.answer) for each in answered])
    hits = referring_hits(predicted, [case.truth.box for case in cases]).astype(np.float64)
    figure = mean_metric("accuracy", hits, [case.image_id for case in cases])
    return Scored((figure,), tuple(hits.tolist()), group_tables(cases, hits.tolist(), "accuracy"))


def chosen_box(answer: Answer | None) -> FloatArray:
    """The box ``float[4]`` that stands for the whole answer; zeros when there is none."""
    labels = labels_of(answer)
    if not labels:
        return np.zeros(4)
    of_first = [index for index, label in enumerate(labels) if label == labels[0]]
    best = of_first[int(scores_of(answer)[of_first].argmax())]
    return to_boxes(answer)[best]
