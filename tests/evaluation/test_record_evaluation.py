from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from florence2.evaluation import record_evaluation as evaluation
from florence2.evaluation.record_evaluation import evaluate_records, metric_prefix, selection_metric
from florence2.results.records import Annotation, FilterDecision, Record, content_hash
from florence2.results.tasks import Task
from florence2.results.types import Answer, Boxes, Failure, Polygons, Quads, Result, Text

SIZE = (100, 80)
SQUARE = [[10, 10], [40, 10], [40, 40], [10, 40]]


class StandIn:
    """Answers what it was given, request after request; ``None`` stands for a failure."""

    def __init__(self, answers: Iterable[Answer | None]) -> None:
        self.answers = list(answers)
        self.requests: list[Any] = []
        self.options: dict[str, Any] = {}

    def stream(self, requests: Iterable[Any], **options: Any) -> Iterator[Result | Failure]:
        self.options = options
        self.requests = list(requests)
        for (_, task, _), answer in zip(self.requests, self.answers, strict=True):
            assert isinstance(task, Task)
            failure = Failure("image", "broken")
            yield failure if answer is None else Result(task, task.prompt, answer, SIZE)


def make_record(*annotations: Annotation, name: str = "a") -> Record:
    stream = io.BytesIO()
    Image.new("RGB", SIZE).save(stream, "PNG")
    content = stream.getvalue()
    return Record(name, *SIZE, content_hash(content), content, None, annotations)


def all_kinds() -> tuple[Annotation, ...]:
    boxes = Boxes([[10, 10, 40, 40], [50, 20, 90, 70]], ["dog", "cat"], SIZE)
    return (
        Annotation("<OD>", boxes),
        Annotation("<CAPTION>", Text("a dog and a cat")),
        Annotation("<OCR_WITH_REGION>", Quads([SQUARE], ["EXIT"], SIZE)),
        Annotation(
            "<REFERRING_EXPRESSION_SEGMENTATION>", Polygons([[SQUARE]], [""], SIZE), text="the dog"
        ),
        Annotation("<VQA>", Text("two"), text="How many animals?"),
    )


def evaluated(
    annotations: Iterable[Annotation], answers: Iterable[Answer | None]
) -> dict[str, float]:
    model: Any = StandIn(answers)
    return evaluate_records([make_record(*annotations)])(model)


def test_the_ground_truth_itself_gets_the_best_metrics() -> None:
    ground_truths = all_kinds()
    assert evaluated(ground_truths, [each.answer for each in ground_truths]) == {
        "caption/exact_match": 1.0,
        "caption/edit_distance": 0.0,
        "ocr_with_region/hmean": 1.0,
        "ocr_with_region/cer": 0.0,
        "od/map": pytest.approx(1.0),
        "od/map50": pytest.approx(1.0),
        "od/f1": 1.0,
        "referring_expression_segmentation/miou": 1.0,
        "vqa/exact_match": 1.0,
        "vqa/edit_distance": 0.0,
    }


def test_failures_and_silence_get_the_worst() -> None:
    ground_truths = all_kinds()
    metrics = evaluated(ground_truths, [None] * len(ground_truths))
    worst = {"edit_distance": 1.0, "cer": 1.0}
    assert metrics == {name: worst.get(name.split("/")[1], 0.0) for name in metrics}
    assert len(metrics) == 10


def test_map_takes_scores_and_classes_into_account() -> None:
    ground_truth = Annotation("<OD>", Boxes([[10, 10, 40, 40]], ["dog"], SIZE))
    wrong, right = [50, 50, 70, 70], [10, 10, 40, 40]
    surer_right = Boxes([wrong, right], ["dog", "dog"], SIZE, scores=[0.1, 0.9])
    surer_wrong = Boxes([wrong, right], ["dog", "dog"], SIZE, scores=[0.9, 0.1])
    assert evaluated([ground_truth], [surer_right])["od/map"] == pytest.approx(1.0)
    assert evaluated([ground_truth], [surer_wrong])["od/map"] == pytest.approx(0.5)
    other_class = evaluated([ground_truth], [Boxes([right], ["cat"], SIZE)])
    assert other_class["od/map"] == other_class["od/f1"] == 0.0


def test_descriptions_of_regions_are_no_classes() -> None:
    ground_truth = Annotation(
        "<DENSE_REGION_CAPTION>", Boxes([[10, 10, 40, 40]], ["a brown dog"], SIZE)
    )
    said = Boxes([[10, 10, 40, 40]], ["brown dog"], SIZE)
    assert evaluated([ground_truth], [said])["dense_region_caption/map"] == pytest.approx(1.0)


def test_a_box_that_ends_before_it_begins_is_a_miss_and_no_error() -> None:
    ground_truth = Annotation("<OD>", Boxes([[10, 10, 40, 40]], ["dog"], SIZE))
    metrics = evaluated([ground_truth], [Boxes([[40, 40, 10, 10]], ["dog"], SIZE)])
    assert metrics == {"od/map": 0.0, "od/map50": 0.0, "od/f1": 0.0}


def test_half_right_answers_are_half_right() -> None:
    half = Polygons([[[[10, 10], [25, 10], [25, 40], [10, 40]]]], [""], SIZE)
    ground_truths = all_kinds()
    said = [*(each.answer for each in ground_truths)]
    said[1], said[3] = Text("a dog and a cap"), half
    metrics = evaluated(ground_truths, said)
    assert metrics["caption/edit_distance"] == pytest.approx(1 / 15)
    assert metrics["referring_expression_segmentation/miou"] == pytest.approx(0.5, abs=0.03)


def test_an_answer_to_a_prompt_of_ones_own_is_read_as_the_kind_of_the_truth() -> None:
    ground_truth = Annotation("<PARTS>", Boxes([[10, 10, 40, 40]], ["bolt"], SIZE))
    model: Any = StandIn([ground_truth.answer])
    assert evaluate_records([make_record(ground_truth)])(model)["parts/f1"] == 1.0
    assert model.requests[0][1].answer == "boxes"


def test_records_are_taken_at_even_distances_and_dropped_annotations_left_out() -> None:
    dropped = Annotation("<CAPTION>", Text("no"), decision=FilterDecision(False, "wrong"))
    records = [
        make_record(Annotation("<CAPTION>", Text(str(number))), dropped, name=str(number))
        for number in range(10)
    ]
    model: Any = StandIn(Text(str(number)) for number in (0, 3, 6))
    assert evaluate_records(records, limit=3, max_new_tokens=7)(model)["caption/exact_match"] == 1.0
    assert model.options == {"beams": 1, "batch_size": 8, "max_new_tokens": 7}


def test_an_image_that_is_gone_is_a_failure_of_its_own() -> None:
    record = replace(make_record(Annotation("<CAPTION>", Text("a"))), image=None, path="gone.png")
    model: Any = StandIn([None])
    assert evaluate_records([record])(model)["caption/exact_match"] == 0.0
    assert model.requests[0][0] == b""


def test_nothing_to_evaluate_on_is_an_error() -> None:
    with pytest.raises(ValueError, match="no kept annotation"):
        evaluate_records([make_record()])
    with pytest.raises(ValueError, match="no kept annotation"):
        selection_metric([()])


def test_a_missing_library_is_reported_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(evaluation, "load_library", refuse)
    with pytest.raises(ImportError, match="faster_coco_eval"):
        evaluate_records([make_record(all_kinds()[3])])
    assert evaluate_records([make_record(all_kinds()[1])])


def test_the_selection_metric_prefers_regions_to_words() -> None:
    od, caption, quads, polygons, vqa = all_kinds()
    ground = Annotation("<CAPTION_TO_PHRASE_GROUNDING>", od.answer, text="a dog and a cat")
    assert selection_metric([(caption, vqa, vqa)]) == ("vqa/edit_distance", False)
    assert selection_metric([(caption, polygons)]) == (
        "referring_expression_segmentation/miou",
        True,
    )
    assert selection_metric([(quads, polygons)]) == ("ocr_with_region/hmean", True)
    assert selection_metric([(ground, ground, od, quads)]) == ("od/map", True)


def test_names_of_metrics_are_plain_words() -> None:
    prefixes = [metric_prefix(task) for task in ("<OD>", "<DocVQA>", "What is it?", "??")]
    assert prefixes == ["od", "docvqa", "what_is_it", "answer"]
    assert np.all([prefix.isidentifier() for prefix in prefixes])
