from __future__ import annotations

import pytest

from florence2.results.tasks import find_task
from florence2.workflows.labeling.label_requests import Question, ask, question_key


def test_tasks_by_any_name_are_asked_once() -> None:
    questions = ask(["od", "<OD>", "caption"], [], [])
    assert [each.task.token for each in questions] == ["<OD>", "<CAPTION>"]
    assert questions[0].request("a.jpg") == ("a.jpg", "<OD>")
    assert questions[0].fields == {"task": "<OD>"}
    assert questions[0].file_name == "object-detection"


def test_several_texts_are_classes() -> None:
    (question,) = ask(["ovd"], ["cat", "dog"], [])
    assert question.request("a.jpg") == ("a.jpg", "<OPEN_VOCABULARY_DETECTION>", ["cat", "dog"])
    assert question.fields["text"] == ["cat", "dog"]


def test_text_goes_to_the_tasks_that_take_it() -> None:
    questions = ask(["caption", "grounding", "<DocVQA>"], ["a cat"], [])
    assert [each.request("a.jpg")[2:] for each in questions] == [(), ("a cat",), ("a cat",)]


def test_each_region_is_a_question_with_files_of_its_own() -> None:
    questions = ask(["region-to-category"], [], ["1,2,3,4", "5,6,7.5,8"])
    assert [each.input for each in questions] == [(1.0, 2.0, 3.0, 4.0), (5.0, 6.0, 7.5, 8.0)]
    assert questions[1].request("a.jpg")[2] == (5.0, 6.0, 7.5, 8.0)
    assert questions[0].fields["region"] == [1.0, 2.0, 3.0, 4.0]
    assert questions[0].file_name != questions[1].file_name


def test_a_free_prompt_has_a_file_name_without_odd_characters() -> None:
    (question,) = ask(["<DocVQA>What is the date / time?"], [], [])
    assert question.file_name.startswith("DocVQA-What-is-the-date-time-")


def test_the_key_is_found_again_from_a_line() -> None:
    question = Question(find_task("ovd"), ("cat", "élan"))
    line = {"image": "a.jpg", **question.fields, "answer": {}, "truncated": False}
    assert question_key(line) == question.key


@pytest.mark.parametrize(
    ("tasks", "texts", "regions", "message"),
    [
        (["no-such-task"], [], [], "unknown task 'no-such-task'"),
        (["grounding"], [], [], "needs text; add --text"),
        (["grounding"], [" "], [], "needs text; add --text"),
        (["grounding"], ["a", "b"], [], "takes one --text, got 2"),
        (["region-to-ocr"], [], [], "add --region x0,y0,x1,y1"),
        (["region-to-ocr"], [], ["1,2,3"], "must be four numbers"),
        (["region-to-ocr"], [], ["1,2,3,nan"], "must have x0 <= x1"),
        (["region-to-ocr"], [], ["9,2,3,4"], "must have x0 <= x1"),
        (["caption"], ["a cat"], [], "--text 'a cat' is of no use"),
        (["caption"], [], ["1,2,3,4"], "--region 1,2,3,4 is of no use"),
        (["region-to-ocr"], ["x"], ["1,2,3,4"], "--text 'x' is of no use"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    tasks: list[str], texts: list[str], regions: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ask(tasks, texts, regions)
