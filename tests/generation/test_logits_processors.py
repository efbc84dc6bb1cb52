"""Logits processors against their plain-Python meaning."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from florence2.generation.decoding_options import DecodingOptions
from florence2.generation.logits_processors import (
    NEG_INF,
    keep_top_k,
    keep_top_p,
    no_repeat_ngram,
)
from florence2.model import TextConfig


@given(
    rows=st.lists(st.lists(st.integers(0, 5), min_size=0, max_size=9), min_size=1, max_size=3),
    size=st.integers(0, 4),
)
def test_no_repeat_ngram_bans_what_a_loop_bans(rows: list[list[int]], size: int) -> None:
    scores = torch.zeros(len(rows), 6)
    # Behind its length a row may hold anything.
    ids = torch.tensor([[*row, *[1] * (9 - len(row))] for row in rows])
    lengths = torch.tensor([[len(row)] for row in rows])
    no_repeat_ngram(scores, ids, lengths, size)
    for row, tokens in zip(scores.tolist(), rows, strict=True):
        seen = {tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1)}
        recent = tuple(tokens[len(tokens) - size + 1 :]) if size > 1 else ()
        banned = {token for token in range(6) if size and (*recent, token) in seen}
        assert {token for token, score in enumerate(row) if score == NEG_INF} == banned
        assert all(score in (0.0, NEG_INF) for score in row)


def test_keep_top_k_and_top_p_keep_the_fewest_best() -> None:
    scores = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    assert keep_top_k(scores, 2).softmax(1)[0].tolist() == pytest.approx([0.625, 0.375, 0, 0])
    kept = keep_top_p(scores, 0.7)
    assert (kept > NEG_INF).tolist() == [[True, True, False, False]]
    assert (keep_top_p(scores, 0.01) > NEG_INF).tolist() == [[True, False, False, False]]
    assert torch.equal(keep_top_p(scores, 1.0), scores)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"beams": 0}, "beams must be at least 1, got 0"),
        ({"beams": 3, "seed": 1}, "sampling has no beams"),
        ({"max_new_tokens": 1}, "max_new_tokens must be at least 2, got 1"),
        (
            {"max_new_tokens": 9, "min_new_tokens": 10},
            "min_new_tokens must be between 0 and max_new_tokens, 9, got 10",
        ),
        ({"min_new_tokens": -1}, "min_new_tokens must be between 0 and max_new_tokens, 1024"),
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
    scores_RV = torch.tensor([[-3.0, -0.1, NEG_INF], [-1.0, -1.0, -1.0]])
    kept_RV = keep_top_p(scores_RV, mass)
    assert (kept_RV > NEG_INF).any(dim=1).all() and kept_RV[0, 1] > NEG_INF


def test_defaults_are_the_released_ones() -> None:
    options = DecodingOptions()
    assert (options.num_beams, options.no_repeat_ngram_size(TextConfig()), options.sampling) == (
        3,
        3,
        False,
    )
    assert (options.length_penalty, options.early_stopping) == (1.0, True)
    assert DecodingOptions(temperature=0.7).num_beams == 1
