"""Which cells a token is about: a thing's, a letter's, those around a point."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from florence2.results.records import Annotation, Record
from florence2.results.tasks import TASKS
from florence2.results.types import Boxes, Polygons, Quads, Text
from florence2.training.auxiliary.dense import build_cell_targets
from florence2.training.auxiliary.token_regions import RegionTargets, build_attention_targets

# 4 x 2 cells of 20 pixels, numbered 0 to 7.
SIZE, GRID = (80, 40), (4, 2)
DOG, CAT = (0, 0, 20, 40), (40, 0, 80, 40)
DOG_CELLS, CAT_CELLS = [0, 4], [2, 3, 6, 7]


def record() -> Record:
    """A dog on the left, a cat on the right, "ab cd" along the upper edge."""
    line = Quads([[[0, 0], [80, 0], [80, 20], [0, 20]]], ["ab cd"], SIZE)
    return Record(
        "a", *SIZE, "0", image=b"x",
        annotations=(
            Annotation("<OD>", Boxes([DOG, CAT], ["dog", "cat"], SIZE)),
            Annotation("<OCR_WITH_REGION>", line),
        ),
    )  # fmt: skip


@pytest.fixture
def regions() -> RegionTargets:
    return RegionTargets(record(), build_cell_targets(record(), GRID, {"dog": 1, "cat": 2}))


def cells_of_tokens(
    annotation: Annotation, regions: RegionTargets, processor
) -> list[tuple[str, list[int]]]:
    """The answer's tokens between its ends, and the cells of each."""
    target = processor.encode_target(annotation.answer, annotation.kind)
    places = build_attention_targets(target, annotation, regions, processor.tokenizer)
    assert places.shape == (len(target), GRID[0] * GRID[1])
    assert not places[[0, -1]].any()
    tokens = [processor.tokenizer.decode([each]) for each in target]
    return [(t, np.flatnonzero(p).tolist()) for t, p in zip(tokens, places, strict=True)][1:-1]


def test_a_name_and_its_box_are_about_the_thing(regions: RegionTargets, processor) -> None:
    found = cells_of_tokens(
        Annotation("<OD>", Boxes([CAT, DOG], ["cat", "dog"], SIZE)), regions, processor
    )
    locations = [cells for token, cells in found if token.startswith("<loc")]
    words = [cells for token, cells in found if not token.startswith("<loc")]
    assert locations == [CAT_CELLS] * 4 + [DOG_CELLS] * 4
    assert words[0] == CAT_CELLS and words[-1] == DOG_CELLS


def test_a_phrase_of_several_things_is_about_all_of_them(regions: RegionTargets, processor) -> None:
    both = Boxes([DOG, CAT], ["animals", "animals"], SIZE)
    asked = Annotation("<CAPTION_TO_PHRASE_GROUNDING>", both, text="animals")
    found = cells_of_tokens(asked, regions, processor)
    assert found[0][1] == sorted(DOG_CELLS + CAT_CELLS)
    assert [cells for _, cells in found[-8:]] == [DOG_CELLS] * 4 + [CAT_CELLS] * 4


def test_letters_are_read_where_they_stand(regions: RegionTargets, processor) -> None:
    # Five places on four cells: a, b; nothing under the space; c, d.
    by_letter = {"a": [0], "b": [1], "c": [2], "d": [3]}
    for task in ("<OCR>", "<REGION_TO_OCR>"):
        region = (0, 0, 80, 20) if "REGION" in task else None
        found = cells_of_tokens(Annotation(task, Text("ab cd"), region=region), regions, processor)
        for token, cells in found:
            wanted = [cell for letter in token.strip() for cell in by_letter[letter]]
            assert cells == wanted
    quads = Quads([[[0, 0], [79, 0], [79, 19], [0, 19]]], ["ab cd"], SIZE)
    found = cells_of_tokens(Annotation("<OCR_WITH_REGION>", quads), regions, processor)
    assert found[0][1][0] == 0
    corners = [cells for token, cells in found if token.startswith("<loc")]
    left, right = [0, 1, 4, 5], [2, 3, 6, 7]
    assert corners == [left, left, right, right, right, right, left, left]


def test_spelt_letters_are_read_one_by_one(regions: RegionTargets, processor) -> None:
    annotation = Annotation("<OCR>", Text("ab cd"))
    target = processor.tokenizer.to_byte_tokens(
        processor.encode_target(annotation.answer, annotation.kind)
    )
    places = build_attention_targets(target, annotation, regions, processor.tokenizer)
    assert [list(np.flatnonzero(row)) for row in places] == [[], [0], [1], [], [2], [3], []]


def test_captions_point_at_what_they_name_and_quote(regions: RegionTargets, processor) -> None:
    text = 'A cat and "ab cd".'
    found = cells_of_tokens(Annotation("<CAPTION>", Text(text)), regions, processor)
    cells_at = {}
    begin = 0
    for token, cells in found:
        for index in range(begin, begin + len(token)):
            cells_at[index] = cells
        begin += len(token)
    assert cells_at[0] == [] and cells_at[text.index("cat") + 1] == CAT_CELLS
    assert cells_at[text.index("cd")] and set(cells_at[text.index("cd")]) <= {2, 3}


def test_captions_point_at_several_things_by_any_plural(processor) -> None:
    knives = record()
    boxes = Boxes([DOG, CAT], ["knife", "grape"], SIZE)
    knives = replace(knives, annotations=(Annotation("<OD>", boxes),))
    regions = RegionTargets(knives, build_cell_targets(knives, GRID, {"knife": 1, "grape": 2}))
    found = cells_of_tokens(Annotation("<CAPTION>", Text("knives near grapes")), regions, processor)
    assert found[0][1] == DOG_CELLS and found[-1][1] == CAT_CELLS


def test_a_region_is_about_its_own_thing(processor) -> None:
    two = Record(
        "a", *SIZE, "0", image=b"x",
        annotations=(Annotation("<OD>", Boxes([DOG, CAT], ["dog", "dog"], SIZE)),),
    )  # fmt: skip
    regions = RegionTargets(two, build_cell_targets(two, GRID, {"dog": 1}))
    asked = Annotation("<REGION_TO_CATEGORY>", Text("dog"), region=CAT)
    assert cells_of_tokens(asked, regions, processor)[0][1] == CAT_CELLS
    assert cells_of_tokens(Annotation("<CAPTION>", Text("dog")), regions, processor)[0][
        1
    ] == sorted(DOG_CELLS + CAT_CELLS)


def test_a_box_of_nothing_known_is_about_no_place(regions: RegionTargets, processor) -> None:
    elsewhere = Annotation("<OD>", Boxes([(22, 2, 38, 38)], ["tree"], SIZE))
    assert not any(cells for _, cells in cells_of_tokens(elsewhere, regions, processor))


def test_of_several_answers_to_a_task_the_first_counts(processor) -> None:
    one = record()
    later = Annotation("<OD>", Boxes([(22, 2, 38, 38)], ["tree"], SIZE))
    two = Record("a", *SIZE, "0", image=b"x", annotations=(*one.annotations, later))
    regions = RegionTargets(two, build_cell_targets(two, GRID, {"dog": 1, "cat": 2}))
    assert regions.labels == ["dog", "cat"]
    assert np.flatnonzero(regions.objects[0]).tolist() == DOG_CELLS


def test_lines_are_quoted_one_after_another_and_a_region_means_its_own(processor) -> None:
    upper, lower = ([[0, y], [80, y], [80, y + 20], [0, y + 20]] for y in (0, 20))
    lines = Quads([upper, lower], ["ab", " ab"], SIZE)
    two = Record(
        "a", *SIZE, "0", image=b"x",
        annotations=(
            Annotation("<OD>", Boxes([], [], SIZE)), Annotation("<OCR_WITH_REGION>", lines),
        ),
    )  # fmt: skip
    regions = RegionTargets(two, build_cell_targets(two, GRID, {}))
    both = cells_of_tokens(Annotation("<OCR>", Text("ab\nab")), regions, processor)
    cells = [cell for _, found in both for cell in found]
    assert sorted(cells) == [1, 3, 5, 7]
    own = cells_of_tokens(
        Annotation("<REGION_TO_OCR>", Text("ab"), region=(0, 20, 80, 40)), regions, processor
    )
    assert {cell for _, found in own for cell in found} == {5, 7}


def test_points_of_an_outline_are_about_their_surroundings(
    regions: RegionTargets, processor
) -> None:
    outline = Polygons([[np.asarray([[1, 1], [79, 1], [79, 39]])]], [""], SIZE)
    asked = Annotation("<REGION_TO_SEGMENTATION>", outline, region=DOG)
    found = cells_of_tokens(asked, regions, processor)
    assert [cells for _, cells in found] == [[0, 1, 4, 5]] * 2 + [[2, 3, 6, 7]] * 4


def test_a_thing_hidden_behind_others_has_the_cell_at_its_middle() -> None:
    hidden = Record(
        "a", *SIZE, "0", image=b"x",
        annotations=(Annotation("<OD>", Boxes([[22, 2, 28, 8]], ["dog"], SIZE)),),
    )  # fmt: skip
    regions = RegionTargets(hidden, build_cell_targets(hidden, GRID, {"dog": 1}))
    assert np.flatnonzero(regions.objects[0]).tolist() == [1]


def test_pictures_with_nothing_on_them_ask_for_no_place(processor) -> None:
    empty = Record(
        "a", *SIZE, "0", image=b"x", annotations=(Annotation("<OD>", Boxes([], [], SIZE)),)
    )
    regions = RegionTargets(empty, build_cell_targets(empty, GRID, {}))
    line = Quads([[[0, 0], [9, 0], [9, 9], [0, 9]]], ["a"], SIZE)
    answers = {"text": Text("a dog"), "quads": line}
    for task in TASKS:
        answer = answers.get(task.answer)
        if answer is None:
            continue
        asked = Annotation(
            task.token, answer, text="a" if task.input == "text" else "",
            region=DOG if task.input == "region" else None,
        )  # fmt: skip
        words = [
            cells
            for token, cells in cells_of_tokens(asked, regions, processor)
            if "<loc" not in token
        ]
        assert not any(words)
