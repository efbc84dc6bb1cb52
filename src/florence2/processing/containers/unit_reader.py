"""The images inside PDF files, videos, multi-page TIFF files and animations, one by one.

``list_units`` names them and ``load_unit`` gives the image of a name; both work for a plain image
file too, which is one unit. Files are decoded in a process of its own.
"""

from __future__ import annotations

import atexit
import hashlib
import io
import os
from pathlib import Path
from typing import Any

from PIL import Image

from ...io.file_types import PDF_SUFFIXES, VIDEO_SUFFIXES
from ...io.files import open_regular
from ..image import MAX_PIXELS, load_image
from .decoder_process import DecoderProcess
from .unit_names import ContainerKind, Unit, parse_unit_name

DEFAULT_RESOLUTION = 150
_HEAD_BYTES = 2**13
_VIDEO_BRANDS = (
    b"isom",
    b"iso2",
    b"iso4",
    b"iso5",
    b"iso6",
    b"mp41",
    b"mp42",
    b"avc1",
    b"M4V ",
    b"qt  ",
    b"3gp4",
    b"3gp5",
    b"dash",
    b"MSNV",
)

_shared_process = DecoderProcess()
atexit.register(_shared_process.close)


def find_container_kind(path: str | Path) -> ContainerKind | None:
    """The kind of container that ``path`` is, by its content; ``None`` for a plain image.

    A PDF or video whose beginning is damaged is known by its suffix. Raises ``OSError`` or
    ``ValueError`` for what cannot be opened.
    """
    with open_regular(path) as stream:
        head = stream.read(_HEAD_BYTES)
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    if head[:1024].lstrip()[:5] == b"%PDF-" or suffix in PDF_SUFFIXES:
        return "pdf"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "pages"
    if _is_animation(head):
        return "animation"
    if head[:4] == b"\x1aE\xdf\xa3" or (head[:4] == b"RIFF" and head[8:12] == b"AVI "):
        return "video"
    if head[4:8] == b"ftyp" and head[8:12] in _VIDEO_BRANDS:
        return "video"
    is_image = head[:2] in (b"\xff\xd8", b"BM") or head[:4] in (b"\x89PNG", b"RIFF", b"GIF8")
    return "video" if suffix in VIDEO_SUFFIXES and not is_image else None


class UnitReader:
    """Lists and loads units, and keeps the last file open, so that units in order are quick.

    ``every`` is the time in seconds between the frames that are taken of a video or animation,
    ``resolution`` the pixels per inch of PDF pages. Without a ``process`` of their own all
    readers share one. Safe to share between threads.
    """

    def __init__(
        self,
        every: float = 1.0,
        *,
        resolution: float = DEFAULT_RESOLUTION,
        max_pixels: int = MAX_PIXELS,
        process: DecoderProcess | None = None,
    ) -> None:
        if not every > 0:
            raise ValueError(f"every must be a number of seconds above 0, got {every}")
        if not resolution > 0:
            raise ValueError(
                f"resolution must be a number of pixels per inch above 0, got {resolution}"
            )
        self._every, self._resolution, self._max_pixels = every, resolution, max_pixels
        self._process = process or _shared_process

    def list_units(self, path: str | Path) -> list[Unit]:
        """The units of a file in their order; the file itself where it holds one image.

        Raises ``OSError`` or ``ValueError`` for a container that cannot be read,
        ``ImportError`` where the library for it is missing.
        """
        file = os.fspath(path)
        kind = find_container_kind(file)
        if kind is None:
            return [Unit(file)]
        if kind == "pdf":
            reply, _ = self._ask("count_pages", file)
            return [Unit(file, page=number) for number in range(1, reply["count"] + 1)]
        operation = "list_frames" if kind == "video" else "list_images"
        reply, _ = self._ask(operation, file, every=self._every)
        if "pages" in reply:
            pages = range(1, reply["pages"] + 1)
            return [Unit(file)] if len(pages) == 1 else [Unit(file, page=each) for each in pages]
        frames = [Unit(file, seconds=at, shown=shown) for at, shown in reply["frames"]]
        return [Unit(file)] if kind == "animation" and len(frames) == 1 else frames

    def load_unit(self, unit: Unit | str) -> Image.Image:
        """The image of a unit or of its name, upright in RGB.

        Raises ``OSError`` or ``ValueError`` when the file is gone, has no such unit, or it cannot
        be decoded; ``ImportError`` where the library for it is missing.
        """
        found = parse_unit_name(unit) if isinstance(unit, str) else unit
        file = found.file
        if found.page is None and found.seconds is None:
            return load_image(file, max_pixels=self._max_pixels)
        kind = find_container_kind(file)
        values: dict[str, Any] = {"max_pixels": self._max_pixels}
        if found.page is not None:
            if kind == "pdf":
                operation = "render_page"
                values |= {"index": found.page - 1, "resolution": self._resolution}
            elif kind in ("pages", "animation"):
                operation, values["page"] = "decode_image", found.page
            else:
                raise ValueError(f"{file} has no pages")
        elif kind in ("video", "animation"):
            operation = "decode_frame" if kind == "video" else "decode_image"
            values |= {"seconds": found.seconds, "shown": found.shown}
        else:
            raise ValueError(f"{file} has no frames")
        return self._image(*self._ask(operation, file, **values))

    def count_pages(self, source: str | Path | bytes, password: str | None = None) -> int:
        """The number of pages of a PDF, given as a path or as bytes."""
        reply, _ = self._ask("count_pages", source, password=password)
        return int(reply["count"])

    def render_page(
        self, source: str | Path | bytes, index: int, password: str | None = None
    ) -> Image.Image:
        """Page ``index``, from 0, of a PDF or of the bytes of one."""
        return self._image(
            *self._ask(
                "render_page",
                source,
                index=index,
                resolution=self._resolution,
                max_pixels=self._max_pixels,
                password=password,
            )
        )

    def page_sizes(self, path: str | Path, pages: list[int]) -> list[tuple[float, float]]:
        """Width and height in points of the pages of a PDF, counted from 1."""
        reply, _ = self._ask("measure_pages", path, indices=[page - 1 for page in pages])
        return [(float(width), float(height)) for width, height in reply["sizes"]]

    def add_overlay(self, path: str | Path, overlay: bytes, pages: list[int]) -> bytes:
        """A PDF with the pages of ``overlay`` laid over its ``pages``, counted from 1."""
        _, content = self._process.request(
            str(path),
            overlay,
            op="add_overlay",
            path=os.path.abspath(path),
            indices=[page - 1 for page in pages],
        )
        return content

    def list_frames(
        self, path: str | Path, start: float = 0.0, end: float | None = None
    ) -> list[Unit]:
        """The frames of a video between ``start`` and ``end``."""
        reply, _ = self._ask("list_frames", path, every=self._every, start=start, end=end)
        file = os.fspath(path)
        return [Unit(file, seconds=at, shown=shown) for at, shown in reply["frames"]]

    def _ask(
        self, operation: str, source: str | Path | bytes, **values: Any
    ) -> tuple[dict[str, Any], bytes]:
        values["op"] = operation
        if isinstance(source, bytes):
            if not source:
                raise ValueError("a file of 0 bytes cannot be read: it is empty")
            name = f"a file of {len(source)} bytes"
            values["digest"] = hashlib.sha256(source).hexdigest()
            reply, content = self._process.request(name, **values)
            if reply.get("send"):
                reply, content = self._process.request(name, source, **values)
            return reply, content
        values["path"] = os.path.abspath(source)
        return self._process.request(str(source), **values)

    def _image(self, reply: dict[str, Any], content: bytes) -> Image.Image:
        width, height = reply["size"]
        if width * height > self._max_pixels * 1.05 or len(content) != width * height * 3:
            raise ValueError(f"the decoder gave {width} x {height} pixels, which is not an image")
        image = Image.frombytes("RGB", (width, height), content)
        dpi = reply.get("dpi")
        if dpi is not None:
            image.info["dpi"] = (float(dpi[0]), float(dpi[1]))
        return image


def list_units(path: str | Path, every: float = 1.0) -> list[Unit]:
    """The units of a file; see ``UnitReader.list_units``."""
    return UnitReader(every).list_units(path)


def load_unit(unit: Unit | str) -> Image.Image:
    """The image of a unit or of its name; see ``UnitReader.load_unit``."""
    return UnitReader().load_unit(unit)


def read_unit_png(name: str) -> bytes:
    """The image of a unit as the bytes of a PNG file, the same ones every time."""
    stream = io.BytesIO()
    image = load_unit(name)
    image.save(stream, "PNG", compress_level=1, dpi=image.info.get("dpi"))
    return stream.getvalue()


def _is_animation(head: bytes) -> bool:
    if head[:4] == b"GIF8":
        return True
    if head[:4] == b"\x89PNG":
        pixels = head.find(b"IDAT")
        before = head if pixels < 0 else head[:pixels]
        # A long profile may hide both chunks: then the decoder determines it.
        return b"acTL" in before or pixels < 0
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return head[12:16] == b"VP8X" and bool(head[20] & 2) if len(head) > 20 else False
    return head[4:8] == b"ftyp" and b"avis" in head[8:64]
