"""Referring expression segmentation on RefCOCO."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ...results.masks import Mask, decode_rle, polygons_to_mask
from ...results.tasks import find_task
from ..answer_values import get_polygons
from ..benchmark import (
    Benchmark,
    BenchmarkExample,
    BenchmarkScores,
    ExamplePrediction,
    PaperResult,
    get_image_ids,
)
from ..scorers import score_masks
from .referring_expressions import Referent, describe_source, group_tables, read_expressions

DIRECTORY, PARTITION = "refcoco", "unc"

PROTOCOL = """\
RefCOCO, split of UNC: val has 10,834 expressions on 1,500 images (testA 5,657, testB 5,095).
Prompt `<REFERRING_EXPRESSION_SEGMENTATION>` with the expression (the field `sent`). All polygons
of the prediction together are one mask; no polygon is an empty mask.

Both sides are masks at the image's own size. Polygons are filled by COCO's rule (corners on a
grid five times as fine, a column filled between the crossings of its middle), so a prediction that
repeats the annotated polygons has IoU 1: coordinates are rounded to a thousandth of a pixel.

mIoU is the mean of IoU over expressions, cIoU (also called oIoU) the sum of intersections over
the sum of unions, P@0.5 the share of expressions with IoU above .5. The paper reports mIoU on
val. Intervals resample images."""


def read(data: Path, split: str) -> list[BenchmarkExample]:
    """One example for each sentence; its object must have a segmentation."""
    task = find_task("referring-expression-segmentation")
    examples = read_expressions(data, DIRECTORY, PARTITION, split, task)
    for example in examples:
        if not example.ground_truth.segmentation:
            raise ValueError(
                f"the object of expression {example.id} has no segmentation in "
                f"{data / DIRECTORY / 'instances.json'}; get the file of the refer project again"
            )
    return examples


def score(predictions: Sequence[ExamplePrediction]) -> BenchmarkScores:
    """mIoU, cIoU and the share above IoU .5, by size and class and by length of expression."""
    scores = score_masks(_masks(predictions), get_image_ids(predictions))
    metrics = scores.rename({"miou": "mIoU", "ciou": "cIoU", "p50": "P@0.5"})
    ious = scores.per_example.tolist()
    tables = group_tables([each.example for each in predictions], ious, "mIoU")
    return BenchmarkScores(tuple(metrics), tuple(ious), tables)


def true_mask(referent: Referent) -> Mask:
    """The annotated mask ``bool[height, width]``."""
    if isinstance(referent.segmentation, dict):
        return decode_rle(referent.segmentation)
    polygons = [np.reshape(polygon, (-1, 2)) for polygon in referent.segmentation]
    return polygons_to_mask(polygons, referent.image_size)


def _masks(predictions: Sequence[ExamplePrediction]) -> Iterator[tuple[Mask, Mask]]:
    """The predicted and the true mask of each example, one pair at a time."""
    for each in predictions:
        referent = each.example.ground_truth
        predicted = polygons_to_mask(get_polygons(each.answer), referent.image_size)
        yield predicted, true_mask(referent)


BENCHMARK = Benchmark(
    name="refcoco-segmentation",
    title="RefCOCO segmentation",
    splits=("val", "testA", "testB"),
    protocol=PROTOCOL,
    source=describe_source(DIRECTORY, PARTITION),
    read=read,
    score=score,
    reported={"val": {"mIoU": PaperResult(34.6, 35.8, 78.0, 80.5)}},
)
