from __future__ import annotations

from pathlib import Path

import pytest

from florence2.workflows.labeling.sources import Source, list_sources


def names(found: list[Source], folder: Path) -> list[str]:
    return [Path(each.image).relative_to(folder).as_posix() for each in found]


def places(found: list[Source]) -> list[str]:
    return [str(each.relative) for each in found]


def test_a_folder_stands_for_the_pictures_below_it_in_order(pictures: Path) -> None:
    found = list_sources([str(pictures)])
    assert names(found, pictures) == ["a.png", "b.jpg", "b.png", "below/a.png", "c.bmp"]
    assert places(found) == ["a.png", "b.jpg", "b.png", "below/a.png", "c.bmp"]


def test_a_file_is_taken_whatever_its_ending(pictures: Path) -> None:
    assert names(list_sources([str(pictures / "notes.txt")]), pictures) == ["notes.txt"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.png", ["a.png", "b.png"]),
        ("**/*.png", ["a.png", "b.png", "below/a.png"]),
        ("[bc].*", ["b.jpg", "b.png", "c.bmp"]),
        ("bel*", ["below/a.png"]),  # a folder that matches is walked
        ("**", ["a.png", "b.jpg", "b.png", "below/a.png", "c.bmp"]),
    ],
)
def test_patterns(pictures: Path, pattern: str, expected: list[str]) -> None:
    found = list_sources([str(pictures / pattern)])
    assert names(found, pictures) == expected
    assert places(found) == expected


def test_an_existing_file_with_pattern_characters_is_that_file(pictures: Path) -> None:
    odd = pictures / "b[1].png"
    odd.write_bytes(b"")
    assert names(list_sources([str(odd)]), pictures) == ["b[1].png"]


def test_each_image_comes_once_in_the_order_of_the_arguments(pictures: Path) -> None:
    found = list_sources([str(pictures / "c.bmp"), str(pictures), str(pictures / "below" / "..")])
    assert names(found, pictures) == ["c.bmp", "a.png", "b.jpg", "b.png", "below/a.png"]


def test_a_listing_keeps_names_that_do_not_exist(pictures: Path) -> None:
    listing = [str(pictures / "a.png"), "", "../gone/x.png", "x y.png"]
    found = list_sources(["-"], listing=listing)
    assert [each.image for each in found] == [str(pictures / "a.png"), "../gone/x.png", "x y.png"]
    assert places(found)[1:] == ["gone/x.png", "x y.png"]


def test_the_folder_of_written_pictures_is_passed_over(pictures: Path) -> None:
    below = pictures / "below"
    assert "below/a.png" not in names(list_sources([str(pictures)], exclude=[below]), pictures)
    assert places(list_sources([str(pictures / "**")], exclude=[below])) == [
        "a.png", "b.jpg", "b.png", "c.bmp",
    ]  # fmt: skip


def test_addresses_need_permission() -> None:
    url = "https://example.org/photos/a.jpg?size=2"
    with pytest.raises(ValueError, match="--allow-urls"):
        list_sources([url])
    assert list_sources([url], allow_urls=True)[0].image == url
    assert places(list_sources([url], allow_urls=True)) == ["example.org/photos/a.jpg"]


def test_what_names_nothing_is_refused(pictures: Path) -> None:
    with pytest.raises(ValueError, match=r"no such file or directory: .*gone\.png"):
        list_sources([str(pictures), str(pictures / "gone.png")])
    (pictures / "empty").mkdir()
    with pytest.raises(ValueError, match="no image found"):
        list_sources([str(pictures / "empty")])
    with pytest.raises(ValueError, match="no image found"):
        list_sources([str(pictures / "*.webp")])
