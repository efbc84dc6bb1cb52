"""Forms as ``curl -F`` sends them: repeated fields, options as fields, errors."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from .conftest import DEMO, ENCODED

FILE = {"image": ("demo.png", DEMO, "image/png")}
QUICK = {"beams": "1", "max_new_tokens": "8"}


def test_a_repeated_task_has_two_results(client: TestClient) -> None:
    data: dict[str, Any] = {"task": ["caption", "od"], **QUICK}
    found = client.post("/v1/run", files=FILE, data=data).json()["answers"]
    assert [each["task"] for each in found] == ["<CAPTION>", "<OD>"]


def test_a_text_goes_to_the_tasks_with_a_text_input(client: TestClient) -> None:
    data: dict[str, Any] = {"task": ["caption", "grounding"], "text": "a cake", **QUICK}
    found = client.post("/v1/run", files=FILE, data=data).json()["answers"]
    assert all("error" not in each for each in found)
    names: dict[str, Any] = {"task": "ovd", "text": ["cake", "teapot"], **QUICK}
    assert "answer" in client.post("/v1/run", files=FILE, data=names).json()["answers"][0]


def test_options_are_fields_too(client: TestClient) -> None:
    short = client.post("/v1/run", files=FILE, data={"task": "caption", "max_new_tokens": "4"})
    by_json = client.post(
        "/v1/run", files=FILE, data={"task": "caption", "options": '{"max_new_tokens": 4}'}
    )
    assert short.json()["answers"] == by_json.json()["answers"]
    assert short.json()["answers"][0]["truncated"] is True


def test_a_form_without_a_file_can_name_the_image(client: TestClient) -> None:
    data = {"image": f"data:image/png;base64,{ENCODED}", "task": "caption", "text": "", **QUICK}
    assert client.post("/v1/run", data=data).status_code == 200


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"task": "od", "beams": ["1", "2"]}, "'beams' is set 2 times"),
        ({"task": "od", "beams": "1", "options": '{"beams": 2}'}, "beams is set twice"),
        ({"task": "od", "beams": "many"}, "beams must be a whole number"),
        ({"task": "od", "beam": "1"}, "unknown field 'beam', did you mean 'beams'?"),
        ({"task": "od", "tasks": '[{"task": "od"}]'}, "both 'tasks' and 'task'"),
        ({"task": ["caption", "od"], "text": "x"}, "none of the tasks takes a text"),
        ({"task": ["caption", "od"], "region": "1,2,3,4"}, "none of the tasks takes a region"),
        ({"task": "region-to-ocr", "region": "1,2,3"}, "region must have at least 4 items"),
        ({"tasks": "[{]"}, "not valid JSON"),
        ({"tasks": '[{"tsk": "od"}]'}, "task is missing"),
        ({}, "has no task"),
    ],
)
def test_invalid_fields_are_named(client: TestClient, data: dict[str, Any], words: str) -> None:
    found = client.post("/v1/run", files=FILE, data=data)
    error = found.json()["error"]
    assert found.status_code == 422 and words in error
    assert "validation error" not in error and len(error) < 300


def test_a_field_that_is_a_file_by_mistake_is_named(client: TestClient) -> None:
    found = client.post("/v1/run", files={**FILE, "task": ("a.txt", b"caption")})
    assert found.status_code == 422 and "'task' is a file" in found.json()["error"]
    two = [("image", ("a.png", DEMO)), ("image", ("b.png", DEMO))]
    twice = client.post("/v1/run", files=two, data={"task": "od"})
    assert "'image' is set 2 times" in twice.json()["error"]
