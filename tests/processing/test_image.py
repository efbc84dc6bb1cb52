"""Images from everywhere come out upright and RGB, and pixels are the released ones."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from florence2.processing import image as image_module
from florence2.processing.image import ImageError, load_image, probe_image, to_pixels

ORIENTATION = 0x0112
RED, WHITE = (255, 0, 0), (255, 255, 255)


def noise(width: int, height: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def pattern() -> Image.Image:
    """The image of the released preprocessing's golden values, 100 x 80."""
    y, x = np.mgrid[:80, :100]
    return Image.fromarray(np.stack([5 * x, 7 * y, 3 * (x + y)], axis=-1).astype(np.uint8))


class TestSources:
    def test_every_kind_of_source_gives_the_same_picture(self, tmp_path: Path) -> None:
        pixels = noise(20, 10)
        data = encoded(Image.fromarray(pixels), "PNG")
        path = tmp_path / "picture.png"
        path.write_bytes(data)
        for source in (path, str(path), data, pixels, Image.fromarray(pixels), Image.open(path)):
            loaded = load_image(source)
            assert loaded.mode == "RGB"
            assert np.array_equal(np.asarray(loaded), pixels)

    def test_the_result_is_a_picture_of_its_own(self) -> None:
        given = Image.new("RGB", (4, 4))
        load_image(given).putpixel((0, 0), RED)
        assert given.getpixel((0, 0)) == (0, 0, 0)

    def test_arrays_may_be_grey_rgb_or_rgba(self) -> None:
        grey = noise(6, 5, 1)
        assert np.array_equal(np.asarray(load_image(grey))[..., 2], grey)
        clear = np.zeros((5, 6, 4), np.uint8)
        assert load_image(clear).getpixel((0, 0)) == WHITE

    @pytest.mark.parametrize(
        "array",
        [
            np.zeros((4, 4, 3), np.float32),
            np.zeros((4, 4, 3), np.int64),
            np.zeros((4, 4, 2), np.uint8),
            np.zeros((3, 4, 4, 3), np.uint8),
            np.zeros(4, np.uint8),
            np.zeros((0, 4, 3), np.uint8),
        ],
    )
    def test_unfit_arrays_are_refused_with_what_they_are(self, array: np.ndarray) -> None:
        with pytest.raises(ValueError, match=str(array.dtype)):
            load_image(array)

    def test_other_types_are_refused(self) -> None:
        with pytest.raises(ValueError, match="got dict"):
            load_image({})  # type: ignore[arg-type]

    def test_missing_file_and_folder(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"absent\.png"):
            load_image(tmp_path / "absent.png")
        with pytest.raises(ImageError, match="is a directory"):
            load_image(tmp_path)

    def test_files_are_closed(self, tmp_path: Path) -> None:
        frame = Image.fromarray(noise(8, 8))
        good, bad = tmp_path / "good.gif", tmp_path / "bad.gif"
        frame.save(good, save_all=True, append_images=[frame.rotate(90)])
        bad.write_bytes(good.read_bytes()[:60])
        with warnings.catch_warnings():
            warnings.simplefilter("error", ResourceWarning)
            load_image(good)
            with pytest.raises(ImageError):
                load_image(bad)
            gc.collect()


class TestModes:
    @pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "HSV"])
    def test_plain_modes_convert(self, mode: str) -> None:
        image = Image.new("RGB", (3, 2), WHITE).convert(mode)
        assert load_image(image).getpixel((1, 1)) == WHITE

    def test_transparency_is_laid_over_white(self) -> None:
        half = Image.new("RGBA", (2, 1), (255, 0, 0, 51))
        half.putpixel((1, 0), (255, 0, 0, 255))
        expected = [(255, 204, 204), RED]
        loaded = load_image(half)
        assert [loaded.getpixel((x, 0)) for x in (0, 1)] == expected
        assert load_image(Image.new("LA", (1, 1), (0, 0))).getpixel((0, 0)) == WHITE

    @pytest.mark.parametrize("mode", ["P", "RGB", "L", "1"])
    def test_a_transparent_colour_is_white(self, mode: str) -> None:
        transparent: Any = (0, 0, 0) if mode == "RGB" else 0
        data = encoded(Image.new(mode, (2, 2)), "PNG", transparency=transparent)
        assert load_image(data).getpixel((0, 0)) == WHITE

    @pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
    def test_16_bit_grey_is_scaled_not_cut(self, file_format: str) -> None:
        values = np.arange(0, 65536, 257 // 2, dtype=np.uint16).reshape(16, -1)
        loaded = load_image(encoded(Image.fromarray(values), file_format))
        expected = np.rint(values / 257).astype(np.uint8)
        assert np.array_equal(np.asarray(loaded)[..., 0], expected)

    @pytest.mark.parametrize(
        ("mode", "values", "expected"),
        [
            ("I", [0, 100, 255], [0, 100, 255]),
            ("I", [0, 257, 65535], [0, 1, 255]),
            ("I", [-100, 0, 100], [0, 128, 255]),
            ("F", [0, 0.5, 1], [0, 128, 255]),
            ("F", [0, 99.6, 255], [0, 100, 255]),
            ("F", [float("nan"), 0, 1], [0, 0, 255]),
            ("F", [7e7, 7e7, 7e7], [0, 0, 0]),
            ("F", [float("-inf"), 0, float("inf")], [0, 128, 255]),
        ],
    )
    def test_deep_grey_finds_its_range(
        self, mode: str, values: list[float], expected: list[int]
    ) -> None:
        array = np.asarray([values], dtype=np.int32 if mode == "I" else np.float32)
        image = Image.fromarray(array)
        assert image.mode == mode
        assert np.asarray(load_image(image))[0, :, 0].tolist() == expected

    @pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF"])
    def test_an_animation_gives_its_first_frame(self, file_format: str) -> None:
        first, second = Image.new("RGB", (8, 8), RED), Image.new("RGB", (8, 8), (0, 0, 255))
        data = encoded(first, file_format, save_all=True, append_images=[second])
        red, green, blue = load_image(data).getpixel((4, 4))  # type: ignore[misc]
        assert red > 240 and max(green, blue) < 15


class TestOrientation:
    @pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "WEBP"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_pictures_come_out_upright(self, file_format: str, orientation: int) -> None:
        upright = np.zeros((32, 64), np.uint8)
        upright[:16, :16] = 255
        upright[16:, 48:] = 128
        undo = {
            1: upright,
            2: upright[:, ::-1],
            3: upright[::-1, ::-1],
            4: upright[::-1],
            5: upright.T,
            6: np.rot90(upright),
            7: upright[::-1, ::-1].T,
            8: np.rot90(upright, -1),
        }
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        stored = Image.fromarray(np.ascontiguousarray(undo[orientation]))
        data = encoded(stored.convert("RGB"), file_format, exif=exif)
        loaded = load_image(data)
        difference = np.asarray(loaded)[..., 0].astype(int) - upright
        assert loaded.size == (64, 32)
        assert np.abs(difference).max() < 25
        again = load_image(loaded)
        assert np.array_equal(np.asarray(again), np.asarray(loaded))

    def test_a_caller_keeps_the_exif_of_a_given_picture(self) -> None:
        exif = Image.Exif()
        exif[ORIENTATION] = 6
        image = Image.open(io.BytesIO(encoded(Image.new("RGB", (9, 5)), "PNG", exif=exif)))
        assert load_image(image).size == (5, 9)
        assert image.size == (9, 5)
        assert image.getexif()[ORIENTATION] == 6

    def test_damaged_exif_does_not_cost_the_picture(self) -> None:
        data = encoded(Image.new("RGB", (9, 5)), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert load_image(data).size == (9, 5)


class TestLimits:
    def test_the_limit_is_checked_before_decoding(self) -> None:
        data = encoded(Image.new("RGB", (40, 30)), "PNG")
        assert load_image(data, max_pixels=1200).size == (40, 30)
        with pytest.raises(ImageError, match=r"40 x 30 .* limit of 1199"):
            load_image(data[:60], max_pixels=1199)
        with pytest.raises(ImageError, match="raise max_pixels"):
            load_image(noise(40, 30), max_pixels=1199)

    def test_the_limit_of_the_process_is_neither_used_nor_changed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
        data = encoded(Image.new("RGB", (40, 30)), "PNG")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert load_image(data).size == (40, 30)
        assert Image.MAX_IMAGE_PIXELS == 10

    def test_threads_do_not_disturb_each_other(self) -> None:
        pictures = [noise(16 + index, 16, seed=index) for index in range(40)]
        files = [encoded(Image.fromarray(pixels), "PNG") for pixels in pictures]
        with ThreadPoolExecutor(8) as pool:
            loaded = list(pool.map(load_image, files))
        for image, pixels in zip(loaded, pictures, strict=True):
            assert np.array_equal(np.asarray(image), pixels)

    def test_broken_files_are_named_with_reason_and_remedy(self, tmp_path: Path) -> None:
        path = tmp_path / "cut.jpg"
        path.write_bytes(encoded(Image.fromarray(noise(64, 64)), "JPEG")[:900])
        with pytest.raises(ImageError, match=r"cut\.jpg .*truncated.*save it again") as caught:
            load_image(path)
        assert isinstance(caught.value, ValueError)

    @pytest.mark.parametrize("data", [b"", b"\0", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
    def test_what_is_no_picture_is_refused(self, data: bytes) -> None:
        with pytest.raises(ImageError, match="not one of JPEG, PNG"):
            load_image(data)


class _Pictures(BaseHTTPRequestHandler):
    """A server of one image and of everything that can go wrong with it."""

    def do_GET(self) -> None:
        data = encoded(Image.new("RGB", (6, 4), RED), "PNG")
        if self.path == "/elsewhere.png":
            self.send_response(302)
            self.send_header("Location", "ftp://127.0.0.1/picture.png")
        elif self.path == "/missing.png":
            self.send_response(404)
        else:
            self.send_response(200)
        self.end_headers()
        body = {"/picture.png": data, "/page.html": b"<html>", "/large.png": data * 100}
        self.wfile.write(body.get(self.path, b""))
        if self.path == "/slow.png":
            # Every wait is short; it is the whole that takes too long.
            with contextlib.suppress(OSError):
                for _ in range(40):
                    time.sleep(0.02)
                    self.wfile.write(b"-")

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("FLORENCE2_ALLOWED_HOSTS", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), _Pictures) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


class TestAddresses:
    def test_an_address_is_fetched_only_when_allowed(self, server: str) -> None:
        with pytest.raises(ValueError, match="allow_urls=True"):
            load_image(f"{server}/picture.png")
        loaded = load_image(f"{server}/picture.png", allow_urls=True)
        assert loaded.size == (6, 4)
        assert loaded.getpixel((0, 0)) == RED

    @pytest.mark.parametrize(
        ("page", "reason"),
        [
            ("missing.png", "404"),
            ("elsewhere.png", "ftp"),
            ("page.html", "not one of"),
        ],
    )
    def test_failures_name_the_address(self, server: str, page: str, reason: str) -> None:
        with pytest.raises(ImageError, match=rf"{page} .*{reason}"):
            load_image(f"{server}/{page}", allow_urls=True)

    def test_size_and_time_are_limited(self, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(image_module, "MAX_DOWNLOAD_BYTES", 1000)
        with pytest.raises(ImageError, match="more than 1000 bytes"):
            load_image(f"{server}/large.png", allow_urls=True)
        monkeypatch.setattr(image_module, "DOWNLOAD_SECONDS", 0.1)
        with pytest.raises(ImageError, match="too long"):
            load_image(f"{server}/slow.png", allow_urls=True)

    def test_private_hosts_are_not_fetched_from(self, server: str) -> None:
        os.environ["FLORENCE2_ALLOWED_HOSTS"] = ""
        with pytest.raises(ImageError, match="private address"):
            load_image(f"{server}/picture.png", allow_urls=True)

    def test_a_dead_server_is_an_image_error(self) -> None:
        with pytest.raises(ImageError, match="cannot be fetched"):
            load_image("http://127.0.0.1:9/picture.png", allow_urls=True)


def turned(orientation: int, name: str = "JPEG") -> bytes:
    """An image of 6 x 4 stored pixels with an orientation."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    content = io.BytesIO()
    Image.new("RGB", (6, 4), RED).save(content, name, exif=exif)
    return content.getvalue()


class TestDoor:
    @pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_probe_and_load_agree_on_the_upright_size(
        self, format_name: str, orientation: int
    ) -> None:
        content = turned(orientation, format_name)
        info = probe_image(content)
        assert info.image_size == load_image(content).size
        assert info.image_size == ((4, 6) if orientation >= 5 else (6, 4))
        # The AVIF encoder turns the pixels' frame itself and keeps no EXIF orientation.
        if format_name != "AVIF":
            assert info.stored_size == (6, 4)
            assert (info.orientation, info.format) == (orientation, format_name)

    def test_no_program_is_started(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        gs = tmp_path / "gs"
        gs.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
        gs.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        eps = tmp_path / "a.jpg"
        eps.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n")
        for open_it in (load_image, probe_image):
            with pytest.raises(ImageError):
                open_it(eps)
        assert not (tmp_path / "started").exists()

    def test_special_files_are_refused_at_once(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.jpg")
        for path in (tmp_path / "pipe.jpg", Path("/dev/zero"), tmp_path):
            for open_it in (load_image, probe_image):
                with pytest.raises(ImageError):
                    open_it(path)

    def test_a_header_that_claims_too_much_is_refused(self) -> None:
        with pytest.raises(ImageError, match="more than the limit of 10"):
            probe_image(turned(1), max_pixels=10)


class TestPixels:
    def test_golden_values(self) -> None:
        pixels = to_pixels(pattern())
        assert pixels.shape == (3, 768, 768)
        assert pixels.dtype == np.float32
        golden = {
            (0, 0, 0): -2.1179039478302,
            (0, 0, 767): 1.9920369386672974,
            (1, 100, 200): -0.8102239966392517,
            (1, 383, 384): -1.6855741739273071,
            (2, 767, 767): -1.4210021495819092,
            (2, 500, 10): 0.9493683576583862,
            (0, 300, 400): -0.6794246435165405,
        }
        for place, value in golden.items():
            assert float(pixels[place]) == np.float32(value)
        means = pixels.mean(axis=(1, 2), dtype=np.float64)
        assert means == pytest.approx([0.01571104, 0.05910806, 0.44157329], abs=1e-8)

    @pytest.mark.parametrize("width_height", [(100, 80), (768, 768), (37, 1201), (1, 1)])
    @pytest.mark.parametrize("size", [(768, 768), (384, 256)])
    def test_bit_for_bit_as_transformers(
        self, width_height: tuple[int, int], size: tuple[int, int]
    ) -> None:
        oracle = pytest.importorskip("transformers.models.clip.image_processing_pil_clip")
        processor = oracle.CLIPImageProcessorPil(
            do_resize=True,
            size={"width": size[0], "height": size[1]},
            resample=3,
            do_center_crop=False,
            do_convert_rgb=None,
            image_mean=list(image_module.IMAGENET_MEAN),
            image_std=list(image_module.IMAGENET_STD),
        )
        image = Image.fromarray(noise(*width_height, seed=7))
        expected = np.asarray(processor(image, return_tensors="np")["pixel_values"][0])
        assert np.array_equal(to_pixels(image, size), expected)

    def test_unfit_arguments_are_refused(self) -> None:
        image = Image.new("RGB", (4, 4))
        with pytest.raises(ValueError, match="got mode RGBA; use load_image"):
            to_pixels(image.convert("RGBA"))
        with pytest.raises(ValueError, match=r"at least 1, got \(0, 4\)"):
            to_pixels(image, (0, 4))
        with pytest.raises(ValueError, match="three values"):
            to_pixels(image, mean=(0.5,))
