"""Headers of image files that claim more than any image has are refused before decoding."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from florence2.io.image_headers import MAX_READS, MAX_SCANS, MAX_STRIPS
from florence2.processing.image import ImageError, load_image, probe_image


def saved(format_name: str, size: tuple[int, int] = (40, 24), **options: object) -> bytes:
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, format_name, **options)
    return stream.getvalue()


def with_scans(count: int) -> bytes:
    content = saved("JPEG", progressive=True)
    first = content.index(b"\xff\xda")
    second = content.index(b"\xff\xda", first + 2)
    scan = content[first : content.rindex(b"\xff", first, second)]
    return content[:first] + scan * count + b"\xff\xd9"


def test_a_jpeg_of_a_thousand_scans_is_refused() -> None:
    for read in (load_image, probe_image):
        with pytest.raises(ImageError, match=f"more than {MAX_SCANS} scans"):
            read(with_scans(1000))
        assert read(saved("JPEG", progressive=True))


@pytest.mark.parametrize("progressive", [False, True])
def test_what_follows_a_jpeg_is_not_counted(progressive: bool) -> None:
    # Phones append a video to a photo; its bytes look like markers by chance.
    photo = saved("JPEG", progressive=progressive) + b"\xff\xda" * 5000
    assert load_image(photo).size == (40, 24)


def test_a_thumbnail_in_a_segment_is_not_counted() -> None:
    photo = saved("JPEG", progressive=True)
    extra = b"\xff\xda" * 5000
    segment = b"\xff\xe5" + struct.pack(">H", len(extra) + 2) + extra
    assert load_image(photo[:2] + segment + photo[2:]).size == (40, 24)


@pytest.mark.parametrize("is_big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_of_a_million_strips_is_refused(order: str, is_big: bool) -> None:
    count = MAX_STRIPS + 1
    tags = [(256, 4, 1, 8), (257, 4, 1, count), (258, 3, 1, 8), (273, 1, count, 200)]
    entry = order + ("HHQQ" if is_big else "HHII")
    head = b"II" if order == "<" else b"MM"
    head += (
        struct.pack(order + "HHHQ", 43, 8, 0, 16) if is_big else struct.pack(order + "HI", 42, 8)
    )
    listed = struct.pack(order + ("Q" if is_big else "H"), len(tags))
    content = head + listed + b"".join(struct.pack(entry, *tag) for tag in tags)
    with pytest.raises(ImageError, match="strips"):
        load_image(content.ljust(200, b"\0") + b"\x08" * count)


def test_a_header_in_a_million_parts_is_refused() -> None:
    photo = saved("PNG")
    chunk = struct.pack(">I", 0) + b"teXt" + struct.pack(">I", zlib.crc32(b"teXt"))
    with pytest.raises(ImageError, match="parts"):
        load_image(photo[:33] + chunk * MAX_READS + photo[33:])
    with pytest.raises(ImageError, match="parts"):
        load_image(b"P3\n#" + b" " * 2 * MAX_READS + b"\n1 1 255\n1 2 3")
    with pytest.raises(ImageError, match="parts"):
        load_image(b"\xff\xd8" + b"\xff\xfe\0\2" * MAX_READS + saved("JPEG")[2:])


@pytest.mark.parametrize("format_name", ["JPEG", "TIFF"])
def test_damaged_headers_are_left_to_the_decoder(format_name: str) -> None:
    content = saved(format_name)
    for length in range(8, len(content), 37):
        with pytest.raises(ImageError):
            load_image(content[:length])


def test_a_tiff_of_strips_is_read() -> None:
    photo = saved("TIFF", (8, 300), compression=None, strip_size=1)
    assert load_image(photo).size == (8, 300)
