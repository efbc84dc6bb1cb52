"""The form of ``/v1/run``: a file, tasks and options."""

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
from .validation_errors import describe_errors, format_near_miss
from .wire_schema import Page, RequestOptions, Seconds, TaskRequest

MULTIPART, URLENCODED = "multipart/form-data", "application/x-www-form-urlencoded"
_MAX_FIELDS = 1000
_MAX_ESCAPES = 1_000_000
# The second is the name of release 0.1 for the first.
_OPTIONS = {*RequestOptions.model_fields, "order_corners"}
_REPEATED = {"task", "text"}
_FIELDS = {"image", "task", "text", "region", "tasks", "options", "page", "seconds"} | _OPTIONS

UPLOAD_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["image"],
    "properties": {
        "image": {"type": "string", "format": "binary", "description": "The image file."},
        "task": {
            "type": "array",
            "items": {"type": "string"},
            "description": "A task; repeatable.",
        },
        "text": {
            "type": "array",
            "items": {"type": "string"},
            "description": "The text input of `task`; several are class names.",
        },
        "region": {"type": "string", "description": "x0,y0,x1,y1 in pixels for `task`."},
        "page": {"type": "string", "description": "The page of a PDF, TIFF or animation, from 1."},
        "seconds": {"type": "string", "description": "The time of a frame of a video."},
        "tasks": {"type": "string", "description": 'Tasks as JSON: [{"task": ...}, ...]'},
        "options": {
            "type": "string",
            "description": "Options as JSON; each may be a field of its own, such as `beams`.",
        },
    },
}

_TASK_LIST = TypeAdapter(list[TaskRequest])
_NAME_LIST = TypeAdapter(list[str])


class _InMemoryParser(MultiPartParser):
    """A parser of a body that is in memory: it writes nothing to disk."""

    spool_max_size = 2**40


class Upload(BaseModel):
    """The content of a form: as ``RunRequest``, with the bytes of the file."""

    image: bytes | str
    tasks: list[TaskRequest]
    options: RequestOptions
    page: Page = None
    seconds: Seconds = None


def read_upload(body: bytes, content_type: str) -> Upload:
    """Parse a form. Raises ``RequestError`` (422)."""
    fields = _parse_fields(body, content_type)
    unknown = sorted(set(fields) - _FIELDS)
    if unknown:
        name = unknown[0][:60]
        raise RequestError(
            422,
            f"unknown field {name!r}{format_near_miss(name, _FIELDS)}; available: "
            f"{', '.join(sorted(_FIELDS))}",
        )
    for name, values in fields.items():
        if len(values) > 1 and name not in _REPEATED:
            raise RequestError(422, f"the field {name!r} is set {len(values)} times: set it once")
        if name != "image" and any(isinstance(each, bytes) for each in values):
            raise RequestError(422, f"the field {name!r} is a file: set a text")
    texts = {
        name: [str(each) for each in values] for name, values in fields.items() if name != "image"
    }
    try:
        options = _parse_options(texts)
        tasks = _parse_tasks(texts)
        position = {
            name: texts[name][0] for name in ("page", "seconds") if any(texts.get(name, ()))
        }
        upload = Upload.model_validate(
            {"image": b"", "tasks": tasks, "options": options, **position}
        )
    except ValidationError as error:
        raise RequestError(422, f"the form: {describe_errors(error, _FIELDS)}") from error
    if not tasks:
        raise RequestError(422, "the form has no task: add 'task' or 'tasks'")
    upload.image = _get_image(fields)
    return upload


def _parse_fields(body: bytes, content_type: str) -> dict[str, list[str | bytes]]:
    """The values of all fields; files are bytes. Raises ``RequestError`` (422)."""
    try:
        if content_type.partition(";")[0].strip().lower() == URLENCODED:
            if body.count(b"%") > _MAX_ESCAPES:
                raise ValueError("too many escaped characters: send multipart/form-data")
            text = body.decode("utf-8")
            pairs: list[Any] = parse_qsl(
                text,
                keep_blank_values=True,
                strict_parsing=bool(text),
                errors="strict",
                max_num_fields=_MAX_FIELDS,
            )
        else:
            pairs = asyncio.run(_parse_multipart(body, content_type))
        fields: dict[str, list[str | bytes]] = defaultdict(list)
        for name, value in pairs:
            if isinstance(value, str):
                value.encode("utf-8")
            name.encode("utf-8")
            fields[name].append(value)
        return dict(fields)
    # Parsers raise many kinds of errors for damaged forms.
    except Exception as error:
        reason = str(getattr(error, "detail", None) or error or type(error).__name__)
        raise RequestError(422, f"malformed form ({_escape(reason)})") from error


async def _parse_multipart(body: bytes, content_type: str) -> list[tuple[str, str | bytes]]:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    if "boundary=" not in content_type.lower():
        raise HTTPException(400, "the content type has no boundary")
    headers = Headers({"content-type": content_type})
    parser = _InMemoryParser(headers, stream(), max_files=16, max_fields=_MAX_FIELDS)
    form = await parser.parse()
    try:
        return [
            (name, await value.read() if isinstance(value, UploadFile) else value)
            for name, value in form.multi_items()
        ]
    finally:
        await form.close()


def _get_image(fields: dict[str, list[str | bytes]]) -> bytes | str:
    values = fields.get("image")
    if not values:
        raise RequestError(422, "the form has no file 'image'")
    if not values[0]:
        raise RequestError(422, "the file 'image' is empty")
    return values[0]


def _parse_options(fields: dict[str, list[str]]) -> RequestOptions:
    """The options from the field ``options`` and from fields with their names."""
    text = (fields.get("options") or [""])[0].strip()
    options = RequestOptions.model_validate_json(text or "{}").drop_none()
    single = {name: fields[name][0].strip() for name in fields if name in _OPTIONS}
    duplicates = sorted(set(single) & set(options))
    if duplicates:
        raise RequestError(422, f"{duplicates[0]} is set twice: as a field and in 'options'")
    filled = {name: value for name, value in single.items() if value}
    return RequestOptions.model_validate({**options, **filled})


def _parse_tasks(fields: dict[str, list[str]]) -> list[TaskRequest]:
    """The tasks from ``tasks``, or from ``task``, ``text`` and ``region``."""
    if "tasks" in fields:
        filled = {name for name in fields if any(fields[name])}
        conflicts = sorted({"task", "text", "region"} & filled)
        if conflicts:
            raise RequestError(422, f"the form has both 'tasks' and {conflicts[0]!r}: set one")
        return _TASK_LIST.validate_json(fields["tasks"][0])
    tasks = fields.get("task") or []
    texts = [each for each in fields.get("text") or [] if each.strip()]
    region = (fields.get("region") or [""])[0].strip()
    if not tasks:
        return []
    if len(tasks) == 1:
        return [_parse_task(tasks[0], texts, region)]
    # Of several tasks, those with such an input get the text or the region.
    inputs = [_find_input_kind(task) for task in tasks]
    if texts and "text" not in inputs:
        raise RequestError(422, "none of the tasks takes a text: leave 'text' out")
    if region and "region" not in inputs:
        raise RequestError(422, "none of the tasks takes a region: leave 'region' out")
    return [
        _parse_task(task, texts if kind == "text" else [], region if kind == "region" else "")
        for task, kind in zip(tasks, inputs, strict=True)
    ]


def _parse_task(task: str, texts: list[str], region: str) -> TaskRequest:
    values: dict[str, Any] = {"task": task}
    if len(texts) > 1:
        values["text"] = texts
    elif texts:
        values["text"] = _parse_text(texts[0])
    if region:
        values["region"] = region.strip("[]() ").split(",")
    return TaskRequest.model_validate(values)


def _parse_text(text: str) -> str | list[str]:
    """A text, or a JSON list of class names."""
    return _NAME_LIST.validate_json(text) if text.startswith("[") else text


def _find_input_kind(task: str) -> str:
    try:
        return find_task(task).input
    except ValueError:
        return "none"


def _escape(reason: str) -> str:
    return reason[:200].encode("utf-8", "backslashreplace").decode()
