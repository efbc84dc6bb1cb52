"""A result: the parsed answer with prompt, image size, scores; or a failure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..io.deprecation import renamed_fields
from .answers import (
    Answer,
    Boxes,
    ImageSize,
    Polygons,
    Quads,
    Regions,
    RegionsType,
    Scores,
    Text,
)
from .interop import to_fiftyone, to_pandas, to_supervision
from .json_form import answer_to_json
from .tasks import Task

__all__ = [
    "Answer",
    "Boxes",
    "Failure",
    "ImageSize",
    "Polygons",
    "Quads",
    "Regions",
    "RegionsType",
    "Result",
    "Scores",
    "Text",
]


@renamed_fields(value="data")
@dataclass(frozen=True)
class Result:
    """One prediction of the model.

    Attributes:
        task: The task of the request.
        prompt: The sentence that the model read.
        answer: The parsed prediction.
        image_size: ``(width, height)`` of the upright image in pixels.
        token_ids: The generated ids without the decoder start token.
        token_logprobs: One log-probability per id; None when the answer was parsed from text.
        truncated: Whether the length limit ended the generation; incomplete regions are dropped.
    """

    task: Task
    prompt: str
    answer: Answer
    image_size: ImageSize
    token_ids: tuple[int, ...] = ()
    token_logprobs: tuple[float, ...] | None = None
    truncated: bool = False

    def to_dict(self) -> dict[str, Any]:
        """``{"<TASK>": answer}`` as the released processor gives it, with scores where known."""
        return {self.task.token: self.data}

    @property
    def data(self) -> Any:
        """The answer as the released processor gives it: a text, or lists by name."""
        return answer_to_json(self.answer, self.task)

    def to_supervision(self) -> Any:
        """``supervision.Detections`` of the regions; ``ValueError`` for a text."""
        return to_supervision(self.answer, self.task.token)

    def to_fiftyone(self) -> Any:
        """FiftyOne's ``Detections``, ``Polylines`` or, for a text, ``Classification``."""
        return to_fiftyone(self.answer)

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame``: a row a region, or one row with a text."""
        return to_pandas(self.answer, self.task.token)


@dataclass(frozen=True)
class Failure:
    """An error in place of a result: one bad item does not end a batch."""

    source: str
    error: str

    def __getattr__(self, name: str) -> Any:
        """Raise an error that gives the reason, for the attributes that a result has."""
        if name in _RESULT_NAMES:
            raise AttributeError(
                f"the request about {self.source} failed and has no {name}: {self.error} (test "
                "with isinstance(result, florence2.Failure))"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


_RESULT_NAMES = frozenset(
    {
        "answer",
        "task",
        "prompt",
        "image_size",
        "token_ids",
        "token_logprobs",
        "truncated",
        "to_dict",
        "draw",
        "save",
        "to_supervision",
        "to_fiftyone",
        "to_pandas",
    }
)
