"""Names of output files: once each, safe, and in time that does not grow with the set."""

from __future__ import annotations

import os

from florence2.datasets.exporters.export_names import UniqueFileNames, decode_name


class CountingSet(set[tuple[str, str]]):
    """A set that counts its lookups."""

    lookups = 0

    def __contains__(self, key: object) -> bool:
        self.lookups += 1
        return super().__contains__(key)


def test_names_are_found_with_a_few_looks_each() -> None:
    for ids in (
        [f"{number}/img.png" for number in range(3000)],
        ["img.png"] * 3000,
        [f"below/{number}.png" for number in range(3000)],
    ):
        taken = CountingSet()
        names = UniqueFileNames(directories=False, _taken=taken)
        assert len({names.assign(each.split("/", 1)[-1]) for each in ids}) == 3000
        assert taken.lookups <= 4 * 3000


def test_names_stay_safe_and_keep_apart() -> None:
    names = UniqueFileNames()
    assert names.assign("below/a.png") == "below/a"
    assert names.assign("below/A.jpg") == "below/A-jpg"
    assert names.assign("../../a.png") == "a"
    assert names.assign("a b #%+&é.png") == "a b #%+&é"
    assert names.assign("a:b|c.png") == "a_b_c"
    assert UniqueFileNames(directories=False).assign("http://host/x/../a.png") == "http_host_x_a"
    by_split = UniqueFileNames(by_split=True)
    assert [by_split.assign("a.png", split) for split in ("train", "val", "val")] == [
        "a",
        "a",
        "a-png",
    ]


def test_names_that_are_no_utf8_are_taken_for_latin_1() -> None:
    name = os.fsdecode(b"caf\xe9.png")
    assert decode_name(name) == "café.png"
    assert UniqueFileNames().assign(name) == "café"
    assert decode_name("half \ud800") == "half ?"
