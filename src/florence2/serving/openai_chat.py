"""OpenAI's chat completions: the last image and the last text of a chat are a request."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..generation.decoding_options import MIN_TEMPERATURE
from ..results.tasks import TASKS
from ..results.types import Result, Text
from .request_limits import RequestError
from .validation_errors import format_got
from .wire_schema import MAX_TEXT, ChatMessage, ChatRequest, RequestOptions, TaskRequest

PATH = "/v1/chat/completions"
_TASK_BY_PROMPT = {task.prompt: task.token for task in TASKS if task.input == "none"}
_TEXT_PARTS = ("text", "input_text", "output_text")
_IMAGE_PARTS = ("image_url", "input_image", "image")
# ``<s>`` and ``</s>``, which clients do not count.
_SPECIAL_TOKENS = 2
_MAX_TOKENS = 2**30

# Unsupported fields with their values that have no effect.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (None, 1),
    "best_of": (None, 1),
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
    "repetition_penalty": (None, 1),
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "logit_bias": (None, {}),
    "min_tokens": (None, 0),
    "tool_choice": (None, "none", "auto"),
    "response_format": (None, {"type": "text"}),
    "modalities": (None, ["text"]),
}


@dataclass
class Usage:
    """The tokens of prompts and completions, over all steps of a cascade."""

    image_tokens: int = 0
    prompt: int = 0
    completion: int = 0

    def add(self, result: Result, prompt_tokens: int) -> None:
        """Count one result, whose prompt had ``prompt_tokens`` besides those of the image."""
        self.prompt += self.image_tokens + prompt_tokens
        self.completion += max(0, len(result.token_ids) - _SPECIAL_TOKENS)

    def to_dict(self) -> dict[str, int]:
        """The usage in OpenAI's format."""
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
        }


@dataclass(frozen=True)
class _ContentPart:
    """A part of a message: text, the URL of an image, or the type of another part."""

    text: str | None = None
    image: str | None = None
    other: str | None = None


def parse_prompt(request: ChatRequest) -> tuple[str, TaskRequest]:
    """The image and the task of a chat. Raises ``RequestError`` (422) if one is missing.

    The text is the token (followed by its text), name, alias or prompt of a task, a cascade, or a
    prompt of a fine-tuned model. The image may be in an earlier message. Parts of other types are
    ignored in earlier messages, and an error in the last one.
    """
    messages = [
        (message.role, _parse_parts(message, index))
        for index, message in enumerate(request.messages)
    ]
    user_messages = [parts for role, parts in messages if role == "user"]
    for part in user_messages[-1] if user_messages else ():
        if part.other is not None:
            raise RequestError(
                422, f"a part of type {part.other!r} is not supported: use text and image_url"
            )
    text, image = "", ""
    for parts in user_messages:
        texts = [part.text for part in parts if part.text is not None]
        text = "\n".join(texts).strip() or text
        images = [part.image for part in parts if part.image is not None]
        if images:
            image = images[-1]
            if parts is user_messages[-1] and len(images) > 1:
                raise RequestError(
                    422, f"a request has one image, got {len(images)}: send one request for each"
                )
    if not image:
        raise RequestError(422, "the chat has no image: add a part of type image_url")
    if not text:
        names = ", ".join(task.token for task in TASKS)
        raise RequestError(422, f"the chat has no text: name a task, such as {names}")
    if len(text) > MAX_TEXT:
        raise RequestError(
            422, f"the text must have at most {MAX_TEXT:,} characters, got {len(text):,}"
        )
    return image, TaskRequest.model_construct(task=_resolve_task(text), text=None, region=None)


def parse_options(request: ChatRequest) -> RequestOptions:
    """The decoding options of a chat; temperature 0, the default, is the released beam search.

    ``max_tokens`` is clamped to the positions of the model, and a temperature near 0 to the
    minimum. Raises ``RequestError`` (422) for unsupported fields.
    """
    _check_supported(request)
    options: dict[str, Any] = {}
    max_tokens = request.max_completion_tokens or request.max_tokens
    if max_tokens:
        options["max_new_tokens"] = min(max_tokens, _MAX_TOKENS) + _SPECIAL_TOKENS
    if request.temperature:
        options |= {"temperature": max(request.temperature, MIN_TEMPERATURE), "beams": 1}
        if request.top_p is not None:
            options["top_p"] = max(request.top_p, 1e-9)
        if request.top_k is not None and request.top_k > 0:
            options["top_k"] = min(request.top_k, _MAX_TOKENS)
        if request.seed is not None:
            options["seed"] = abs(request.seed) % 2**63
    return RequestOptions(**options)


def format_content(result: Result, stop: Sequence[str] | None = None) -> str:
    """A result as a message: text up to the first of ``stop``, regions as JSON."""
    if not isinstance(result.answer, Text):
        return json.dumps(result.data, ensure_ascii=False)
    text = result.answer.plain_text
    positions = [location for each in stop or () if (location := text.find(each)) >= 0]
    return text[: min(positions)] if positions else text


def build_completion(
    request: ChatRequest, model: str, result: Result, usage: Usage
) -> dict[str, Any]:
    """The completion as one response."""
    message = {"role": "assistant", "content": format_content(result, request.stop)}
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": _finish_reason(result),
    }
    return {**_make_head(model, "chat.completion"), "choices": [choice], "usage": usage.to_dict()}


def stream_chunks(request: ChatRequest, model: str, result: Result, usage: Usage) -> Iterator[str]:
    """The completion as server-sent events; beam search has its text only at the end."""
    with_usage = bool(request.stream_options and request.stream_options.include_usage)
    head = _make_head(model, "chat.completion.chunk")
    if with_usage:
        head["usage"] = None
    delta = {"role": "assistant", "content": format_content(result, request.stop)}
    for choice in (
        {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None},
        {"index": 0, "delta": {}, "logprobs": None, "finish_reason": _finish_reason(result)},
    ):
        yield _format_event({**head, "choices": [choice]})
    if with_usage:
        yield _format_event({**head, "choices": [], "usage": usage.to_dict()})
    yield "data: [DONE]\n\n"


def _check_supported(request: ChatRequest) -> None:
    extra = request.model_extra or {}
    for name, allowed in _NEUTRAL.items():
        value = extra.get(name)
        if value not in allowed:
            raise RequestError(422, f"{name} is not supported: leave it out{format_got(value)}")
    if request.stream_options is not None and not request.stream:
        raise RequestError(422, "stream_options needs stream: set it, or leave stream_options out")


def _parse_parts(message: ChatMessage, index: int) -> list[_ContentPart]:
    """Parse the content of a message. Raises ``RequestError`` (422) that names a wrong part."""
    content, location = message.content, f"messages.{index}.content"
    if content is None:
        return []
    if isinstance(content, str):
        return [_ContentPart(text=content)]
    if not isinstance(content, list):
        raise RequestError(
            422, f"{location} must be a string or a list of parts{format_got(content)}"
        )
    return [_parse_part(each, f"{location}.{number}") for number, each in enumerate(content)]


def _parse_part(part: Any, location: str) -> _ContentPart:
    if isinstance(part, str):
        return _ContentPart(text=part)
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str):
        raise RequestError(422, f"{location} must be an object with a type, such as 'text'")
    if kind in _TEXT_PARTS:
        if not isinstance(part.get("text"), str):
            raise RequestError(
                422, f"{location}.text must be a string{format_got(part.get('text'))}"
            )
        return _ContentPart(text=part["text"])
    if kind in _IMAGE_PARTS:
        image = _find_image(part)
        if image is None:
            raise RequestError(
                422, f"{location} has no image: set image_url to a URL, or to an object with 'url'"
            )
        return _ContentPart(image=image)
    return _ContentPart(other=kind[:40])


def _find_image(part: dict[str, Any]) -> str | None:
    """The URL, or the base64, of an image part in the formats that clients send."""
    value = part.get("image_url") or part.get("image") or part.get("source")
    if isinstance(value, dict):
        value = value.get("url") or value.get("data")
    return value if isinstance(value, str) and value else None


def _resolve_task(text: str) -> str:
    return _TASK_BY_PROMPT.get(text, text)


def _finish_reason(result: Result) -> str:
    return "length" if result.truncated else "stop"


def _format_event(values: dict[str, Any]) -> str:
    return f"data: {json.dumps(values, ensure_ascii=False)}\n\n"


def _make_head(model: str, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
    }
