"""Beam search on tensors against a plain one, and its parts."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from florence2.generation import DecodingOptions, Generated
from florence2.generation.beam_search import BeamSearch, BeamState, block_topk
from florence2.model import TextConfig

from .beam_oracle import BeamOracle


@pytest.mark.parametrize("width", [6, 500, 6 * 8 * 128, 51289, 51328])
def test_the_best_of_blocks_are_the_best_of_all(width: int) -> None:
    generator = torch.Generator().manual_seed(width)
    scores = torch.randn(4, width, generator=generator)
    # The best may all lie in one block, in the last indices, or be few.
    scores[0, -3:] += 50
    if width > 1000:
        scores[1, 256:262] += 50
        scores[2, torch.randperm(width, generator=generator)[: width - 6]] = float("-inf")
    best, indices = block_topk(scores, 6)
    assert torch.equal(best, scores.topk(6, dim=1).values)
    assert torch.equal(scores.gather(1, indices), best)
    assert all(len(set(row)) == 6 for row in indices.tolist())


def test_rows_with_fewer_possible_tokens_than_are_asked_for_get_impossible_ones() -> None:
    scores = torch.full((1, 51289), float("-inf"))
    scores[0, [7, 51288]] = torch.tensor([1.0, 2.0])
    best, indices = block_topk(scores, 6)
    assert best[0, :2].tolist() == [2.0, 1.0] and indices[0, :2].tolist() == [51288, 7]
    assert torch.isinf(best[0, 2:]).all()
    assert len(set(indices[0].tolist())) == 6


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
def test_the_search_on_tensors_agrees_with_a_plain_one_step_by_step(
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
    searches = [
        BeamSearch(text, options, limit, [number], like) for number, limit in enumerate(limits)
    ]
    search = searches[0]
    assert all(search.extend(other) for other in searches[1:])
    oracles = {number: BeamOracle(text, options, limit) for number, limit in enumerate(limits)}
    done = []
    while search.request_ids:
        running = list(search.request_ids)
        logits = 2 * torch.randn(len(running), beams, 40, generator=generator, dtype=torch.float64)
        logprobs = logits.log_softmax(dim=2)
        tokens = search.last_tokens.view(-1, beams)
        expected: list[int] = []
        for index, number in enumerate(running):
            oracle = oracles[number]
            assert tokens[index].tolist() == [each.ids[-1] for each in oracle.running]
            origins = oracle.step(logprobs[index])
            if not oracle.is_done:
                expected += [index * beams + origin for origin in origins]
        update = search.advance(logprobs.flatten(0, 1).clone())
        assert search.request_ids == [number for number in running if not oracles[number].is_done]
        assert update.rows_R.tolist() == expected
        for number, output in update.outputs.items():
            best = oracles[number].finished[0]
            assert output.token_ids == tuple(best.ids[1:])
            assert output.token_logprobs == pytest.approx(best.logprobs)
            assert output.score == pytest.approx(best.score)
            assert output.truncated == (len(output.token_ids) == limits[number])
            assert len(output.token_ids) >= min(least, limits[number])
            done.append(number)
    assert sorted(done) == list(range(len(limits)))


def test_prompts_that_are_done_keep_their_output_while_others_run() -> None:
    text = TextConfig(vocab_size=40, max_position_embeddings=20)
    generator = torch.Generator().manual_seed(0)
    for options in (DecodingOptions(), DecodingOptions(early_stopping=False)):
        state = BeamState.empty(3, 3, 24, torch.device("cpu"), torch.float64)
        for index, limit in enumerate((3, 6, 18)):
            state.begin([index], limit, [text.decoder_start_token_id])
        outputs: dict[int, Generated] = {}
        for _ in range(20):
            logits = torch.randn(9, 40, generator=generator, dtype=torch.float64)
            state.step(logits.log_softmax(dim=1), options, text)
            for index in range(3):
                if not state.active_B[index]:
                    found = state.output(index, text.eos_token_id)
                    assert outputs.setdefault(index, found) == found
        assert sorted(outputs) == [0, 1, 2]


def test_a_step_keeps_every_tensor_and_its_shape() -> None:
    """What a CUDA graph needs: buffers are written in place."""
    text = TextConfig(vocab_size=40)
    state = BeamState.empty(2, 3, 16, torch.device("cpu"), torch.float32)
    state.begin([0, 1], 10, [text.decoder_start_token_id])
    before = [(tensor.data_ptr(), tensor.shape) for tensor in state.tensors]
    for _ in range(5):
        rows_R = state.step(torch.randn(6, 40).log_softmax(dim=1), DecodingOptions(), text)
        assert rows_R.shape == (6,)
    assert [(tensor.data_ptr(), tensor.shape) for tensor in state.tensors] == before


def test_scores_that_are_not_finite_are_an_error() -> None:
    search = BeamSearch(TextConfig(vocab_size=9), DecodingOptions(), 4, [0], torch.zeros(1))
    with pytest.raises(RuntimeError, match="scores are not finite numbers"):
        for _ in range(4):
            search.advance(torch.full((3, 9), float("nan")))
