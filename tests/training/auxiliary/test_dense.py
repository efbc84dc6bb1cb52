"""The dense loss: targets and losses computed by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from florence2.model.checkpoint.weights import load_checkpoint
from florence2.results.records import Annotation, Record
from florence2.results.types import Boxes, Text
from florence2.training.auxiliary.dense import (
    DecoderBatch,
    build_cell_targets,
    decode_in_parts,
    dense_loss,
)
from florence2.training.auxiliary.targets import AuxiliaryTargets
from florence2.training.recipe import AuxiliaryConfig


def record(*annotations: Annotation) -> Record:
    return Record("a", 80, 40, "0", image=b"x", annotations=annotations)


def test_a_cell_belongs_to_the_smallest_box_with_its_center() -> None:
    boxes = Boxes(
        [[0, 0, 80, 40], [0, 0, 20, 10], [40, 0, 80, 40]], ["car", "dog", "ufo"], (80, 40)
    )
    cells = build_cell_targets(record(Annotation("<OD>", boxes)), (4, 4), {"car": 1, "dog": 2})
    assert cells.classes.tolist() == [[2, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]]
    assert cells.boxes[0, 0].tolist() == [0, 0, 0.25, 0.25]
    assert cells.boxes[3, 1].tolist() == [0, 0, 1, 1]


def test_a_record_without_detection_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'a' has no <OD> annotation"):
        build_cell_targets(record(Annotation("<CAPTION>", Text("a dog"))), (4, 4), {"dog": 1})


def test_a_perfect_prediction_costs_nothing_and_a_shifted_box_its_shift() -> None:
    boxes = Boxes([[0, 0, 40, 40]], ["dog"], (80, 40))
    made = build_cell_targets(record(Annotation("<OD>", boxes)), (2, 1), {"dog": 1})
    targets = {name: torch.from_numpy(each[None]) for name, each in made.arrays().items()}
    cells = torch.zeros(1, 1, 2, 6)
    cells[0, 0, 0, 1] = cells[0, 0, 1, 0] = 50
    cells[0, 0, 0, 2:] = torch.tensor([0 - 0.25, 0 - 0.5, 0.5 - 0.25, 1 - 0.5])
    perfect = dense_loss(cells, targets)
    assert perfect.loss.item() == pytest.approx(0, abs=1e-6)
    assert perfect.accuracy.item() == 1
    cells[0, 0, 0, 2] += 0.1
    # Twice what a smooth L1 with a beta of 0.05 makes of 0.1: 0.1 - 0.025.
    assert dense_loss(cells, targets).loss.item() == pytest.approx(0.15, abs=1e-5)


@pytest.mark.parametrize(("power", "small_over_large"), [(0.0, 1.0), (0.5, 2.0), (1.0, 4.0)])
def test_the_power_weights_cells_of_small_objects_higher(
    power: float, small_over_large: float
) -> None:
    # A thing of four cells and one of a single cell, on a row of eight.
    boxes = Boxes([[0, 0, 40, 40], [40, 0, 50, 40]], ["dog", "cat"], (80, 40))
    made = build_cell_targets(record(Annotation("<OD>", boxes)), (8, 1), {"dog": 1, "cat": 2})
    targets = {name: torch.from_numpy(each[None]) for name, each in made.arrays().items()}
    cells = torch.zeros(1, 1, 8, 7, requires_grad=True)
    dense_loss(cells, targets, power).loss.backward()
    assert cells.grad is not None
    by_cell = cells.grad[0, 0, :, 0]
    assert float(by_cell[4] / by_cell[0]) == pytest.approx(small_over_large, rel=1e-5)
    # Things count as much as before against what is nothing.
    assert float(by_cell[:5].mean()) == pytest.approx(1 / 3 / 8, rel=1e-5)


def test_the_area_weight_power_is_between_0_and_1() -> None:
    with pytest.raises(
        ValueError, match=r"dense_area_weight_power must be between 0 and 1, got 1\.5"
    ):
        AuxiliaryConfig(dense_area_weight_power=1.5)


def test_targets_have_the_grid_of_the_vision_encoder(many_questions, processor) -> None:
    auxiliary = AuxiliaryConfig(dense_weight=1.0, dense_categories=("red car", "a tree"))
    cells = AuxiliaryTargets(auxiliary, processor).build(many_questions[0]).cells
    width, height = processor.preprocessing.size
    assert cells is not None
    assert cells.classes.shape == (height // 32, width // 32)
    assert AuxiliaryTargets(AuxiliaryConfig(), processor).build(many_questions[0]).cells is None


def test_boxes_of_no_width_give_no_cells() -> None:
    boxes = Boxes([[10, 10, 10, 10]], ["dog"], (80, 40))
    cells = build_cell_targets(record(Annotation("<OD>", boxes)), (4, 4), {"dog": 1})
    assert not np.any(cells.classes)


def test_a_batch_in_parts_gives_the_logits_of_the_whole(start: Path) -> None:
    model = load_checkpoint(start).eval().double()
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([2, 2, 3, 3, 3, 4, 9, 9, 10, 11, 11, 12, 12, 30])
    rows, longest = len(lengths), int(lengths.max())
    wanted = torch.arange(longest) < lengths[:, None]
    prompts = torch.randint(4, 40, (rows, 5), generator=generator)
    padding = torch.arange(5) >= torch.randint(2, 6, (rows, 1), generator=generator)
    ids = torch.randint(4, 40, (rows, longest), generator=generator)
    image = torch.randn(rows, 4, model.config.text.d_model, generator=generator).double()
    with torch.no_grad():
        whole = model.decode_logits(image, prompts, ids, padding, wanted)
        parts, _ = decode_in_parts(model, DecoderBatch(image, prompts, ids, padding, wanted))
    assert torch.allclose(whole, parts, atol=1e-9)
