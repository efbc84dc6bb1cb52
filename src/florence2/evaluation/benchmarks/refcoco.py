"""RefCOCO, RefCOCO+ and RefCOCOg: the box that a referring expression means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...results.tasks import find_task
from ...results.types import Answer
from ..answer_values import FloatArray, get_labels, get_scores, to_boxes
from ..benchmark import (
    Benchmark,
    BenchmarkScores,
    ExamplePrediction,
    PaperResult,
    get_image_ids,
)
from ..metric import mean_metric
from ..metrics.grounding import referring_hits
from .referring_expressions import describe_source, group_tables, read_expressions

PROTOCOL = """\
Prompt `<CAPTION_TO_PHRASE_GROUNDING>` with the expression (the field `sent`) as the caption. A
prediction is correct when its box has IoU above .5 with the annotated one. Of several boxes, the
highest-scoring one of the first phrase counts: the first phrase is the head of the expression,
later ones distinguish it. The score is the mean probability of the location tokens, times that of
the label where known; of equal or missing scores the first box counts. No box is wrong. The paper
does not say which box it takes of several. Intervals resample images."""


def score_boxes(predictions: Sequence[ExamplePrediction]) -> BenchmarkScores:
    """Accuracy, by size and class of the object and by length of the expression."""
    examples = [each.example for each in predictions]
    predicted = np.stack([select_box(each.answer) for each in predictions])
    true = [example.ground_truth.box for example in examples]
    hits = referring_hits(predicted, true).astype(np.float64)
    metric = mean_metric("accuracy", hits, get_image_ids(predictions))
    tables = group_tables(examples, hits.tolist(), "accuracy")
    return BenchmarkScores((metric,), tuple(hits.tolist()), tables)


def select_box(answer: Answer | None) -> FloatArray:
    """The box ``float[4]`` that counts of the whole answer; zeros without a box."""
    labels = get_labels(answer)
    if not labels:
        return np.zeros(4)
    of_first = [index for index, label in enumerate(labels) if label == labels[0]]
    best = of_first[int(get_scores(answer)[of_first].argmax())]
    return to_boxes(answer)[best]


def _make_benchmark(
    name: str,
    title: str,
    directory: str,
    partition: str,
    sizes: str,
    reported: Mapping[str, PaperResult],
) -> Benchmark:
    """A benchmark of the refer project.

    ``partition`` is the author of the splits; ``reported`` is the accuracy of each split, the
    default one first.
    """
    return Benchmark(
        name=name,
        title=title,
        splits=tuple(reported),
        protocol=f"{sizes}\n\n{PROTOCOL}",
        source=describe_source(directory, partition),
        read=lambda data, split: read_expressions(
            data, directory, partition, split, find_task("phrase-grounding")
        ),
        score=score_boxes,
        reported={split: {"accuracy": each} for split, each in reported.items()},
    )


_ALL = (
    # Expressions from a two-player game; locations are allowed.
    _make_benchmark(
        "refcoco",
        "RefCOCO",
        directory="refcoco",
        partition="unc",
        sizes="""\
Split of UNC: val has 10,834 expressions on 1,500 images, testA (people) 5,657 on 750, testB
(other objects) 5,095 on 750.""",
        reported={
            "val": PaperResult(53.9, 56.3, 92.6, 93.4),
            "testA": PaperResult(58.4, 61.6, 94.8, 95.3),
            "testB": PaperResult(49.7, 51.4, 91.5, 92.0),
        },
    ),
    # Expressions from a two-player game in which locations were forbidden.
    _make_benchmark(
        "refcoco-plus",
        "RefCOCO+",
        directory="refcoco+",
        partition="unc",
        sizes="""\
Split of UNC: val has 10,758 expressions on 1,500 images, testA (people) 5,726 on 750, testB
(other objects) 4,889 on 750.""",
        reported={
            "val": PaperResult(51.5, 53.6, 86.8, 88.3),
            "testA": PaperResult(56.4, 57.9, 91.7, 92.9),
            "testB": PaperResult(47.9, 49.9, 82.2, 83.6),
        },
    ),
    # Longer expressions, written without a game.
    _make_benchmark(
        "refcocog",
        "RefCOCOg",
        directory="refcocog",
        partition="umd",
        sizes="Split of UMD: val has 4,896 expressions on 1,300 images, test 9,602 on 2,600.",
        reported={
            "val": PaperResult(66.3, 68.0, 89.8, 91.2),
            # The paper prints 82.2 for base_ft, far from the neighboring results.
            "test": PaperResult(65.1, 67.0, 82.2, 91.7),
        },
    ),
)
BENCHMARK = {each.name: each for each in _ALL}
