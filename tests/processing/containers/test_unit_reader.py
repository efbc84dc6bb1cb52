"""Images inside other files: listed by their content, and each loaded by its name."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from florence2.processing.containers import (
    DecoderError,
    DecoderLimits,
    DecoderProcess,
    Unit,
    UnitReader,
    list_units,
    load_unit,
    parse_unit_name,
)
from florence2.processing.containers.frame_choice import choose_frames


def mean_color(image: Image.Image) -> tuple[int, ...]:
    return tuple(round(each) for each in np.asarray(image).reshape(-1, 3).mean(0))


def test_pages_of_a_pdf_are_units(tmp_path: Path, pdf: Callable[..., bytes]) -> None:
    path = tmp_path / "two.pdf"
    path.write_bytes(pdf([(255, 0, 0), (0, 255, 0)]))
    units = list_units(path)
    assert [each.name for each in units] == [f"{path}#page=1", f"{path}#page=2"]
    red, green = (mean_color(load_unit(each.name)) for each in units)
    assert red == pytest.approx((255, 0, 0), abs=3) and green == pytest.approx((0, 255, 0), abs=3)
    with pytest.raises(ValueError, match="pages 1 to 2, not 3"):
        load_unit(f"{path}#page=3")
    with pytest.raises(ValueError, match="no frames"):
        load_unit(f"{path}#t=1.000")


def test_content_decides_what_a_file_is(tmp_path: Path, pdf: Callable[..., bytes]) -> None:
    (tmp_path / "report").write_bytes(pdf([(1, 2, 3)]))
    assert list_units(tmp_path / "report") == [Unit(str(tmp_path / "report"), page=1)]
    Image.new("RGB", (9, 7)).save(tmp_path / "a.mp4", "JPEG")
    assert list_units(tmp_path / "a.mp4") == [Unit(str(tmp_path / "a.mp4"))]
    assert load_unit(str(tmp_path / "a.mp4")).size == (9, 7)


def test_a_file_whose_name_looks_like_a_page(tmp_path: Path) -> None:
    path = tmp_path / "a.png#page=1"
    Image.new("RGB", (9, 7)).save(path, "PNG")
    assert parse_unit_name(str(path)) == Unit(str(path))
    assert load_unit(str(path)).size == (9, 7)


@pytest.mark.parametrize("bits", ["1", "L", "RGB"])
def test_pages_of_a_tiff(tmp_path: Path, bits: str) -> None:
    pages = [Image.new("RGB", (20 + n, 10), (0, 0, 0)).convert(bits) for n in range(3)]
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:])
    units = list_units(tmp_path / "scan.tif")
    assert [each.page for each in units] == [1, 2, 3]
    assert [load_unit(each).size for each in units] == [(20, 10), (21, 10), (22, 10)]
    pages[0].save(tmp_path / "one.tif")
    assert list_units(tmp_path / "one.tif") == [Unit(str(tmp_path / "one.tif"))]


def test_smaller_copies_in_a_tiff_are_no_pages(tmp_path: Path) -> None:
    whole, copy = Image.new("RGB", (64, 64)), Image.new("RGB", (16, 16))
    copy.encoderinfo = {"tiffinfo": {254: 1}}  # type: ignore[attr-defined]
    whole.save(tmp_path / "pyramid.tif", save_all=True, append_images=[copy])
    assert list_units(tmp_path / "pyramid.tif") == [Unit(str(tmp_path / "pyramid.tif"))]


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_frames_of_an_animation(tmp_path: Path, suffix: str) -> None:
    colors = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    frames = [Image.new("RGB", (16, 16), color) for color in colors]
    path = tmp_path / f"moving.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=1000)
    units = list_units(path)
    assert [each.seconds for each in units] == [0.0, 1.0, 2.0]
    for unit, color in zip(units, colors, strict=True):
        assert mean_color(load_unit(unit.name)) == pytest.approx(color, abs=12)
    # A short one, or one that is looked at rarely, is its first frame by its plain name.
    assert list_units(path, every=10) == [Unit(str(path))]


def test_what_a_video_says_of_its_length_is_not_believed(
    tmp_path: Path, clip: Callable[..., Path]
) -> None:
    path = clip("live.mkv", range(0, 30), live=True)
    assert [each.seconds for each in list_units(path)] == [0.0, 1.0, 2.0]
    content = bytearray(clip("long.mkv", range(0, 30)).read_bytes())
    at = content.index(b"\x44\x89\x88") + 3  # Duration, a double in milliseconds
    import struct

    content[at : at + 8] = struct.pack(">d", 1e18)
    (tmp_path / "liar.mkv").write_bytes(content)
    assert [each.seconds for each in list_units(tmp_path / "liar.mkv")] == [0.0, 1.0, 2.0]


def test_each_frame_is_taken_once(clip: Callable[..., Path]) -> None:
    held = clip("held.mp4", [0, 5, 10, 40, 41])
    units = list_units(held)
    assert [each.seconds for each in units] == [0.0, 1.0, 4.0]
    levels = [mean_color(load_unit(each.name))[0] for each in units]
    assert levels == pytest.approx([0, 50, 200], abs=8)
    for every in (0.1, 0.3, 0.033, 0.001):
        units = list_units(held, every)
        assert len(units) <= 5 and len({each.name for each in units}) == len(units)
        for unit in units:
            assert load_unit(unit).size == (64, 48)


def test_frames_far_ahead_and_back_again(clip: Callable[..., Path]) -> None:
    path = clip("minute.mp4", range(0, 600, 2))
    for seconds in (50, 10, 58, 0, 31):
        level = mean_color(load_unit(Unit(str(path), seconds=float(seconds))))[0]
        assert level == pytest.approx(seconds * 50 % 256, abs=8)


def test_a_frame_that_is_damaged_fails_alone(clip: Callable[..., Path]) -> None:
    path = clip("cut.mkv", range(0, 30))
    with pytest.raises(ValueError, match="no frame at 99"):
        load_unit(f"{path}#t=99.000")
    assert load_unit(f"{path}#t=2.000").size == (64, 48)


@pytest.mark.parametrize(
    ("times", "every", "expected"),
    [
        ([0, 0.5, 1.0, 1.5], 1, [(0, 0), (1, 1.0)]),
        ([0, 1.001, 2.002], 1, [(0, 0), (1, 1.001), (2, 2.002)]),
        ([0, 10, 20], 1, [(0, 0), (10, 10), (20, 20)]),
        ([0, 0.1, 0.2], 0.001, [(0, 0), (0.1, 0.1), (0.2, 0.2)]),
        ([0, 1e15], 1, [(0, 0), (1e15, 1e15)]),
    ],
)
def test_times_that_frames_stand_for(
    times: list[float], every: float, expected: list[tuple[float, float]]
) -> None:
    found = choose_frames(times, every)
    assert np.array(found) == pytest.approx(np.array(expected, float))


def test_a_playlist_is_not_followed(tmp_path: Path, clip: Callable[..., Path]) -> None:
    path = clip("real.mp4", range(3))
    for name, text in (
        ("list.mp4", f"#EXTM3U\n#EXTINF:1,\nfile://{path}\n#EXT-X-ENDLIST\n"),
        ("concat.mp4", f"ffconcat version 1.0\nfile '{path}'\n"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match="as a video"):
            list_units(tmp_path / name)


def test_a_name_that_looks_like_a_url_is_a_file(
    tmp_path: Path, clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip("real.mp4", range(3)).rename(tmp_path / "http:127.0.0.1:9?x.mp4")
    monkeypatch.chdir(tmp_path)
    assert [each.seconds for each in list_units("http:127.0.0.1:9?x.mp4")] == [0.0]


def test_named_pipes_and_devices_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.mp4")
    os.symlink("/dev/zero", tmp_path / "x.pdf")
    for name in ("x.mp4", "x.pdf"):
        with pytest.raises(ValueError, match="regular file"):
            list_units(tmp_path / name)


def test_memory_and_time_are_limited(tmp_path: Path, pdf: Callable[..., bytes]) -> None:
    (tmp_path / "good.pdf").write_bytes(pdf([(9, 9, 9)]))
    (tmp_path / "bomb.pdf").write_bytes(nested_forms())
    with DecoderProcess(DecoderLimits(memory=2**30, seconds=4)) as process:
        reader = UnitReader(process=process)
        with pytest.raises(ValueError, match=r"bomb\.pdf"):
            for unit in reader.list_units(tmp_path / "bomb.pdf"):
                reader.load_unit(unit)
        # The next file is decoded by a process that starts again.
        assert reader.load_unit(f"{tmp_path}/good.pdf#page=1").size == (300, 150)
    with (
        DecoderProcess(DecoderLimits(seconds=0.01)) as process,
        pytest.raises(DecoderError, match="longer than"),
    ):
        UnitReader(process=process).list_units(tmp_path / "good.pdf")


def nested_forms() -> bytes:
    """A PDF whose page draws a form that draws ten others, and so on for twelve levels."""
    objects = {
        1: b"<</Type/Catalog/Pages 2 0 R>>",
        2: b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        3: b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R"
        b"/Resources<</XObject<</F 10 0 R>>>>>>",
        4: b"<</Length 4>>stream\n/F Do\nendstream",
    }
    for level in range(10, 22):
        body = b"/F Do\n" * 10 if level < 21 else b"0 0 9 9 re f\n" * 2000
        inner = b"<</XObject<</F %d 0 R>>>>" % (level + 1) if level < 21 else b"<<>>"
        objects[level] = (
            b"<</Type/XObject/Subtype/Form/BBox[0 0 200 200]/Group<</S/Transparency/I true>>"
            b"/Resources%s/Length %d>>stream\n%s\nendstream" % (inner, len(body), body)
        )
    content = b"%PDF-1.4\n"
    places = {}
    for number, value in objects.items():
        places[number] = len(content)
        content += b"%d 0 obj\n%s\nendobj\n" % (number, value)
    return content + b"trailer<</Root 1 0 R/Size 30>>\n"


def test_a_vast_page_is_rendered_small(tmp_path: Path, pdf: Callable[..., bytes]) -> None:
    for box, largest in (("[0 0 99999999 99999999]", 2**27), ("[0 0 9999999 1]", 30_001)):
        objects = (
            "1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>"
            f"endobj 3 0 obj<</Type/Page/Parent 2 0 R/MediaBox{box}>>endobj"
        )
        path = tmp_path / "vast.pdf"
        path.write_text(f"%PDF-1.4\n{objects}\ntrailer<</Root 1 0 R>>\n")
        reader = UnitReader(max_pixels=10**6)
        try:
            image = reader.load_unit(f"{path}#page=1")
        except ValueError as error:
            assert "vast.pdf" in str(error)
        else:
            assert image.width * image.height <= min(largest, 1_050_000)


def test_a_page_count_that_is_not_true(tmp_path: Path) -> None:
    path = tmp_path / "count.pdf"
    for count, message in ((50_000, None), (2_000_000_000, "limit")):
        path.write_text(
            "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[3 0 R]"
            f"/Count {count}>>endobj 3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>endobj"
            "\ntrailer<</Root 1 0 R>>\n"
        )
        if message is None:
            assert len(list_units(path)) <= 2
        else:
            try:
                assert len(list_units(path)) <= 2
            except ValueError as error:
                assert message in str(error)


def test_thousands_of_frames_on_a_vast_canvas_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "canvas.gif"
    head = b"GIF89a" + struct.pack("<HHBBB", 11_000, 11_000, 0xF0, 0, 0) + b"\0\0\0\xff\xff\xff"
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    path.write_bytes(head + frame * 1000 + b";")
    with pytest.raises(ValueError, match=r"canvas.gif: it has 1,000 frames of 11000 x 11000"):
        list_units(path)
