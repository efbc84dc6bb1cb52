"""Answer lines: one JSON object for one question about one image."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ...results.types import Failure, Result, Text
from .label_requests import Question

Line = dict[str, Any]


def make_line(
    image: str,
    question: Question,
    outcome: Result | Failure,
    place: Mapping[str, Any] | None = None,
) -> Line:
    """The line that tells ``outcome``: an answer with its image size, or the error.

    ``place`` is what a page or frame is, besides its name.
    """
    start = {"image": image, **(place or {}), **question.fields}
    if isinstance(outcome, Failure):
        return {**start, "error": outcome.error}
    return {
        **start,
        "image_size": list(outcome.image_size),
        "answer": outcome.data,
        "truncated": outcome.truncated,
    }


def encode_lines(lines: Iterable[Line]) -> bytes:
    """The lines as UTF-8, each with its line end.

    A file name that is not valid UTF-8 makes its line plain ASCII with ``\\u`` escapes, from which
    the same name is read back.
    """
    encoded = b""
    for line in lines:
        try:
            encoded += json.dumps(line, ensure_ascii=False).encode() + b"\n"
        except UnicodeEncodeError:
            encoded += json.dumps(line).encode() + b"\n"
    return encoded


def sidecar_text(lines: Iterable[Line]) -> str:
    """The words of the answers, one a line: a text as it is, regions by their labels."""
    words: list[str] = []
    for line in lines:
        answer = line["answer"]
        if isinstance(answer, str):
            words.append(Text(answer).plain_text)
        else:
            names = ("labels", "bboxes_labels", "polygons_labels")
            words += [label for name in names for label in answer.get(name, ()) if label]
    return "".join(f"{word}\n" for word in words)
