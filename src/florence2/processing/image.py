"""Image sources to upright RGB, and RGB to the pixel values that the model reads.

Every image from outside is opened by ``open_image``, decoded by ``load_image`` or checked by
``probe_image``.

Files are untrusted: only formats that hold one image are opened, the size a header claims is
checked before memory is allocated, and every way a decoder can fail becomes an ``ImageError``.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile

from ..io.fetch import FetchError, UrlFetcher
from ..io.files import FileRefusedError, open_regular
from ..io.image_headers import HeaderStream, check_header

ImageSource = str | Path | bytes | Image.Image | NDArray[np.uint8]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# About 11,600 x 11,600: above any camera's usual output, and 400 MB as RGB.
MAX_PIXELS = 2**27
MAX_DOWNLOAD_BYTES = 2**26
DOWNLOAD_SECONDS = 20.0

# Not supported on purpose: formats that run other programs (EPS), hold images of a size that is
# not in the header (ICO, ICNS), or have no signature, so that noise is taken for them (TGA).
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
# A file that claims more frames is damaged.
MAX_FRAMES = 100_000

_REMEDY = "check that the image opens elsewhere, or save it again as PNG or JPEG"
_EXIF_NORMAL = 1
_EXIF_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(ValueError):
    """A source that cannot be read as an image; the message names it, the reason, the remedy."""


@dataclass(frozen=True)
class ImageInfo:
    """Facts about an image file.

    ``width`` and ``height`` are those of the upright image in pixels; ``stored_size`` is
    ``(width, height)`` as the file stores it. ``orientation`` is the EXIF or TIFF orientation of
    the file, 1 (upright) to 8. ``format`` is one of ``FORMATS``, or ``MPO``.
    """

    width: int
    height: int
    format: str
    orientation: int = 1

    @property
    def image_size(self) -> tuple[int, int]:
        """``(width, height)`` of the upright image."""
        return self.width, self.height

    @property
    def stored_size(self) -> tuple[int, int]:
        """``(width, height)`` before the orientation is applied."""
        return self.image_size if self.orientation < 5 else (self.height, self.width)


def load_image(
    source: ImageSource,
    *,
    allow_urls: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> Image.Image:
    """Load an image as a new upright RGB image of at most ``max_pixels`` pixels.

    EXIF orientation is applied, transparency laid over white, 16-bit gray scaled to 8 bits. Of a
    file with several images the first one is loaded; ``processing.containers`` loads the others.

    Args:
        source: A path, an http(s) URL with ``allow_urls=True``, the bytes of a file, a PIL image,
            or ``uint8`` of shape ``[H, W]``, ``[H, W, 3]`` or ``[H, W, 4]`` (RGBA).
        allow_urls: Fetch URLs, from public hosts only (``io.fetch``).
        max_pixels: The largest size that is decoded.

    Raises:
        FileNotFoundError: There is no such file.
        ImageError: The image is damaged or too large, or cannot be fetched.
        ValueError: The array or the type of the source is not supported.
    """
    if isinstance(source, np.ndarray):
        return _to_upright_rgb(_from_array(source), f"array {list(source.shape)}", max_pixels)
    if isinstance(source, Image.Image):
        name = str(getattr(source, "filename", "") or f"PIL image {source.size}")
        return _to_upright_rgb(source, name, max_pixels)
    if not isinstance(source, str | Path | bytes):
        raise ValueError(
            "an image is a path, a URL, bytes, a PIL image or a uint8 array, "
            f"got {type(source).__name__}"
        )
    name = source_name(source)
    if isinstance(source, str) and is_url(source):
        if not allow_urls:
            raise ValueError(f"{source} is a URL; pass allow_urls=True to fetch images")
        source = _download(source)
    with open_image(source, name, max_pixels=max_pixels) as image:
        return _to_upright_rgb(image, name, max_pixels)


@contextmanager
def open_image(
    source: str | Path | bytes, name: str | None = None, *, max_pixels: int = MAX_PIXELS
) -> Iterator[ImageFile.ImageFile]:
    """Open an image file without decoding it.

    Only regular files are opened, only ``FORMATS`` are recognized, by content and not by name, and
    no other program is started. Every failure, also one that a decoder raises inside the block,
    becomes an ``ImageError``.

    Args:
        source: A path, or the bytes of a file.
        name: Name of the image in messages; the path by default.
        max_pixels: The largest size that a header may claim.

    Raises:
        FileNotFoundError: There is no such file.
        ImageError: The file is no image, or claims too many pixels.
    """
    name = name or source_name(source)
    with _open_stream(source) as stream:
        try:
            with _identify(stream) as image:
                _check_size(image.size, name, max_pixels)
                yield image
        except ImageError:
            raise
        # Decoders of damaged files raise errors of any type, from IndexError to SyntaxError.
        except Exception as error:
            raise _broken(name, error) from error


def probe_image(
    source: str | Path | bytes, name: str | None = None, *, max_pixels: int = MAX_PIXELS
) -> ImageInfo:
    """Decode an image once to check that it is complete; return what it holds.

    Takes and raises what ``open_image`` does. A JPEG is decoded at an eighth of its size, which
    reads every byte at a fraction of the cost.
    """
    with open_image(source, name, max_pixels=max_pixels) as image:
        size, stored = image.size, read_orientation(image)
        image.draft(None, (max(1, size[0] // 8), max(1, size[1] // 8)))
        image.load()
        # What decoding has not applied yet: TIFF applies it, and its size is upright before.
        left = read_orientation(image)
        width, height = size if left < 5 else size[::-1]
        orientation = stored if stored != _EXIF_NORMAL else left
        return ImageInfo(width, height, image.format or "", orientation)


def source_name(source: str | Path | bytes) -> str:
    """The name of a source in messages: its path or URL, or its number of bytes."""
    return f"image of {len(source)} bytes" if isinstance(source, bytes) else str(source)


def to_pixels(
    image: Image.Image,
    size: tuple[int, int] = (768, 768),
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
) -> NDArray[np.float32]:
    """Normalized pixels ``float32[3, H, W]`` of an RGB image resized to ``(width, height)``.

    Bit for bit the released preprocessing: bicubic on 8-bit values without regard to the aspect
    ratio, scaling by 1/255 in double precision, normalization in single precision. Raises
    ``ValueError`` for an image that is not RGB, a size below 1, or not three ``mean`` and ``std``.
    """
    if image.mode != "RGB":
        raise ValueError(f"expected an RGB image, got mode {image.mode}; use load_image")
    if min(size) < 1:
        raise ValueError(f"size must be (width, height) of at least 1, got {size}")
    if len(mean) != 3 or len(std) != 3:
        raise ValueError(f"mean and std must have three values, got {mean} and {std}")
    planes = image.resize(size, Image.Resampling.BICUBIC).split()
    pixels = np.empty((3, size[1], size[0]), dtype=np.float32)
    for value_of_level, plane, channel in zip(
        _normalize_levels(mean, std), planes, pixels, strict=True
    ):
        value_of_level.take(np.asarray(plane), out=channel, mode="clip")
    return pixels


def is_url(source: str) -> bool:
    """Whether ``source`` is an http(s) URL, not a path."""
    return source[:8].lower().startswith(("http://", "https://"))


def _normalize_levels(mean: tuple[float, ...], std: tuple[float, ...]) -> NDArray[np.float32]:
    """The normalized value of each of the 256 levels, ``float32[3, 256]``."""
    scaled = (np.arange(256, dtype=np.float64) * (1 / 255)).astype(np.float32)
    centered = scaled[None, :] - np.asarray(mean, dtype=np.float32)[:, None]
    return centered / np.asarray(std, dtype=np.float32)[:, None]


def _from_array(array: NDArray[Any]) -> Image.Image:
    shape_fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != np.uint8 or not shape_fits or array.size == 0:
        raise ValueError(
            "an image array must be uint8 of shape [H, W], [H, W, 3] or [H, W, 4], "
            f"got {array.dtype} of shape {list(array.shape)}"
        )
    return Image.fromarray(array)


def _open_stream(source: str | Path | bytes) -> IO[bytes]:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    try:
        return open_regular(source)
    except FileRefusedError as error:
        if os.path.isdir(source):
            raise ImageError(f"{source} is a directory; name the images in it") from error
        raise ImageError(f"{error}, or read it yourself and pass its bytes") from error
    except FileNotFoundError as error:
        raise FileNotFoundError(f"there is no image {source}; check the path") from error


def _identify(stream: IO[bytes]) -> ImageFile.ImageFile:
    """The image whose header ``stream`` holds, not decoded yet.

    Does what ``Image.open`` does without its check of the size: that one is set for the whole
    process and warns or refuses on its own terms, while ours comes with each call.
    """
    Image.init()
    prefix = stream.read(16)
    for format_name in FORMATS:
        factory, accept = Image.OPEN.get(format_name, (None, None))
        # A format this build of Pillow cannot read is accepted with a message instead of True.
        if factory is None or accept is None or accept(prefix) is not True:
            continue
        header = HeaderStream(stream)
        check_header(header, format_name)
        header.seek(0)
        image = factory(cast(IO[bytes], header), "")
        header.lift_limit()
        return image
    raise ValueError(f"it is not one of {', '.join(FORMATS)}")


def _to_upright_rgb(image: Image.Image, name: str, max_pixels: int) -> Image.Image:
    """A new RGB image of the pixels of ``image``, rotated by its EXIF orientation."""
    _check_size(image.size, name, max_pixels)
    try:
        image.load()
        rgb = _to_rgb(image)
    except Exception as error:
        raise _broken(name, error) from error
    # Read after decoding: some formats store the orientation after the pixels or apply it.
    turn = _EXIF_TRANSPOSE.get(read_orientation(image))
    upright = rgb if turn is None else rgb.transpose(turn)
    # The copied EXIF block would turn the image again wherever it is next loaded or saved.
    upright.info.clear()
    return upright


def _check_size(size: tuple[int, int], name: str, max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise ImageError(
            f"{name} claims {width} x {height} pixels, more than the limit of {max_pixels}; "
            "make it smaller, or raise max_pixels if you trust it"
        )
    if width * height == 0:
        raise ImageError(f"{name} is {width} x {height} pixels large: the image is empty")


def read_orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; upright when there is none or the EXIF block is damaged."""
    try:
        orientation = int(image.getexif().get(ExifTags.Base.Orientation, _EXIF_NORMAL))
    except Exception:
        return _EXIF_NORMAL
    return orientation if orientation in _EXIF_TRANSPOSE else _EXIF_NORMAL


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return Image.fromarray(_to_8_bits(np.asarray(image), image.mode)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    opaque = Image.new("RGB", image.size, "white")
    opaque.paste(layer, mask=layer.getchannel("A"))
    return opaque


def _to_8_bits(values: NDArray[Any], mode: str) -> NDArray[np.uint8]:
    """Gray values ``[H, W]`` of a deep mode as ``uint8[H, W]``.

    16-bit modes use their whole range. The range of ``I`` and ``F`` is not stored: it is
    taken to be the smallest usual one with all values (1 for ``F``, 255, 65535), or else that from
    the smallest value to the greatest. NaN is black.
    """
    levels: NDArray[np.float32] = np.clip(values.astype(np.float32), -1e38, 1e38)
    np.nan_to_num(levels, copy=False)
    ranges = {"I": (255.0, 65535.0), "F": (1.0, 255.0, 65535.0)}.get(mode, (65535.0,))
    low, high = float(levels.min()), float(levels.max())
    usual = [white for white in ranges if low >= 0 and high <= white]
    black, white = (0.0, usual[0]) if usual else (low, high)
    scaled = (levels - np.float32(black)) * np.float32(255 / ((white - black) or 1))
    eight_bits: NDArray[np.uint8] = np.rint(scaled).astype(np.uint8)
    return eight_bits


def _broken(name: str, error: Exception) -> ImageError:
    reason = str(error) or type(error).__name__
    return ImageError(f"{name} cannot be read as an image ({reason}); {_REMEDY}")


def _download(url: str) -> bytes:
    try:
        return UrlFetcher(MAX_DOWNLOAD_BYTES, DOWNLOAD_SECONDS)(url)
    except FetchError as error:
        raise ImageError(
            f"{url} cannot be fetched ({error}); download the image and pass its path"
        ) from error
