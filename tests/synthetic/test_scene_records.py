"""Records of scenes: all tasks answered, written as ids and read back, nothing false."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import florence2
from florence2.processing import grammar
from florence2.processing.tokenizer import Tokenizer
from florence2.results.locations import quantize
from florence2.results.records import Annotation
from florence2.results.tasks import TASKS
from florence2.results.types import Boxes, Polygons, Quads, Text
from florence2.synthetic.categories import are_ambiguous, load_categories
from florence2.synthetic.compose import make_scene
from florence2.synthetic.phrases import group_objects
from florence2.synthetic.scene import Scene, scene_seed
from florence2.synthetic.scene_records import annotate_scene, scene_to_record
from florence2.synthetic.sprite_library import SpriteLibrary
from florence2.synthetic.text_prompts import sample_absent_category, sample_open_vocabulary_prompt

VOCABULARY = tuple(load_categories())


@pytest.fixture(scope="module")
def scenes(shapes: SpriteLibrary) -> list[Scene]:
    return [make_scene(scene_seed("train", number), shapes) for number in range(24)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(Path(florence2.__file__).parent / "nano" / "tokenizer.json")


def _annotated(scene: Scene, tasks: list[str] | None = None) -> tuple[Annotation, ...]:
    return annotate_scene(scene, VOCABULARY, np.random.default_rng(scene.seed), tasks)


def test_all_tasks_are_labeled(scenes: list[Scene]) -> None:
    found = {annotation.task for scene in scenes for annotation in _annotated(scene)}
    assert found == {task.token for task in TASKS}
    for scene in scenes:
        tasks = [annotation.task for annotation in _annotated(scene)]
        assert all(tasks.count(task) <= 2 for task in tasks)
        assert scene.lines or not {"<OCR>", "<OCR_WITH_REGION>", "<REGION_TO_OCR>"} & set(tasks)


def test_every_label_is_read_back_from_its_ids(scenes: list[Scene], tokenizer: Tokenizer) -> None:
    for scene in scenes:
        for annotation in _annotated(scene):
            written = grammar.write(annotation.answer, annotation.kind, tokenizer)
            read = grammar.read(written, annotation.kind, scene.size, tokenizer)
            _same(annotation.answer, read)


def _same(answer: object, read: object) -> None:
    assert type(answer) is type(read)
    if isinstance(answer, Text) and isinstance(read, Text):
        assert answer.text == read.text
        return
    assert answer.labels == read.labels
    if isinstance(answer, Boxes):
        pairs = [(answer.xyxy, read.xyxy)]
    elif isinstance(answer, Quads):
        pairs = [(answer.corners.reshape(-1, 8), read.corners.reshape(-1, 8))]
    else:
        assert isinstance(answer, Polygons)
        pairs = [
            (first.reshape(1, -1), second.reshape(1, -1))
            for parts, others in zip(answer.polygons, read.polygons, strict=True)
            for first, second in zip(parts, others, strict=True)
        ]
    for first, second in pairs:
        bins = quantize(first, answer.image_size) - quantize(second, answer.image_size)
        assert np.abs(bins).max(initial=0) <= 1


def test_labels_of_a_task_do_not_depend_on_the_others(scenes: list[Scene]) -> None:
    for scene in scenes[:6]:
        everything = _annotated(scene)
        for task in TASKS:
            alone = _annotated(scene, [task.token])
            assert alone == tuple(each for each in everything if each.task == task.token)
    with pytest.raises(ValueError, match="<VQA>"):
        _annotated(scenes[0], ["<VQA>", "<OD>"])


def test_boxes_go_down_and_then_right(scenes: list[Scene]) -> None:
    for scene in scenes:
        for task in ("<OD>", "<REGION_PROPOSAL>", "<DENSE_REGION_CAPTION>"):
            (annotation,) = _annotated(scene, [task])
            boxes = annotation.answer.xyxy
            assert len(boxes) == len(scene.objects)
            order = np.lexsort((boxes[:, 0], boxes[:, 1]))
            assert (order == np.arange(len(boxes))).all()


def test_phrases_are_in_their_caption_with_their_boxes(scenes: list[Scene]) -> None:
    for scene in scenes:
        for annotation in _annotated(scene, ["<CAPTION_TO_PHRASE_GROUNDING>"]):
            boxes = annotation.answer
            assert isinstance(boxes, Boxes) and len(boxes)
            start = 0
            for label, _ in groupby(boxes.labels):
                start = annotation.text.index(label, start) + len(label)
            shown = {obj.box: obj.category for obj in scene.objects}
            assert all(tuple(box) in shown for box in boxes.xyxy.tolist())


def test_absent_categories_are_absent(scenes: list[Scene]) -> None:
    rng = np.random.default_rng(0)
    asked, empty = 0, 0
    for scene in scenes:
        shown = {obj.category for obj in scene.objects}
        for _ in range(10):
            missing = sample_absent_category(scene, VOCABULARY, rng)
            assert missing is not None
            assert not any(are_ambiguous(missing, category) for category in shown)
            question = sample_open_vocabulary_prompt(scene, VOCABULARY, rng)
            assert question is not None
            text, found = question
            asked, empty = asked + 1, empty + (not found)
            _check_open_vocabulary(scene, text, found)
    assert 0.25 < empty / asked < 0.5


def _check_open_vocabulary(scene: Scene, text: str, found: list[tuple[int, str]]) -> None:
    """All that answers to each name, and nothing else, is found."""
    names = text.split("<and>")
    for name in names:
        fitting = {
            index
            for group in group_objects(scene, by_color=True)
            for index in group.members
            if name in (group.category, f"{' '.join(group.adjectives)} {group.category}".strip())
        }
        assert {index for index, label in found if label == name} == fitting, (text, found)
    assert {label for _, label in found} <= set(names)


def test_a_category_with_an_ambiguous_name_is_not_prompted(build: Callable[..., Scene]) -> None:
    scene = build(("coffee cup", None, (20, 20, 60, 60)))
    assert sample_absent_category(scene, ["cup"], np.random.default_rng(0)) is None
    assert sample_absent_category(scene, ["cup", "dog"], np.random.default_rng(0)) == "dog"


def test_an_empty_image_has_empty_boxes_and_no_regions(build: Callable[..., Scene]) -> None:
    annotations = {each.task: each for each in _annotated(build())}
    assert len(annotations["<OD>"].answer) == 0
    assert len(annotations["<OPEN_VOCABULARY_DETECTION>"].answer) == 0
    assert not {"<REGION_TO_CATEGORY>", "<OCR>", "<CAPTION_TO_PHRASE_GROUNDING>"} & set(annotations)


def test_a_record_contains_the_image(shapes: SpriteLibrary) -> None:
    scene = make_scene(scene_seed("test", 123), shapes)
    record = scene_to_record(scene, _annotated(scene), encode="png")
    assert record.id == "scene-test-000123"
    with Image.open(io.BytesIO(record.image_bytes())) as picture:
        assert (np.asarray(picture.convert("RGB")) == scene.image).all()
    assert {each.annotator.name for each in record.annotations} == {"scenes"}
    smaller = scene_to_record(scene, (), encode="jpeg", quality=60)
    assert len(smaller.image_bytes()) < len(scene_to_record(scene, ()).image_bytes())
    with pytest.raises(ValueError, match="webp"):
        scene_to_record(scene, (), encode="webp")


def test_the_same_generator_gives_the_same_record(scenes: list[Scene]) -> None:
    assert scene_to_record(scenes[1], _annotated(scenes[1])) == scene_to_record(
        scenes[1], _annotated(scenes[1])
    )
