from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from florence2.datasets import LabelError
from florence2.datasets.importers.image_files import (
    check_declared_size,
    find_images,
    load_record,
)
from florence2.results.records import content_hash

Draw = Callable[..., Path]


def test_an_image_is_measured_and_hashed_with_its_bytes(draw: Draw) -> None:
    path = draw("deep/a.jpg")
    record = load_record(path, "deep/a.jpg")
    assert (record.id, record.path, record.image_size) == ("deep/a.jpg", "deep/a.jpg", (100, 80))
    assert record.image == path.read_bytes()
    assert record.sha256 == content_hash(path.read_bytes())


@pytest.mark.parametrize(("orientation", "size"), [(1, (100, 80)), (3, (100, 80)), (6, (80, 100))])
def test_the_size_is_that_of_the_upright_image(
    draw: Draw, orientation: int, size: tuple[int, int]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert load_record(draw("a.jpg", exif=exif), "a").image_size == size


def test_missing_and_broken_images_are_distinguished(tmp_path: Path, draw: Draw) -> None:
    whole = draw("whole.jpg", (400, 300))
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(whole.read_bytes()[:-400])
    text = tmp_path / "text.png"
    text.write_text("not an image")
    for path, kind in (
        (tmp_path / "none.jpg", "missing-file"),
        (tmp_path, "missing-file"),
        (cut, "broken-image"),
        (text, "broken-image"),
    ):
        with pytest.raises(LabelError, match=path.name) as caught:
            load_record(path, path.name)
        assert caught.value.kind == kind


def test_a_declared_size_must_be_true_unless_left_out(draw: Draw) -> None:
    record = load_record(draw("a.png"), "a.png")
    for declared in ((100, 80), (0, 0), (None, None)):
        check_declared_size(record, declared)
    with pytest.raises(LabelError, match="at 80 x 100, the upright image is 100 x 80"):
        check_declared_size(record, (80, 100))


def test_images_are_found_in_order(tmp_path: Path, draw: Draw) -> None:
    for name in ("b.png", "a/z.JPG", "a/b.txt.png"):
        draw(name)
    (tmp_path / "notes.txt").write_text("x")
    found = [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)]
    assert found == ["a/b.txt.png", "a/z.JPG", "b.png"]
