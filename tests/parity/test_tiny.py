"""Microsoft's own code on random weights: features, states, logits and ids of ten prompts."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from florence2.generation import DecodingOptions, generate
from florence2.inference.predictor import Florence2, load
from florence2.model.checkpoint.weights import load_checkpoint
from florence2.processing.image import load_image
from florence2.processing.processor import Processor
from florence2.runtime import TorchRuntime

CASES = ["0.0", "0.1", "0.2", "0.3", "0.4", "0.5", "1.0", "1.1", "2.0", "2.1"]


@pytest.fixture(scope="module", params=["model.safetensors", "pytorch_model.bin"])
def model(
    request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Florence2:
    """The checkpoint with only one of its two weight files beside the configuration."""
    directory = tmp_path_factory.mktemp("tiny")
    for name in ("config.json", "preprocessor_config.json", "tokenizer.json", request.param):
        shutil.copy(shared / "goldens" / "tiny" / name, directory)
    return load(directory, device="cpu", precision="fp32")


@cache
def expected(folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    cases = json.loads((folder / "expected.json").read_text())["cases"]
    return {case["key"]: case for case in cases}, load_file(folder / "expected.safetensors")


@pytest.mark.parametrize("key", CASES)
def test_everything_equals_the_released_code(model: Florence2, shared: Path, key: str) -> None:
    folder = shared / "goldens" / "tiny"
    cases, tensors = expected(folder)
    case, runtime, processor = cases[key], model.runtime, model.processor
    pixels = torch.from_numpy(processor.pixels(load_image(folder / case["image"])))[None]
    assert torch.equal(pixels[0, :, ::64], tensors[f"{key[0]}.pixel_values_rows"])
    prompt = processor.prompt(case["prompt"], None, (1, 1))
    assert list(prompt.token_ids) == case["input_ids"]

    with torch.inference_mode():
        image = runtime.encode_images(pixels.numpy())
        assert_close(image[0], tensors[f"{key[0]}.image_features"], 1e-4)
        states, mask = runtime.model.encode(image, torch.tensor([prompt.token_ids]))
        assert mask is None
        assert_close(states[0], tensors[f"{key}.encoder_last_hidden"], 1e-4)
        cross = runtime.model.cross_attention(states, mask)
        logits = runtime.model.decode(torch.tensor([case["decoder_input_ids"]]), cross)[0]
    top = logits.gather(1, tensors[f"{key}.logits_top_ids"].long())
    assert_close(top, tensors[f"{key}.logits_top_values"], 1e-3)
    assert_close(logits[:, ::97], tensors[f"{key}.logits_sample"], 1e-3)

    limit = len(case["greedy"]) - 1
    greedy = generate(runtime, cross, DecodingOptions(beams=1, max_new_tokens=limit))[0]
    assert [2, *greedy.token_ids] == case["greedy"]
    beams = generate(runtime, cross, DecodingOptions(max_new_tokens=limit))[0]
    assert [2, *beams.token_ids] == case["beam3"]
    assert beams.score == pytest.approx(case["beam3_score"], abs=1e-4)
    assert beams.token_logprobs == pytest.approx(case["beam3_token_logprobs"], abs=1e-3)
    assert processor.tokenizer.decode([2, *beams.token_ids]) == case["beam3_text"]


def test_a_mixed_batch_answers_what_single_prompts_do(shared: Path) -> None:
    folder = shared / "goldens" / "tiny"
    cases, _ = expected(folder)
    model = load(folder, device="cpu", precision="fp32")
    requests = [(folder / case["image"], case["prompt"]) for case in cases.values()]
    found = model.batch(requests, max_new_tokens=48, batch_size=10)
    for answer, case in zip(found, cases.values(), strict=True):
        assert [2, *answer.token_ids] == case["beam3"]  # type: ignore[union-attr]


def assert_close(found: torch.Tensor, wanted: torch.Tensor, tolerance: float) -> None:
    assert found.shape == wanted.shape
    assert (found - wanted.float()).abs().max() <= tolerance


def test_the_processor_is_that_of_the_checkpoint(shared: Path) -> None:
    folder = shared / "goldens" / "tiny"
    processor = Processor.from_directory(folder, positions=1024, stride=32)
    assert processor.preprocessing.size == (768, 768)
    assert processor.max_prompt_tokens == 1024 - 577
    assert TorchRuntime(load_checkpoint(folder)).config.text.max_position_embeddings == 1024
