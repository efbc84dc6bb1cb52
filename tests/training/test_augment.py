"""Augmented pictures keep true labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from florence2.results.locations import quantize
from florence2.results.records import Annotation
from florence2.results.types import Boxes, Polygons, Quads, Text
from florence2.training.augment import CoordinateTransform, augment, swap_sides
from florence2.training.recipe import Augmentation

SIZE = (120, 80)
RED = (255, 0, 0)
BOX = (30.0, 20.0, 70.0, 50.0)
SEEDS = range(40)
FLIP = Augmentation(flip=1.0)
CROP = Augmentation(crop=1.0, smallest_crop=0.4)
ZOOM = Augmentation(scale_jitter=0.8)
ALL = Augmentation(flip=0.5, crop=0.7, smallest_crop=0.5, scale_jitter=0.5)


def picture(box: tuple[float, ...] = BOX) -> Image.Image:
    image = Image.new("RGB", SIZE, (0, 40, 90))
    image.paste(RED, tuple(int(edge) for edge in box))
    return image


def red_bounds(image: Image.Image) -> list[int]:
    rows, columns = np.nonzero((np.asarray(image) == RED).all(axis=2))
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def change(annotation: Annotation, settings: Augmentation, seed: int = 0, image=None):
    image = picture() if image is None else image
    return augment(image, annotation, settings, np.random.default_rng(seed))


def detection(*boxes: tuple[float, ...], labels: tuple[str, ...] | None = None) -> Annotation:
    names = labels or tuple(f"thing {index}" for index in range(len(boxes)))
    return Annotation("<OD>", Boxes(boxes, names, SIZE))


def square(x0: float, y0: float, x1: float, y1: float) -> list[tuple[float, float]]:
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def signed_area(points: np.ndarray) -> float:
    following = np.roll(points, -1, axis=0)
    cross = points[:, 0] * following[:, 1] - following[:, 0] * points[:, 1]
    return float(cross.sum() / 2)


@pytest.mark.parametrize("settings", [FLIP, CROP, ZOOM, ALL])
def test_a_box_stays_on_its_object(settings):
    sizes = set()
    for seed in SEEDS:
        image, annotation = change(detection(BOX), settings, seed)
        answer = annotation.answer
        assert answer.image_size == image.size
        np.testing.assert_allclose(answer.xyxy[0], red_bounds(image), atol=1)
        sizes.add(image.size)
    assert len(sizes) > 10 or settings is FLIP


@pytest.mark.parametrize("settings", [FLIP, CROP, ZOOM, ALL])
def test_a_region_and_its_polygons_stay_on_their_object(settings):
    before = Annotation(
        "<REGION_TO_SEGMENTATION>", Polygons([[square(*BOX)]], ("",), SIZE), region=BOX
    )
    for seed in SEEDS:
        image, annotation = change(before, settings, seed)
        outline = annotation.answer.polygons[0][0]
        np.testing.assert_allclose(annotation.region, red_bounds(image), atol=1)
        np.testing.assert_allclose(annotation.answer.bounds[0], red_bounds(image), atol=1)
        assert signed_area(outline) == pytest.approx(1200)


@pytest.mark.parametrize("settings", [FLIP, ZOOM])
@pytest.mark.parametrize("region", [BOX, (0.0, 0.0, 60.0, 80.0), (60.0, 11.3, 119.9, 40.0)])
def test_location_tokens_follow_the_region_they_repeat(settings, region):
    def tokens(box, size):
        return "".join(f"<loc_{index}>" for index in quantize(box, size))

    before = Annotation(
        "<REGION_TO_CATEGORY>", Text("red left door" + tokens(region, SIZE)), region=region
    )
    for seed in SEEDS:
        image, annotation = change(before, settings, seed)
        side = "right" if settings is FLIP else "left"
        expected = f"red {side} door" + tokens(annotation.region, image.size)
        assert annotation.answer.text == expected


def test_location_tokens_of_no_region_are_mirrored_by_bins():
    before = Annotation("<CAPTION>", Text("a cup<loc_10><loc_20><loc_300><loc_999>"))
    _, annotation = change(before, FLIP)
    assert annotation.answer.text == "a cup<loc_699><loc_20><loc_989><loc_999>"


def test_location_tokens_that_are_no_boxes_leave_the_picture_alone():
    before = Annotation("<CAPTION>", Text("a cup<loc_10><loc_20>"))
    image = picture()
    assert change(before, Augmentation(1.0, 1.0, 0.5, 0.5), image=image) == (image, before)


def test_answers_with_location_tokens_are_not_cropped():
    words = "door" + "".join(f"<loc_{index}>" for index in quantize(BOX, SIZE))
    before = Annotation("<REGION_TO_CATEGORY>", Text(words), region=BOX)
    image = picture()
    assert all(change(before, CROP, seed, image)[0] is image for seed in SEEDS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the man left of the car", "the man right of the car"),
        ("Left shoe, RIGHT shoe.", "Right shoe, LEFT shoe."),
        ("leftmost cup on the right-hand side", "rightmost cup on the left-hand side"),
        ("Looks leftward; bottom-right", "Looks rightward; bottom-left"),
        ("left_shoe", "right_shoe"),
        ("bright rights leftovers upright", "bright rights leftovers upright"),
    ],
)
def test_sides_are_swapped_in_words(text, expected):
    assert swap_sides(text) == expected
    assert swap_sides(expected) == text


def test_a_flip_swaps_sides_in_prompt_and_labels():
    before = Annotation(
        "<CAPTION_TO_PHRASE_GROUNDING>", Boxes([BOX], ("left cup",), SIZE), text="The left cup."
    )
    _, annotation = change(before, FLIP)
    assert annotation.text == "The right cup."
    assert annotation.answer.labels == ("right cup",)


@pytest.mark.parametrize(
    "annotation",
    [
        Annotation("<OCR>", Text("TURN LEFT")),
        Annotation("<OCR_WITH_REGION>", Quads([square(*BOX)], ("LEFT",), SIZE)),
        Annotation("<REGION_TO_OCR>", Text("LEFT"), region=BOX),
        Annotation("<VQA>", Text("left"), text="Which hand?"),
    ],
    ids=lambda annotation: annotation.task,
)
def test_writing_and_free_prompts_are_not_mirrored(annotation):
    image = picture()
    after = change(annotation, FLIP, image=image)
    assert after[0] is image and after[1] is annotation


@pytest.mark.parametrize(
    "annotation",
    [
        Annotation("<CAPTION>", Text("a red door")),
        Annotation("<OCR>", Text("EXIT")),
        Annotation("<CAPTION_TO_PHRASE_GROUNDING>", Boxes([BOX], ("door",), SIZE), text="a door"),
        Annotation("<OPEN_VOCABULARY_DETECTION>", Boxes([BOX], ("door",), SIZE), text="door"),
        Annotation("<REFERRING_EXPRESSION_SEGMENTATION>", Polygons([], (), SIZE), text="door"),
        Annotation("<REGION_TO_OCR>", Text("EXIT"), region=BOX),
        Annotation("<VQA>", Text("one"), text="How many doors?"),
    ],
    ids=lambda annotation: annotation.task,
)
def test_tasks_that_speak_of_the_whole_picture_are_not_cropped(annotation):
    image = picture()
    for seed in SEEDS:
        after = change(annotation, CROP, seed, image)
        assert after[0] is image and after[1] is annotation


def test_crops_drop_boxes_that_lose_more_than_half():
    boxes = [(2.0, 2.0, 22.0, 22.0), BOX, (90.0, 50.0, 118.0, 78.0)]
    counts = set()
    for seed in SEEDS:
        _, annotation = change(detection(*boxes), CROP, seed)
        answer = annotation.answer
        for box, label in zip(answer.xyxy, answer.labels, strict=True):
            x0, y0, x1, y1 = boxes[int(label.removeprefix("thing "))]
            whole = (x1 - x0) * (y1 - y0)
            assert 0.5 * whole <= (box[2] - box[0]) * (box[3] - box[1]) <= whole
        counts.add(len(answer))
    assert counts == {1, 2, 3}


def test_a_crop_that_leaves_no_box_is_not_applied():
    before = detection((0.0, 0.0, 3.0, 3.0))
    image = picture()
    after = [change(before, CROP, seed, image) for seed in SEEDS]
    assert any(changed is image for changed, _ in after)
    assert all(len(annotation.answer) == 1 for _, annotation in after)


def test_pictures_without_objects_are_cropped():
    assert any(change(detection(), CROP, seed)[0].size != SIZE for seed in SEEDS)


def test_a_crop_cuts_no_word():
    words = {"one": square(5, 5, 25, 15), "two": square(45, 30, 75, 40)}
    before = Annotation("<OCR_WITH_REGION>", Quads(list(words.values()), tuple(words), SIZE))
    counts = set()
    for seed in SEEDS:
        image, annotation = change(before, CROP, seed)
        answer = annotation.answer
        counts.add((len(answer), image.size != SIZE))
        for corners, label in zip(answer.corners, answer.labels, strict=True):
            np.testing.assert_array_equal(
                corners - corners[0], np.asarray(words[label]) - words[label][0]
            )
            assert (corners >= 0).all() and (corners <= image.size).all()
    assert counts == {(1, True), (2, True), (2, False)}


def test_a_crop_cuts_no_region():
    before = Annotation("<REGION_TO_DESCRIPTION>", Text("a red door"), region=BOX)
    sizes = set()
    for seed in SEEDS:
        image, annotation = change(before, CROP, seed)
        assert red_bounds(image) == [round(edge) for edge in annotation.region]
        assert (np.asarray(image) == RED).all(axis=2).sum() == 1200
        sizes.add(image.size)
    assert len(sizes) > 5


def test_zooming_out_fills_with_the_mean_colour():
    image = picture()
    mean = np.asarray(image).mean(axis=(0, 1))
    wide, annotation = change(Annotation("<CAPTION>", Text("a door")), ZOOM, 3, image)
    assert wide.width > image.width and wide.height > image.height
    around = np.asarray(wide)[~np.isin(np.asarray(wide)[..., 2], (0, 90))]
    np.testing.assert_allclose(around.mean(axis=0), mean, atol=1)
    assert annotation.answer == Text("a door")


@given(st.integers(0, 2**32))
def test_nothing_changes_by_default(seed):
    image, before = picture(), detection(BOX)
    after = change(before, Augmentation(), seed, image)
    assert after[0] is image and after[1] is before


@given(st.integers(0, 2**32))
def test_every_call_draws_as_much(seed):
    states = []
    for settings in (Augmentation(), FLIP, CROP, ZOOM, ALL):
        for annotation in (detection(BOX), Annotation("<OCR>", Text("EXIT<loc_1>"))):
            generator = np.random.default_rng(seed)
            augment(picture(), annotation, settings, generator)
            states.append(generator.random())
    assert len(set(states)) == 1


@given(
    st.lists(st.tuples(*[st.integers(0, 50)] * 2, *[st.integers(1, 30)] * 2), min_size=1),
)
def test_mirroring_twice_changes_nothing(parts):
    boxes = np.asarray([(x, y, x + w, y + h) for x, y, w, h in parts], dtype=np.float32)
    quads = np.asarray([square(*box) for box in boxes], dtype=np.float32)
    mirror = CoordinateTransform(SIZE, SIZE, mirrored=True)
    np.testing.assert_array_equal(mirror.boxes(mirror.boxes(boxes)), boxes)
    np.testing.assert_array_equal(mirror.quads(mirror.quads(quads)), quads)
    np.testing.assert_array_equal(mirror.polygon(mirror.polygon(quads[0])), quads[0])


def test_mirrored_quads_run_clockwise_from_the_top_left():
    slanted = np.asarray([[(10, 10), (40, 14), (39, 24), (9, 20)]], dtype=np.float32)
    mirrored = CoordinateTransform(SIZE, SIZE, mirrored=True).quads(slanted)
    np.testing.assert_array_equal(mirrored[0], [(80, 14), (110, 10), (111, 20), (81, 24)])
    assert signed_area(mirrored[0]) == pytest.approx(signed_area(slanted[0]))
