"""Decoding as a whole: batches, limits, sampling, and that nothing is expanded over beams."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from florence2.generation import DecodingOptions, Generated, generate
from florence2.model import (
    CrossAttentionCache,
    Florence2Config,
    Florence2Model,
    TextConfig,
    VisionConfig,
)
from florence2.runtime import TorchRuntime

PROMPTS = [[0, 7, 2], [0, 8, 9, 10, 11, 2], [0, 2], [0, 40, 41, 42, 2]]


def cross_of(runtime: TorchRuntime, prompts: list[list[int]]) -> CrossAttentionCache:
    pixels = np.random.default_rng(5).standard_normal((len(PROMPTS), 3, 96, 96))
    image = runtime.encode_images(pixels.astype(np.float32))
    return runtime.encode_prompts(image[[PROMPTS.index(prompt) for prompt in prompts]], prompts)


def answers(
    runtime: TorchRuntime, prompts: list[list[int]], options: DecodingOptions
) -> list[Generated]:
    return generate(runtime, cross_of(runtime, prompts), options)


OPTIONS = [
    DecodingOptions(max_new_tokens=30),
    DecodingOptions(beams=1, max_new_tokens=30),
    DecodingOptions(beams=5, max_new_tokens=30, early_stopping=False, length_penalty=0.4),
    DecodingOptions(seed=11, temperature=1.5, top_k=20, max_new_tokens=30),
]


@pytest.mark.parametrize("options", OPTIONS)
def test_a_batch_answers_what_single_calls_answer(
    runtime: TorchRuntime, options: DecodingOptions
) -> None:
    single = [answers(runtime, [prompt], options)[0] for prompt in PROMPTS]
    together = answers(runtime, PROMPTS, options)
    assert [each.token_ids for each in together] == [each.token_ids for each in single]
    for one, other in zip(together, single, strict=True):
        assert one.token_logprobs == pytest.approx(other.token_logprobs, abs=1e-4)
        assert one.score == pytest.approx(other.score, abs=1e-4)
    assert len({len(each.token_ids) for each in single}) > 1, "answers should end at other lengths"


@pytest.mark.parametrize("options", OPTIONS)
def test_answers_have_their_form(runtime: TorchRuntime, options: DecodingOptions) -> None:
    for each in answers(runtime, PROMPTS, options):
        assert each.token_ids[0] == 0
        assert each.token_ids[-1] == 2
        assert 2 not in each.token_ids[:-1]
        assert len(each.token_logprobs) == len(each.token_ids)
        assert each.token_logprobs[0] == 0
        assert max(each.token_logprobs) <= 0
        whole = sum(each.token_logprobs) / len(each.token_ids) ** options.length_penalty
        assert each.score == pytest.approx(whole, abs=1e-5)
        ngrams = list(zip(*((2, *each.token_ids)[i:] for i in range(3)), strict=False))
        assert len(set(ngrams)) == len(ngrams)


@pytest.mark.parametrize("beams", [1, 3])
def test_repeats_are_banned_as_the_checkpoint_says_unless_asked_otherwise(
    runtime: TorchRuntime, beams: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ids(**asked: int) -> list[tuple[int, ...]]:
        options = DecodingOptions(beams=beams, max_new_tokens=30, **asked)
        return [each.token_ids for each in answers(runtime, PROMPTS, options)]

    three, two = ids(), ids(no_repeat_ngram=2)
    assert three == ids(no_repeat_ngram=3) and three != two
    text = replace(runtime.config.text, no_repeat_ngram_size=2)
    monkeypatch.setattr(runtime.model, "config", replace(runtime.config, text=text))
    assert runtime.config.text.no_repeat_ngram_size == 2
    assert ids() == two and ids(no_repeat_ngram=3) == three


def test_lengths_are_clamped_to_the_positions_and_told(runtime: TorchRuntime) -> None:
    quiet = runtime.model.logits_bias_V.clone()
    runtime.model.logits_bias_V[2] = -1e4
    try:
        for beams in (1, 3):
            options = DecodingOptions(beams=beams, max_new_tokens=5000, no_repeat_ngram=0)
            for each in answers(runtime, PROMPTS[:2], options):
                assert len(each.token_ids) == runtime.config.text.max_position_embeddings
                assert each.truncated
                assert each.token_logprobs[-1] == 0
    finally:
        runtime.model.logits_bias_V.copy_(quiet)
    assert not answers(runtime, PROMPTS[:1], DecodingOptions(max_new_tokens=60))[0].truncated


@pytest.mark.parametrize("asked", [{"beams": 1}, {"beams": 3}, {"seed": 4}])
def test_no_answer_ends_before_its_least_length(
    runtime: TorchRuntime, asked: dict[str, int]
) -> None:
    def found(**lengths: int) -> list[tuple[int, ...]]:
        options = DecodingOptions(**asked, **lengths)
        return [each.token_ids for each in answers(runtime, PROMPTS, options)]

    free = found(max_new_tokens=40)
    least = max(map(len, free)) + 3
    assert all(least <= len(ids) <= 40 for ids in found(max_new_tokens=40, min_new_tokens=least))
    assert all(len(ids) == 25 for ids in found(max_new_tokens=25, min_new_tokens=25))


def test_sampling_follows_its_seed(runtime: TorchRuntime) -> None:
    draw = [
        answers(runtime, PROMPTS[:1], DecodingOptions(seed=seed, temperature=2.0))[0].token_ids
        for seed in (1, 1, 2, 3)
    ]
    assert draw[0] == draw[1]
    assert len(set(draw)) > 1


def test_cross_attention_is_never_expanded_over_beams(
    runtime: TorchRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    attention = torch.nn.functional.scaled_dot_product_attention
    cross = cross_of(runtime, PROMPTS)
    encoder_length = cross.keys[0].shape[2]

    def watched(query: torch.Tensor, key: torch.Tensor, *rest: object, **more: object):  # type: ignore[no-untyped-def]
        if key.shape[2] == encoder_length:
            seen.append((key.shape[0], query.shape[2]))
        return attention(query, key, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    generate(runtime, cross, DecodingOptions(max_new_tokens=6))
    assert (len(PROMPTS), 3) in seen, "three beams should be three queries of one image"
    assert all(images <= len(PROMPTS) for images, _ in seen)


@pytest.mark.parametrize("beams", [1, 3])
def test_long_answers_outgrow_the_first_room_of_the_cache(beams: int) -> None:
    vision = VisionConfig(
        dim_embed=(8, 16),
        num_heads=(2, 2),
        num_groups=(2, 2),
        depths=(1, 1),
        patch_size=(7, 3),
        patch_stride=(4, 2),
        patch_padding=(3, 1),
        patch_prenorm=(False, True),
        window_size=3,
        max_position_embeddings=10,
        max_temporal_embeddings=1,
    )
    text = TextConfig(
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        vocab_size=60,
        max_position_embeddings=200,
        init_std=0.4,
    )
    model = Florence2Model(Florence2Config(vision, text))
    model.initialize(seed=3)
    model.logits_bias_V[2] = -1e4
    runtime = TorchRuntime(model.double())
    image = runtime.encode_images(np.ones((2, 3, 24, 24), np.float32))
    options = DecodingOptions(beams=beams, max_new_tokens=150)
    prompts = [[0, 7, 2], [0, 9, 2]]
    together = generate(runtime, runtime.encode_prompts(image, prompts), options)
    for row, found in enumerate(together):
        alone = runtime.encode_prompts(image[row : row + 1], prompts[row : row + 1])
        assert len(found.token_ids) == 150
        assert generate(runtime, alone, options)[0].token_ids == found.token_ids
