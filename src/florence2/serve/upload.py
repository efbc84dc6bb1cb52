"""The form of ``/v1/run``: a file beside what is asked about it."""

from __future__ import annotations

import json
from typing import Any

from fastapi import Request
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from .limits import RefusedError
from .schema import AnswerOptions, Question

UPLOAD_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["image"],
    "properties": {
        "image": {"type": "string", "format": "binary", "description": "The picture's file."},
        "task": {"type": "string", "description": "A task, or several in `tasks`."},
        "text": {"type": "string", "description": "What `task` asks about."},
        "region": {"type": "string", "description": "x0,y0,x1,y1 in pixels for `task`."},
        "tasks": {"type": "string", "description": 'Questions as JSON: [{"task": ...}, ...]'},
        "options": {"type": "string", "description": "Options as JSON."},
    },
}


async def read_upload(request: Request) -> tuple[bytes, list[Question], AnswerOptions]:
    """The file, the questions and the options of a form. Raises ``RefusedError`` (422)."""
    try:
        form = await request.form(max_files=1, max_fields=16)
    except (HTTPException, ValueError, KeyError, AssertionError) as error:
        reason = getattr(error, "detail", None) or str(error)
        raise RefusedError(422, f"the form is not readable ({reason})") from error
    image = form.get("image")
    if not isinstance(image, UploadFile):
        raise RefusedError(422, "the form has no file called 'image'")
    words = {name: value for name, value in form.items() if isinstance(value, str)}
    try:
        options = AnswerOptions.model_validate_json(words.get("options") or "{}")
        if "tasks" in words:
            tasks = TypeAdapter(list[Question]).validate_json(words["tasks"])
        else:
            tasks = [_single(words)]
    except (ValidationError, ValueError) as error:
        raise RefusedError(422, f"the form is not of its form ({error})") from error
    if not tasks:
        raise RefusedError(422, "the form asks nothing: add 'task' or 'tasks'")
    content = await image.read()
    if not content:
        raise RefusedError(422, "the file 'image' is empty")
    return content, tasks, options


def _single(words: dict[str, str]) -> Question:
    question: dict[str, Any] = {"task": words.get("task", "")}
    if words.get("text"):
        text = words["text"]
        question["text"] = json.loads(text) if text.startswith("[") else text
    if words.get("region"):
        question["region"] = [float(part) for part in words["region"].split(",")]
    return Question.model_validate(question)
