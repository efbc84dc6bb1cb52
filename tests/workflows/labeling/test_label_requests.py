from __future__ import annotations

import pytest

from florence2.results.tasks import find_task
from florence2.workflows.labeling.label_requests import LabelRequest, build_requests, request_key


def test_tasks_by_any_name_are_requested_once() -> None:
    requests = build_requests(["od", "<OD>", "caption"], [], [])
    assert [each.task.token for each in requests] == ["<OD>", "<CAPTION>"]
    assert requests[0].with_image("a.jpg") == ("a.jpg", "<OD>")
    assert requests[0].fields == {"task": "<OD>"}
    assert requests[0].file_name == "object-detection"


def test_several_texts_are_classes() -> None:
    (request,) = build_requests(["ovd"], ["cat", "dog"], [])
    assert request.with_image("a.jpg") == ("a.jpg", "<OPEN_VOCABULARY_DETECTION>", ["cat", "dog"])
    assert request.fields["text"] == ["cat", "dog"]


def test_text_goes_to_the_tasks_that_take_it() -> None:
    requests = build_requests(["caption", "grounding", "<DocVQA>"], ["a cat"], [])
    assert [each.with_image("a.jpg")[2:] for each in requests] == [(), ("a cat",), ("a cat",)]


def test_each_region_is_a_request_with_its_own_files() -> None:
    requests = build_requests(["region-to-category"], [], ["1,2,3,4", "5,6,7.5,8"])
    assert [each.input for each in requests] == [(1.0, 2.0, 3.0, 4.0), (5.0, 6.0, 7.5, 8.0)]
    assert requests[1].with_image("a.jpg")[2] == (5.0, 6.0, 7.5, 8.0)
    assert requests[0].fields["region"] == [1.0, 2.0, 3.0, 4.0]
    assert requests[0].file_name != requests[1].file_name


def test_a_free_prompt_has_a_file_name_without_odd_characters() -> None:
    (request,) = build_requests(["<DocVQA>What is the date / time?"], [], [])
    assert request.file_name.startswith("DocVQA-What-is-the-date-time-")


def test_the_key_is_found_again_from_a_line() -> None:
    request = LabelRequest(find_task("ovd"), ("cat", "élan"))
    line = {"image": "a.jpg", **request.fields, "answer": {}, "truncated": False}
    assert request_key(line) == request.key


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
        (["caption"], ["a cat"], [], "--text 'a cat' is not used by any selected task"),
        (["caption"], [], ["1,2,3,4"], "--region 1,2,3,4 is not used by any selected task"),
        (["region-to-ocr"], ["x"], ["1,2,3,4"], "--text 'x' is not used by any selected task"),
    ],
)
def test_unusable_input_is_refused(
    tasks: list[str], texts: list[str], regions: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build_requests(tasks, texts, regions)
