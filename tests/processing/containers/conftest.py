"""Small files that hold several images."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Clip = Callable[..., Path]


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    """``clip(name, times, rate=10)``: a video with a frame at each of ``times``, in tenths."""
    import av

    def make(name: str, times: Sequence[int], rate: int = 10, **options: Any) -> Path:
        path = tmp_path / name
        target: Any = str(path)
        if options.get("live"):
            target = _WriteOnly(path)
            options = {"format": "matroska", "options": {"live": "1"}}
        with av.open(target, "w", **options) as container:
            stream = container.add_stream("mpeg4", rate=rate)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.codec_context.time_base = Fraction(1, rate)
            for at in times:
                pixels = np.full((48, 64, 3), at * 5 % 256, np.uint8)
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = at, Fraction(1, rate)
                for packet in stream.encode(frame):
                    container.mux(packet)
            for packet in stream.encode():
                container.mux(packet)
        if not isinstance(target, str):
            target.close()
        return path

    return make


class _WriteOnly:
    """A file that cannot be gone back in, as a live recording is written."""

    def __init__(self, path: Path) -> None:
        self._stream = path.open("wb")

    def write(self, content: bytes) -> int:
        return self._stream.write(content)

    def close(self) -> None:
        self._stream.close()


@pytest.fixture
def pdf() -> Callable[[Sequence[tuple[int, int, int]]], bytes]:
    """``pdf(colors)``: a PDF with a page of 144 x 72 points in each color."""

    def make(colors: Sequence[tuple[int, int, int]]) -> bytes:
        pages = [Image.new("RGB", (144, 72), color) for color in colors]
        stream = io.BytesIO()
        pages[0].save(stream, "PDF", resolution=72, save_all=True, append_images=pages[1:])
        return stream.getvalue()

    return make
