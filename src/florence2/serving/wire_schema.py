"""What goes over the wire: requests and answers as pydantic models, and nowhere else."""

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
from ..results.types import Result
from .validation_errors import shown

_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEklEQVR4nGP4z8CAFWEXHbQSACj/P8Fu7N9h"
    "AAAAAElFTkSuQmCC"
)
# Characters of a text, and of all class names together; the model reads some 450 tokens.
MAX_TEXT = 16_384
MAX_CLASSES = 512
MAX_BEAMS = 10
_MAX_STOPS = 16


def _check_text(value: Any) -> Any:
    """Raise ``ValueError`` unless ``value`` is a text or a list of names, within the limits."""
    if value is None or isinstance(value, str):
        names = [value or ""]
    elif isinstance(value, list) and all(isinstance(each, str) for each in value):
        names = value
        if len(names) > MAX_CLASSES:
            raise ValueError(f"must have at most {MAX_CLASSES} class names, got {len(names)}")
    else:
        raise ValueError(f"must be a string or a list of strings{shown(value)}")
    length = sum(map(len, names))
    if length > MAX_TEXT:
        raise ValueError(f"must have at most {MAX_TEXT:,} characters, got {length:,}")
    return value


def _check_stop(value: Any) -> list[str]:
    """The strings of ``stop`` as a list. Raises ``ValueError`` for anything else."""
    listed = [] if value is None else [value] if isinstance(value, str) else value
    fits = isinstance(listed, list) and all(isinstance(each, str) for each in listed)
    if not fits or len(listed) > _MAX_STOPS or sum(map(len, listed)) > MAX_TEXT:
        raise ValueError(f"must be a string or a list of at most {_MAX_STOPS} short strings")
    return [each for each in listed if each]


Region = Annotated[list[FiniteFloat], Field(min_length=4, max_length=4)]


Page = Annotated[
    int | None,
    Field(ge=1, le=2**31 - 1, description="Of a PDF, TIFF or animation: the page, from 1."),
]
Seconds = Annotated[
    FiniteFloat | None,
    Field(ge=0, le=1e8, description="Of a video: when the frame is shown."),
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Question(_Strict):
    """A task, with the words, class names or region that it asks about."""

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


class AnswerOptions(_Strict):
    """How answers are made and cleaned; the names are those of the Python interface."""

    beams: int | None = Field(None, ge=1, le=MAX_BEAMS)
    max_new_tokens: int | None = Field(
        None, ge=2, le=2**31 - 1, description="Clamped to the positions of the model."
    )
    temperature: FiniteFloat | None = Field(None, ge=MIN_TEMPERATURE, le=MAX_TEMPERATURE)
    top_k: int | None = Field(None, ge=1, le=2**31 - 1)
    top_p: FiniteFloat | None = Field(None, gt=0, le=1)
    seed: int | None = Field(None, ge=0, lt=2**63)
    constrained: bool | None = None
    min_score: FiniteFloat | None = Field(None, ge=0, le=1)
    nms_iou: FiniteFloat | None = Field(None, ge=0, le=1)
    fix_inverted_boxes: bool | None = Field(
        None, validation_alias=AliasChoices("fix_inverted_boxes", "order_corners")
    )
    clip: bool | None = None
    ascii_labels: bool | None = None

    def given(self) -> dict[str, Any]:
        """The options that were set."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class RunRequest(_Strict):
    """One image and what is asked about it."""

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
    tasks: list[Question] = Field(min_length=1, max_length=1000)
    options: AnswerOptions = AnswerOptions()


class BatchRequest(_Strict):
    """Several images; each is answered or fails by itself."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"requests": [{"image": _PNG, "tasks": [{"task": "ocr"}]}]}]
        },
    )

    requests: list[RunRequest] = Field(min_length=1, max_length=1000)


class Answer(BaseModel):
    """The answer to one question, or the error in its place."""

    task: str = Field(description="The token of the task.")
    answer: Any = Field(None, description="As the released processor writes it, with scores.")
    truncated: bool = False
    tokens: int = Field(0, description="Tokens that the model generated.")
    error: str | None = None


class RunAnswer(BaseModel):
    """All answers about one image."""

    image_size: tuple[int, int] = Field(description="Width and height of the upright picture.")
    answers: list[Answer]
    seconds: float


class BatchItem(BaseModel):
    """The answers about one image of a batch, or why there are none."""

    image_size: tuple[int, int] | None = None
    answers: list[Answer] = []
    error: str | None = None


class BatchAnswer(BaseModel):
    """Items in the order of the requests."""

    results: list[BatchItem]
    seconds: float


class Problem(BaseModel):
    """Why a request was not answered."""

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


class Message(BaseModel):
    """A message of a chat; the last image and the last words count."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    # Read by ``chat.question_of``, whose errors name the part.
    content: Annotated[Any, WithJsonSchema(_CONTENT_SCHEMA)] = None


class StreamOptions(BaseModel):
    """What a stream brings besides."""

    include_usage: bool | None = None


class ChatRequest(BaseModel):
    """The part of OpenAI's chat completions that a vision model without memory can serve.

    Fields that change nothing here (``user``, ``metadata``, ``tools`` ...) are accepted.
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
    messages: list[Message] = Field(min_length=1, max_length=1000)
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


# Every name of a field, for a wrong one that was nearly right.
FIELD_NAMES = {
    name
    for each in (RunRequest, BatchRequest, Question, AnswerOptions, ChatRequest)
    for name in each.model_fields
}


def answer_of(result: Result) -> Answer:
    """A result as it goes over the wire."""
    return Answer(
        task=result.task.token,
        answer=result.data,
        truncated=result.truncated,
        tokens=len(result.token_ids),
    )
