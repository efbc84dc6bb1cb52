"""Prediction lines: one JSON object for one request about one image."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ...results.types import Failure, Result, Text
from .label_requests import LabelRequest
from .sources import Source

Line = dict[str, Any]


def make_line(source: Source, request: LabelRequest, outcome: Result | Failure) -> Line:
    """The line of ``outcome``: a prediction with its image size, or the error."""
    start = {"image": source.image, **source.position, **request.fields}
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
    """The words of the predictions, one a line: a text as it is, regions by their labels."""
    words: list[str] = []
    for line in lines:
        answer = line["answer"]
        if isinstance(answer, str):
            words.append(Text(answer).plain_text)
        else:
            names = ("labels", "bboxes_labels", "polygons_labels")
            words += [label for name in names for label in answer.get(name, ()) if label]
    return "".join(f"{word}\n" for word in words)
