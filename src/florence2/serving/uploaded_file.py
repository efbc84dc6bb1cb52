"""Loads the image from the bytes of a file: a page of a PDF or TIFF, a frame of a video."""

from __future__ import annotations

import os
import tempfile
from typing import NamedTuple

from PIL import Image

from ..processing.containers import Unit, UnitReader, find_container_kind
from ..processing.image import ImageError, load_image, open_image

_LARGE_PIXELS = 16_000_000
_VIDEO_MAGIC = (b"\x1aE\xdf\xa3", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3")
_IMAGE_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")


class FilePosition(NamedTuple):
    """The image of a file: a page or frame, from 1, or the frame at ``seconds``."""

    page: int | None = None
    seconds: float | None = None


WHOLE_FILE = FilePosition()


def is_large_file(content: bytes, position: FilePosition) -> bool:
    """Whether loading the file takes so long that other requests should not wait for it.

    Only the header of an image is read.
    """
    if position != WHOLE_FILE or is_container_file(content):
        return True
    try:
        with open_image(content) as image:
            return image.width * image.height > _LARGE_PIXELS
    except ImageError:
        return False


def load_uploaded(content: bytes, position: FilePosition, max_pixels: int) -> Image.Image:
    """Load an image of a file, upright, in RGB.

    Args:
        content: bytes of the file.
        position: page or frame; by default the image itself, or the first page or frame.
        max_pixels: maximum number of pixels.

    Raises:
        ValueError: the file has no such image.
        OSError: the file cannot be read.
    """
    if position.page is not None and position.seconds is not None:
        raise ValueError("page and seconds are both set: leave one out")
    if position == WHOLE_FILE and not is_container_file(content):
        return load_image(content, max_pixels=max_pixels)
    # The decoders read files, in a separate process.
    descriptor, path = tempfile.mkstemp(prefix="florence2-")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        return _load_file(path, position, max_pixels)
    except (ValueError, OSError) as error:
        raise ValueError(str(error).replace(path, "the file")) from error
    finally:
        os.unlink(path)


def _load_file(path: str, position: FilePosition, max_pixels: int) -> Image.Image:
    kind = find_container_kind(path)
    if kind == "video" and position.page is not None:
        raise ValueError("the file is a video, which has no pages: set seconds to select a frame")
    if kind == "video" and position.seconds is None:
        raise ValueError("the file is a video: set seconds to select a frame")
    if kind is None:
        if position.seconds is not None or position.page not in (None, 1):
            raise ValueError("the file has one image: leave page and seconds out")
        return load_image(path, max_pixels=max_pixels)
    page = position.page or (None if position.seconds is not None else 1)
    unit = Unit(path, page=page, seconds=position.seconds)
    return UnitReader(max_pixels=max_pixels).load_unit(unit)


def is_container_file(content: bytes) -> bool:
    """Whether the file is a PDF or a video, by its first bytes."""
    head = content[:1024]
    is_video = head[:4] in _VIDEO_MAGIC or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
    is_movie = head[4:8] == b"ftyp" and head[8:12] not in _IMAGE_BRANDS
    return head.lstrip()[:5] == b"%PDF-" or is_video or is_movie
