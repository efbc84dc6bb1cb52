"""Pages of PDF files and frames of videos as pictures."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from florence2.workflows.documents import PdfPages, load_page
from florence2.workflows.video import sample_frames


def pdf(colours: list[tuple[int, int, int]]) -> bytes:
    pages = [Image.new("RGB", (144, 72), colour) for colour in colours]
    stream = io.BytesIO()
    pages[0].save(stream, "PDF", resolution=72, save_all=True, append_images=pages[1:])
    return stream.getvalue()


def test_pages_are_rendered_at_the_resolution(tmp_path: Path) -> None:
    content = pdf([(255, 0, 0), (0, 255, 0)])
    (tmp_path / "two.pdf").write_bytes(content)
    with PdfPages(tmp_path / "two.pdf", resolution=150) as pages:
        assert len(pages) == 2
        first, second = pages
        assert first.size == (300, 150)
        assert np.asarray(second).reshape(-1, 3).mean(0) == pytest.approx((0, 255, 0), abs=3)
    assert load_page(content, 2, resolution=72).size == (144, 72)
    # A page that would be too large is rendered smaller.
    assert load_page(content, 1, resolution=9999, max_pixels=20_000).size[0] <= 201


def test_pages_that_cannot_be_had(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pages 1 to 1, not 2"):
        load_page(pdf([(0, 0, 0)]), 2)
    with pytest.raises(ValueError, match="cannot be read as a PDF"):
        load_page(b"%PDF-1.7 nothing")
    with pytest.raises(FileNotFoundError):
        PdfPages(tmp_path / "none.pdf")
    with pytest.raises(ValueError, match="resolution"):
        PdfPages(b"", resolution=0)
    for length in range(0, 600, 37):
        with pytest.raises(ValueError):
            load_page(pdf([(9, 9, 9)])[:length])


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    import av

    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(30):
            pixels = np.full((48, 64, 3), number * 8, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def test_frames_come_every_so_many_seconds(clip: Path) -> None:
    frames = list(sample_frames(clip, interval=1.0))
    assert [round(each.seconds, 2) for each in frames] == [0.0, 1.0, 2.0]
    levels = [np.asarray(each.image).mean() for each in frames]
    assert levels == pytest.approx([0, 80, 160], abs=8)
    later = [round(each.seconds, 2) for each in sample_frames(clip, 0.5, start=0.95, end=2.0)]
    assert later == [1.0, 1.5, 2.0]
    assert len(list(sample_frames(clip, interval=0.01))) == 30


def test_videos_that_cannot_be_read(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "noise.mp4").write_bytes(b"no video at all" * 100)
    with pytest.raises(ValueError, match="cannot be read as a video"):
        list(sample_frames(tmp_path / "noise.mp4"))
    with pytest.raises(FileNotFoundError):
        list(sample_frames(tmp_path / "none.mp4"))
    with pytest.raises(ValueError, match="every"):
        list(sample_frames(clip, interval=0))
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[:-200])
    try:
        assert len(list(sample_frames(tmp_path / "cut.mp4"))) <= 3
    except ValueError as error:
        assert "cut.mp4" in str(error)
