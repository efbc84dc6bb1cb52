"""Captions that come with images, from sidecar files and table cells, with size limits."""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# A caption has some hundred bytes; a longer file is something else.
MAX_CAPTION_BYTES = 2**20
_FIELDS = ("caption", "text", "TEXT", "txt", "captions", "texts")


@dataclass(frozen=True)
class Captions:
    """The captions in their order; ``note`` is why some are not used."""

    texts: tuple[str, ...] = ()
    note: str = ""


def read_caption_file(content: bytes) -> Captions:
    """The caption in a text file: UTF-8, or UTF-16 with a byte order mark."""
    if len(content) > MAX_CAPTION_BYTES:
        return Captions(note=f"its text has more than {MAX_CAPTION_BYTES} bytes and is not used")
    has_mark = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if has_mark else "utf-8-sig")
    except UnicodeDecodeError as error:
        return Captions(note=f"its text is not UTF-8 ({error.reason}) and is not used")
    return to_captions(text)


def read_caption_json(content: bytes) -> Captions:
    """The captions in a JSON file: a string or list under ``caption``, ``text`` or similar."""
    if len(content) > MAX_CAPTION_BYTES:
        return Captions(note=f"its JSON has more than {MAX_CAPTION_BYTES} bytes and is not used")
    try:
        values = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return Captions(note="its JSON cannot be read and is not used")
    if not isinstance(values, Mapping):
        return Captions()
    return next((to_captions(values[name]) for name in _FIELDS if values.get(name)), Captions())


def to_captions(value: Any) -> Captions:
    """The captions in a table cell or a JSON field: a string, or a list of strings.

    Texts are stripped; empty and repeated ones are removed.
    """
    listed = value if isinstance(value, list | tuple) else [value]
    texts = [clean_text(each) for each in listed if isinstance(each, str)]
    others = [each for each in listed if not isinstance(each, str) and each is not None]
    note = f"its text is of type {type(others[0]).__name__} and is not used" if others else ""
    long = [each for each in texts if len(each) > MAX_CAPTION_BYTES]
    if long:
        note = f"a text of {len(long[0])} characters is not used"
    kept = (each for each in texts if each and len(each) <= MAX_CAPTION_BYTES)
    return Captions(tuple(dict.fromkeys(kept)), note)


def clean_text(text: str) -> str:
    """The text without white space and NULs at its ends, with only valid Unicode."""
    return text.encode("utf-8", "replace").decode("utf-8").strip().strip("\0").strip()
