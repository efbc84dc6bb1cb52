"""Damaged image files load or raise ImageError, quickly and without asking for much memory.

The files are tried in a process of their own, whose peak of memory is then theirs alone.
"""

from __future__ import annotations

import collections
import io
import json
import os
import random
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import florence2.processing.image
from florence2.processing.image import ImageError, load_image

FILES = 2000
MAX_PIXELS = 2**16
MAX_GROWTH_MB = 64
FORMATS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("PNG", {}),
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("GIF", {}),
    ("GIF", {"save_all": True}),
    ("WEBP", {}),
    ("WEBP", {"lossless": True}),
    ("WEBP", {"save_all": True}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("BMP", {}),
)


def whole_files() -> list[bytes]:
    """One small sound file of every kind, with EXIF where the format has it."""
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    exif = Image.Exif()
    exif[0x0112] = 6
    files = []
    for file_format, options in FORMATS:
        options = dict(options)
        if options.get("save_all"):
            options["append_images"] = [image.rotate(90)]
        if file_format in ("PNG", "JPEG", "WEBP", "TIFF"):
            options["exif"] = exif
        stream = io.BytesIO()
        image.save(stream, file_format, **options)
        files.append(stream.getvalue())
    return files


def damaged(whole: bytes, chance: random.Random) -> bytes:
    """``whole`` cut short, or with bytes changed anywhere, in the header, or in a run."""
    data = bytearray(whole)
    kind = chance.choice(("bytes", "cut", "header", "run"))
    if kind == "cut":
        return bytes(data[: chance.randrange(len(data))])
    if kind == "run":
        start, length = chance.randrange(len(data)), chance.randrange(1, 5)
        data[start : start + length] = chance.choice((b"\0", b"\x7f", b"\xff")) * length
        return bytes(data)
    reach = len(data) if kind == "bytes" else min(64, len(data))
    for _ in range(chance.randrange(1, 9)):
        data[chance.randrange(reach)] = chance.choice((0, 127, 255, chance.randrange(256)))
    return bytes(data)


def lying_headers() -> Iterator[bytes]:
    """Tiny files whose headers claim more than a gigabyte of pixels."""
    side = 60000
    header = struct.pack(">II5B", side, side, 8, 2, 0, 0, 0)
    checksum = struct.pack(">I", zlib.crc32(b"IHDR" + header))
    yield b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header + checksum + b"\0" * 50
    yield b"GIF89a" + struct.pack("<HHBBB", side, side, 0, 0, 0) + b"," + b"\0" * 50
    yield (
        b"BM"
        + struct.pack("<IHHI", 0, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
    )
    yield b"P6\n%d %d\n255\n" % (side, side)
    jpeg = bytearray(whole_files()[1])
    start = jpeg.index(b"\xff\xc0") + 5
    jpeg[start : start + 4] = struct.pack(">HH", side, side)
    yield bytes(jpeg)
    canvas = struct.pack("<I", 16000 - 1)[:3]
    extended = b"VP8X" + struct.pack("<II", 10, 2) + canvas * 2
    yield b"RIFF" + struct.pack("<I", len(extended) + 4) + b"WEBP" + extended
    tags = ((256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8))
    tiff = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    yield b"II*\0" + struct.pack("<IH", 8, len(tags)) + tiff + b"\0" * 8


def peak_memory_mb() -> float:
    """The peak of this process' resident memory, by the record of the kernel."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("the kernel tells no peak of memory")


def attempt(data: bytes) -> str:
    try:
        image = load_image(data, max_pixels=MAX_PIXELS)
    except ImageError as error:
        assert "bytes" in str(error) and ";" in str(error)
        return "refused"
    assert image.mode == "RGB" and image.width * image.height <= MAX_PIXELS
    return "loaded"


def main() -> None:
    """Try every damaged file; print what came of them and how the memory grew."""
    warnings.simplefilter("ignore")
    whole = whole_files()
    outcomes = collections.Counter(attempt(data) for data in whole)
    assert outcomes["loaded"] == len(whole)
    before = peak_memory_mb()
    chance = random.Random(2024)
    outcomes.update(attempt(damaged(whole[i % len(whole)], chance)) for i in range(FILES))
    outcomes.update(attempt(data) for data in lying_headers())
    print(json.dumps({**outcomes, "growth_mb": peak_memory_mb() - before}))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_damaged_files_load_or_raise_image_error_in_bounded_memory() -> None:
    package = Path(florence2.processing.image.__file__).parents[2]
    search = os.pathsep.join(filter(None, (str(package), os.environ.get("PYTHONPATH"))))
    ran = subprocess.run(
        [sys.executable, __file__],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": search},
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    report = json.loads(ran.stdout)
    assert report["loaded"] + report["refused"] >= FILES
    assert report["refused"] > FILES / 4
    assert report["growth_mb"] < MAX_GROWTH_MB


@pytest.mark.parametrize("data", list(lying_headers()), ids=lambda data: repr(data[:4]))
def test_a_header_that_claims_too_much_is_refused(data: bytes) -> None:
    with pytest.raises(ImageError):
        load_image(data)


if __name__ == "__main__":
    main()
