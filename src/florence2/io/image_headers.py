"""What the header of an image file declares, checked before a decoder spends time or memory."""

from __future__ import annotations

import math
import os
import re
import struct
from typing import IO, Any

# Each scan of a JPEG is a pass over the whole image, however few bytes it has.
MAX_SCANS = 100
# Strips or tiles of a TIFF: one row of a scan each, in four planes.
MAX_STRIPS = 2**19
# Reads until the header is whole; a header in a million small parts takes minutes.
MAX_READS = 2**17

_CHUNK = 2**16
# A marker inside entropy-coded data: no stuffed zero, no restart, no fill byte.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_END, _SCAN, _WITHOUT_LENGTH = 0xD9, 0xDA, (0x01, 0xD8)
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_STRIP_TAGS = (273, 324)  # StripOffsets, TileOffsets


class HeaderStream:
    """A stream that allows ``MAX_READS`` reads until ``lift_limit`` is called."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._left: float = MAX_READS

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def read(self, size: int = -1, /) -> bytes:
        """Read as the stream does. Raises ``ValueError`` past the limit."""
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"its header has more than {MAX_READS:,} parts")
        return self._stream.read(size)

    def lift_limit(self) -> None:
        """Allow any number of reads: the header is read."""
        self._left = math.inf


def check_header(stream: HeaderStream, format_name: str) -> None:
    """Check what Pillow does not: the scans of a JPEG, the strips of a TIFF.

    Moves the stream. A damaged header passes: the decoder reports what is wrong with it.

    Raises:
        ValueError: The file has more scans or strips than any real image.
    """
    if format_name == "JPEG":
        _check_scans(stream)
    elif format_name == "TIFF":
        _check_strips(stream)


def _check_scans(stream: HeaderStream) -> None:
    """Walk the segments of the first image; what follows its end is another file."""
    stream.seek(0)
    scans, components, is_progressive = 0, 0, False
    while (code := _next_marker(stream)) not in (None, _END):
        if code in _WITHOUT_LENGTH:
            continue
        start, length = stream.tell(), int.from_bytes(stream.read(2), "big")
        if code in _FRAMES:
            content = stream.read(6)
            components, is_progressive = content[-1] if content else 0, code in _PROGRESSIVE
        elif code == _SCAN:
            scans += 1
            if scans > MAX_SCANS:
                raise ValueError(f"it has more than {MAX_SCANS} scans")
            if not is_progressive and stream.read(1) == bytes([components]):
                return  # The decoder stops after a scan that holds all components.
        stream.seek(start + max(2, length))


def _next_marker(stream: HeaderStream) -> int | None:
    """Move past the next marker; its code, or None at the end of the file."""
    block = stream.read(2)
    while block:
        found = _MARKER.search(block)
        if found:
            stream.seek(found.end() - len(block), os.SEEK_CUR)
            return block[found.end() - 1]
        last = block[-1:]
        chunk = stream.read(_CHUNK)
        block = last + chunk if chunk else b""
    return None


def _check_strips(stream: HeaderStream) -> None:
    stream.seek(0)
    head = stream.read(16)
    order = "<" if head[:2] == b"II" else ">"
    is_big = 43 in head[2:4]
    entry = struct.Struct(order + ("HHQQ" if is_big else "HHII"))
    try:
        (offset,) = struct.unpack_from(order + ("Q" if is_big else "I"), head, 8 if is_big else 4)
        stream.seek(offset)
        size = 8 if is_big else 2
        (count,) = struct.unpack(order + ("Q" if is_big else "H"), stream.read(size))
        entries = stream.read(min(count, 2**16) * entry.size)
    except (struct.error, OSError, OverflowError):
        return
    whole = len(entries) // entry.size * entry.size
    for tag, _, values, _ in entry.iter_unpack(entries[:whole]):
        if tag in _STRIP_TAGS and values > MAX_STRIPS:
            raise ValueError(f"it has {values:,} strips, more than {MAX_STRIPS:,}")
