"""What is kept of an answer: nothing changes unless it is asked for."""

from __future__ import annotations

import pytest

from florence2.results.postprocess import PostprocessOptions, postprocess
from florence2.results.types import Boxes, Polygons, Quads, Text

SIZE = (100, 50)
BOXES = Boxes(
    [[0, 0, 10, 10], [1, 1, 11, 11], [0, 0, 10, 10], [60, 40, 30, 20]],
    ["cat", "cat", "dog", "dog"], SIZE, [0.5, 0.75, 0.25, 0.125],
)  # fmt: skip


def test_nothing_is_changed_by_default() -> None:
    for answer in (Text(" a "), BOXES, Boxes([[-5, 0, 900, 1]], ["cat"], SIZE)):
        assert postprocess(answer, PostprocessOptions()) == answer


def test_text_has_nothing_to_select() -> None:
    options = PostprocessOptions(min_score=1, nms_iou=0, fix_inverted_boxes=True, clip=True)
    assert postprocess(Text(" a ", 0.1), options) == Text(" a ", 0.1)


def test_lowest_score() -> None:
    assert postprocess(BOXES, PostprocessOptions(min_score=0.25)) == BOXES.select([0, 1, 2])
    unknown = Boxes(BOXES.xyxy, BOXES.labels, SIZE)
    assert postprocess(unknown, PostprocessOptions(min_score=1)) == unknown


def test_suppression_is_by_label_and_keeps_the_order() -> None:
    assert postprocess(BOXES, PostprocessOptions(nms_iou=0.5)) == BOXES.select([1, 2, 3])
    assert postprocess(BOXES, PostprocessOptions(nms_iou=0.99)) == BOXES
    unknown = Boxes(BOXES.xyxy, BOXES.labels, SIZE)
    assert postprocess(unknown, PostprocessOptions(nms_iou=0.5)) == unknown.select([0, 2, 3])


def test_suppression_takes_inverted_boxes_in_order() -> None:
    twice = Boxes([[60, 40, 30, 20], [30, 20, 60, 40]], ["cat", "cat"], SIZE, [0.5, 0.25])
    assert postprocess(twice, PostprocessOptions(nms_iou=0.5)) == twice.select([0])


def test_suppression_of_other_regions() -> None:
    square = [[0, 0], [10, 0], [10, 10], [0, 10]]
    quads = Quads([square, square], ["a", "a"], SIZE, [0.25, 0.5])
    assert postprocess(quads, PostprocessOptions(nms_iou=0.5)) == quads.select([1])
    polygons = Polygons([[square], [square]], ["", ""], SIZE, [0.5, 0.25])
    assert postprocess(polygons, PostprocessOptions(nms_iou=0.5)) == polygons.select([0])
    empty = Polygons([], [], SIZE, [], [])
    assert postprocess(empty, PostprocessOptions(nms_iou=0.5, min_score=0.5, clip=True)) == empty


def test_corners_are_swapped() -> None:
    cleaned = postprocess(BOXES, PostprocessOptions(fix_inverted_boxes=True))
    assert isinstance(cleaned, Boxes)
    assert cleaned.xyxy[3].tolist() == [30, 20, 60, 40]
    assert cleaned.labels == BOXES.labels


def test_coordinates_are_clipped() -> None:
    options = PostprocessOptions(clip=True)
    wide = Boxes([[-5, -5, 105, 55]], ["cat"], SIZE)
    assert postprocess(wide, options) == Boxes([[0, 0, 100, 50]], ["cat"], SIZE)
    corners = [[-5, -5], [105, -5], [105, 55], [-5, 55]]
    inside = [[0, 0], [100, 0], [100, 50], [0, 50]]
    assert postprocess(Quads([corners], ["a"], SIZE), options) == Quads([inside], ["a"], SIZE)
    polygons = Polygons([[corners, [[1, 1]]]], [""], SIZE)
    assert postprocess(polygons, options) == Polygons([[inside, [[1, 1]]]], [""], SIZE)


@pytest.mark.parametrize("options", [{"min_score": 1.5}, {"nms_iou": -0.1}])
def test_thresholds_lie_between_0_and_1(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        PostprocessOptions(**options)  # type: ignore[arg-type]
