"""From whatever holds a picture to upright RGB, and from there to the pixels the model reads.

Files are untrusted: only formats that hold one picture are opened, the size a header claims is
checked before memory is asked for, and every way a decoder can fail becomes an ``ImageError``.
"""

from __future__ import annotations

import io
import time
import urllib.request
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile

ImageSource = str | Path | bytes | Image.Image | NDArray[np.uint8]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# About 11,600 x 11,600: above any camera's usual output, and 400 MB as RGB.
MAX_PIXELS = 2**27
MAX_DOWNLOAD_BYTES = 2**26
DOWNLOAD_SECONDS = 20.0

# Left out on purpose: formats that run other programs (EPS), hold pictures of a size the header
# does not tell (ICO, ICNS), or have no signature, so that noise passes for them (TGA).
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")

_REMEDY = "check that the picture opens elsewhere, or save it anew as PNG or JPEG"
_UPRIGHT = 1
_TURN_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(ValueError):
    """A source that cannot be read as a picture; the message names it, the reason, the remedy."""


def load_image(
    source: ImageSource, *, allow_urls: bool = False, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """The picture as a new upright RGB image of at most ``max_pixels`` pixels.

    ``source`` is a path, an http(s) address with ``allow_urls=True``, the bytes of a file, a PIL
    image, or ``uint8`` of shape ``[H, W]``, ``[H, W, 3]`` or ``[H, W, 4]`` (RGBA). EXIF
    orientation is applied, transparency laid over white, 16-bit grey scaled to 8 bits; of an
    animation the first frame comes back. Raises ``FileNotFoundError`` for a missing file,
    ``ImageError`` for a broken or too large picture, ``ValueError`` for an unfit array or type.
    """
    if isinstance(source, np.ndarray):
        return _upright_rgb(_from_array(source), f"array {list(source.shape)}", max_pixels)
    if isinstance(source, Image.Image):
        name = str(getattr(source, "filename", "") or f"PIL image {source.size}")
        return _upright_rgb(source, name, max_pixels)
    if isinstance(source, bytes):
        return _decode(io.BytesIO(source), f"picture of {len(source)} bytes", max_pixels)
    if isinstance(source, str) and is_address(source):
        if not allow_urls:
            raise ValueError(f"{source} is an address; pass allow_urls=True to fetch pictures")
        return _decode(io.BytesIO(_download(source)), source, max_pixels)
    if isinstance(source, str | Path):
        with _open_file(Path(source)) as stream:
            return _decode(stream, str(source), max_pixels)
    raise ValueError(
        "a picture is a path, an address, bytes, a PIL image or a uint8 array, "
        f"got {type(source).__name__}"
    )


def to_pixels(
    image: Image.Image,
    size: tuple[int, int] = (768, 768),
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
) -> NDArray[np.float32]:
    """Normalised pixels ``float32[3, H, W]`` of an RGB picture resized to ``(width, height)``.

    Bit for bit the released preprocessing: bicubic on 8-bit values without regard to the aspect
    ratio, scaling by 1/255 in double precision, normalisation in single precision. Raises
    ``ValueError`` for a picture that is not RGB, a size below 1, or not three ``mean`` and ``std``.
    """
    if image.mode != "RGB":
        raise ValueError(f"pixels are made of RGB pictures, got {image.mode}; use load_image")
    if min(size) < 1:
        raise ValueError(f"size must be (width, height) of at least 1, got {size}")
    if len(mean) != 3 or len(std) != 3:
        raise ValueError(f"mean and std must have three values, got {mean} and {std}")
    planes = image.resize(size, Image.Resampling.BICUBIC).split()
    pixels = np.empty((3, size[1], size[0]), dtype=np.float32)
    for value_of_level, plane, channel in zip(
        _normalised_levels(mean, std), planes, pixels, strict=True
    ):
        value_of_level.take(np.asarray(plane), out=channel, mode="clip")
    return pixels


def is_address(source: str) -> bool:
    """Whether a picture is named by an http(s) address, not by a path or by its content."""
    return source[:8].lower().startswith(("http://", "https://"))


def _normalised_levels(mean: tuple[float, ...], std: tuple[float, ...]) -> NDArray[np.float32]:
    """What each of the 256 levels becomes, ``float32[3, 256]``."""
    scaled = (np.arange(256, dtype=np.float64) * (1 / 255)).astype(np.float32)
    centred = scaled[None, :] - np.asarray(mean, dtype=np.float32)[:, None]
    return centred / np.asarray(std, dtype=np.float32)[:, None]


def _from_array(array: NDArray[Any]) -> Image.Image:
    shape_fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != np.uint8 or not shape_fits or array.size == 0:
        raise ValueError(
            "an array picture is uint8 of shape [H, W], [H, W, 3] or [H, W, 4], "
            f"got {array.dtype} of shape {list(array.shape)}"
        )
    return Image.fromarray(array)


def _open_file(path: Path) -> IO[bytes]:
    if path.is_file():
        return path.open("rb")
    if path.is_dir():
        raise ImageError(f"{path} is a folder; name the pictures in it")
    if path.exists():
        raise ImageError(f"{path} is not a regular file; read it yourself and pass its bytes")
    raise FileNotFoundError(f"there is no picture {path}; check the path")


def _decode(stream: IO[bytes], name: str, max_pixels: int) -> Image.Image:
    """The picture in an open file, all of it in memory."""
    try:
        with _identify(stream) as image:
            return _upright_rgb(image, name, max_pixels)
    except ImageError:
        raise
    # Decoders of damaged files raise nearly anything, from IndexError to SyntaxError.
    except Exception as error:
        raise _broken(name, error) from error


def _identify(stream: IO[bytes]) -> ImageFile.ImageFile:
    """The picture whose header ``stream`` holds, not decoded yet.

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
        stream.seek(0)
        return factory(stream, "")
    raise ValueError(f"it is none of {', '.join(FORMATS)}")


def _upright_rgb(image: Image.Image, name: str, max_pixels: int) -> Image.Image:
    """A new RGB image of the pixels of ``image``, turned as its EXIF orientation says."""
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(
            f"{name} claims {width} x {height} pixels, more than the limit of {max_pixels}; "
            "make it smaller, or raise max_pixels if you trust it"
        )
    if width * height == 0:
        raise ImageError(f"{name} is {width} x {height} pixels large: there is nothing to see")
    try:
        image.load()
        rgb = _to_rgb(image)
    except Exception as error:
        raise _broken(name, error) from error
    # Read after decoding: some formats keep the orientation behind the pixels or apply it.
    turn = _TURN_UPRIGHT.get(_orientation(image))
    upright = rgb if turn is None else rgb.transpose(turn)
    # The copied EXIF block would turn the picture again wherever it is next loaded or saved.
    upright.info.clear()
    return upright


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; upright when there is none or the EXIF block is damaged."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, _UPRIGHT))
    except Exception:
        return _UPRIGHT


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return Image.fromarray(_to_8_bits(np.asarray(image), image.mode)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    picture = Image.new("RGB", image.size, "white")
    picture.paste(layer, mask=layer.getchannel("A"))
    return picture


def _to_8_bits(values: NDArray[Any], mode: str) -> NDArray[np.uint8]:
    """Grey values ``[H, W]`` of a deep mode as ``uint8[H, W]``.

    16-bit modes use their whole range. ``I`` and ``F`` do not tell theirs: it is taken to be the
    smallest usual one that holds all values (1 for ``F``, 255, 65535), and failing that, from the
    smallest value to the greatest. What is not a number is black.
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
    return ImageError(f"{name} cannot be read as a picture ({reason}); {_REMEDY}")


def _download(address: str) -> bytes:
    """The body behind an http(s) address, within the limits on time and size.

    The time limit holds for each wait on the server and for the body as a whole.
    """
    request = urllib.request.Request(address, headers={"User-Agent": "florence2"})
    deadline = time.monotonic() + DOWNLOAD_SECONDS
    body = bytearray()
    try:
        with _web().open(request, timeout=DOWNLOAD_SECONDS) as response:
            while part := response.read1(2**16):
                body += part
                if len(body) > MAX_DOWNLOAD_BYTES:
                    raise ValueError(f"more than {MAX_DOWNLOAD_BYTES} bytes")
                if time.monotonic() > deadline:
                    raise TimeoutError(f"not done after {DOWNLOAD_SECONDS:g} s")
    # urllib, http.client and the socket below them share no base class.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise ImageError(
            f"{address} cannot be fetched ({reason}); download the picture and pass its path"
        ) from error
    return bytes(body)


def _web() -> urllib.request.OpenerDirector:
    """An opener for http(s) and nothing else: a redirect cannot lead to files or ftp."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener
