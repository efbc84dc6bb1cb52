"""Greedy and beam ids equal transformers' own Florence-2, for many settings.

Both run in float64: random weights give beams whose sums differ by less than float32 rounding,
and the reference itself then answers otherwise in a batch than alone.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import Florence2Config, Florence2ForConditionalGeneration

from florence2.generation import DecodingOptions, generate
from florence2.model.checkpoint.weights import load_checkpoint
from florence2.runtime import TorchRuntime

IMAGE_TOKEN = 3
IMAGE_TOKENS = 10
PROMPTS = [[0, 7, 8, 9, 2], [0, 11, 2], [0, 20, 21, 22, 23, 24, 25, 2]]


def reference_model(seed: int) -> Florence2ForConditionalGeneration:
    text = {
        "model_type": "bart", "vocab_size": 60, "d_model": 32, "encoder_layers": 2,
        "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
        "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 64,
        "init_std": 0.5, "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2,
        "decoder_start_token_id": 2,
    }  # fmt: skip
    vision = {
        "embed_dim": [8, 16, 32, 64], "num_heads": [2, 2, 4, 4], "num_groups": [2, 2, 4, 4],
        "depths": [1, 1, 2, 1], "window_size": 3, "projection_dim": 32,
        "max_temporal_embeddings": 10, "max_position_embeddings": 10,
    }  # fmt: skip
    torch.manual_seed(seed)
    config = Florence2Config(text_config=text, vision_config=vision, image_token_id=IMAGE_TOKEN)
    config._attn_implementation = "eager"
    model = Florence2ForConditionalGeneration(config).double().eval()
    with torch.no_grad():
        # Random weights seldom end an answer; a larger </s> row makes lengths vary.
        model.model.language_model.shared.weight[2] *= 2
    return model


def reference_ids(
    model: Florence2ForConditionalGeneration,
    pixels: torch.Tensor,
    prompts: list[list[int]],
    **settings: object,
) -> list[list[int]]:
    longest = max(map(len, prompts))
    ids = torch.tensor(
        [[IMAGE_TOKEN] * IMAGE_TOKENS + each + [1] * (longest - len(each)) for each in prompts]
    )
    sequences = model.generate(
        input_ids=ids, attention_mask=(ids != 1).long(), pixel_values=pixels, do_sample=False,
        forced_bos_token_id=0, forced_eos_token_id=2, eos_token_id=2, pad_token_id=1,
        decoder_start_token_id=2, **settings,
    )  # fmt: skip
    rows = sequences[:, 1:].tolist()
    return [row[: row.index(2) + 1] for row in rows]


SETTINGS = [
    {"num_beams": 3, "no_repeat_ngram_size": 3, "early_stopping": True, "max_new_tokens": 30},
    {"num_beams": 1, "no_repeat_ngram_size": 3, "max_new_tokens": 30},
    {"num_beams": 2, "no_repeat_ngram_size": 2, "early_stopping": False, "max_new_tokens": 20},
    {"num_beams": 5, "no_repeat_ngram_size": 0, "early_stopping": True, "max_new_tokens": 6,
     "length_penalty": 0.4},
    {"num_beams": 4, "no_repeat_ngram_size": 3, "early_stopping": False, "max_new_tokens": 40,
     "length_penalty": 1.7},
]  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_ids_equal_the_reference(seed: int, tmp_path: Path) -> None:
    reference = reference_model(seed)
    reference.save_pretrained(tmp_path)
    runtime = TorchRuntime(load_checkpoint(tmp_path, dtype=torch.float64))
    pixels = torch.randn(len(PROMPTS), 3, 96, 96, dtype=torch.float64)
    image = runtime.encode_images(pixels.numpy())
    cases = 0
    for settings in SETTINGS:
        options = DecodingOptions(
            beams=settings["num_beams"],
            no_repeat_ngram=settings["no_repeat_ngram_size"],
            max_new_tokens=settings["max_new_tokens"],
            early_stopping=bool(settings.get("early_stopping", True)),
            length_penalty=settings.get("length_penalty", 1.0),
        )  # type: ignore[arg-type]
        for number, prompt in enumerate(PROMPTS):
            expected = reference_ids(reference, pixels[number : number + 1], [prompt], **settings)
            one = runtime.encode_prompts(image[number : number + 1], [prompt])
            assert [list(generate(runtime, one, options)[0].token_ids)] == expected, settings
            cases += 1
    assert cases == len(SETTINGS) * len(PROMPTS)


def test_padding_is_masked_as_in_the_reference(tmp_path: Path) -> None:
    reference = reference_model(seed=0)
    reference.save_pretrained(tmp_path)
    runtime = TorchRuntime(load_checkpoint(tmp_path, dtype=torch.float64))
    pixels = torch.randn(len(PROMPTS), 3, 96, 96, dtype=torch.float64)
    cross = runtime.encode_prompts(runtime.encode_images(pixels.numpy()), PROMPTS)
    found = generate(runtime, cross, DecodingOptions(max_new_tokens=12))
    expected = reference_ids(reference, pixels, PROMPTS, **{**SETTINGS[0], "max_new_tokens": 12})
    assert [list(each.token_ids) for each in found] == expected
