"""Requests and responses of the HTTP routes as pydantic models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    WithJsonSchema,
)

from ..generation.decoding_options import MAX_TEMPERATURE, MIN_TEMPERATURE
from ..inference.call_options import PredictOptions
from ..io.options import option_fields
from ..results.types import Result
from .validation_errors import format_got

# The descriptions are those of the command line.
_HELP = {field.name: field.option.help for field in option_fields(PredictOptions)}
_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEklEQVR4nGP4z8CAFWEXHbQSACj/P8Fu7N9h"
    "AAAAAElFTkSuQmCC"
)
# Characters of a text, and of all class names together; the model reads about 450 tokens.
MAX_TEXT = 16_384
MAX_CLASSES = 512
MAX_BEAMS = 10
_MAX_STOPS = 16


def _check_text(value: Any) -> Any:
    """Check a text or a list of class names. Raises ``ValueError``."""
    if value is None or isinstance(value, str):
        names = [value or ""]
    elif isinstance(value, list) and all(isinstance(each, str) for each in value):
        names = value
        if len(names) > MAX_CLASSES:
            raise ValueError(f"must have at most {MAX_CLASSES} class names, got {len(names)}")
    else:
        raise ValueError(f"must be a string or a list of strings{format_got(value)}")
    length = sum(map(len, names))
    if length > MAX_TEXT:
        raise ValueError(f"must have at most {MAX_TEXT:,} characters, got {length:,}")
    return value


def _check_stop(value: Any) -> list[str]:
    """The strings of ``stop`` as a list. Raises ``ValueError`` for other values."""
    listed = [] if value is None else [value] if isinstance(value, str) else value
    fits = isinstance(listed, list) and all(isinstance(each, str) for each in listed)
    if not fits or len(listed) > _MAX_STOPS or sum(map(len, listed)) > MAX_TEXT:
        raise ValueError(f"must be a string or a list of at most {_MAX_STOPS} short strings")
    return [each for each in listed if each]


Region = Annotated[list[FiniteFloat], Field(min_length=4, max_length=4)]


Page = Annotated[
    int | None,
    Field(ge=1, le=2**31 - 1, description="Page of a PDF, TIFF or animation, from 1."),
]
Seconds = Annotated[
    FiniteFloat | None,
    Field(ge=0, le=1e8, description="Time of the frame of a video."),
]


class _StrictModel(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TaskRequest(_StrictModel):
    """A task with its text, class names or region."""

    task: str = Field(
        min_length=1,
        max_length=MAX_TEXT,
        description="A task by token, name or alias, or a cascade.",
        examples=["<OD>", "caption", "caption-then-ground"],
    )
    text: Annotated[str | list[str] | None, BeforeValidator(_check_text)] = Field(
        None, description="A caption, an expression, or class names for open-vocabulary detection."
    )
    region: Region | None = Field(
        None, description="A box in pixels: x0, y0, x1, y1.", examples=[[10, 20, 120, 90]]
    )


class RequestOptions(_StrictModel):
    """Options of decoding and postprocessing, by their names in Python."""

    beams: int | None = Field(None, ge=1, le=MAX_BEAMS, description=_HELP["beams"])
    max_new_tokens: int | None = Field(
        None, ge=2, le=2**31 - 1, description=_HELP["max_new_tokens"]
    )
    temperature: FiniteFloat | None = Field(
        None, ge=MIN_TEMPERATURE, le=MAX_TEMPERATURE, description=_HELP["temperature"]
    )
    top_k: int | None = Field(None, ge=1, le=2**31 - 1, description=_HELP["top_k"])
    top_p: FiniteFloat | None = Field(None, gt=0, le=1, description=_HELP["top_p"])
    seed: int | None = Field(None, ge=0, lt=2**63, description=_HELP["seed"])
    constrained: bool | None = Field(None, description=_HELP["constrained"])
    min_score: FiniteFloat | None = Field(None, ge=0, le=1, description=_HELP["min_score"])
    nms_iou: FiniteFloat | None = Field(None, ge=0, le=1, description=_HELP["nms_iou"])
    fix_inverted_boxes: bool | None = Field(
        None,
        validation_alias=AliasChoices("fix_inverted_boxes", "order_corners"),
        description=_HELP["fix_inverted_boxes"],
    )
    clip: bool | None = Field(None, description=_HELP["clip"])
    ascii_labels: bool | None = Field(None, description=_HELP["ascii_labels"])

    def drop_none(self) -> dict[str, Any]:
        """The options that are set."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class RunRequest(_StrictModel):
    """One image and its tasks."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"image": _PNG, "tasks": [{"task": "<OD>"}, {"task": "caption"}]}]
        },
    )

    image: str = Field(
        min_length=1,
        description="The file in base64, as a data: URL or, where allowed, an http(s) URL.",
    )
    page: Page = None
    seconds: Seconds = None
    tasks: list[TaskRequest] = Field(min_length=1, max_length=1000)
    options: RequestOptions = RequestOptions()


class BatchRequest(_StrictModel):
    """Several images; each succeeds or fails independently."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"requests": [{"image": _PNG, "tasks": [{"task": "ocr"}]}]}]
        },
    )

    requests: list[RunRequest] = Field(min_length=1, max_length=1000)


class TaskResult(BaseModel):
    """The result of one task, or an error."""

    task: str = Field(description="The token of the task.")
    answer: Any = Field(None, description="In the format of the released processor, with scores.")
    truncated: bool = False
    tokens: int = Field(0, description="Number of generated tokens.")
    error: str | None = None


class RunResponse(BaseModel):
    """The results of one image."""

    image_size: tuple[int, int] = Field(description="Width and height of the upright image.")
    answers: list[TaskResult]
    seconds: float


class BatchItem(BaseModel):
    """The results of one image of a batch, or an error."""

    image_size: tuple[int, int] | None = None
    answers: list[TaskResult] = []
    error: str | None = None


class BatchResponse(BaseModel):
    """The items in the order of the requests."""

    results: list[BatchItem]
    seconds: float


class ErrorBody(BaseModel):
    """The reason why a request failed."""

    error: str


_PART_SCHEMA = {
    "type": "object",
    "required": ["type"],
    "properties": {
        "type": {"type": "string", "examples": ["text", "image_url"]},
        "text": {"type": "string"},
        "image_url": {
            "anyOf": [
                {"type": "string"},
                {"type": "object", "required": ["url"], "properties": {"url": {"type": "string"}}},
            ]
        },
    },
}
_CONTENT_SCHEMA = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": _PART_SCHEMA}, {"type": "null"}]
}


class ChatMessage(BaseModel):
    """A message of a chat; the last image and the last text are used."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    # Parsed by ``openai_chat.parse_prompt``, whose errors name the part.
    content: Annotated[Any, WithJsonSchema(_CONTENT_SCHEMA)] = None


class StreamOptions(BaseModel):
    """Options of a stream."""

    include_usage: bool | None = None


class ChatRequest(BaseModel):
    """The supported part of OpenAI's chat completions.

    Fields without effect (``user``, ``metadata``, ``tools`` ...) are accepted.
    """

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "model": "florence2",
                    "messages": [
                        {
                            "role": "user",
                            "content": [
                                {"type": "text", "text": "<CAPTION>"},
                                {
                                    "type": "image_url",
                                    "image_url": {"url": f"data:image/png;base64,{_PNG}"},
                                },
                            ],
                        }
                    ],
                }
            ]
        },
    )

    model: str | None = Field(None, max_length=1000)
    messages: list[ChatMessage] = Field(min_length=1, max_length=1000)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: FiniteFloat | None = Field(None, ge=0, le=2)
    top_p: FiniteFloat | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=-1)
    seed: int | None = None
    stop: Annotated[
        Any,
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "string"},
                    {"type": "array", "items": {"type": "string"}},
                    {"type": "null"},
                ]
            }
        ),
        BeforeValidator(_check_stop),
    ] = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    page: Page = None
    seconds: Seconds = None


# Names of all fields, for suggestions.
FIELD_NAMES = {
    name
    for each in (RunRequest, BatchRequest, TaskRequest, RequestOptions, ChatRequest)
    for name in each.model_fields
}


def to_task_result(result: Result) -> TaskResult:
    """The response form of a result."""
    return TaskResult(
        task=result.task.token,
        answer=result.data,
        truncated=result.truncated,
        tokens=len(result.token_ids),
    )
