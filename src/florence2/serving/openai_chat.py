"""OpenAI's chat completions: the last image and the last words of a chat are a question."""

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
from .validation_errors import shown
from .wire_schema import MAX_TEXT, AnswerOptions, ChatRequest, Message, Question

PATH = "/v1/chat/completions"
_BY_PROMPT = {task.prompt: task.token for task in TASKS if task.input == "none"}
_TEXT_PARTS = ("text", "input_text", "output_text")
_IMAGE_PARTS = ("image_url", "input_image", "image")
# ``<s>`` and ``</s>`` are counted by the search, and not by clients.
_FRAME_TOKENS = 2
_MOST_TOKENS = 2**30

# What would change the answer and cannot be served, with the values that change nothing.
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
    """The tokens that a chat was read as and answered with, over all steps of a cascade."""

    image_tokens: int = 0
    prompt: int = 0
    completion: int = 0

    def add(self, result: Result, prompt_tokens: int) -> None:
        """Count one answer of the model, whose prompt had so many tokens beside the image's."""
        self.prompt += self.image_tokens + prompt_tokens
        self.completion += max(0, len(result.token_ids) - _FRAME_TOKENS)

    def to_dict(self) -> dict[str, int]:
        """As OpenAI's clients read it."""
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
        }


@dataclass(frozen=True)
class _Part:
    """A part of a message: words, an image's URL, or the name of a kind that is neither."""

    text: str | None = None
    image: str | None = None
    other: str | None = None


def question_of(request: ChatRequest) -> tuple[str, Question]:
    """The image and the question of a chat. Raises ``RequestError`` (422) where one is missing.

    Words are a task's token (with its text behind it), name, alias, prompt, a cascade, or a prompt
    of a fine-tuned model, which goes to the model as it is. The image may stand in an earlier
    message. Parts of other kinds are passed over in earlier messages, and refused in the last one.
    """
    parts = [_parts(message, index) for index, message in enumerate(request.messages)]
    asked = [
        found
        for message, found in zip(request.messages, parts, strict=True)
        if message.role == "user"
    ]
    for part in asked[-1] if asked else ():
        if part.other is not None:
            raise RequestError(
                422, f"a part of type {part.other!r} is not supported: use text and image_url"
            )
    words, image = "", ""
    for found in asked:
        texts = [part.text for part in found if part.text is not None]
        if any(text.strip() for text in texts):
            words = "\n".join(texts).strip()
        images = [part.image for part in found if part.image is not None]
        if images:
            image = images[-1]
            if found is asked[-1] and len(images) > 1:
                raise RequestError(
                    422, f"a question is about one image, got {len(images)}: send one for each"
                )
    if not image:
        raise RequestError(422, "the chat has no picture: add a part of type image_url")
    if not words:
        names = ", ".join(task.token for task in TASKS)
        raise RequestError(422, f"the chat has no words: name a task, such as {names}")
    if len(words) > MAX_TEXT:
        raise RequestError(
            422, f"a question has at most {MAX_TEXT:,} characters, got {len(words):,}"
        )
    return image, Question.model_construct(task=_task(words), text=None, region=None)


def options_of(request: ChatRequest) -> AnswerOptions:
    """What the chat says about decoding; temperature 0, the default, is the released search.

    Limits are clamped: ``max_tokens`` to the positions of the model, a temperature near 0 to the
    least that is sampled with. Raises ``RequestError`` (422) for what cannot be served.
    """
    _check_supported(request)
    options: dict[str, Any] = {}
    longest = request.max_completion_tokens or request.max_tokens
    if longest:
        options["max_new_tokens"] = min(longest, _MOST_TOKENS) + _FRAME_TOKENS
    if request.temperature:
        options |= {"temperature": max(request.temperature, MIN_TEMPERATURE), "beams": 1}
        if request.top_p is not None:
            options["top_p"] = max(request.top_p, 1e-9)
        if request.top_k is not None and request.top_k > 0:
            options["top_k"] = min(request.top_k, _MOST_TOKENS)
        if request.seed is not None:
            options["seed"] = abs(request.seed) % 2**63
    return AnswerOptions(**options)


def content_of(result: Result, stop: Sequence[str] | None = None) -> str:
    """The answer as a message: a text up to the first of ``stop``, regions as JSON."""
    if not isinstance(result.answer, Text):
        return json.dumps(result.data, ensure_ascii=False)
    text = result.answer.plain_text
    places = [place for each in stop or () if (place := text.find(each)) >= 0]
    return text[: min(places)] if places else text


def completion(request: ChatRequest, model: str, result: Result, usage: Usage) -> dict[str, Any]:
    """The whole completion."""
    message = {"role": "assistant", "content": content_of(result, request.stop)}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _reason(result)}
    return {**_head(model, "chat.completion"), "choices": [choice], "usage": usage.to_dict()}


def chunks(request: ChatRequest, model: str, result: Result, usage: Usage) -> Iterator[str]:
    """The completion as server-sent events: a beam search knows its words only at the end."""
    with_usage = bool(request.stream_options and request.stream_options.include_usage)
    head = _head(model, "chat.completion.chunk")
    if with_usage:
        head["usage"] = None
    delta = {"role": "assistant", "content": content_of(result, request.stop)}
    for choice in (
        {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None},
        {"index": 0, "delta": {}, "logprobs": None, "finish_reason": _reason(result)},
    ):
        yield _event({**head, "choices": [choice]})
    if with_usage:
        yield _event({**head, "choices": [], "usage": usage.to_dict()})
    yield "data: [DONE]\n\n"


def _check_supported(request: ChatRequest) -> None:
    given = request.model_extra or {}
    for name, neutral in _NEUTRAL.items():
        value = given.get(name)
        if value not in neutral:
            raise RequestError(422, f"{name} is not supported: leave it out{shown(value)}")
    if request.stream_options is not None and not request.stream:
        raise RequestError(422, "stream_options is for streams: set stream, or leave it out")


def _parts(message: Message, index: int) -> list[_Part]:
    """The parts of a message. Raises ``RequestError`` (422) that names the part that is none."""
    content, place = message.content, f"messages.{index}.content"
    if content is None:
        return []
    if isinstance(content, str):
        return [_Part(text=content)]
    if not isinstance(content, list):
        raise RequestError(422, f"{place} must be a string or a list of parts{shown(content)}")
    return [_part(each, f"{place}.{number}") for number, each in enumerate(content)]


def _part(part: Any, place: str) -> _Part:
    if isinstance(part, str):
        return _Part(text=part)
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str):
        raise RequestError(422, f"{place} must be an object with a type, such as 'text'")
    if kind in _TEXT_PARTS:
        if not isinstance(part.get("text"), str):
            raise RequestError(422, f"{place}.text must be a string{shown(part.get('text'))}")
        return _Part(text=part["text"])
    if kind in _IMAGE_PARTS:
        image = _image_of(part)
        if image is None:
            raise RequestError(
                422, f"{place} has no picture: set image_url to a URL, or to an object with 'url'"
            )
        return _Part(image=image)
    return _Part(other=kind[:40])


def _image_of(part: dict[str, Any]) -> str | None:
    """The URL, or the base64, of an image part in any of the forms that clients send."""
    found = part.get("image_url") or part.get("image") or part.get("source")
    if isinstance(found, dict):
        found = found.get("url") or found.get("data")
    return found if isinstance(found, str) and found else None


def _task(words: str) -> str:
    return _BY_PROMPT.get(words, words)


def _reason(result: Result) -> str:
    return "length" if result.truncated else "stop"


def _event(values: dict[str, Any]) -> str:
    return f"data: {json.dumps(values, ensure_ascii=False)}\n\n"


def _head(model: str, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
    }
