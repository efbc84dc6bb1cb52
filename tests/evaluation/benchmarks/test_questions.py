"""Question benchmarks on files in the official form; scores by hand."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from florence2.evaluation.benchmark import BenchmarkExample, ExamplePrediction
from florence2.evaluation.benchmarks import docvqa, textvqa, vizwiz, vqav2
from florence2.results.types import Text

# Three of ten said "two": leaving one of those three out leaves two, so (7 * 1 + 3 * 2/3) / 10.
MIXED = ["two"] * 3 + ["three"] * 7


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def people(answers: list[str]) -> list[dict[str, Any]]:
    return [{"answer": text, "answer_id": index} for index, text in enumerate(answers, start=1)]


def vqav2_data(directory: Path, answers: list[list[str]], split: str = "val2014") -> None:
    questions = [
        {"question_id": 10 + index, "image_id": 7, "question": f"How many cars {index}?"}
        for index in range(len(answers))
    ]
    write(directory / f"v2_OpenEnded_mscoco_{split}_questions.json",
          {"data_subtype": split, "questions": questions})  # fmt: skip
    annotations = [
        {"question_id": 10 + index, "image_id": 7, "answer_type": "number",
         "question_type": "how many", "answers": people(given)}
        for index, given in enumerate(answers)
    ]  # fmt: skip
    write(directory / "v2_mscoco_val2014_annotations.json", {"annotations": annotations})
    (directory / "val2014").mkdir(exist_ok=True)
    (directory / "test2015").mkdir(exist_ok=True)


def say(examples: list[BenchmarkExample], *answers: str | None) -> list[ExamplePrediction]:
    return [
        ExamplePrediction(example, None if text is None else Text(text))
        for example, text in zip(examples, answers, strict=True)
    ]


def metrics(module: ModuleType, predictions: list[ExamplePrediction]) -> dict[str, float]:
    return {each.name: each.value for each in module.BENCHMARK.score(predictions).metrics}


def test_vqav2_accuracy_is_that_of_the_official_rule(tmp_path: Path) -> None:
    vqav2_data(tmp_path, [["two"] * 10, MIXED, ["no"] * 10])
    examples = vqav2.BENCHMARK.read(tmp_path, "val")
    assert examples[0].image == tmp_path / "val2014" / "COCO_val2014_000000000007.jpg"
    assert (examples[0].task.token, examples[0].prompt_input) == ("<VQA>", "How many cars 0?")
    predictions = say(list(examples), "two", "2", None)
    found = vqav2.BENCHMARK.score(predictions)
    assert found.per_example == pytest.approx((1.0, 0.9, 0.0))
    assert found.metrics[0].value == pytest.approx(100 * 1.9 / 3)
    # All three are about one image, which is drawn whole.
    assert found.metrics[0].num_images == 1
    assert found.tables[0].rows == (("number", 3, 63.3),)


def test_vqav2_hides_the_test_and_writes_what_its_server_takes(tmp_path: Path) -> None:
    vqav2_data(tmp_path, [["two"] * 10], "test-dev2015")
    examples = vqav2.BENCHMARK.read(tmp_path, "test-dev")
    assert examples[0].ground_truth is None
    assert examples[0].image == tmp_path / "test2015" / "COCO_test2015_000000000007.jpg"
    (path,) = vqav2.write_results(say(list(examples), "2"), tmp_path)
    assert json.loads(path.read_text()) == [{"question_id": 10, "answer": "2"}]
    with pytest.raises(ValueError, match="no answers to score"):
        vqav2.BENCHMARK.score(say(list(examples), "2"))


def test_vqav2_files_that_do_not_belong_together_are_reported(tmp_path: Path) -> None:
    vqav2_data(tmp_path, [["two"] * 10, MIXED])
    path = tmp_path / "v2_mscoco_val2014_annotations.json"
    content = json.loads(path.read_text())
    write(path, {"annotations": content["annotations"][:1]})
    with pytest.raises(ValueError, match="such as 11"):
        vqav2.BENCHMARK.read(tmp_path, "val")
    write(path, {"annotations": [*content["annotations"], {"question_id": 99, "answers": []}]})
    with pytest.raises(ValueError, match="99"):
        vqav2.BENCHMARK.read(tmp_path, "val")
    questions = tmp_path / "v2_OpenEnded_mscoco_val2014_questions.json"
    write(questions, {"data_subtype": "train2014", "questions": []})
    with pytest.raises(ValueError, match="train2014"):
        vqav2.BENCHMARK.read(tmp_path, "val")


def test_textvqa_examples_scores_and_results(tmp_path: Path) -> None:
    entry = {"image_id": "0054", "question": "what does it say?", "image_width": 1}
    data = [{**entry, "question_id": 5, "answers": ["stop"] * 10},
            {**entry, "question_id": 6, "answers": MIXED}]  # fmt: skip
    write(tmp_path / "TextVQA_0.5.1_val.json", {"dataset_type": "val", "data": data})
    (tmp_path / "train_images").mkdir()
    examples = list(textvqa.BENCHMARK.read(tmp_path, "val"))
    assert examples[0].image == tmp_path / "train_images" / "0054.jpg"
    assert metrics(textvqa, say(examples, "Stop", "two"))["accuracy"] == pytest.approx(95)
    (path,) = textvqa.write_results(say(examples, "a", "b"), tmp_path)
    assert json.loads(path.read_text())[1] == {"question_id": 6, "answer": "b"}
    for change, told in ((data * 2, "repeated"), ([{**data[0], "answers": []}], "no answers")):
        write(tmp_path / "TextVQA_0.5.1_val.json", {"dataset_type": "val", "data": change})
        with pytest.raises(ValueError, match=told):
            textvqa.BENCHMARK.read(tmp_path, "val")


def test_vizwiz_examples_scores_and_results(tmp_path: Path) -> None:
    data = [
        {"image": f"VizWiz_val_{number:08d}.jpg", "question": "What is this?", "answerable": able,
         "answer_type": "other" if able else "unanswerable", "answers": people(answers)}
        for number, able, answers in ((0, 1, MIXED), (1, 0, ["unanswerable"] * 10))
    ]  # fmt: skip
    write(tmp_path / "Annotations" / "val.json", data)
    (tmp_path / "val").mkdir()
    examples = list(vizwiz.BENCHMARK.read(tmp_path, "val"))
    found = vizwiz.BENCHMARK.score(say(examples, "three", "a box"))
    assert found.per_example == pytest.approx((1.0, 0.0))
    assert found.tables[1].rows == (("answerable", 1, 100.0), ("unanswerable", 1, 0.0))
    (path,) = vizwiz.write_results(say(examples, "a", "b"), tmp_path)
    assert json.loads(path.read_text())[0] == {"image": "VizWiz_val_00000000.jpg", "answer": "a"}
    write(tmp_path / "Annotations" / "val.json", [{**data[0], "image": "VizWiz_train_1.jpg"}])
    with pytest.raises(ValueError, match="VizWiz_train_1"):
        vizwiz.BENCHMARK.read(tmp_path, "val")


def test_docvqa_scores_by_likeness_and_asks_with_its_own_prompt(tmp_path: Path) -> None:
    data = [
        {"questionId": number, "question": "What is the date?", "image": "documents/page_1.png",
         "question_types": ["form"], "answers": answers}
        for number, answers in ((1, ["May 4"]), (2, ["abcd"]))
    ]  # fmt: skip
    write(tmp_path / "val_v1.0_withQT.json", {"dataset_split": "val", "data": data})
    examples = list(docvqa.BENCHMARK.read(tmp_path, "val"))
    assert examples[0].task.token == "<DocVQA>"
    # One edit in four letters leaves .75, and case does not matter.
    found = metrics(docvqa, say(examples, "may 4", "abcx"))
    assert found == {"ANLS": pytest.approx(87.5), "exact match": pytest.approx(50)}
    (path,) = docvqa.write_results(say(examples, "a", "b"), tmp_path)
    assert json.loads(path.read_text())[0] == {"questionId": 1, "answer": "a"}


@pytest.mark.parametrize("module", [vqav2, textvqa, vizwiz])
def test_the_papers_metrics_stand_beside_no_split_with_known_answers(module: ModuleType) -> None:
    # They are of test-dev, whose answers only the servers have.
    assert module.BENCHMARK.reported and "val" not in module.BENCHMARK.reported


@pytest.mark.parametrize("module", [vqav2, textvqa, vizwiz, docvqa])
def test_absent_files_are_reported_with_where_to_get_them(
    module: ModuleType, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match=r"\.org"):
        module.BENCHMARK.read(tmp_path, "val")
    with pytest.raises(FileNotFoundError, match="does not exist; make it"):
        module.BENCHMARK.read(tmp_path / "absent", "val")


def test_question_ids_may_be_names(tmp_path: Path) -> None:
    vqav2_data(tmp_path, [["two"] * 10])
    for name, key in (("v2_OpenEnded_mscoco_val2014_questions.json", "questions"),
                      ("v2_mscoco_val2014_annotations.json", "annotations")):  # fmt: skip
        content = json.loads((tmp_path / name).read_text())
        content[key][0]["question_id"] = "q-1"
        write(tmp_path / name, content)
    (path,) = vqav2.write_results(say(list(vqav2.BENCHMARK.read(tmp_path, "val")), "2"), tmp_path)
    assert json.loads(path.read_text()) == [{"question_id": "q-1", "answer": "2"}]


@pytest.mark.parametrize("image_id", ["seven", None, 7.5])
def test_an_image_id_that_names_no_file_is_refused(tmp_path: Path, image_id: Any) -> None:
    vqav2_data(tmp_path, [["two"] * 10])
    path = tmp_path / "v2_OpenEnded_mscoco_val2014_questions.json"
    content = json.loads(path.read_text())
    content["questions"][0]["image_id"] = image_id
    write(path, content)
    with pytest.raises(ValueError, match=r"questions\.json: image_id must be"):
        vqav2.BENCHMARK.read(tmp_path, "val")
