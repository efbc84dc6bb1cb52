"""Frames of a video as images, every so many seconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ..processing.containers import UnitReader


@dataclass(frozen=True)
class Frame:
    """An image and when it is shown, in seconds from the beginning."""

    seconds: float
    image: Image.Image


def frames_of(
    source: str | Path, every: float = 1.0, *, start: float = 0.0, end: float | None = None
) -> Iterator[Frame]:
    """A frame every ``every`` seconds from ``start`` to ``end``, the first at or after each time.

    Frames are upright, and none comes twice. They are decoded in a process of its own, with
    limits on memory and time. Raises ``FileNotFoundError``, ``ValueError`` for a file without a
    video that can be decoded, ``ImportError`` without PyAV. A frame that is damaged is left out.
    """
    reader = UnitReader(every)
    if not Path(source).exists():
        raise FileNotFoundError(f"{source} is missing")
    given = 0
    error: ValueError | None = None
    for unit in reader.list_frames(source, start, end):
        try:
            image = reader.load_unit(unit)
        except ValueError as failure:
            error = error or failure
            continue
        given += 1
        assert unit.shown is not None
        yield Frame(unit.shown, image)
    if not given and error is not None:
        raise error


def times_of(source: str | Path, every: float = 1.0) -> list[float]:
    """The times, in seconds, that the frames of ``frames_of`` stand for.

    They come from the frames themselves, not from what the file says of its length. Raises what
    ``frames_of`` raises.
    """
    units = UnitReader(every).list_frames(source)
    return [unit.seconds for unit in units if unit.seconds is not None]
