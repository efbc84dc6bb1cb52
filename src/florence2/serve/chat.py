"""OpenAI's chat completions: the last picture and the last words of a chat are a question."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

from ..results import Result, Text
from ..tasks import TASKS
from .limits import RefusedError
from .schema import AnswerOptions, ChatRequest, ImagePart, Question, TextPart

PATH = "/v1/chat/completions"
_BY_PROMPT = {task.prompt: task.token for task in TASKS if task.input == "none"}


def question_of(request: ChatRequest) -> tuple[str, Question]:
    """The picture and the question of a chat. Raises ``RefusedError`` (422) where one is missing.

    Words are a task's token (with its text behind it), name, alias, prompt, a cascade, or a prompt
    of a fine-tuned model, which goes to the model as it is.
    """
    image, words = "", ""
    for message in request.messages:
        if message.role not in ("user", "system", "developer"):
            continue
        parts = message.content or []
        if isinstance(parts, str):
            parts = [TextPart(type="text", text=parts)]
        texts = [part.text for part in parts if isinstance(part, TextPart)]
        if message.role == "user" and any(text.strip() for text in texts):
            words = "\n".join(texts).strip()
        for part in parts:
            if isinstance(part, ImagePart):
                image = part.image_url.url
    if not image:
        raise RefusedError(422, "the chat has no picture: add a part of type image_url")
    if not words:
        names = ", ".join(task.token for task in TASKS)
        raise RefusedError(422, f"the chat has no words: name a task, such as {names}")
    if len(words) > 2000:
        raise RefusedError(422, f"a question has at most 2000 letters, got {len(words)}")
    return image, Question.model_construct(task=_task(words), text=None, region=None)


def options_of(request: ChatRequest) -> AnswerOptions:
    """What the chat says about decoding; temperature 0, the default, is the released search."""
    options: dict[str, Any] = {}
    longest = request.max_completion_tokens or request.max_tokens
    if longest:
        options["max_new_tokens"] = longest
    if request.temperature:
        options |= {"temperature": request.temperature, "beams": 1}
        if request.top_p is not None:
            options["top_p"] = request.top_p
        if request.seed is not None:
            options["seed"] = abs(request.seed) % 2**63
    return AnswerOptions(**options)


def content_of(result: Result) -> str:
    """The answer as a message: a text as it is, regions as JSON."""
    if isinstance(result.answer, Text):
        return result.answer.plain
    return json.dumps(result.value, ensure_ascii=False)


def completion(request: ChatRequest, result: Result) -> dict[str, Any]:
    """The whole completion."""
    message = {"role": "assistant", "content": content_of(result)}
    choice = {"index": 0, "message": message, "finish_reason": _reason(result)}
    tokens = len(result.token_ids)
    usage = {"prompt_tokens": 0, "completion_tokens": tokens, "total_tokens": tokens}
    return {**_head(request, "chat.completion"), "choices": [choice], "usage": usage}


def chunks(request: ChatRequest, result: Result) -> Iterator[str]:
    """The completion as server-sent events: a beam search knows its words only at the end."""
    head = _head(request, "chat.completion.chunk")
    delta = {"role": "assistant", "content": content_of(result)}
    for choice in (
        {"index": 0, "delta": delta, "finish_reason": None},
        {"index": 0, "delta": {}, "finish_reason": _reason(result)},
    ):
        yield f"data: {json.dumps({**head, 'choices': [choice]}, ensure_ascii=False)}\n\n"
    yield "data: [DONE]\n\n"


def _task(words: str) -> str:
    return _BY_PROMPT.get(words, words)


def _reason(result: Result) -> str:
    return "length" if result.truncated else "stop"


def _head(request: ChatRequest, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()),
        "model": request.model,
    }  # fmt: skip
