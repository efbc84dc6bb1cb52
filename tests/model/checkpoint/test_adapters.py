"""LoRA adapters merged into weights equal peft's own forward pass."""

from __future__ import annotations

import json
from pathlib import Path

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Florence2ForConditionalGeneration

from florence2.model.checkpoint.adapters import merge_adapter_files
from florence2.model.checkpoint.tensor_files import CheckpointError
from florence2.model.checkpoint.weights import load_checkpoint, save_checkpoint

TARGETS = ["q_proj", "v_proj", "out_proj", "fc1", "fc2", "qkv", "proj"]


@pytest.fixture
def native(model, tmp_path: Path) -> Path:  # type: ignore[no-untyped-def]
    save_checkpoint(model, tmp_path / "native", layout="transformers")
    return tmp_path / "native"


def adapted(native: Path, **settings: object) -> torch.nn.Module:
    base = Florence2ForConditionalGeneration.from_pretrained(native, attn_implementation="eager")
    config = peft.LoraConfig(**{"r": 4, "lora_alpha": 6, "target_modules": TARGETS, **settings})
    torch.manual_seed(0)
    wrapped = peft.get_peft_model(base, config)
    for name, parameter in wrapped.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return wrapped.eval()


def outputs(native: Path, wrapped: torch.nn.Module, adapter: Path) -> tuple[torch.Tensor, ...]:
    wrapped.save_pretrained(adapter)
    ours = load_checkpoint(native)
    plain = ours.embedding.weight.clone()
    merge_adapter_files(ours, adapter)
    pixels = torch.cos(0.01 * torch.arange(3 * 32 * 32)).view(1, 3, 32, 32)
    image, words = ours.config.image_token_id, [0, 5, 6, 2]
    decoder = torch.tensor([[2, 0, 7, 9]])
    with torch.inference_mode():
        count = ours.encode_image(pixels).shape[1]
        found = ours(pixels, torch.tensor([words]), decoder)
        expected = wrapped(
            input_ids=torch.tensor([[image] * count + words]), pixel_values=pixels,
            decoder_input_ids=decoder,
        ).logits  # fmt: skip
        untouched = load_checkpoint(native)(pixels, torch.tensor([words]), decoder)
    assert plain.shape == ours.embedding.weight.shape
    assert not torch.allclose(found, untouched, atol=1e-3), "the adapter should change answers"
    return found, expected


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_rslora": True},
        {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"fc1": 9}},
        {"target_modules": [*TARGETS, "lm_head"]},
        {"target_modules": [*TARGETS, "convs.0.conv", "convs.1.conv", "image_projection"]},
        {"modules_to_save": ["image_proj_norm"]},
        {"modules_to_save": ["lm_head"]},
        {"init_lora_weights": "orthogonal"},
        {"bias": "all"},
    ],
)
def test_merged_equals_peft(native: Path, tmp_path: Path, settings: dict[str, object]) -> None:
    found, expected = outputs(native, adapted(native, **settings), tmp_path / "adapter")
    assert torch.allclose(found, expected, atol=1e-5)


def test_adapters_named_as_in_microsofts_layout(native: Path, tmp_path: Path) -> None:
    wrapped = adapted(native, target_modules=["q_proj", "v_proj"])
    wrapped.save_pretrained(tmp_path / "adapter")
    path = tmp_path / "adapter" / "adapter_model.safetensors"
    by_native, by_microsoft = load_checkpoint(native), load_checkpoint(native)
    merge_adapter_files(by_native, tmp_path / "adapter")
    tensors = load_file(path)
    old, new = "base_model.model.model.language_model.", "base_model.model.language_model.model."
    save_file({name.replace(old, new): each for name, each in tensors.items()}, path)
    merge_adapter_files(by_microsoft, tmp_path / "adapter")
    for one, other in zip(by_native.parameters(), by_microsoft.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_saved_output_head_leaves_the_embedding_alone(native: Path, tmp_path: Path) -> None:
    adapted(native, modules_to_save=["lm_head"]).save_pretrained(tmp_path / "adapter")
    before, after = load_checkpoint(native), load_checkpoint(native)
    merge_adapter_files(after, tmp_path / "adapter")
    assert torch.equal(after.embedding.weight, before.embedding.weight)
    assert after.head is not None and not after.config.tie_word_embeddings


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": ["shared"]},
        {"target_modules": ["q_proj"], "modules_to_save": ["shared"]},
        {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
    ],
)
def test_adapters_on_tied_embeddings_are_refused(
    native: Path, tmp_path: Path, settings: dict[str, object]
) -> None:
    adapted(native, **settings).save_pretrained(tmp_path / "adapter")
    with pytest.raises(CheckpointError, match="tied to the output head"):
        merge_adapter_files(load_checkpoint(native), tmp_path / "adapter")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"init_lora_weights": "pissa"}, "pissa adapters cannot be merged"),
        ({"init_lora_weights": "olora"}, "olora adapters cannot be merged"),
        ({"lora_bias": True}, "LoRA-bias adapters cannot be merged"),
        ({"trainable_token_indices": [3, 4]}, "trainable-token adapters cannot be merged"),
    ],
)
def test_what_a_sum_cannot_merge_is_refused(
    native: Path, tmp_path: Path, settings: dict[str, object], message: str
) -> None:
    adapted(native, target_modules=["q_proj"], **settings).save_pretrained(tmp_path / "adapter")
    with pytest.raises(CheckpointError, match=message):
        merge_adapter_files(load_checkpoint(native), tmp_path / "adapter")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"r": 8}, "have rank 4, .* has rank 8"),
        ({"r": 0}, "have rank 4, .* has rank 0"),
        ({"r": "x"}, "no usable rank and alpha"),
        ({"lora_alpha": [6]}, "no usable rank and alpha"),
        ({"rank_pattern": {"(": 4}}, "the pattern '\\('"),
        ({"rank_pattern": {"(a+)+$": 4}}, "not supported"),
        ({"alpha_pattern": {"(a|a)" * 30: 4}}, "not supported"),
        ({"alpha_pattern": {".*.*.*.*.*x": 4}}, "not supported"),
        ({"alpha_pattern": {"a" * 5000: 4}}, "not supported"),
        ({"alpha_pattern": dict.fromkeys(map(str, range(9000)), 4)}, "at most 2000 patterns"),
        ({"rank_pattern": ["q_proj"]}, "must be an object"),
        ({"use_rslora": "no"}, "use_rslora must be true or false"),
    ],
)
def test_a_config_that_contradicts_the_factors_is_refused(
    native: Path, tmp_path: Path, values: dict[str, object], message: str
) -> None:
    adapted(native).save_pretrained(tmp_path / "adapter")
    path = tmp_path / "adapter" / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    with pytest.raises(CheckpointError, match=message):
        merge_adapter_files(load_checkpoint(native), tmp_path / "adapter")


def test_usual_patterns_still_match(native: Path, tmp_path: Path) -> None:
    settings = {"rank_pattern": {r"^.*layers\.0\.fc1": 2}, "alpha_pattern": {"fc2": 3}}
    found, expected = outputs(native, adapted(native, **settings), tmp_path / "adapter")
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_factors_with_a_vast_product_are_refused_before_it_is_computed(
    native: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapted(native, r=1).save_pretrained(tmp_path / "adapter")
    path = tmp_path / "adapter" / "adapter_model.safetensors"
    tensors = load_file(path)
    name = next(name for name in tensors if "q_proj.lora_A" in name)
    tensors[name] = torch.zeros(1, 400_000)
    tensors[name.replace("lora_A", "lora_B")] = torch.zeros(400_000, 1)
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match="do not fit the weight"):
        merge_adapter_files(load_checkpoint(native), tmp_path / "adapter")


def test_damaged_factors_are_refused(native: Path, tmp_path: Path) -> None:
    adapted(native).save_pretrained(tmp_path / "adapter")
    path = tmp_path / "adapter" / "adapter_model.safetensors"
    tensors = load_file(path)
    name = next(iter(tensors))
    for damaged, message in [
        (torch.full_like(tensors[name], float("nan")), "non-finite or quantized weights"),
        (tensors[name].to(torch.int8), "non-finite or quantized weights"),
        (torch.ones(()), "have rank 0"),
    ]:
        save_file({**tensors, name: damaged}, path)
        with pytest.raises(CheckpointError, match=message):
            merge_adapter_files(load_checkpoint(native), tmp_path / "adapter")
    half = {name: each for name, each in tensors.items() if "lora_B" not in name}
    save_file(half, path)
    with pytest.raises(CheckpointError, match="has only factor A"):
        merge_adapter_files(load_checkpoint(native), tmp_path / "adapter")


def test_adapters_of_other_models_are_refused(native: Path, tmp_path: Path) -> None:
    directory = tmp_path / "adapter"
    with pytest.raises(CheckpointError, match=r"adapter_config\.json is missing"):
        merge_adapter_files(load_checkpoint(native), directory)
    adapted(native, target_modules=["q_proj"]).save_pretrained(directory)
    path, config = directory / "adapter_model.safetensors", directory / "adapter_config.json"
    tensors = load_file(path)
    save_file({name.replace("encoder.", "other."): each for name, each in tensors.items()}, path)
    with pytest.raises(CheckpointError, match="this model has no module"):
        merge_adapter_files(load_checkpoint(native), directory)
    name = next(iter(tensors))
    save_file({**tensors, name: torch.ones(4, 3)}, path)
    with pytest.raises(CheckpointError, match="do not fit the weight"):
        merge_adapter_files(load_checkpoint(native), directory)
    values = json.loads(config.read_text())
    config.write_text(json.dumps({**values, "use_dora": True}))
    with pytest.raises(CheckpointError, match="DoRA adapters cannot be merged"):
        merge_adapter_files(load_checkpoint(native), directory)
