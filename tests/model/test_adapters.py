"""LoRA adapters merged into weights equal peft's own forward pass."""

from __future__ import annotations

import json
from pathlib import Path

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Florence2ForConditionalGeneration

from florence2.model.adapters import merge_adapter
from florence2.model.files import CheckpointError
from florence2.model.weights import load_checkpoint, save_checkpoint

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
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return wrapped.eval()


def outputs(native: Path, wrapped: torch.nn.Module, adapter: Path) -> tuple[torch.Tensor, ...]:
    wrapped.save_pretrained(adapter)
    ours = load_checkpoint(native)
    plain = ours.embedding.weight.clone()
    merge_adapter(ours, adapter)
    pixels = torch.cos(0.01 * torch.arange(3 * 32 * 32)).view(1, 3, 32, 32)
    image, words = ours.config.image_token, [0, 5, 6, 2]
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
        {"modules_to_save": ["image_proj_norm"]},
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
    merge_adapter(by_native, tmp_path / "adapter")
    tensors = load_file(path)
    old, new = "base_model.model.model.language_model.", "base_model.model.language_model.model."
    save_file({name.replace(old, new): each for name, each in tensors.items()}, path)
    merge_adapter(by_microsoft, tmp_path / "adapter")
    for one, other in zip(by_native.parameters(), by_microsoft.parameters(), strict=True):
        assert torch.equal(one, other)


def test_adapters_on_tied_embeddings_are_refused(native: Path, tmp_path: Path) -> None:
    adapted(native, target_modules=["shared"]).save_pretrained(tmp_path / "adapter")
    with pytest.raises(CheckpointError, match="tied to the output head"):
        merge_adapter(load_checkpoint(native), tmp_path / "adapter")


def test_adapters_of_other_models_are_refused(native: Path, tmp_path: Path) -> None:
    directory = tmp_path / "adapter"
    with pytest.raises(CheckpointError, match=r"adapter_config\.json is missing"):
        merge_adapter(load_checkpoint(native), directory)
    adapted(native, target_modules=["q_proj"]).save_pretrained(directory)
    path, config = directory / "adapter_model.safetensors", directory / "adapter_config.json"
    tensors = load_file(path)
    save_file({name.replace("encoder.", "other."): each for name, each in tensors.items()}, path)
    with pytest.raises(CheckpointError, match="this model has no module"):
        merge_adapter(load_checkpoint(native), directory)
    name = next(iter(tensors))
    save_file({**tensors, name: torch.ones(4, 3)}, path)
    with pytest.raises(CheckpointError, match="do not fit the weight"):
        merge_adapter(load_checkpoint(native), directory)
    values = json.loads(config.read_text())
    config.write_text(json.dumps({**values, "use_dora": True}))
    with pytest.raises(CheckpointError, match="DoRA adapters cannot be merged"):
        merge_adapter(load_checkpoint(native), directory)
