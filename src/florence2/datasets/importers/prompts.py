"""Prompts and answers as written text, turned to annotations.

A prompt is a task token of the table and its text (``<REGION_TO_OCR><loc_1>...``), a token of
one's own and a text (``<VQA>What is it?``), or any sentence.
"""

from __future__ import annotations

import re

from ...results.records import Annotation, Region
from ...results.tasks import TASKS, Task, custom_task
from ...results.types import ImageSize
from .problems import ImportContext, LabelError, check_text
from .region_checks import box_of_bins

_TABLE = {task.token: task for task in TASKS}
_TOKEN = re.compile(r"(<(?!loc_)[A-Za-z][A-Za-z0-9_-]*>)\s*")
_LOCATION = re.compile(r"<loc_([0-9]{1,9})>")


def written_annotation(
    prefix: str, suffix: str, image_size: ImageSize, context: ImportContext
) -> Annotation:
    """The annotation that answers the prompt ``prefix`` with the text ``suffix``.

    Raises ``LabelError`` when the prompt lacks what its task needs, or the answer is not written
    as the grammar reads it.
    """
    check_text(prefix, "the prompt")
    check_text(suffix, "the answer")
    task, text, region = split_prefix(prefix, image_size)
    answer = context.read_suffix(suffix, task, image_size)
    try:
        return Annotation(task.token, answer, text, region, context.annotator)
    except ValueError as error:
        raise LabelError("unreadable-prompt", str(error)) from error


def split_prefix(prefix: str, image_size: ImageSize) -> tuple[Task, str, Region | None]:
    """The task of a written prompt, its text, and its region in pixels.

    White space behind a token of one's own is part of it: the prompt stays what was written.
    Raises ``LabelError`` for an empty prompt and for a region that is none.
    """
    if not prefix.strip():
        raise LabelError("empty-text", "the prompt is empty")
    found = _TOKEN.match(prefix)
    opening, token = (found.group(), found.group(1)) if found else ("", "")
    rest = prefix[len(opening) :].strip()
    task = _TABLE.get(token)
    if task is None:
        return custom_task(opening if rest else token), rest, None
    if task.input != "region":
        return task, rest, None
    if _LOCATION.sub("", rest).strip():
        raise LabelError(
            "unreadable-prompt", f"{token} is followed by four <loc_i> tokens, got {rest[:80]!r}"
        )
    bins = [int(index) for index in _LOCATION.findall(rest)]
    return task, "", box_of_bins(bins, image_size)
