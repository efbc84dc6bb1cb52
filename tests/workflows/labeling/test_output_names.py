from __future__ import annotations

from pathlib import PurePosixPath

from hypothesis import given
from hypothesis import strategies as st

from florence2.workflows.labeling.output_names import name_outputs
from florence2.workflows.labeling.sources import Source


def sources(*pairs: tuple[str, str]) -> list[Source]:
    return [Source(image, PurePosixPath(relative)) for image, relative in pairs]


def test_the_tree_is_kept_and_the_ending_dropped() -> None:
    names = name_outputs(sources(("p/a.jpg", "a.jpg"), ("p/q/a.jpg", "q/a.jpg")), {})
    assert names == {"p/a.jpg": "a", "p/q/a.jpg": "q/a"}


def test_images_of_one_stem_keep_their_endings() -> None:
    names = name_outputs(sources(("p/a.jpg", "a.jpg"), ("p/A.png", "A.png")), {})
    assert names == {"p/a.jpg": "a.jpg", "p/A.png": "A.png"}


def test_images_of_one_name_get_a_digest() -> None:
    names = name_outputs(sources(("p/a.jpg", "a.jpg"), ("q/a.jpg", "a.jpg")), {})
    assert len(set(names.values())) == 2
    assert all(name.startswith("a.jpg-") for name in names.values())


def test_names_of_an_earlier_run_stay_with_their_images() -> None:
    found = sources(("p/a.jpg", "a.jpg"), ("p/a.png", "a.png"))
    assert name_outputs(found, {"a": "p/a.jpg"}) == {"p/a.jpg": "a", "p/a.png": "a.png"}
    assert name_outputs(found[1:], {"a": "p/a.jpg"}) == {"p/a.png": "a.png"}


PLACES = st.lists(st.sampled_from(["a", "A", "a.jpg", "a.png", "a.jpg.png", "b/a.jpg"]), max_size=8)


@given(PLACES, PLACES)
def test_no_two_images_ever_share_a_name(first: list[str], second: list[str]) -> None:
    before = sources(*((f"1/{number}/{place}", place) for number, place in enumerate(first)))
    names = name_outputs(before, {})
    after = sources(*((f"2/{number}/{place}", place) for number, place in enumerate(second)))
    names |= name_outputs(after, {name: image for image, name in names.items()})
    assert len({name.casefold() for name in names.values()}) == len(before) + len(after)
