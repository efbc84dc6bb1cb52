from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from florence2.datasets import LabelError
from florence2.datasets.label_checks import LabelChecker
from florence2.processing import grammar
from florence2.processing.processor import Processor
from florence2.processing.tokenizer import Tokenizer
from florence2.results.records import Annotation
from florence2.results.tasks import find_task
from florence2.results.types import Answer, Boxes, Polygons, Quads, Text

SIZE = (1000, 1000)


@pytest.fixture(scope="module")
def processor(shared: Path) -> Processor:
    """The released vocabulary and the released limits."""
    return Processor(Tokenizer.from_file(shared / "goldens/tiny/tokenizer.json"))


def kind_of(validator: LabelChecker, task: str, suffix: str) -> str:
    with pytest.raises(LabelError) as caught:
        validator.read_suffix(suffix, find_task(task), SIZE)
    return caught.value.kind


BOX = "<loc_1><loc_2><loc_3><loc_4>"
CORNERS = [1.5, 2.5, 3.5, 4.5]


@pytest.mark.parametrize(
    ("task", "suffix", "answer"),
    [
        ("<CAPTION>", " A boat. ", Text("A boat.")),
        ("<VQA>What?", "two", Text("two")),
        ("<OD>", f"car{BOX}{BOX}bus{BOX}", Boxes([CORNERS] * 3, ["car", "car", "bus"], SIZE)),
        ("<OD>", f"a car {BOX} bus {BOX}", Boxes([CORNERS] * 2, ["a car", "bus"], SIZE)),
        ("<OD>", "", Boxes([], [], SIZE)),
        ("<REGION_PROPOSAL>", BOX * 2, Boxes([CORNERS] * 2, ["", ""], SIZE)),
        (
            "<OCR_WITH_REGION>",
            f"STOP{BOX}{BOX}",
            Quads([[[1.5, 2.5], [3.5, 4.5]] * 2], ["STOP"], SIZE),
        ),
        (
            "<REGION_TO_SEGMENTATION>",
            f"{BOX}<loc_9><loc_1><sep>{BOX}<loc_9><loc_1>",
            Polygons([[np.reshape([*CORNERS, 9.5, 1.5], (3, 2))] * 2], [""], SIZE),
        ),
    ],
)
def test_a_suffix_becomes_the_answer_it_writes(
    processor: Processor, task: str, suffix: str, answer: Answer
) -> None:
    assert LabelChecker(processor).read_suffix(suffix, find_task(task), SIZE) == answer


@pytest.mark.parametrize(
    ("task", "suffix", "kind"),
    [
        ("<CAPTION>", "  ", "empty-text"),
        ("<OD>", f"{BOX}car", "unreadable-suffix"),
        ("<OD>", BOX, "unreadable-suffix"),
        ("<OD>", "car", "unreadable-suffix"),
        ("<OD>", f"car{BOX}<loc_5>", "unreadable-suffix"),
        ("<OD>", f"car<loc_1><loc_2><loc_3><loc_1000>{BOX}", "unreadable-suffix"),
        ("<OD>", "[10, 20, 30, 40] car", "unreadable-suffix"),
        ("<OD>", "car<loc_9><loc_2><loc_3><loc_4>", "degenerate-box"),
        ("<CAPTION_TO_PHRASE_GROUNDING>", f"it{BOX}", "unreadable-suffix"),
        ("<REGION_PROPOSAL>", f"car{BOX}", "unreadable-suffix"),
        ("<OCR_WITH_REGION>", f"STOP{BOX}", "unreadable-suffix"),
        ("<REGION_TO_SEGMENTATION>", BOX, "empty-polygon"),
        ("<REGION_TO_SEGMENTATION>", f"{BOX}<loc_4>", "unreadable-suffix"),
    ],
)
def test_a_suffix_of_which_something_would_be_lost_is_refused(
    processor: Processor, task: str, suffix: str, kind: str
) -> None:
    assert kind_of(LabelChecker(processor), task, suffix) == kind


def test_what_the_grammar_writes_is_read_back(processor: Processor) -> None:
    boxes = Boxes(np.asarray([[5, 5, 60, 90], [8, 8, 9, 9]]) + 0.5, ["a car", "¿qué?"], SIZE)
    written = processor.tokenizer.decode(grammar.write(boxes, "boxes", processor.tokenizer)[1:-1])
    assert LabelChecker(processor).read_suffix(written, find_task("<OD>"), SIZE) == boxes


def many_boxes(count: int) -> Annotation:
    return Annotation("<OD>", Boxes([[0, 0, 9, 9]] * count, ["car"] * count, SIZE))


def test_a_text_longer_than_the_model_is_refused(processor: Processor) -> None:
    validator = LabelChecker(processor)
    validator.check(many_boxes(255), SIZE)
    for annotation, message in (
        (many_boxes(256), "answer to <OD> has 1027 tokens; the model has positions for 1024"),
        (Annotation("<CAPTION>", Text("boat " * 1100)), "answer to <CAPTION> has"),
        (Annotation("<VQA>", Text("no"), text="why " * 500), "the prompt has"),
    ):
        with pytest.raises(LabelError, match=message) as caught:
            validator.check(annotation, SIZE)
        assert caught.value.kind == "too-long"
    LabelChecker(processor, 4096).check(many_boxes(256), SIZE)


def test_an_answer_that_would_not_read_back_is_refused(processor: Processor) -> None:
    bad = (
        Annotation("<OD>", Boxes([[0, 0, 9, 9]], [" "], SIZE)),
        Annotation("<REGION_PROPOSAL>", Boxes([[0, 0, 9, 9]], ["car"], SIZE)),
    )
    for annotation in bad:
        with pytest.raises(LabelError) as caught:
            LabelChecker(processor).check(annotation, SIZE)
        assert caught.value.kind == "unwritable-answer"


def test_a_region_is_part_of_the_prompt(processor: Processor) -> None:
    region = (10.0, 20.0, 300.0, 400.0)
    LabelChecker(processor).check(
        Annotation("<REGION_TO_CATEGORY>", Text("car"), region=region), SIZE
    )
