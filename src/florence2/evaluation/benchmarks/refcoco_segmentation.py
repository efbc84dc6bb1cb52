"""Referring expression segmentation on RefCOCO."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ...results.masks import Mask, decode_rle, polygons_to_mask
from ...results.tasks import find_task
from ..answer_values import outlines_of
from ..benchmark import Answered, Benchmark, BenchmarkExample, Reported, Scored
from ..metric import mean_metric, ratio_metric, share
from ..metrics.grounding import mask_ious, mask_overlaps
from .referring_expressions import Referent, group_tables, read_expressions, source_of

FOLDER, PARTITION = "refcoco", "unc"

PROTOCOL = """\
RefCOCO, split of UNC: val has 10,834 expressions on 1,500 pictures (testA 5,657, testB 5,095).
Prompt `<REFERRING_EXPRESSION_SEGMENTATION>` with the expression (the field `sent`). All polygons
of the answer together are one mask; no polygon is an empty mask.

Both sides are masks at the picture's own size. Polygons are filled by COCO's rule (corners on a
grid five times as fine, a column filled between the crossings of its middle), so an answer that
repeats the annotated polygons has IoU 1: coordinates count to a thousandth of a pixel.

mIoU is the mean of IoU over expressions, cIoU (also called oIoU) the sum of intersections over
the sum of unions, P@0.5 the share of expressions with IoU above .5. The paper reports mIoU on
val. Intervals draw pictures."""


def read(data: Path, split: str) -> list[BenchmarkExample]:
    """One case a sentence; its object must have an outline."""
    task = find_task("referring-expression-segmentation")
    cases = read_expressions(data, FOLDER, PARTITION, split, task)
    for case in cases:
        if not case.truth.segmentation:
            raise ValueError(
                f"the object of expression {case.id} has no segmentation in "
                f"{data / FOLDER / 'instances.json'}; get the file of the refer project again"
            )
    return cases


def score(answered: Sequence[Answered]) -> Scored:
    """mIoU, cIoU and the share above IoU .5, by size and class and by length of expression."""
    cases = [each.case for each in answered]
    pictures = [case.image_id for case in cases]
    overlaps = mask_overlaps(_masks(answered))
    ious = mask_ious(overlaps)
    figures = (
        mean_metric("mIoU", ious, pictures),
        ratio_metric("cIoU", overlaps, pictures, share),
        mean_metric("P@0.5", ious > 0.5, pictures),
    )
    return Scored(figures, tuple(ious.tolist()), group_tables(cases, ious.tolist(), "mIoU"))


def true_mask(referent: Referent) -> Mask:
    """The annotated pixels ``bool[height, width]``."""
    if isinstance(referent.segmentation, dict):
        return decode_rle(referent.segmentation)
    polygons = [np.reshape(polygon, (-1, 2)) for polygon in referent.segmentation]
    return polygons_to_mask(polygons, referent.image_size)


def _masks(answered: Sequence[Answered]) -> Iterator[tuple[Mask, Mask]]:
    """The predicted and the true mask of each case, one pair at a time."""
    for each in answered:
        referent = each.case.truth
        yield polygons_to_mask(outlines_of(each.answer), referent.image_size), true_mask(referent)


BENCHMARK = Benchmark(
    name="refcoco-segmentation",
    title="RefCOCO segmentation",
    splits=("val", "testA", "testB"),
    protocol=PROTOCOL,
    source=source_of(FOLDER, PARTITION),
    read=read,
    score=score,
    reported={"val": {"mIoU": Reported(34.6, 35.8, 78.0, 80.5)}},
)
