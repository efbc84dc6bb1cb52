"""The form of ``/v1/run``: a file beside what is asked about it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import parse_qsl

from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.datastructures import Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser

from ..results.tasks import find_task
from .request_limits import RequestError
from .validation_errors import describe_errors, near_miss
from .wire_schema import AnswerOptions, Page, Question, Seconds

MULTIPART, URLENCODED = "multipart/form-data", "application/x-www-form-urlencoded"
# A form has at most so many fields.
_MOST_FIELDS = 1000
_MOST_ESCAPES = 1_000_000
# The second is the name of release 0.1 for the first.
_OPTIONS = {*AnswerOptions.model_fields, "order_corners"}
_REPEATED = {"task", "text"}
_FIELDS = {"image", "task", "text", "region", "tasks", "options", "page", "seconds"} | _OPTIONS

UPLOAD_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["image"],
    "properties": {
        "image": {"type": "string", "format": "binary", "description": "The picture's file."},
        "task": {
            "type": "array",
            "items": {"type": "string"},
            "description": "A task; the field may come several times.",
        },
        "text": {
            "type": "array",
            "items": {"type": "string"},
            "description": "What `task` asks about; several are class names.",
        },
        "region": {"type": "string", "description": "x0,y0,x1,y1 in pixels for `task`."},
        "page": {"type": "string", "description": "The page of a PDF, TIFF or animation, from 1."},
        "seconds": {"type": "string", "description": "When the frame of a video is shown."},
        "tasks": {"type": "string", "description": 'Questions as JSON: [{"task": ...}, ...]'},
        "options": {
            "type": "string",
            "description": "Options as JSON; each may be a field of its own, such as `beams`.",
        },
    },
}

_QUESTIONS = TypeAdapter(list[Question])
_NAMES = TypeAdapter(list[str])


class _InMemory(MultiPartParser):
    """A parser of a body that is in memory already: nothing is written to disk."""

    spool_max_size = 2**40


class Upload(BaseModel):
    """What a form asks: the same as ``RunRequest``, with the file as it is."""

    image: bytes | str
    tasks: list[Question]
    options: AnswerOptions
    page: Page = None
    seconds: Seconds = None


def read_upload(body: bytes, content_type: str) -> Upload:
    """The file and what the form asks about it. Raises ``RequestError`` (422)."""
    fields = _fields(body, content_type)
    unknown = sorted(set(fields) - _FIELDS)
    if unknown:
        name = unknown[0][:60]
        raise RequestError(
            422,
            f"the form has no field {name!r}{near_miss(name, _FIELDS)}; there are "
            f"{', '.join(sorted(_FIELDS))}",
        )
    for name, values in fields.items():
        if len(values) > 1 and name not in _REPEATED:
            raise RequestError(422, f"the field {name!r} is given {len(values)} times: give one")
        if name != "image" and any(isinstance(each, bytes) for each in values):
            raise RequestError(422, f"the field {name!r} is a file: give its words")
    words = {
        name: [str(each) for each in values] for name, values in fields.items() if name != "image"
    }
    try:
        options = _options(words)
        tasks = _questions(words)
        place = {name: words[name][0] for name in ("page", "seconds") if any(words.get(name, ()))}
        asked = Upload.model_validate({"image": b"", "tasks": tasks, "options": options, **place})
    except ValidationError as error:
        raise RequestError(422, f"the form: {describe_errors(error, _FIELDS)}") from error
    if not tasks:
        raise RequestError(422, "the form asks nothing: add 'task' or 'tasks'")
    asked.image = _image(fields)
    return asked


def _fields(body: bytes, content_type: str) -> dict[str, list[str | bytes]]:
    """The values of every field; those of files are bytes. Raises ``RequestError`` (422)."""
    try:
        if content_type.partition(";")[0].strip().lower() == URLENCODED:
            if body.count(b"%") > _MOST_ESCAPES:
                raise ValueError("too much of it is escaped: send multipart/form-data")
            text = body.decode("utf-8")
            pairs: list[Any] = parse_qsl(
                text,
                keep_blank_values=True,
                strict_parsing=bool(text),
                errors="strict",
                max_num_fields=_MOST_FIELDS,
            )
        else:
            pairs = asyncio.run(_parse(body, content_type))
        fields: dict[str, list[str | bytes]] = defaultdict(list)
        for name, value in pairs:
            if isinstance(value, str):
                value.encode("utf-8")
            name.encode("utf-8")
            fields[name].append(value)
        return dict(fields)
    # Parsers of damaged forms raise nearly anything.
    except Exception as error:
        reason = str(getattr(error, "detail", None) or error or type(error).__name__)
        raise RequestError(422, f"the form is not readable ({_plain(reason)})") from error


async def _parse(body: bytes, content_type: str) -> list[tuple[str, str | bytes]]:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    if "boundary=" not in content_type.lower():
        raise HTTPException(400, "its content type has no boundary")
    headers = Headers({"content-type": content_type})
    parser = _InMemory(headers, stream(), max_files=16, max_fields=_MOST_FIELDS)
    form = await parser.parse()
    try:
        return [
            (name, await value.read() if isinstance(value, UploadFile) else value)
            for name, value in form.multi_items()
        ]
    finally:
        await form.close()


def _image(fields: dict[str, list[str | bytes]]) -> bytes | str:
    found = fields.get("image")
    if not found:
        raise RequestError(422, "the form has no file called 'image'")
    if not found[0]:
        raise RequestError(422, "the file 'image' is empty")
    return found[0]


def _options(words: dict[str, list[str]]) -> AnswerOptions:
    """The options of ``options`` and of the fields of their names."""
    text = (words.get("options") or [""])[0].strip()
    options = AnswerOptions.model_validate_json(text or "{}")
    single = {name: words[name][0].strip() for name in words if name in _OPTIONS}
    twice = sorted(set(single) & set(options.given()))
    if twice:
        raise RequestError(422, f"{twice[0]} is given twice: as a field and in 'options'")
    given = {name: value for name, value in single.items() if value}
    return AnswerOptions.model_validate({**options.given(), **given})


def _questions(words: dict[str, list[str]]) -> list[Question]:
    """The questions of ``tasks``, or of ``task``, ``text`` and ``region``."""
    if "tasks" in words:
        both = sorted({"task", "text", "region"} & {name for name in words if any(words[name])})
        if both:
            raise RequestError(422, f"the form has both 'tasks' and {both[0]!r}: give one")
        return _QUESTIONS.validate_json(words["tasks"][0])
    tasks = words.get("task") or []
    texts = [each for each in words.get("text") or [] if each.strip()]
    region = (words.get("region") or [""])[0].strip()
    if not tasks:
        return []
    if len(tasks) == 1:
        return [_question(tasks[0], texts, region)]
    # Of several tasks, those that ask for it get the text or the region.
    kinds = [_input_of(task) for task in tasks]
    if texts and "text" not in kinds:
        raise RequestError(422, "none of the tasks takes a text: leave 'text' out")
    if region and "region" not in kinds:
        raise RequestError(422, "none of the tasks takes a region: leave 'region' out")
    return [
        _question(task, texts if kind == "text" else [], region if kind == "region" else "")
        for task, kind in zip(tasks, kinds, strict=True)
    ]


def _question(task: str, texts: list[str], region: str) -> Question:
    question: dict[str, Any] = {"task": task}
    if len(texts) > 1:
        question["text"] = texts
    elif texts:
        question["text"] = _text(texts[0])
    if region:
        question["region"] = region.strip("[]() ").split(",")
    return Question.model_validate(question)


def _text(text: str) -> str | list[str]:
    """The text, or the class names of a JSON list."""
    return _NAMES.validate_json(text) if text.startswith("[") else text


def _input_of(task: str) -> str:
    try:
        return find_task(task).input
    except ValueError:
        return "none"


def _plain(reason: str) -> str:
    return reason[:200].encode("utf-8", "backslashreplace").decode()
