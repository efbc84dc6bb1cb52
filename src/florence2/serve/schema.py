"""What goes over the wire: requests and answers as pydantic models, and nowhere else."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..results import Result

_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEklEQVR4nGP4z8CAFWEXHbQSACj/P8Fu7N9h"
    "AAAAAElFTkSuQmCC"
)
Region = Annotated[list[float], Field(min_length=4, max_length=4)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Question(_Strict):
    """A task, with the words, class names or region that it asks about."""

    task: str = Field(
        min_length=1, max_length=2000,
        description="A task by token, name or alias, or a cascade.",
        examples=["<OD>", "caption", "caption-then-ground"],
    )  # fmt: skip
    text: str | list[str] | None = Field(
        None, description="A caption, an expression, or class names for open-vocabulary detection."
    )
    region: Region | None = Field(
        None, description="A box in pixels: x0, y0, x1, y1.", examples=[[10, 20, 120, 90]]
    )


class AnswerOptions(_Strict):
    """How answers are made and cleaned; the names are those of the Python interface."""

    beams: int | None = Field(None, ge=1, le=10)
    max_new_tokens: int | None = Field(None, ge=1, le=4096)
    temperature: float | None = Field(None, ge=0, le=100)
    top_k: int | None = Field(None, ge=1, le=100_000)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = Field(None, ge=0, lt=2**63)
    constrained: bool | None = None
    min_score: float | None = Field(None, ge=0, le=1)
    nms_iou: float | None = Field(None, ge=0, le=1)
    order_corners: bool | None = None
    clip: bool | None = None
    ascii_labels: bool | None = None

    def given(self) -> dict[str, Any]:
        """The options that were set."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class RunRequest(_Strict):
    """One picture and what is asked about it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={
        "examples": [{"image": _PNG, "tasks": [{"task": "<OD>"}, {"task": "caption"}]}]
    })  # fmt: skip

    image: str = Field(
        min_length=1,
        description="The file in base64, as a data: address or, where allowed, an http(s) address.",
    )
    tasks: list[Question] = Field(min_length=1)
    options: AnswerOptions = AnswerOptions()


class BatchRequest(_Strict):
    """Several pictures; each is answered or fails by itself."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={
        "examples": [{"requests": [{"image": _PNG, "tasks": [{"task": "ocr"}]}]}]
    })  # fmt: skip

    requests: list[RunRequest] = Field(min_length=1)


class Answer(BaseModel):
    """The answer to one question, or the error in its place."""

    task: str = Field(description="The token of the task.")
    answer: Any = Field(None, description="As the released processor writes it, with scores.")
    truncated: bool = False
    tokens: int = Field(0, description="Tokens that the model generated.")
    error: str | None = None


class RunAnswer(BaseModel):
    """All answers about one picture."""

    image_size: tuple[int, int] = Field(description="Width and height of the upright picture.")
    answers: list[Answer]
    seconds: float


class BatchItem(BaseModel):
    """The answers about one picture of a batch, or why there are none."""

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


class TextPart(BaseModel):
    """Words of a message."""

    type: Literal["text"]
    text: str


class ImageAddress(BaseModel):
    """Where a picture of a message is."""

    url: str
    detail: str | None = None


class ImagePart(BaseModel):
    """A picture of a message."""

    type: Literal["image_url"]
    image_url: ImageAddress


class Message(BaseModel):
    """A message of a chat; the last picture and the last words count."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart | ImagePart] | None = None


class ChatRequest(BaseModel):
    """The part of OpenAI's chat completions that a vision model without memory can serve."""

    model_config = ConfigDict(json_schema_extra={
        "examples": [{
            "model": "florence2",
            "messages": [{"role": "user", "content": [
                {"type": "text", "text": "<CAPTION>"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_PNG}"}},
            ]}],
        }]
    })  # fmt: skip

    model: str = "florence2"
    messages: list[Message] = Field(min_length=1, max_length=1000)
    max_tokens: int | None = Field(None, ge=1, le=4096)
    max_completion_tokens: int | None = Field(None, ge=1, le=4096)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = None
    n: int | None = Field(None, ge=1, le=1)
    stream: bool | None = None


def answer_of(result: Result) -> Answer:
    """A result as it goes over the wire."""
    return Answer(
        task=result.task.token, answer=result.value, truncated=result.truncated,
        tokens=len(result.token_ids),
    )  # fmt: skip
