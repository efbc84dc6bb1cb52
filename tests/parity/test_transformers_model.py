"""The model against transformers' own: features, logits and ids at many shapes, small and true."""

from __future__ import annotations

import zlib

import pytest
import torch
from transformers import Florence2Config as ReferenceConfig
from transformers import Florence2ForConditionalGeneration

from florence2.generation import DecodingOptions, generate
from florence2.model import Florence2Config, Florence2Model
from florence2.model.checkpoint.weights import model_from_tensors
from florence2.runtime import TorchRuntime

IMAGE_TOKEN = 3


def reference(
    vision: dict[str, object], text: dict[str, object], dtype: torch.dtype = torch.float32
) -> Florence2ForConditionalGeneration:
    config = ReferenceConfig(
        vision_config=vision,
        text_config={"model_type": "bart", "bos_token_id": 0, "pad_token_id": 1,
                     "eos_token_id": 2, "decoder_start_token_id": 2, **text},
        image_token_id=IMAGE_TOKEN,
    )  # fmt: skip
    config._attn_implementation = "eager"
    return Florence2ForConditionalGeneration(config).eval().to(dtype)


def ours_of(model: Florence2ForConditionalGeneration) -> Florence2Model:
    tensors = {name: value.clone() for name, value in model.state_dict().items()}
    config = Florence2Config.from_dict(model.config.to_dict())
    return model_from_tensors(config, tensors, dtype=next(model.parameters()).dtype)


def small(depths: tuple[int, ...], window: int, width: int = 32) -> tuple[dict, dict]:  # type: ignore[type-arg]
    vision = {
        "embed_dim": [8, 16, 32, 64], "num_heads": [2, 2, 4, 4], "num_groups": [2, 2, 4, 4],
        "depths": list(depths), "window_size": window, "projection_dim": width,
        "max_temporal_embeddings": 10, "max_position_embeddings": 10,
    }  # fmt: skip
    text = {
        "vocab_size": 120, "d_model": width, "encoder_layers": 2, "decoder_layers": 2,
        "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64, "max_position_embeddings": 128,
    }  # fmt: skip
    return vision, text


@pytest.mark.parametrize(
    ("depths", "window", "size"),
    [((1, 1, 2, 1), 3, 96), ((1, 1, 2, 1), 3, 128), ((2, 1, 1, 2), 5, 160), ((1, 1, 3, 1), 12, 64)],
)
def test_features_and_logits_equal_the_reference(
    depths: tuple[int, ...], window: int, size: int
) -> None:
    torch.manual_seed(size)
    theirs = reference(*small(depths, window))
    ours = ours_of(theirs)
    pixels = torch.randn(2, 3, size, size)
    prompt = torch.tensor([[0, 7, 8, 9, 2], [0, 11, 2, 1, 1]])
    decoder = torch.tensor([[2, 0, 11, 12], [2, 0, 40, 41]])
    with torch.inference_mode():
        image = ours.encode_image(pixels)
        expected = theirs.model.get_image_features(pixels).pooler_output
        assert torch.allclose(image, expected.view_as(image), atol=1e-4)
        count = image.shape[1]
        ids = torch.cat([torch.full((2, count), IMAGE_TOKEN), prompt], dim=1)
        logits = theirs(input_ids=ids, attention_mask=(ids != 1).long(), pixel_values=pixels,
                        decoder_input_ids=decoder).logits  # fmt: skip
        found = ours(pixels, prompt, decoder, prompt == 1)
    assert torch.allclose(found, logits, atol=1e-4)


@pytest.mark.parametrize("shape", [(96, 160), (224, 64), (32, 32)])
def test_maps_equal_the_reference_for_pictures_that_are_not_square(shape: tuple[int, int]) -> None:
    theirs = reference(*small((1, 1, 2, 1), 3))
    pixels = torch.randn(1, 3, *shape)
    with torch.inference_mode():
        maps = ours_of(theirs).vision_encoder(pixels)
        expected = theirs.model.vision_tower(pixels).last_hidden_state
    assert torch.allclose(maps[-1].permute(0, 3, 1, 2), expected, atol=1e-4)
    assert [tuple(each.shape[1:3]) for each in maps] == [
        (shape[0] // stride, shape[1] // stride) for stride in (4, 8, 16, 32)
    ]


def test_sizes_off_the_grid_are_refused() -> None:
    model = ours_of(reference(*small((1, 1, 1, 1), 3)))
    with pytest.raises(ValueError, match="multiples of 32, got 100 x 96"):
        model.encode_image(torch.zeros(1, 3, 100, 96))
    with pytest.raises(ValueError, match="positions for 10 in each direction"):
        model.encode_image(torch.zeros(1, 3, 352, 32))
    with pytest.raises(ValueError, match="exceed the 128 positions"):
        model.encode(model.encode_image(torch.zeros(1, 3, 320, 320)), torch.zeros(1, 40).long())


def sine_weights() -> Florence2Model:
    """The numeric golden: every tensor filled from its name in transformers' layout."""
    vision, text = small((1, 1, 2, 1), 3)
    theirs = reference(vision, {**text, "max_position_embeddings": 64}, torch.float64)
    norms = ("norm.weight", "norm1.weight", "norm2.weight", "layer_norm.weight",
             "layernorm_embedding.weight")  # fmt: skip
    tensors = theirs.state_dict()
    for name, value in tensors.items():
        if name.endswith("pos_idx_to_embed"):
            continue
        tied = "embed_tokens" in name or name == "lm_head.weight"
        known = "model.language_model.shared.weight" if tied else name
        index = torch.arange(value.numel(), dtype=torch.float64)
        filled = 0.3 * torch.sin(0.7 * index + zlib.crc32(known.encode()) % 1000)
        value.copy_((1 + 0.5 * filled if name.endswith(norms) else filled).view_as(value))
    return ours_of(theirs)


def test_the_numeric_golden_that_needs_no_weights() -> None:
    model = sine_weights()
    for size, first, last, mean in (
        (96, [-0.76003379, -0.84752518, -0.29746972, 0.68275317],
         [1.30710454, 0.2733568, -1.07192284, -1.77853871], 0.91980866),
        (128, [-0.74855864, -0.03196599, 0.92176825, 1.51317947],
         [-0.48182329, 0.40462064, 1.2113544, 1.23069447], 0.97744868),
    ):  # fmt: skip
        pixels = torch.cos(0.01 * torch.arange(3 * size * size, dtype=torch.float64))
        with torch.inference_mode():
            image = model.encode_image(pixels.view(1, 3, size, size))
        assert image[0, 0, :4].tolist() == pytest.approx(first, abs=1e-6)
        assert image[0, -1, -4:].tolist() == pytest.approx(last, abs=1e-6)
        assert image.abs().mean().item() == pytest.approx(mean, abs=1e-6)

    pixels = torch.cos(0.01 * torch.arange(3 * 96 * 96, dtype=torch.float64)).view(1, 3, 96, 96)
    runtime = TorchRuntime(model)
    cross = runtime.encode_prompts(runtime.encode_images(pixels.numpy()), [[0, 7, 8, 9, 2]])
    with torch.inference_mode():
        logits = model.decode(torch.tensor([[2, 0, 11, 12]]), cross)[0]
    expected = [1.01503572, -0.27941419, -0.50226707, 1.20115267, -1.70203558]
    assert logits[-1, :5].tolist() == pytest.approx(expected, abs=1e-5)
    assert logits.argmax(dim=1).tolist() == [113, 113, 113, 5]
    assert logits.abs().mean().item() == pytest.approx(1.36349486, abs=1e-5)
    found = generate(runtime, cross, DecodingOptions(max_new_tokens=12))[0]
    assert found.token_ids == (0, 113, 113, 113, 67, 113, 67, 5, 90, 5, 113, 2)


@pytest.mark.slow
@pytest.mark.parametrize("size", ["base", "large"])
def test_true_shapes_equal_the_reference(size: str) -> None:
    """Random weights at the released shapes: features, logits, greedy and beam ids."""
    config = Florence2Config() if size == "base" else Florence2Config.large()
    values = config.with_vocabulary(51328).to_transformers()
    torch.manual_seed(0)
    theirs = reference(values["vision_config"], values["text_config"])
    ours = ours_of(theirs)
    pixels = torch.randn(2, 3, 768, 768)
    prompts = [[0, 574, 22486, 5, 8720, 2], [0, 2264, 473, 5, 2274, 6190, 116, 2]]
    runtime = TorchRuntime(ours)
    image = runtime.encode_images(pixels.numpy())
    with torch.inference_mode():
        expected = theirs.model.get_image_features(pixels).pooler_output.view_as(image)
    assert (image - expected).abs().max() < 1e-4
    for row, prompt in enumerate(prompts):
        ids = torch.tensor([[IMAGE_TOKEN] * 577 + prompt])
        cross = runtime.encode_prompts(image[row : row + 1], [prompt])
        for beams in (1, 3):
            sequence = theirs.generate(
                input_ids=ids, pixel_values=pixels[row : row + 1], num_beams=beams,
                max_new_tokens=20, no_repeat_ngram_size=3, early_stopping=beams > 1,
                forced_bos_token_id=0, forced_eos_token_id=2, do_sample=False,
            )[0, 1:].tolist()  # fmt: skip
            options = DecodingOptions(beams=beams, max_new_tokens=20)
            found = generate(runtime, cross, options)[0]
            assert list(found.token_ids) == sequence[: sequence.index(2) + 1]
