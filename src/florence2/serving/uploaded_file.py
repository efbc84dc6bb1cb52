"""The image in a file that came as bytes: of a PDF or TIFF a page, of a video a frame."""

from __future__ import annotations

import os
import tempfile
from typing import NamedTuple

from PIL import Image

from ..processing.containers import Unit, UnitReader, find_container_kind
from ..processing.image import ImageError, load_image, open_image

_LARGE_PIXELS = 16_000_000
_VIDEO_HEADS = (b"\x1aE\xdf\xa3", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3")
_IMAGE_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")


class Place(NamedTuple):
    """Which image of a file is meant: a page or frame, from 1, or the frame at ``seconds``."""

    page: int | None = None
    seconds: float | None = None


WHOLE_FILE = Place()


def is_large_file(content: bytes, place: Place) -> bool:
    """Whether reading the file takes so long that others should not wait for it.

    Of an image only the header is read; what is none is quick to refuse.
    """
    if place != WHOLE_FILE or holds_pages_or_frames(content):
        return True
    try:
        with open_image(content) as image:
            return image.width * image.height > _LARGE_PIXELS
    except ImageError:
        return False


def load_uploaded(content: bytes, place: Place, max_pixels: int) -> Image.Image:
    """The image at ``place`` of the file with this content, upright in RGB.

    Without a place it is the image itself, the first page of a PDF or TIFF, or the first frame of
    an animation. Raises ``ValueError`` or ``OSError`` that says what to change.
    """
    if place.page is not None and place.seconds is not None:
        raise ValueError("page and seconds are both given: leave one out")
    if place == WHOLE_FILE and not holds_pages_or_frames(content):
        return load_image(content, max_pixels=max_pixels)
    # The decoders read files, in a process of their own.
    descriptor, path = tempfile.mkstemp(prefix="florence2-")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        return _load(path, place, max_pixels)
    except (ValueError, OSError) as error:
        raise ValueError(str(error).replace(path, "the file")) from error
    finally:
        os.unlink(path)


def _load(path: str, place: Place, max_pixels: int) -> Image.Image:
    kind = find_container_kind(path)
    if kind == "video" and place.page is not None:
        raise ValueError("the file is a video, which has no pages: set seconds to choose a frame")
    if kind == "video" and place.seconds is None:
        raise ValueError("the file is a video: set seconds to choose a frame")
    if kind is None:
        if place.seconds is not None or place.page not in (None, 1):
            raise ValueError("the file holds one image: leave page and seconds out")
        return load_image(path, max_pixels=max_pixels)
    page = place.page or (None if place.seconds is not None else 1)
    unit = Unit(path, page=page, seconds=place.seconds)
    return UnitReader(max_pixels=max_pixels).load_unit(unit)


def holds_pages_or_frames(content: bytes) -> bool:
    """Whether the file is a PDF or a video, by how it begins."""
    head = content[:1024]
    is_video = head[:4] in _VIDEO_HEADS or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
    is_movie = head[4:8] == b"ftyp" and head[8:12] not in _IMAGE_BRANDS
    return head.lstrip()[:5] == b"%PDF-" or is_video or is_movie
