"""Frames of a video as images, sampled at an interval."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ..io.deprecation import renamed_arguments, renamed_attributes
from ..processing.containers import UnitReader


@dataclass(frozen=True)
class Frame:
    """An image and the time at which it is shown, in seconds from the start."""

    seconds: float
    image: Image.Image


@renamed_arguments(every="interval")
def sample_frames(
    source: str | Path, interval: float = 1.0, *, start: float = 0.0, end: float | None = None
) -> Iterator[Frame]:
    """A frame every ``interval`` seconds from ``start`` to ``end``: the first at or after each.

    Frames are upright, and each is yielded once. They are decoded in a separate process with
    limits on memory and time. A damaged frame is skipped.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file has no video that can be decoded.
        ImportError: PyAV is not installed.
    """
    reader = UnitReader(interval)
    if not Path(source).exists():
        raise FileNotFoundError(f"{source} is missing")
    count = 0
    error: ValueError | None = None
    for unit in reader.list_frames(source, start, end):
        try:
            image = reader.load_unit(unit)
        except ValueError as failure:
            error = error or failure
            continue
        count += 1
        assert unit.shown is not None
        yield Frame(unit.shown, image)
    if not count and error is not None:
        raise error


__getattr__ = renamed_attributes(__name__, {"frames_of": "sample_frames"})
