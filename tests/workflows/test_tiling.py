"""Pictures in tiles: boxes moved back, and those that say the same joined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from florence2.results.tasks import find_task
from florence2.results.types import Boxes, Failure, Quads, Result, Text
from florence2.workflows.tiling import Tiling, merge_regions, predict_tiles


def painted(objects: Sequence[tuple[int, int, int, int]], size: tuple[int, int]) -> Image.Image:
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    for number, (x0, y0, x1, y1) in enumerate(objects, start=1):
        picture[y0:y1, x0:x1] = number
    return Image.fromarray(picture)


def sees(smallest: int) -> Any:
    """A detector of painted boxes that overlooks what is less than a share of its picture."""

    def batch(requests: Sequence[Any], **_: Any) -> list[Result | Failure]:
        answers: list[Result | Failure] = []
        for image, task, _text in requests:
            pixels = np.asarray(image)[..., 0]
            boxes, names = [], []
            for number in np.unique(pixels[pixels > 0]):
                y, x = np.nonzero(pixels == number)
                box = (x.min(), y.min(), x.max() + 1, y.max() + 1)
                if max(box[2] - box[0], box[3] - box[1]) * smallest >= max(image.size):
                    boxes.append(box)
                    names.append(f"thing {number}")
            answer = Boxes(boxes, names, image.size, scores=[0.5] * len(boxes))
            answers.append(Result(find_task(task), "", answer, image.size))
        return answers

    return batch


def test_tiles_cover_the_picture_and_overlap() -> None:
    boxes = Tiling(3, 2, overlap=0.2).boxes((1000, 600))
    assert len(boxes) == 6 and boxes[0][:2] == (0, 0) and boxes[-1][2:] == (1000, 600)
    covered = np.zeros((600, 1000), int)
    for x0, y0, x1, y1 in boxes:
        covered[y0:y1, x0:x1] += 1
    assert covered.min() >= 1 and covered.max() == 4
    assert Tiling(1, 1).boxes((9, 7)) == [(0, 0, 9, 7)]


def test_small_things_are_found_once_and_large_ones_stay_whole() -> None:
    things = [(10, 10, 30, 30), (390, 290, 412, 312), (100, 100, 700, 500), (770, 560, 795, 590)]
    picture = painted(things, (800, 600))
    batch = sees(smallest=25)
    (alone,) = batch([(picture, "od", None)])
    assert len(alone.answer) == 1
    result = predict_tiles(batch, picture, "od", tiling=Tiling(2, 2))
    assert result.image_size == (800, 600)
    found = {tuple(map(int, box)) for box in result.answer.xyxy}
    # The second thing lies in the large one's place, painted over it: nothing is twice.
    assert found == {(10, 10, 30, 30), (100, 100, 700, 500), (770, 560, 795, 590)} | (
        found & {(390, 290, 412, 312)}
    )
    assert len(result.answer) == len(found)


def test_a_box_that_was_cut_gives_way_to_the_whole_one() -> None:
    picture = painted([(350, 100, 450, 200)], (800, 400))
    result = predict_tiles(sees(30), picture, "od", tiling=Tiling(2, 1, overlap=0.1))
    assert result.answer.xyxy.tolist() == [[350, 100, 450, 200]]


def test_lines_of_text_are_joined_in_reading_order() -> None:
    def batch(requests: Sequence[Any], **_: Any) -> list[Result]:
        quads = [[(10, 50), (90, 50), (90, 60), (10, 60)], [(10, 10), (90, 10), (90, 20), (10, 20)]]
        return [Result(find_task("ocr-with-region"), "", Quads(quads, ["low", "high"], image.size),
                       image.size) for image, _, _ in requests]  # fmt: skip

    picture = Image.new("RGB", (100, 200))
    result = predict_tiles(batch, picture, "ocr-with-region", tiling=Tiling(1, 2, 0.0, whole=False))
    assert result.answer.labels == ("high", "low", "high", "low")
    assert result.answer.bounds[:, 1].tolist() == [10, 50, 110, 150]


def test_failures_and_texts() -> None:
    picture = Image.new("RGB", (100, 100))
    with pytest.raises(ValueError, match="no luck"):
        predict_tiles(
            lambda requests, **_: [Failure("", "no luck") for _ in requests], picture, "od"
        )
    words = Result(find_task("caption"), "", Text("a"), (100, 100))
    with pytest.raises(ValueError, match="predicts text"):
        predict_tiles(lambda requests, **_: [words for _ in requests], picture, "caption")
    for bad in ("2", "0x1", "axb", "2x2x2"):
        with pytest.raises(ValueError):
            Tiling.parse(bad)
    assert Tiling.parse("3X2").rows == 2
    with pytest.raises(ValueError, match="overlap"):
        Tiling(overlap=0.95)


def test_kinds_are_not_mixed() -> None:
    boxes = Boxes([(0, 0, 1, 1)], ["a"], (9, 9), scores=[1])
    empty = Boxes([], [], (9, 9))
    assert merge_regions([empty, boxes]).scores.tolist() == [1]


def test_tiles_without_number_are_refused_before_any_is_cut() -> None:
    for text in ("99999x99999", "1x1025", "0x2"):
        with pytest.raises(ValueError, match=r"tiles (must be|exceed)"):
            Tiling.parse(text)
    assert Tiling.parse("32x32").columns == 32


def test_the_names_of_release_0_1_work_with_a_warning() -> None:
    from florence2 import workflows
    from florence2.workflows import tiling, video

    with pytest.warns(DeprecationWarning, match="tiled is now florence2.workflows.predict_tiles"):
        assert workflows.tiled is predict_tiles
    with pytest.warns(DeprecationWarning, match="joined_regions is now merge_regions"):
        assert tiling.joined_regions is merge_regions
    with pytest.warns(DeprecationWarning, match="frames_of is now"):
        assert workflows.frames_of is video.sample_frames
    with pytest.warns(DeprecationWarning, match="'every' is now 'interval'"):
        video.sample_frames("none.mp4", every=2.0)  # type: ignore[call-arg]
    with pytest.warns(DeprecationWarning, match="'inside' is now 'containment'"):
        assert Tiling(inside=0.5) == Tiling(containment=0.5)  # type: ignore[call-arg]


def test_a_tiling_is_written_as_it_is_parsed() -> None:
    assert str(Tiling.parse("3x2")) == "3x2"
    assert str(Tiling(2, 2, overlap=0.1, whole=False)) == "2x2 overlap=0.1 whole=False"
