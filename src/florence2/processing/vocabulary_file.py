"""Checks of a ``tokenizer.json`` before the tokenizers library sees it.

The library builds whatever the file asks for: components with regular expressions that take
exponential time, or with tables that end the process. Byte-level BPE needs few of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..io.files import read_json

# The released file has 3.6 MB, 51,289 tokens and 49,992 merges.
MAX_FILE_BYTES = 64 * 2**20
MAX_TOKENS = 1_000_000
MAX_MERGES = 2_000_000
MAX_ADDED_TOKENS = 100_000
MAX_TOKEN_LENGTH = 1_000

_MAX_COMPONENTS = 8
_COMPONENTS: dict[str, tuple[str, ...]] = {
    "normalizer": ("NFC", "NFD", "NFKC", "NFKD", "Lowercase"),
    "pre_tokenizer": ("ByteLevel", "Digits", "Punctuation", "Whitespace", "WhitespaceSplit"),
    "post_processor": ("ByteLevel", "RobertaProcessing", "BertProcessing", "TemplateProcessing"),
    "decoder": ("ByteLevel",),
}
# The key that holds the parts of a ``Sequence``.
_PARTS = {
    "normalizer": "normalizers",
    "pre_tokenizer": "pretokenizers",
    "post_processor": "processors",
    "decoder": "decoders",
}


def read_vocabulary_file(path: Path) -> str:
    """Return the JSON text of a ``tokenizer.json`` that is a byte-level BPE tokenizer.

    Raises ``FileNotFoundError``, or ``ValueError`` that names the component or the size that is
    not supported.
    """
    values = read_json(path, MAX_FILE_BYTES)
    if not isinstance(values, dict):
        raise ValueError("it is not a JSON object")
    for kind in _COMPONENTS:
        _check_component(kind, values.get(kind))
    _check_added_tokens(values.get("added_tokens") or [])
    _check_model(values.get("model"))
    return json.dumps(values)


def _check_component(kind: str, component: Any, depth: int = 0) -> None:
    if component is None:
        return
    name = component.get("type") if isinstance(component, Mapping) else component
    if name == "Sequence" and depth == 0:
        parts = component.get(_PARTS[kind])
        if not isinstance(parts, list) or len(parts) > _MAX_COMPONENTS:
            raise ValueError(f"{kind} must be a sequence of at most {_MAX_COMPONENTS} components")
        for part in parts:
            _check_component(kind, part, depth + 1)
    elif name not in _COMPONENTS[kind]:
        raise ValueError(
            f"{kind} {str(name)[:60]!r} is not supported; supported are "
            f"{', '.join(_COMPONENTS[kind])}: take tokenizer.json from the original checkpoint"
        )


def _check_added_tokens(tokens: Any) -> None:
    if not isinstance(tokens, list) or len(tokens) > MAX_ADDED_TOKENS:
        raise ValueError(f"added_tokens must be a list of at most {MAX_ADDED_TOKENS}")
    for token in tokens:
        content = token.get("content") if isinstance(token, Mapping) else None
        if not isinstance(content, str) or not 0 < len(content) <= MAX_TOKEN_LENGTH:
            raise ValueError(
                f"added_tokens holds {str(token)[:60]!r}; each needs a content of 1 to "
                f"{MAX_TOKEN_LENGTH} characters"
            )
        if not _is_id(token.get("id")):
            raise ValueError(f"the id of {content!r} must be a whole number, got {token.get('id')}")


def _check_model(model: Any) -> None:
    if not isinstance(model, Mapping) or model.get("type", "BPE") != "BPE":
        kind = model.get("type") if isinstance(model, Mapping) else model
        raise ValueError(f"model must be BPE, got {str(kind)[:60]!r}")
    if model.get("dropout"):
        raise ValueError(f"dropout of merges must be null, got {str(model['dropout'])[:60]}")
    vocabulary, merges = model.get("vocab"), model.get("merges")
    if not isinstance(vocabulary, Mapping) or not 0 < len(vocabulary) <= MAX_TOKENS:
        raise ValueError(f"vocab must be an object of 1 to {MAX_TOKENS:,} tokens")
    for token, token_id in vocabulary.items():
        if len(token) > MAX_TOKEN_LENGTH or not _is_id(token_id):
            raise ValueError(
                f"vocab holds {token[:60]!r}: {str(token_id)[:60]}; tokens have at most "
                f"{MAX_TOKEN_LENGTH} characters and ids are whole numbers below {MAX_TOKENS:,}"
            )
    if not isinstance(merges, list) or len(merges) > MAX_MERGES:
        raise ValueError(f"merges must be a list of at most {MAX_MERGES:,}")


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2 * MAX_TOKENS
