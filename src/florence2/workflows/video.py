"""Frames of a video as pictures, every so many seconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image


@dataclass(frozen=True)
class Frame:
    """A picture and when it is shown, in seconds from the beginning."""

    seconds: float
    image: Image.Image


def frames_of(
    source: str | Path, every: float = 1.0, *, start: float = 0.0, end: float | None = None
) -> Iterator[Frame]:
    """A frame every ``every`` seconds from ``start`` to ``end``, the first at or after each time.

    Frames are upright. Raises ``FileNotFoundError``, ``ValueError`` for a file without a video
    that can be decoded, ``ImportError`` without PyAV. A video that breaks off gives the frames
    before the break.
    """
    if every <= 0:
        raise ValueError(f"every is seconds above 0, got {every}")
    try:
        import av
    except ImportError as error:
        raise ImportError("videos need PyAV: pip install 'florence2[formats]'") from error
    if not Path(source).is_file():
        raise FileNotFoundError(f"{source} is missing")
    try:
        container = av.open(str(source))
    except (av.FFmpegError, ValueError) as error:
        raise ValueError(f"{source} cannot be read as a video ({error})") from error
    with container:
        if not container.streams.video:
            raise ValueError(f"{source} has no video")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        wanted, first = start, None
        try:
            for frame in container.decode(stream):
                shown = frame.time or 0.0
                first = shown if first is None else first
                seconds = shown - first
                if end is not None and seconds > end:
                    return
                if seconds + 1e-6 < wanted:
                    continue
                image: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]
                turn = getattr(frame, "rotation", 0)
                yield Frame(seconds, image.rotate(turn, expand=True) if turn else image)
                wanted += every * (1 + (seconds - wanted) // every)
        except av.FFmpegError as error:
            if first is None:
                raise ValueError(f"{source} cannot be decoded ({error})") from error


def times_of(source: str | Path, every: float = 1.0) -> list[float]:
    """The times, in seconds, at which ``frames_of`` looks for a frame, from what the file says.

    Raises ``ValueError`` when it says nothing of its length.
    """
    import av

    if every <= 0:
        raise ValueError(f"every is seconds above 0, got {every}")
    try:
        with av.open(str(source)) as container:
            stream = container.streams.video[0] if container.streams.video else None
            length = (container.duration or 0) / 1_000_000
            if stream is not None and stream.duration and stream.time_base:
                length = float(stream.duration * stream.time_base)
    except (av.FFmpegError, ValueError) as error:
        raise ValueError(f"{source} cannot be read as a video ({error})") from error
    if stream is None or length <= 0:
        raise ValueError(f"{source} has no video, or does not say how long it is")
    count = int((length - 1e-6) // every) + 1
    return [number * every for number in range(count)]
