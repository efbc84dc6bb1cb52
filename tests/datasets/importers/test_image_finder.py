from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from florence2.datasets import LabelError
from florence2.datasets.importers.image_finder import ImageFinder

Draw = Callable[..., Path]


@pytest.mark.parametrize(
    ("on_disk", "written"),
    [
        ("a.png", "a.png"),
        ("images/a.png", "a.png"),
        ("data/a.png", "a.png"),
        ("train/a.png", "train\\a.png"),
        ("train/a.png", "./train/a.png"),
        ("a b.png", "a%20b.png"),
        ("a b.png", " a b.png "),
        ("50%.png", "50%.png"),
        ("a#1&2+3.png", "a#1&2+3.png"),
        ('it\'s "q".png', 'it\'s "q".png'),
        ("A.PNG", "a.png"),
        ("deep/er/a.png", "a.png"),
        ("a.png", "C:\\sets\\mine\\a.png"),
        ("a.png", "/elsewhere/mine/a.png"),
        ("a.png", "https://host/path/a.png?size=1"),
        ("a.jpg", "a"),
        (unicodedata.normalize("NFD", "café.png"), unicodedata.normalize("NFC", "café.png")),
    ],
)
def test_an_image_is_found_by_the_names_that_tools_write(
    tmp_path: Path, draw: Draw, on_disk: str, written: str
) -> None:
    path = draw(on_disk)
    assert ImageFinder(tmp_path).find(written) == path


def test_an_image_of_another_directory_is_another_image(tmp_path: Path, draw: Draw) -> None:
    draw("val/a.png")
    draw("train/b.png")
    with pytest.raises(LabelError, match=r"'train/a\.png' is missing"):
        ImageFinder(tmp_path).find("train/a.png")


def test_a_name_of_several_images_is_refused_with_their_directories(
    tmp_path: Path, draw: Draw
) -> None:
    draw("one/a.png")
    draw("two/a.png")
    with pytest.raises(LabelError, match=r"'one/a\.png', 'two/a\.png'"):
        ImageFinder(tmp_path).find("a.png")


def test_nothing_outside_the_data_set_is_read(tmp_path: Path, draw: Draw) -> None:
    outside = draw("secret.png")
    (tmp_path / "set").mkdir()
    finder = ImageFinder(tmp_path / "set")
    for name in ("../secret.png", "images/../../secret.png", str(outside), f"file://{outside}"):
        with pytest.raises(LabelError, match="outside the dataset"):
            finder.find(name)
    assert ImageFinder(tmp_path / "set", images=tmp_path).find(str(outside)) == outside


def test_names_that_are_no_regular_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    for name in ("pipe.png", "zero.png", "a\0b.png", "", "x" * 300, "x" * 9000, "../..", "\ud800"):
        with pytest.raises(LabelError):
            ImageFinder(tmp_path).find(name)


def test_a_near_name_is_suggested(tmp_path: Path, draw: Draw) -> None:
    draw("a.jpg")
    with pytest.raises(LabelError, match=r"did you mean 'a\.jpg'\?"):
        ImageFinder(tmp_path).find("a.png")


def test_the_index_is_built_once(
    tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        draw(f"deep/{number}.PNG")
    walks = []
    walk = os.walk
    monkeypatch.setattr(os, "walk", lambda *args: walks.append(args) or walk(*args))
    finder = ImageFinder(tmp_path)
    for number in range(20):
        finder.find(f"{number}.png")
    assert len(walks) == 1
