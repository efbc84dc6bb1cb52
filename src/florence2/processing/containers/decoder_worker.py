"""The program of the decoder process: reads requests on standard input, replies on standard output.

It is given names of files and opens them itself; the libraries see an open file and no name.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import os
import signal
import sys
from collections.abc import Callable
from typing import IO, Any

from PIL import Image

from ...io.files import open_regular
from ..image import MAX_PIXELS, load_image, open_image
from .decoder_process import MEMORY_LIMIT_VARIABLE, read_frame, write_frame
from .frame_choice import choose_frames
from .image_frames import frame_times, is_paged, page_indices
from .pdf_document import PdfDocument
from .video_stream import VideoStream

MAX_REQUEST_JSON = 2**24
MAX_REQUEST_BODY = 2**31
MAX_UNITS = 100_000
Values = dict[str, Any]
Reply = tuple[Values, bytes]


class OpenFile:
    """The file of the last request, kept open with its decoded state for the next request."""

    def __init__(self) -> None:
        self._key: tuple[Any, ...] = ()
        self._stack = contextlib.ExitStack()
        self._opened: Any = None
        self._contents: dict[str, bytes] = {}

    def get(self, values: Values, body: bytes, make: Callable[[str | bytes], Any]) -> Any:
        """The result of ``make`` for the file of a request, reused for requests in a row."""
        digest = values.get("digest")
        if body and digest is not None:
            if hashlib.sha256(body).hexdigest() != digest:
                raise ValueError("the bytes of a request are not those it names")
            self._contents = {digest: body}
        key: tuple[Any, ...] = (make.__qualname__, digest, values.get("password"))
        if digest is None:
            status = os.stat(values["path"])
            key += (values["path"], status.st_mtime_ns, status.st_size)
        if key != self._key:
            self.close()
            opened = make(values["path"] if digest is None else self._contents[digest])
            self._stack.callback(opened.close)
            self._opened, self._key = opened, key
        return self._opened

    def holds(self, digest: str | None) -> bool:
        """Whether the bytes that ``digest`` names were sent before."""
        return digest is None or digest in self._contents

    def close(self) -> None:
        """Forget the file."""
        self._key, self._opened = (), None
        stack, self._stack = self._stack, contextlib.ExitStack()
        stack.close()


class ImageFrames:
    """An open image file and the indices of its images."""

    def __init__(self, source: str | bytes) -> None:
        self._stack = contextlib.ExitStack()
        self._image = self._stack.enter_context(open_image(source))
        self.paged = is_paged(self._image)
        self.indices = page_indices(self._image) if self.paged else []
        self.times = [] if self.paged else frame_times(self._image)

    def close(self) -> None:
        """Free the file."""
        self._stack.close()

    def get(self, index: int, max_pixels: int) -> Image.Image:
        """The image at an index, upright in RGB."""
        self._image.seek(index)
        stated = self._image.info.get("dpi")
        image = load_image(self._image, max_pixels=max_pixels)
        image.info["dpi"] = stated
        return image


def count_pages(file: OpenFile, values: Values, body: bytes) -> Reply:
    """The number of pages of a PDF."""
    return {"count": _pdf(file, values, body).count}, b""


def render_page(file: OpenFile, values: Values, body: bytes) -> Reply:
    """A page of a PDF as an image."""
    document = _pdf(file, values, body)
    return _image_reply(
        document.render(values["index"], values["resolution"], values["max_pixels"])
    )


def measure_pages(file: OpenFile, values: Values, body: bytes) -> Reply:
    """The sizes of pages in points."""
    return {"sizes": _pdf(file, values, body).page_sizes(values["indices"])}, b""


def add_overlay(file: OpenFile, values: Values, body: bytes) -> Reply:
    """A PDF with the pages of another, the body of the request, over its own."""
    file.close()
    document = PdfDocument(_stream(values["path"]))
    try:
        return {}, document.add_overlay(body, values["indices"])
    finally:
        document.close()


def list_frames(file: OpenFile, values: Values, body: bytes) -> Reply:
    """Which frames of a video are taken, and when they are shown."""
    times = _video(file, values, body).times()
    return {"frames": _limited(choose_frames(times, *_spacing(values)))}, b""


def decode_frame(file: OpenFile, values: Values, body: bytes) -> Reply:
    """A frame of a video."""
    at, image = _video(file, values, body).frame(values["seconds"], values.get("shown"))
    reply, content = _image_reply(image)
    return {**reply, "seconds": at}, content


def list_images(file: OpenFile, values: Values, body: bytes) -> Reply:
    """The pages or the frames of an image file."""
    frames: ImageFrames = file.get(values, body, ImageFrames)
    if frames.paged:
        return {"pages": len(_limited(frames.indices))}, b""
    return {"frames": _limited(choose_frames(frames.times, *_spacing(values)))}, b""


def decode_image(file: OpenFile, values: Values, body: bytes) -> Reply:
    """A page or a frame of an image file."""
    frames: ImageFrames = file.get(values, body, ImageFrames)
    page, seconds = values.get("page"), float(values.get("seconds") or 0.0)
    if page is not None:
        indices = frames.indices if frames.paged else list(range(len(frames.times)))
        if not 1 <= page <= len(indices):
            raise ValueError(f"it has pages 1 to {len(indices)}, not {page}")
        return _image_reply(frames.get(indices[page - 1], values["max_pixels"]))
    later = [index for index, at in enumerate(frames.times) if at + 1e-3 >= seconds]
    if not later:
        raise ValueError(f"it has no frame at {seconds:g} s")
    return _image_reply(frames.get(later[0], values["max_pixels"]))


OPERATIONS: dict[str, Callable[[OpenFile, Values, bytes], Reply]] = {
    each.__name__: each
    for each in (
        count_pages,
        render_page,
        measure_pages,
        add_overlay,
        list_frames,
        decode_frame,
        list_images,
        decode_image,
    )
}


def handle(file: OpenFile, values: Values, body: bytes) -> Reply:
    """The reply to a request, errors included; the file that an error is about is forgotten."""
    name = str(values.get("name", ""))
    try:
        if not body and not file.holds(values.get("digest")):
            return {"send": True}, b""
        return OPERATIONS[values["op"]](file, values, body)
    except FileNotFoundError as error:
        reply: Values = {"kind": "missing", "error": f"{name} is missing ({error.strerror})"}
    except ImportError as error:
        reply = {"kind": "import", "error": str(error)}
    except MemoryError:
        reply = {"kind": "value", "error": f"{name} needs too much memory to decode"}
    # Decoders of damaged files raise errors of any type.
    except Exception as error:
        reason = str(error) or type(error).__name__
        reply = {"kind": "value", "error": f"{name}: {reason}"[:500]}
    with contextlib.suppress(Exception):
        file.close()
    return reply, b""


def main() -> None:
    """Reply to requests until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process itself
    _limit_memory()
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # Output of a library must not mix with the replies.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    file = OpenFile()
    while (frame := read_frame(requests, MAX_REQUEST_JSON, MAX_REQUEST_BODY)) is not None:
        write_frame(replies, *handle(file, *frame))


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:
        return  # not on Windows
    limit = int(os.environ.get(MEMORY_LIMIT_VARIABLE, "0"))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if limit:
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _pdf(file: OpenFile, values: Values, body: bytes) -> PdfDocument:
    def open_pdf(source: str | bytes) -> PdfDocument:
        return PdfDocument(_stream(source), values.get("password"))

    document: PdfDocument = file.get(values, body, open_pdf)
    return document


def _video(file: OpenFile, values: Values, body: bytes) -> VideoStream:
    def open_video(source: str | bytes) -> VideoStream:
        return VideoStream(_stream(source), values.get("max_pixels", MAX_PIXELS))

    video: VideoStream = file.get(values, body, open_video)
    return video


def _stream(source: str | bytes) -> IO[bytes]:
    return io.BytesIO(source) if isinstance(source, bytes) else open_regular(source)


def _spacing(values: Values) -> tuple[float, float, float | None]:
    return values["every"], values.get("start", 0.0), values.get("end")


def _limited(units: list[Any]) -> list[Any]:
    if len(units) > MAX_UNITS:
        raise ValueError(
            f"it has {len(units):,} images, more than the limit of {MAX_UNITS:,}; take fewer "
            "frames with a larger time between them, or split the file"
        )
    return units


def _image_reply(image: Image.Image) -> Reply:
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    return {"size": list(rgb.size), "dpi": _stated_dpi(image.info.get("dpi"))}, rgb.tobytes()


def _stated_dpi(dpi: Any) -> list[float] | None:
    """Dots per inch across and down, where a file states numbers."""
    try:
        across, down = (float(value) for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return [across, down] if math.isfinite(across) and math.isfinite(down) else None


if __name__ == "__main__":
    main()
