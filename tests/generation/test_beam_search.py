"""The pieces of a step of beam search, and its two forms beside each other."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from florence2.generation import DecodingOptions
from florence2.generation.beam_hypotheses import BeamSearch
from florence2.generation.beam_search import Beams, best_of
from florence2.model import TextConfig


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


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**20),
    beams=st.integers(1, 4),
    early=st.booleans(),
    penalty=st.sampled_from([0.5, 1.0, 1.7]),
    ngram=st.integers(0, 4),
    least=st.integers(0, 9),
    limits=st.lists(st.integers(2, 14), min_size=1, max_size=3),
)
def test_the_search_in_python_and_the_one_in_tensors_agree_step_by_step(
    seed: int, beams: int, early: bool, penalty: float, ngram: int, least: int, limits: list[int]
) -> None:
    # Wide enough that bans leave more than the candidates: among what is impossible there is no
    # order.
    text = TextConfig(vocab_size=40, max_position_embeddings=20)
    options = DecodingOptions(
        beams=beams, early_stopping=early, length_penalty=penalty, no_repeat_ngram=ngram,
        min_new_tokens=least,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    like = torch.zeros(1, dtype=torch.float64)
    searches, tensors = [], []
    for number, limit in enumerate(limits):
        searches.append(BeamSearch(text, options, limit, [number], like))
        held = Beams.empty(1, beams, 20, torch.device("cpu"), torch.float64)
        held.begin([0], limit, [text.decoder_start_token_id, text.bos_token_id])
        tensors.append(held)
    search = searches[0]
    assert all(search.absorb(other) for other in searches[1:])
    running, found = list(range(len(limits))), {}
    while running:
        logits = 2 * torch.randn(len(running), beams, 40, generator=generator, dtype=torch.float64)
        logprobs = logits.log_softmax(dim=2)
        expected = {}
        for place, number in enumerate(running):
            held = tensors[number]
            assert search.last_tokens.view(-1, beams, 1)[place].equal(held.newest()[0])
            rows = held.advance(logprobs[place].clone(), options, text)
            if held.active_B.item():
                expected[number] = (rows + place * beams).tolist()
            else:
                found[number] = held.answer(0, text.eos_token_id)
        move = search.advance(logprobs.flatten(0, 1))
        running = search.prompts
        assert running == list(expected)
        assert move.rows_R.tolist() == [row for rows in expected.values() for row in rows]
        for number, answer in move.answers.items():
            assert answer.token_ids == found[number].token_ids
            assert answer.truncated == found[number].truncated
            assert len(answer.token_ids) >= min(least, limits[number])
            assert answer.score == pytest.approx(found[number].score)
            assert answer.token_logprobs == pytest.approx(found[number].token_logprobs)
    assert sorted(found) == list(range(len(limits)))


def test_scores_that_are_no_numbers_are_told() -> None:
    search = BeamSearch(TextConfig(vocab_size=9), DecodingOptions(), 4, [0], torch.zeros(1))
    with pytest.raises(RuntimeError, match="scores are not finite numbers"):
        for _ in range(4):
            search.advance(torch.full((3, 9), float("nan")))
