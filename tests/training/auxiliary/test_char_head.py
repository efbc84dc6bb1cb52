"""The reading part of the dense task: letters where they stand, and a loss that counts them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from florence2.model.checkpoint.weights import load_checkpoint
from florence2.results.records import Annotation, Record
from florence2.results.types import Boxes, Quads
from florence2.training.auxiliary.char_head import LETTERS, SLOTS, letters_of, reading_loss
from florence2.training.auxiliary.dense import DenseHeadModel, dense_loss
from florence2.training.examples import CellTargetBuilder
from florence2.training.recipe import AuxiliaryConfig, Recipe

SIZE = (80, 40)


def record(*lines: tuple[tuple[float, float, float, float], str]) -> Record:
    """A record whose lines stand upright in the boxes given."""
    corners = [[[x0, y0], [x1, y0], [x1, y1], [x0, y1]] for (x0, y0, x1, y1), _ in lines]
    annotations = [Annotation("<OD>", Boxes([[0, 0, 10, 10]], ["dog"], SIZE))]
    if lines:
        quads = Quads(corners, [text for _, text in lines], SIZE)
        annotations.append(Annotation("<OCR_WITH_REGION>", quads))
    return Record("a", *SIZE, "0", image=b"x", annotations=tuple(annotations))


def told(letters) -> list[list[int]]:
    return [[int(number) for number in cell if number] for cell in letters.reshape(-1, SLOTS)]


def test_letters_lie_in_the_cells_their_middles_are_in() -> None:
    # Digits are numbered from 1 in their order; four letters on 80 pixels are 20 wide each.
    made = letters_of(record(((0, 0, 80, 20), "0 12"), ((0, 25, 40, 35), "34")), (2, 2))
    assert made.shape == (2, 2, SLOTS)
    assert told(made) == [[1], [2, 3], [4, 5], []]


def test_narrow_letters_take_less_room() -> None:
    # By number of letters the third of five would lie in the right half.
    made = letters_of(record(((0, 0, 80, 40), "iiiWW")), (2, 1))
    assert [len(cell) for cell in told(made)] == [3, 2]


def test_a_line_upside_down_is_read_from_its_own_left() -> None:
    turned = Quads([[[80, 40], [0, 40], [0, 0], [80, 0]]], ["01"], SIZE)
    one = Record(
        "a", *SIZE, "0", image=b"x", annotations=(Annotation("<OCR_WITH_REGION>", turned),)
    )
    assert told(letters_of(one, (2, 1))) == [[2], [1]]


def test_small_print_unknown_letters_and_lines_beyond_the_edge_are_no_error() -> None:
    made = letters_of(record(((0, 0, 20, 10), "0" * 30), ((70, 30, 400, 40), "äöü日本")), (1, 1))
    assert told(made)[0] == [1] * SLOTS
    beyond = letters_of(record(((70, 30, 400, 40), "äxxxx")), (1, 1))
    assert told(beyond) == [[]]
    unknown = letters_of(record(((0, 0, 40, 40), "日")), (1, 1))
    assert told(unknown) == [[LETTERS - 1]]


def test_pictures_without_writing_have_none() -> None:
    assert not letters_of(record(), (4, 2)).any()


def test_reading_right_costs_nothing_and_each_wrong_letter_its_share() -> None:
    letters = torch.from_numpy(letters_of(record(((0, 0, 40, 40), "01")), (2, 1))[None])
    scores = torch.zeros(1, 1, 2, SLOTS, LETTERS)
    scores[0, 0, 0, 0, 1] = scores[0, 0, 0, 1, 2] = scores[0, 0, 0, 2, 0] = 50
    scores[0, 0, 1, 0, 0] = 50
    # What stands after the end does not count.
    scores[0, 0, :, 4:, 7] = 50
    perfect = reading_loss(scores.flatten(-2), letters)
    assert perfect.loss.item() == pytest.approx(0, abs=1e-6)
    assert perfect.right.item() == 1
    scores[0, 0, 0, 1, 2], scores[0, 0, 0, 1, 3] = 0, 50
    wrong = reading_loss(scores.flatten(-2), letters)
    assert wrong.loss.item() == pytest.approx(50 / 3, rel=1e-3)
    assert wrong.right.item() == pytest.approx(0.5)


def test_letters_stand_behind_class_and_box(start: Path) -> None:
    model = DenseHeadModel(load_checkpoint(start), 2, only=True, reading=True)
    stride, width = model.model.config.vision.stride, model.model.config.vision.dim_embed[-1]
    assert model.head.weight.shape == (1 + 2 + 4 + SLOTS * LETTERS, width)
    cells = model(torch.zeros(1, 3, stride, 2 * stride), None, None).cells_PHWK
    made = CellTargetBuilder(
        Recipe(auxiliary=AuxiliaryConfig(
            dense_weight=1.0, char_loss_weight=1.0, dense_categories=("dog", "cat")
        )),
        _Sized(2 * stride, stride), stride,
    ).make(record(((0, 0, 40, 40), "01")))  # fmt: skip
    assert made is not None and made.letters is not None
    tensors = (torch.from_numpy(each[None]) for each in (made.classes, made.boxes, made.letters))
    found = dense_loss(cells, *tensors)
    plain = dense_loss(
        cells[..., :7], *(torch.from_numpy(e[None]) for e in (made.classes, made.boxes))
    )
    assert found.loss.item() == pytest.approx(plain.loss.item())
    assert found.reading.loss.item() > 0 and plain.reading.loss.item() == 0


class _Sized:
    """Of a processor only its size."""

    def __init__(self, width: int, height: int) -> None:
        self.preprocessing = self
        self.size = (width, height)


def test_a_head_without_letters_goes_on_in_one_with_them(start: Path, tmp_path: Path) -> None:
    model = load_checkpoint(start)
    old = DenseHeadModel(model, 2, only=True)
    old.save_head(tmp_path)
    grown = DenseHeadModel(model, 2, only=True, reading=True)
    grown.load_head(tmp_path)
    assert torch.equal(grown.head.weight[:7], old.head.weight)
    assert torch.equal(grown.head.bias[:7], old.head.bias)
    other = DenseHeadModel(model, 3, only=True)
    before = other.head.weight.clone()
    other.load_head(tmp_path)
    assert torch.equal(other.head.weight, before)
