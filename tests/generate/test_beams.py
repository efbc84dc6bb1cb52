"""The pieces of a step of beam search."""

from __future__ import annotations

import pytest
import torch

from florence2.generate.beams import best_of


@pytest.mark.parametrize("width", [6, 500, 6 * 8 * 128, 51289, 51328])
def test_the_best_of_blocks_are_the_best_of_all(width: int) -> None:
    generator = torch.Generator().manual_seed(width)
    scores = torch.randn(4, width, generator=generator)
    # The best may all lie in one block, in the last places, or be few.
    scores[0, -3:] += 50
    if width > 1000:
        scores[1, 256:262] += 50
        scores[2, torch.randperm(width, generator=generator)[: width - 6]] = float("-inf")
    best, places = best_of(scores, 6)
    assert torch.equal(best, scores.topk(6, dim=1).values)
    assert torch.equal(scores.gather(1, places), best)
    assert all(len(set(row)) == 6 for row in places.tolist())


def test_rows_with_fewer_possible_tokens_than_are_asked_for_get_impossible_ones() -> None:
    scores = torch.full((1, 51289), float("-inf"))
    scores[0, [7, 51288]] = torch.tensor([1.0, 2.0])
    best, places = best_of(scores, 6)
    assert best[0, :2].tolist() == [2.0, 1.0] and places[0, :2].tolist() == [51288, 7]
    assert torch.isinf(best[0, 2:]).all()
    assert len(set(places[0].tolist())) == 6
