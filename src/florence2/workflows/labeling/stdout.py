"""Answer lines on standard output."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from .label_requests import Question
from .prediction_line import encode_lines, make_line
from .sources import Source

if TYPE_CHECKING:
    from ...inference.predictor import Prediction
    from ...results.types import Failure


class StandardOutput:
    """Prints the lines of each image as soon as it is answered."""

    def __init__(self, questions: Sequence[Question]) -> None:
        self._questions = list(questions)

    def __enter__(self) -> StandardOutput:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    def pending(self, source: Source) -> list[Question]:
        """All questions: nothing is remembered between runs."""
        return self._questions

    def save(
        self, source: Source, answers: Sequence[tuple[Question, Prediction | Failure]]
    ) -> None:
        """Print the lines of one image."""
        lines = [
            make_line(source.image, question, outcome, source.place)
            for question, outcome in answers
        ]
        sys.stdout.buffer.write(encode_lines(lines))
        sys.stdout.buffer.flush()
