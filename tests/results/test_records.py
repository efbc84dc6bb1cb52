from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from florence2.results.records import Annotation, Annotator, FilterDecision, Record, content_hash
from florence2.results.types import Boxes, Polygons, Quads, Text

SIZE = (40, 30)
BOXES = Boxes([[1, 2, 3, 4]], ["car"], SIZE)
POLYGONS = Polygons([[[[1, 1], [9, 1], [9, 9]]]], [""], SIZE)


def record(**changes: object) -> Record:
    return replace(Record("a.jpg", *SIZE, "0" * 64, b"bytes"), **changes)  # type: ignore[arg-type]


def test_records_compare_by_content() -> None:
    first = record(annotations=(Annotation("<OD>", BOXES, annotator=Annotator("human")),))
    same = Boxes([[1, 2, 3, 4]], ["car"], SIZE)
    assert first == record(annotations=(Annotation("<OD>", same),))
    other = Boxes([[1, 2, 3, 5]], ["car"], SIZE)
    assert first != record(annotations=(Annotation("<OD>", other),))
    assert first != record(annotations=(Annotation("<OD>", same, decision=FilterDecision(False)),))


@pytest.mark.parametrize(
    ("task", "answer", "kind"),
    [
        ("<OD>", BOXES, "boxes"),
        ("<REGION_PROPOSAL>", Boxes([[1, 2, 3, 4]], [""], SIZE), "proposals"),
        ("<VQA>", Text("two"), "text"),
        ("<FIND>", BOXES, "boxes"),
        ("<FIND>", Boxes([[1, 2, 3, 4]], [""], SIZE), "proposals"),
        ("<FIND>", Quads([[[0, 0], [1, 0], [1, 1], [0, 1]]], ["a"], SIZE), "quads"),
        ("<FIND>", POLYGONS, "polygons"),
    ],
)
def test_the_kind_is_the_tasks_or_for_a_free_prompt_the_answers(
    task: str, answer: Text | Boxes | Quads | Polygons, kind: str
) -> None:
    assert Annotation(task, answer).kind == kind


def test_the_task_of_a_free_prompt_puts_the_text_behind_it() -> None:
    annotation = Annotation("<VQA>", Text("red"), text="What color?")
    assert annotation.task_definition.format_prompt(annotation.text) == "<VQA>What color?"
    assert Annotation("<OD>", BOXES).task_definition.name == "object-detection"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"task": "<OD>", "answer": Text("car")}, "<OD> needs an answer of type Boxes"),
        ({"task": "<OD>", "answer": BOXES, "text": "car"}, "takes no text, got 'car'"),
        ({"task": "<OD>", "answer": BOXES, "region": (0, 0, 1, 1)}, "takes no region"),
        ({"task": "<REGION_TO_CATEGORY>", "answer": Text("car")}, "give the box in pixels"),
        ({"task": "<CAPTION_TO_PHRASE_GROUNDING>", "answer": BOXES}, "needs text"),
    ],
)
def test_an_annotation_that_fits_no_task_is_refused(
    values: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Annotation(**values)  # type: ignore[arg-type]


def test_a_record_needs_a_picture_a_size_and_answers_of_its_size() -> None:
    with pytest.raises(ValueError, match=r"'a\.jpg' has no image"):
        record(image=None)
    with pytest.raises(ValueError, match=r"above zero, got \(0, 30\)"):
        record(width=0)
    with pytest.raises(ValueError, match=r"for an image of \(40, 30\)"):
        record(width=41, annotations=(Annotation("<OD>", BOXES),))


def test_bytes_come_from_the_record_or_from_its_unchanged_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"picture")
    lying = record(image=None, path=str(path), sha256=content_hash(b"picture"))
    assert lying.image_bytes() == b"picture"
    assert record().image_bytes() == b"bytes"
    path.write_bytes(b"other")
    with pytest.raises(ValueError, match="was changed since record"):
        lying.image_bytes()
    path.unlink()
    with pytest.raises(FileNotFoundError):
        lying.image_bytes()


def test_kept_leaves_out_what_a_filter_turned_down() -> None:
    kept = Annotation("<CAPTION>", Text("a"))
    dropped = Annotation("<CAPTION>", Text("b"), decision=FilterDecision(False, "too short"))
    assert record(annotations=(kept, dropped)).kept() == (kept,)


def test_an_image_that_is_loaded_when_it_is_needed() -> None:
    import pickle
    from functools import partial

    loaded = Record("a.pdf-page-0001.png", 8, 6, "0", path="a.pdf#page=1",
                    image_loader=partial(bytes, b"a page"))  # fmt: skip
    assert loaded.image_bytes() == b"a page"
    assert pickle.loads(pickle.dumps(loaded)).image_bytes() == b"a page"
    assert loaded == Record("a.pdf-page-0001.png", 8, 6, "0", path="a.pdf#page=1")
