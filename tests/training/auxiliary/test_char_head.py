"""The character loss: characters in the right cells, and a loss that counts them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from florence2.model.checkpoint.weights import load_checkpoint
from florence2.results.records import Annotation, Record
from florence2.results.types import Boxes, Quads
from florence2.training.auxiliary.char_head import (
    CHARACTERS,
    MAX_CHARS_PER_CELL,
    build_char_targets,
    char_loss,
)
from florence2.training.auxiliary.dense import DenseHeadModel, character_outputs, dense_loss
from florence2.training.auxiliary.targets import AuxiliaryTargets
from florence2.training.recipe import AuxiliaryConfig

SIZE = (80, 40)


def record(*lines: tuple[tuple[float, float, float, float], str]) -> Record:
    """A record whose lines stand upright in the boxes given."""
    corners = [[[x0, y0], [x1, y0], [x1, y1], [x0, y1]] for (x0, y0, x1, y1), _ in lines]
    annotations = [Annotation("<OD>", Boxes([[0, 0, 10, 10]], ["dog"], SIZE))]
    if lines:
        quads = Quads(corners, [text for _, text in lines], SIZE)
        annotations.append(Annotation("<OCR_WITH_REGION>", quads))
    return Record("a", *SIZE, "0", image=b"x", annotations=tuple(annotations))


def listed(letters) -> list[list[int]]:
    return [
        [int(number) for number in cell if number]
        for cell in letters.reshape(-1, MAX_CHARS_PER_CELL)
    ]


def test_characters_are_in_the_cells_of_their_centers() -> None:
    # Digits are numbered from 1 in their order; four letters on 80 pixels are 20 wide each.
    made = build_char_targets(record(((0, 0, 80, 20), "0 12"), ((0, 25, 40, 35), "34")), (2, 2))
    assert made.shape == (2, 2, MAX_CHARS_PER_CELL)
    assert listed(made) == [[1], [2, 3], [4, 5], []]


def test_narrow_letters_take_less_room() -> None:
    # By number of letters the third of five would lie in the right half.
    made = build_char_targets(record(((0, 0, 80, 40), "iiiWW")), (2, 1))
    assert [len(cell) for cell in listed(made)] == [3, 2]


def test_a_line_upside_down_is_read_from_its_own_left() -> None:
    turned = Quads([[[80, 40], [0, 40], [0, 0], [80, 0]]], ["01"], SIZE)
    one = Record(
        "a", *SIZE, "0", image=b"x", annotations=(Annotation("<OCR_WITH_REGION>", turned),)
    )
    assert listed(build_char_targets(one, (2, 1))) == [[2], [1]]


def test_small_print_unknown_letters_and_lines_beyond_the_edge_are_no_error() -> None:
    made = build_char_targets(
        record(((0, 0, 20, 10), "0" * 30), ((70, 30, 400, 40), "äöü日本")), (1, 1)
    )
    assert listed(made)[0] == [1] * MAX_CHARS_PER_CELL
    beyond = build_char_targets(record(((70, 30, 400, 40), "äxxxx")), (1, 1))
    assert listed(beyond) == [[]]
    unknown = build_char_targets(record(((0, 0, 40, 40), "日")), (1, 1))
    assert listed(unknown) == [[CHARACTERS - 1]]


def test_images_without_text_have_no_characters() -> None:
    assert not build_char_targets(record(), (4, 2)).any()


def test_a_right_prediction_costs_nothing_and_a_wrong_character_its_share() -> None:
    letters = torch.from_numpy(build_char_targets(record(((0, 0, 40, 40), "01")), (2, 1))[None])
    scores = torch.zeros(1, 1, 2, MAX_CHARS_PER_CELL, CHARACTERS)
    scores[0, 0, 0, 0, 1] = scores[0, 0, 0, 1, 2] = scores[0, 0, 0, 2, 0] = 50
    scores[0, 0, 1, 0, 0] = 50
    # What stands after the end does not count.
    scores[0, 0, :, 4:, 7] = 50
    perfect = char_loss(scores.flatten(-2), letters)
    assert perfect.loss.item() == pytest.approx(0, abs=1e-6)
    assert perfect.accuracy.item() == 1
    scores[0, 0, 0, 1, 2], scores[0, 0, 0, 1, 3] = 0, 50
    wrong = char_loss(scores.flatten(-2), letters)
    assert wrong.loss.item() == pytest.approx(50 / 3, rel=1e-3)
    assert wrong.accuracy.item() == pytest.approx(0.5)


def test_characters_come_after_class_and_box(start: Path) -> None:
    model = DenseHeadModel(load_checkpoint(start), 2, dense_only=True, characters=True)
    stride, width = model.model.config.vision.stride, model.model.config.vision.dim_embed[-1]
    assert model.head.weight.shape == (1 + 2 + 4 + MAX_CHARS_PER_CELL * CHARACTERS, width)
    cells = model(torch.zeros(1, 3, stride, 2 * stride), *[None] * 4).cells_PHWK
    config = AuxiliaryConfig(
        dense_weight=1.0, char_loss_weight=1.0, dense_categories=("dog", "cat")
    )
    builder = AuxiliaryTargets(config, _Sized(2 * stride, stride), stride)
    arrays = builder.build(record(((0, 0, 40, 40), "01"))).image_arrays
    targets = {name: torch.from_numpy(each[None]) for name, each in arrays.items()}
    found = dense_loss(cells, targets)
    plain = dense_loss(cells[..., :7], {name: targets[name] for name in ("classes", "boxes")})
    assert found.loss.item() == pytest.approx(plain.loss.item())
    assert char_loss(character_outputs(cells), targets["characters"]).loss.item() > 0


class _Sized:
    """A processor's size alone."""

    tokenizer = None

    def __init__(self, width: int, height: int) -> None:
        self.preprocessing = self
        self.size = (width, height)


def test_a_head_without_characters_is_loaded_into_one_with_them(
    start: Path, tmp_path: Path
) -> None:
    model = load_checkpoint(start)
    old = DenseHeadModel(model, 2, dense_only=True)
    old.save_heads(tmp_path)
    grown = DenseHeadModel(model, 2, dense_only=True, characters=True)
    grown.load_heads(tmp_path)
    assert torch.equal(grown.head.weight[:7], old.head.weight)
    assert torch.equal(grown.head.bias[:7], old.head.bias)
    other = DenseHeadModel(model, 3, dense_only=True)
    before = other.head.weight.clone()
    other.load_heads(tmp_path)
    assert torch.equal(other.head.weight, before)
