"""Logit rules against their plain-Python meaning."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from florence2.generation.decoding_options import DecodingOptions
from florence2.generation.logits_processors import (
    NEVER,
    ban_repeated_ngrams,
    force_token,
    keep_top_k,
    keep_top_p,
)
from florence2.model import TextConfig


@given(
    rows=st.lists(st.lists(st.integers(0, 5), min_size=7, max_size=7), min_size=1, max_size=3),
    size=st.integers(1, 4),
)
def test_ban_repeated_ngrams_is_what_a_loop_bans(rows: list[list[int]], size: int) -> None:
    scores = ban_repeated_ngrams(torch.zeros(len(rows), 6), torch.tensor(rows), size)
    for row, ids in zip(scores.tolist(), rows, strict=True):
        seen = {tuple(ids[i : i + size]) for i in range(len(ids) - size + 1)}
        recent = tuple(ids[len(ids) - size + 1 :]) if size > 1 else ()
        banned = {token for token in range(6) if (*recent, token) in seen}
        assert {token for token, score in enumerate(row) if score == NEVER} == banned


def test_ban_leaves_its_input_and_short_sequences_alone() -> None:
    scores = torch.zeros(1, 6)
    assert ban_repeated_ngrams(scores, torch.tensor([[2, 0]]), 3) is scores
    assert ban_repeated_ngrams(scores, torch.tensor([[2, 0, 2]]), 0) is scores
    ban_repeated_ngrams(scores, torch.tensor([[1, 1, 1, 1]]), 3)
    assert scores.tolist() == [[0.0] * 6]


def test_force_token_leaves_one_choice_at_probability_one() -> None:
    forced = force_token(torch.randn(2, 5), 3)
    assert forced.softmax(dim=1)[:, 3].tolist() == [1.0, 1.0]


def test_keep_top_k_and_top_p_keep_the_fewest_best() -> None:
    scores = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    assert keep_top_k(scores, 2).softmax(1)[0].tolist() == pytest.approx([0.625, 0.375, 0, 0])
    kept = keep_top_p(scores, 0.7)
    assert (kept > NEVER).tolist() == [[True, True, False, False]]
    assert (keep_top_p(scores, 0.01) > NEVER).tolist() == [[True, False, False, False]]
    assert torch.equal(keep_top_p(scores, 1.0), scores)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"beams": 0}, "beams must be at least 1, got 0"),
        ({"beams": 3, "seed": 1}, "sampling has no beams"),
        ({"max_new_tokens": 1}, "max_new_tokens must be at least 2, got 1"),
        (
            {"max_new_tokens": 9, "min_new_tokens": 10},
            "min_new_tokens must lie between 0 and max_new_tokens, 9, got 10",
        ),
        ({"min_new_tokens": -1}, "min_new_tokens must lie between 0 and max_new_tokens, 1024"),
        ({"no_repeat_ngram": -1}, "no_repeat_ngram"),
        ({"temperature": 0.0}, "temperature must be above 0, got 0.0"),
        ({"top_k": 0}, "top_k"),
        ({"top_p": 1.5}, "top_p"),
        ({"top_p": 0.0}, "top_p must be above 0"),
        ({"temperature": 1e-320}, "temperature must be at least 0.001"),
        ({"temperature": float("nan")}, "temperature must be at least"),
        ({"temperature": float("inf")}, "temperature must be at most 100"),
        ({"length_penalty": 1e308}, "length_penalty must be at most 10"),
        ({"beams": 10**9}, "beams must be at most 100"),
        ({"beams": "3"}, "beams must be a whole number, got '3'"),
        ({"max_new_tokens": 20.5}, "max_new_tokens must be a whole number"),
        ({"seed": 10**5000}, "seed must be at most"),
        ({"early_stopping": "no"}, "early_stopping must be True or False"),
    ],
)
def test_options_refuse_what_cannot_be_decoded(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DecodingOptions(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize("mass", [1e-300, 1e-12, 0.5])
def test_the_best_token_is_always_kept(mass: float) -> None:
    scores_RV = torch.tensor([[-3.0, -0.1, NEVER], [-1.0, -1.0, -1.0]])
    kept_RV = keep_top_p(scores_RV, mass)
    assert (kept_RV > NEVER).any(dim=1).all() and kept_RV[0, 1] > NEVER


def test_defaults_are_the_released_ones() -> None:
    options = DecodingOptions()
    assert (options.width, options.no_repeat_ngram_size(TextConfig()), options.sampling) == (
        3,
        3,
        False,
    )
    assert (options.length_penalty, options.early_stopping) == (1.0, True)
    assert DecodingOptions(temperature=0.7).width == 1
