"""Text as XML can hold it."""

from __future__ import annotations

import re

# XML 1.0, production 2: no control characters but tab and line ends, no surrogates.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def allowed(text: str) -> str:
    """The text without characters that no XML file may hold."""
    return _FORBIDDEN.sub("", text)
