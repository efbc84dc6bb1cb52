"""Pages of PDF and TIFF files and frames of videos, as files of requests."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from florence2.serving.mcp_server import ImageSources
from florence2.serving.uploaded_file import WHOLE_FILE, FilePosition, load_uploaded

COLORS = ["red", "green", "blue"]


def several(kind: str) -> bytes:
    """A file of three images of one color each."""
    first, *others = [Image.new("RGB", (64, 48), color) for color in COLORS]
    stream = io.BytesIO()
    first.save(stream, kind, save_all=True, append_images=others)
    return stream.getvalue()


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    import av

    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=1)
        stream.width, stream.height = 64, 48
        for color in COLORS:
            frame = av.VideoFrame.from_image(Image.new("RGB", (64, 48), color))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


def color_of(image: Image.Image) -> str:
    values = image.getpixel((image.width // 2, image.height // 2))
    assert isinstance(values, tuple)
    return COLORS[max(range(3), key=lambda at: values[at])]


@pytest.mark.parametrize("kind", ["PDF", "TIFF", "GIF"])
def test_pages(kind: str) -> None:
    content = several(kind)
    assert color_of(load_uploaded(content, WHOLE_FILE, 10**7)) == "red"
    for page, color in enumerate(COLORS, 1):
        assert color_of(load_uploaded(content, FilePosition(page), 10**7)) == color
    with pytest.raises(ValueError) as error:
        load_uploaded(content, FilePosition(9), 10**7)
    assert "florence2-" not in str(error.value)


def test_frames(video: bytes) -> None:
    for seconds, color in enumerate(COLORS):
        assert color_of(load_uploaded(video, FilePosition(seconds=seconds), 10**7)) == color
    for place, words in ((WHOLE_FILE, "set seconds"), (FilePosition(2), "has no pages"),
                         (FilePosition(1, 1.0), "both set")):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            load_uploaded(video, place, 10**7)
    with pytest.raises(ValueError, match="one image"):
        stream = io.BytesIO()
        Image.new("RGB", (9, 9)).save(stream, "PNG")
        load_uploaded(stream.getvalue(), FilePosition(2), 10**7)


def test_requests_select_a_page(client: TestClient) -> None:
    content, options = several("PDF"), {"beams": 1, "max_new_tokens": 4}
    body: dict[str, Any] = {
        "image": base64.b64encode(content).decode(), "tasks": [{"task": "caption"}],
        "options": options,
    }  # fmt: skip
    assert client.post("/v1/run", json={**body, "page": 2}).status_code == 200
    late = client.post("/v1/run", json={**body, "page": 7})
    assert late.status_code == 422 and "7" in late.json()["error"]
    form = {"task": "caption", "page": "3", "beams": "1"}
    assert client.post("/v1/run", files={"image": content}, data=form).status_code == 200
    bad = client.post("/v1/run", files={"image": content}, data={**form, "page": "0"})
    assert bad.status_code == 422 and "page must be at least 1" in bad.json()["error"]


def test_agents_name_pages_and_frames(tmp_path: Path, video: bytes) -> None:
    (tmp_path / "a.pdf").write_bytes(several("PDF"))
    (tmp_path / "a.tif").write_bytes(several("TIFF"))
    (tmp_path / "clip.mp4").write_bytes(video)
    pictures = ImageSources(None, [tmp_path])

    def color(source: str, page: int = 1) -> str:
        found = pictures.get(source, page)
        assert isinstance(found, Image.Image)
        return color_of(found)

    assert color("a.pdf#page=2") == color("a.pdf", 2) == "green"
    assert color(f"file://{tmp_path}/a.pdf#page=3") == color("a.tif", 3) == "blue"
    assert color("clip.mp4#t=1.000") == "green"
    for source, page, words in (
        ("clip.mp4", 1, "name a frame"), ("a.pdf#page=2", 3, "already names a page"),
        ("a.pdf", 9, "pages 1 to 3"), ("../a.pdf#page=1", 1, "outside"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            pictures.get(source, page)
