"""Results as values of other libraries."""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import pytest

from florence2.results.tasks import find_task
from florence2.results.types import Boxes, Polygons, Quads, Result, Text

SIZE = (40, 20)


def result(task: str, answer: Any) -> Result:
    return Result(find_task(task), "", answer, SIZE)


BOXES = result("od", Boxes([(30, 2, 4, 22), (1, 1, 5, 5)], ["b", "a"], SIZE, scores=[0.5, 0.75]))
OUTLINES = result("segment", Polygons([[[(0, 0), (10, 0), (10, 10), (0, 10)]]], [""], SIZE))
LINES = result("ocr-with-region", Quads([[(1, 1), (9, 1), (9, 4), (1, 4)]], ["word"], SIZE))


def test_supervision_gets_classes_scores_masks_and_corners() -> None:
    detections = BOXES.to_supervision()
    assert detections.xyxy.tolist() == [[4, 2, 30, 20], [1, 1, 5, 5]]
    assert detections.class_id.tolist() == [1, 0]
    assert detections["class_name"].tolist() == ["b", "a"]
    assert detections.confidence.tolist() == [0.5, 0.75]
    mask = OUTLINES.to_supervision().mask
    assert mask.shape == (1, 20, 40) and mask[0, 5, 5] and not mask[0, 15, 15]
    assert LINES.to_supervision().data["xyxyxyxy"].shape == (1, 4, 2)
    empty = result("od", Boxes([], [], SIZE)).to_supervision()
    assert len(empty) == 0
    with pytest.raises(ValueError, match="no regions"):
        result("caption", Text("a dog")).to_supervision()


def test_supervision_draws_what_it_got() -> None:
    import supervision

    scene = np.zeros((20, 40, 3), np.uint8)
    drawn = supervision.BoxAnnotator(thickness=1).annotate(scene.copy(), BOXES.to_supervision())
    assert (drawn != scene).any()


def test_pandas_has_a_row_a_region() -> None:
    table = BOXES.to_pandas()
    assert table["label"].tolist() == ["b", "a"] and table["x0"].tolist() == [30, 1]
    assert OUTLINES.to_pandas()["outlines"][0] == [[[0, 0], [10, 0], [10, 10], [0, 10]]]
    assert result("caption", Text("a dog<loc_3>")).to_pandas()["text"].tolist() == ["a dog"]


def test_fiftyone_gets_parts_of_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    # FiftyOne brings a database server; its labels take keyword arguments, as these do.
    stand_in = types.ModuleType("fiftyone")
    for name in ("Classification", "Detection", "Detections", "Polyline", "Polylines"):
        setattr(
            stand_in, name, lambda kind=name, **values: types.SimpleNamespace(kind=kind, **values)
        )
    monkeypatch.setitem(sys.modules, "fiftyone", stand_in)
    first, _ = BOXES.to_fiftyone().detections
    assert first.bounding_box == pytest.approx([0.1, 0.1, 0.65, 0.9]) and first.confidence == 0.5
    (line,) = LINES.to_fiftyone().polylines
    assert line.label == "word" and line.points[0][2] == pytest.approx([9 / 40, 4 / 20])
    assert result("caption", Text("a dog")).to_fiftyone().label == "a dog"


def test_a_missing_library_is_named() -> None:
    if "fiftyone" not in sys.modules:
        with pytest.raises(ImportError, match="pip install fiftyone"):
            BOXES.to_fiftyone()
