"""Chat completions as clients of OpenAI's interface write them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from .conftest import DEMO, ENCODED

PATH = "/v1/chat/completions"
URL = f"data:image/png;base64,{ENCODED}"
TEXT = {"type": "text", "text": "<CAPTION>"}
IMAGE = {"type": "image_url", "image_url": {"url": URL}}
USER = {"role": "user", "content": [TEXT, IMAGE]}


def ask(client: TestClient, *messages: Any, **more: Any) -> Any:
    body = {"model": "any", "max_tokens": 8, "messages": list(messages) or [USER], **more}
    return client.post(PATH, json=body)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": URL},
        {"type": "image_url", "image_url": {"url": URL, "detail": "low"}},
        {"type": "input_image", "image_url": URL},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": ENCODED}},
        {"type": "image_url", "image_url": URL.replace(";base64", ";charset=utf-8;base64")},
        {"type": "image_url", "image_url": URL.rstrip("=")},
        {"type": "image_url", "image_url": base64.urlsafe_b64encode(DEMO).decode()},
        {"type": "image_url", "image_url": URL.replace("+", "%2B").replace("=", "%3D")},
    ],
)
def test_images_in_every_format(client: TestClient, part: dict[str, Any]) -> None:
    found = ask(client, {"role": "user", "content": [TEXT, part]})
    assert found.status_code == 200 and found.json()["choices"][0]["message"]["content"]


def test_other_messages_are_ignored(client: TestClient) -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    earlier = {"role": "user", "content": [{"type": "input_audio", "input_audio": {}}, TEXT]}
    history = [
        {"role": "system", "content": "Be kind."}, earlier, call,
        {"role": "tool", "tool_call_id": "1", "content": "42"},
    ]  # fmt: skip
    assert ask(client, *history, USER).status_code == 200
    # The image may stand before the question.
    assert ask(client, USER, {"role": "user", "content": "<OD>"}).status_code == 200


@pytest.mark.parametrize(
    "more",
    [
        {"max_tokens": 1}, {"max_tokens": 10**9}, {"max_tokens": None, "max_completion_tokens": 5},
        {"temperature": 0, "top_p": 0}, {"temperature": 1e-9, "top_p": 0}, {"seed": -(10**30)},
        {"temperature": 0.7, "top_k": -1, "seed": 10**30}, {"n": 1, "stop": ["x"], "user": "u"},
        {"stream": None, "stop": None, "temperature": None, "tools": [], "tool_choice": "auto"},
        {"response_format": {"type": "text"}, "frequency_penalty": 0, "logit_bias": {}},
        {"metadata": {"a": "b"}, "store": False, "parallel_tool_calls": True},
    ],
)  # fmt: skip
def test_fields_without_effect_are_accepted(client: TestClient, more: dict[str, Any]) -> None:
    found = ask(client, **{"max_tokens": 8, **more})
    assert found.status_code == 200, found.text


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"n": 2}, "n is not supported"), ({"max_tokens": 0}, "max_tokens must be at least 1"),
        ({"logprobs": True}, "logprobs"), ({"frequency_penalty": 1.5}, "frequency_penalty"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"tool_choice": "required"}, "tool_choice"), ({"temperature": 3}, "at most 2"),
        ({"stream_options": {"include_usage": True}}, "stream"), ({"stop": [1]}, "stop must be"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "role must be"),
        ({"messages": [{"role": "user", "content": 5}]}, "content must be a string or a list"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "with a type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "text must be a string"),
        ({"messages": [{"role": "user", "content": [TEXT, IMAGE, IMAGE]}]}, "one image, got 2"),
        ({"messages": [{"role": "user", "content": [TEXT, IMAGE, {"type": "file"}]}]}, "'file'"),
        ({"messages": [{"role": "user", "content": [TEXT, {"type": "image_url"}]}]}, "no image"),
        ({"messages": []}, "at least 1 item"), ({"messages": None}, "must be a list"),
    ],
)  # fmt: skip
def test_unsupported_fields_are_named(client: TestClient, more: dict[str, Any], words: str) -> None:
    found = ask(client, **more)
    error = found.json()["error"]
    assert found.status_code == 422 and error["type"] == "invalid_request_error"
    assert words in error["message"] and len(error["message"]) < 240
    assert "\n" not in error["message"] and "union" not in error["message"]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a/b.png", "s3://a/b.png"])
def test_errors_of_unsupported_urls(client: TestClient, url: str) -> None:
    message = {"role": "user", "content": [TEXT, {"type": "image_url", "image_url": url}]}
    words = ask(client, message).json()["error"]["message"]
    assert "URLs" in words and "base64" not in words


def test_usage_counts_the_image_and_the_prompt(client: TestClient) -> None:
    from florence2 import load

    short = ask(client).json()["usage"]
    grounding = "<CAPTION_TO_PHRASE_GROUNDING>a red square beside a green circle"
    long = ask(client, {"role": "user", "content": [{**TEXT, "text": grounding}, IMAGE]}).json()
    cascade = {"role": "user", "content": [{**TEXT, "text": "caption-then-ground"}, IMAGE]}
    both = ask(client, cascade, max_tokens=60).json()["usage"]
    image_tokens = load("nano", runtime="torch", device="cpu").processor.image_tokens
    assert short["prompt_tokens"] > image_tokens
    assert long["usage"]["prompt_tokens"] > short["prompt_tokens"]
    assert both["prompt_tokens"] > 2 * image_tokens
    for usage in (short, long["usage"], both):
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    for most in (1, 3):
        cut = ask(client, max_tokens=most).json()
        assert cut["choices"][0]["finish_reason"] == "length"
        assert cut["usage"]["completion_tokens"] == most


def test_streams_end_with_the_requested_usage(client: TestClient) -> None:
    def events(**more: Any) -> list[Any]:
        lines = ask(client, stream=True, **more).text.split("\n\n")
        assert lines[-2:] == ["data: [DONE]", ""]
        return [json.loads(each.removeprefix("data: ")) for each in lines[:-2]]

    plain, with_usage = events(), events(stream_options={"include_usage": True})
    assert all(each["choices"] and "usage" not in each for each in plain)
    assert (
        with_usage[-1]["choices"] == [] and with_usage[-1]["usage"] == ask(client).json()["usage"]
    )
    assert all(each["usage"] is None for each in with_usage[:-1])


def test_stop_ends_a_text(client: TestClient) -> None:
    text = ask(client).json()["choices"][0]["message"]["content"]
    stopped = ask(client, stop=["nowhere", text[5:8]]).json()["choices"][0]["message"]["content"]
    assert stopped == text[: text.index(text[5:8])]


def test_the_model_by_its_name(client: TestClient) -> None:
    (listed,) = client.get("/v1/models").json()["data"]
    assert client.get(f"/v1/models/{listed['id']}").json() == listed
    other = client.get("/v1/models/gpt/x")
    assert other.status_code == 404 and "gpt/x" in other.json()["error"]["message"]
