"""Image files with several images: pages of a TIFF, frames of an animation."""

from __future__ import annotations

from PIL import Image

from ..image import MAX_FRAMES

_PAGED = ("TIFF",)
_TIMED_BY_DECODING = ("WEBP", "AVIF")  # the others give a frame's duration after seeking
_REDUCED_OR_MASK = 0b101  # bits of NewSubfileType: a smaller copy of another page, or its mask
_NEW_SUBFILE_TYPE = 254
# Pixels of all frames of an animation together: each is decoded on its whole canvas, however few
# bytes it has. An hour of 640 x 480 at 15 frames a second is below it.
MAX_ANIMATION_PIXELS = 2**34
_DEFAULT_SECONDS = 0.1  # what browsers give a frame that states no duration


def is_paged(image: Image.Image) -> bool:
    """Whether the images of a file are pages, not frames of an animation."""
    return image.format in _PAGED


def page_indices(image: Image.Image) -> list[int]:
    """The indices, from 0, of the pages of an open TIFF, without smaller copies and masks."""
    found = []
    for index in range(_count(image)):
        image.seek(index)
        tags = getattr(image, "tag_v2", {})
        if not int(tags.get(_NEW_SUBFILE_TYPE, 0) or 0) & _REDUCED_OR_MASK:
            found.append(index)
    return found or [0]


def frame_times(image: Image.Image) -> list[float]:
    """When each frame of an open animation is shown, in seconds.

    Raises ``ValueError`` for more frames, or more pixels of them, than the limits.
    """
    times, now, count = [], 0.0, _count(image)
    if count * image.width * image.height > MAX_ANIMATION_PIXELS:
        raise ValueError(
            f"it has {count:,} frames of {image.width} x {image.height} pixels, which take too "
            "long to decode; make it smaller, or save it as a video"
        )
    for index in range(count):
        image.seek(index)
        times.append(now)
        if image.format in _TIMED_BY_DECODING:
            image.load()
        try:
            seconds = float(image.info.get("duration", 0)) / 1000
        except (TypeError, ValueError):
            seconds = 0.0
        now += seconds if 0 < seconds < 86_400 else _DEFAULT_SECONDS
    return times


def _count(image: Image.Image) -> int:
    count = int(getattr(image, "n_frames", 1))
    if count > MAX_FRAMES:
        raise ValueError(f"it has {count:,} images, more than the limit of {MAX_FRAMES:,}")
    return count
