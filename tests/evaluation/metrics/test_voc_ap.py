"""VOC average precision against published figures and a ranking worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from florence2.evaluation.metrics.detection import DetectedObjects, TrueObjects
from florence2.evaluation.metrics.voc_ap import voc_average_precision

IOUS = (0.1, 0.3, 0.5, 0.75)
PUBLISHED = {
    "eleven": (0.3333333333, 0.2683982683, 0.0303030303, 0.0),
    "every": (0.3371980676, 0.2456866804, 0.0222222222, 0.0),
}


def read_case(folder: Path) -> tuple[list[TrueObjects], list[DetectedObjects]]:
    def rows(path: Path) -> list[list[str]]:
        return [line.split() for line in path.read_text().splitlines() if line.strip()]

    def boxes(fields: list[list[str]]) -> np.ndarray:
        extents = np.asarray([[float(value) for value in row] for row in fields])
        return np.hstack([extents[:, :2], extents[:, :2] + extents[:, 2:]])

    truths, detections = [], []
    for path in sorted((folder / "gts").glob("*.txt")):
        true, found = rows(path), rows(folder / "dets" / path.name)
        truths.append(TrueObjects(path.stem, boxes([r[1:] for r in true]), [r[0] for r in true]))
        scores = [float(row[1]) for row in found]
        labels = [row[0] for row in found]
        detections.append(DetectedObjects(path.stem, boxes([r[2:] for r in found]), labels, scores))
    return truths, detections


@pytest.mark.parametrize("interpolation", ["eleven", "every"])
def test_published_case(shared: Path, interpolation: str) -> None:
    truths, detections = read_case(shared / "eval/voc_case/test_case_1")
    for iou, wanted in zip(IOUS, PUBLISHED[interpolation], strict=True):
        figures = voc_average_precision(
            truths, detections, iou, interpolation=interpolation, legacy_pixels=True
        )
        assert figures.mean == pytest.approx(wanted, abs=1e-10)


def test_by_hand() -> None:
    # Right, wrong, right of three objects: precision 1, 1/2, 2/3 at recall 1/3, 1/3, 2/3.
    boxes = [[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]]
    truth = [TrueObjects("a", boxes, ["cat"] * 3)]
    found = [
        DetectedObjects("a", [boxes[0], [60, 0, 70, 10], boxes[1]], ["cat"] * 3, [0.9, 0.8, 0.7])
    ]
    every = voc_average_precision(truth, found)
    assert every.per_class == {"cat": pytest.approx(1 / 3 + 2 / 9)}
    eleven = voc_average_precision(truth, found, interpolation="eleven")
    # Recall 0 to .3 reads 1, .4 to .6 reads 2/3, the rest 0.
    assert eleven.mean == pytest.approx((4 * 1 + 3 * 2 / 3) / 11)


def test_a_second_hit_is_wrong_and_a_difficult_one_is_not_counted() -> None:
    box = [0, 0, 10, 10]
    twice = [DetectedObjects("a", [box, box], ["cat"] * 2, [0.9, 0.8])]
    easy = [TrueObjects("a", [box, [50, 50, 60, 60]], ["cat"] * 2)]
    assert voc_average_precision(easy, twice).mean == pytest.approx(0.5)
    difficult = [TrueObjects("a", [box, [50, 50, 60, 60]], ["cat"] * 2, ignored=[True, False])]
    assert voc_average_precision(difficult, twice).mean == 0
    assert voc_average_precision(difficult, []).mean == 0


def test_classes_without_counted_objects_are_left_out() -> None:
    box = [0, 0, 10, 10]
    truth = [TrueObjects("a", [box, box], ["cat", "dog"], ignored=[False, True])]
    found = [DetectedObjects("a", [box, box], ["cat", "cow"], [0.9, 0.8])]
    assert voc_average_precision(truth, found).per_class == {"cat": 1.0}


def test_unknown_interpolation() -> None:
    truth = [TrueObjects("a", [[0, 0, 1, 1]], ["cat"])]
    with pytest.raises(ValueError, match="'every' or 'eleven', got 'ten'"):
        voc_average_precision(truth, [], interpolation="ten")  # type: ignore[arg-type]
