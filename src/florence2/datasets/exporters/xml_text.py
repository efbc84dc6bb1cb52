"""Text and numbers as XML can hold them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

# XML 1.0, production 2: no control characters but tab and line ends, no surrogates.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def strip_invalid_xml(text: str) -> str:
    """The text without characters that no XML file may hold."""
    return _FORBIDDEN.sub("", text)


def attribute_texts(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Attributes as texts: a text as it is, any other value as JSON.

    Attributes nested in a field ``attributes`` (as some tools write COCO) are flattened.
    """
    nested = attributes.get("attributes")
    if isinstance(nested, Mapping):
        others = {name: value for name, value in attributes.items() if name != "attributes"}
        attributes = {**nested, **others}
    return {
        strip_invalid_xml(name): strip_invalid_xml(
            value if isinstance(value, str) else json.dumps(value)
        )
        for name, value in attributes.items()
        if value is not None and strip_invalid_xml(name)
    }


def coordinate(value: float, decimals: int = 0) -> str:
    """A coordinate to 1/10,000 pixel, with at least ``decimals`` decimals and no more zeros."""
    whole, _, fraction = f"{value:.4f}".partition(".")
    fraction = fraction.rstrip("0").ljust(decimals, "0")
    return f"{whole}.{fraction}" if fraction else whole
