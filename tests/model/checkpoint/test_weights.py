"""Loading and saving: both layouts, every tie, and clear errors instead of garbage."""

from __future__ import annotations

import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from florence2.model import Florence2Config, Florence2Model, TextConfig, VisionConfig
from florence2.model.checkpoint.bart_weights import load_bart_text
from florence2.model.checkpoint.state_dict_keys import layout_name, tied_names
from florence2.model.checkpoint.tensor_files import CheckpointError
from florence2.model.checkpoint.weights import (
    inspect_checkpoint,
    load_checkpoint,
    save_checkpoint,
)

Change = Callable[[dict[str, torch.Tensor]], None]


def logits(model: Florence2Model) -> torch.Tensor:
    pixels = torch.cos(0.01 * torch.arange(3 * 32 * 24)).view(1, 3, 32, 24)
    prompt, decoder = torch.tensor([[0, 5, 6, 2]]), torch.tensor([[2, 0, 7, 9]])
    with torch.inference_mode():
        return model(pixels.to(model.embedding.weight.dtype), prompt, decoder)


def rewrite(directory: Path, change: Change) -> None:
    tensors = load_file(directory / "model.safetensors")
    change(tensors)
    save_file({name: each.contiguous() for name, each in tensors.items()},
              directory / "model.safetensors")  # fmt: skip


def reconfigure(directory: Path, section: str, **values: object) -> None:
    config = json.loads((directory / "config.json").read_text())
    config[section].update(values)
    (directory / "config.json").write_text(json.dumps(config))


def resaved(config: Florence2Config, directory: Path, layout: str) -> Florence2Config:
    """The config of a fresh model that was saved and loaded."""
    model = Florence2Model(config)
    model.initialize(seed=2)
    save_checkpoint(model, directory, layout=layout)
    return load_checkpoint(directory).config


def layout_of(directory: Path) -> str:
    return inspect_checkpoint(directory).layout


def test_saved_models_load_back_the_same(model: Florence2Model, checkpoint: Path) -> None:
    loaded = load_checkpoint(checkpoint)
    rows = model.config.text.vocab_size
    assert torch.equal(logits(loaded)[..., :rows], logits(model))
    assert not loaded.training
    assert all(parameter.requires_grad for parameter in loaded.parameters())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_any_stored_precision_loads_to_any(checkpoint: Path, dtype: torch.dtype) -> None:
    rewrite(checkpoint, lambda t: t.update({name: each.half() for name, each in t.items()}))
    assert {each.dtype for each in load_checkpoint(checkpoint, dtype=dtype).parameters()} == {dtype}


def test_pickles_load_as_safetensors_do(model: Florence2Model, checkpoint: Path) -> None:
    tensors = load_file(checkpoint / "model.safetensors")
    (checkpoint / "model.safetensors").unlink()
    torch.save(tensors, checkpoint / "pytorch_model.bin")
    assert torch.equal(logits(load_checkpoint(checkpoint))[..., :40], logits(model))


def test_weights_in_parts_load_by_their_index(model: Florence2Model, checkpoint: Path) -> None:
    tensors = load_file(checkpoint / "model.safetensors")
    (checkpoint / "model.safetensors").unlink()
    names = sorted(tensors)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for part, held in parts.items():
        save_file({name: tensors[name] for name in held}, checkpoint / part)
    index = {"weight_map": {name: part for part, held in parts.items() for name in held}}
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps(index))
    assert torch.equal(logits(load_checkpoint(checkpoint))[..., :40], logits(model))
    (checkpoint / "b.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"b\.safetensors, which are missing"):
        load_checkpoint(checkpoint)


def test_saving_over_a_checkpoint_in_parts_replaces_it(
    model: Florence2Model, checkpoint: Path
) -> None:
    old = load_file(checkpoint / "model.safetensors")
    save_file({name: torch.zeros_like(each) for name, each in old.items()},
              checkpoint / "part.safetensors")  # fmt: skip
    index = {"weight_map": dict.fromkeys(old, "part.safetensors")}
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps(index))
    save_checkpoint(model, checkpoint, layout=layout_of(checkpoint))
    assert torch.equal(logits(load_checkpoint(checkpoint))[..., :40], logits(model))


def test_a_pickle_of_parameters_keeps_buffers_buffers(checkpoint: Path) -> None:
    tensors = load_file(checkpoint / "model.safetensors")
    trained = {name for name, _ in load_checkpoint(checkpoint).named_parameters()}
    (checkpoint / "model.safetensors").unlink()
    wrapped = {name: torch.nn.Parameter(each) for name, each in tensors.items()}
    torch.save(wrapped, checkpoint / "pytorch_model.bin")
    assert {name for name, _ in load_checkpoint(checkpoint).named_parameters()} == trained


ODD_TENSORS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "sparse": lambda value: value.to_sparse(),
    "without data": lambda value: value.to("meta"),
    "nested": lambda value: torch.nested.nested_tensor([value, value[:1]]),
    "terabytes by a stride of zero": lambda _: torch.zeros(1).expand(2_000_000, 1_000_000),
    "eight bits": lambda value: value.to(torch.float8_e4m3fn),
    "quantised": lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8),
    "complex": lambda value: value.to(torch.complex64),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ODD_TENSORS)
def test_tensors_of_other_kinds_are_refused_and_reported(checkpoint: Path, kind: str) -> None:
    name = layout_name(
        "vision_encoder.stages.0.blocks.1.attention.qkv.weight", layout_of(checkpoint)
    )  # type: ignore[arg-type]
    tensors = load_file(checkpoint / "model.safetensors")
    (checkpoint / "model.safetensors").unlink()
    tensors[name] = ODD_TENSORS[kind](tensors[name])
    torch.save(tensors, checkpoint / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=rf"pytorch_model\.bin: {name} "):
        load_checkpoint(checkpoint)
    assert name in inspect_checkpoint(checkpoint).problems[0]


@pytest.mark.parametrize("present", [(0,), (1,), (2,), (3,), (0, 3), (1, 2), (0, 1, 2, 3)])
def test_any_of_the_tied_tensors_is_enough(
    model: Florence2Model, checkpoint: Path, present: tuple[int, ...]
) -> None:
    names = tied_names(layout_of(checkpoint))  # type: ignore[arg-type]

    def only(tensors: dict[str, torch.Tensor]) -> None:
        shared = tensors.pop(names[0])
        tensors.update({names[index]: shared.clone() for index in present})

    rewrite(checkpoint, only)
    loaded = load_checkpoint(checkpoint)
    assert loaded.config.tie_word_embeddings and loaded.head is None
    assert torch.equal(logits(loaded)[..., :40], logits(model))


def test_a_head_that_differs_stays_untied(checkpoint: Path) -> None:
    tied = load_checkpoint(checkpoint)
    head = torch.randn_like(tied.embedding.weight)
    rewrite(checkpoint, lambda t: t.update({tied_names(layout_of(checkpoint))[3]: head}))  # type: ignore[arg-type]
    loaded = load_checkpoint(checkpoint)
    assert not loaded.config.tie_word_embeddings
    assert torch.equal(loaded.head.weight, head)  # type: ignore[union-attr]
    assert torch.equal(loaded.embedding.weight, tied.embedding.weight)
    save_checkpoint(loaded, checkpoint / "again")
    assert torch.equal(load_checkpoint(checkpoint / "again").head.weight, head)  # type: ignore[union-attr]


def test_embeddings_that_should_be_tied_and_differ_are_refused(checkpoint: Path) -> None:
    name = tied_names(layout_of(checkpoint))[2]  # type: ignore[arg-type]
    rows = load_checkpoint(checkpoint).embedding.weight
    rewrite(checkpoint, lambda t: t.update({name: torch.randn_like(rows)}))
    with pytest.raises(CheckpointError, match=r"decoder\.embed_tokens\.weight differs"):
        load_checkpoint(checkpoint)


def test_missing_surplus_and_misshapen_tensors_are_named(checkpoint: Path) -> None:
    whole = checkpoint / "model.safetensors"
    copy = whole.read_bytes()
    layout = layout_of(checkpoint)
    name = layout_name("vision_encoder.stages.0.blocks.1.attention.qkv.weight", layout)  # type: ignore[arg-type]
    for change, message in [
        (lambda t: t.pop(name), f"1 tensors are missing \\({name}\\)"),
        (lambda t: t.update({"surplus.weight": torch.ones(2)}), r"\(surplus\.weight\)"),
        (lambda t: t.update({name: torch.ones(3, 4)}), r"is \[3, 4\], expected \[12, 4\]"),
        (lambda t: t.update({name: t[name].int()}), "int32, not floating-point"),
    ]:
        whole.write_bytes(copy)
        rewrite(checkpoint, change)
        with pytest.raises(CheckpointError, match=message):
            load_checkpoint(checkpoint)


def test_a_config_that_contradicts_the_tensors_is_refused(checkpoint: Path) -> None:
    reconfigure(checkpoint, "text_config", max_position_embeddings=48)
    with pytest.raises(CheckpointError, match=r"max_position_embeddings .* is 48; .* has 24"):
        load_checkpoint(checkpoint)
    reconfigure(checkpoint, "text_config", max_position_embeddings=24, vocab_size=99)
    with pytest.raises(CheckpointError, match=r"vocab_size in config\.json is 99"):
        load_checkpoint(checkpoint)
    reconfigure(checkpoint, "text_config", vocab_size=99, activation_function="relu")
    with pytest.raises(CheckpointError, match=r"activation_function = 'relu'"):
        load_checkpoint(checkpoint)


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("text_config", {"eos_token_id": 99}, r"eos_token_id must be .*, got 99"),
        ("text_config", {"pad_token_id": "1"}, r"pad_token_id must be .*, got '1'"),
        ("text_config", {"bos_token_id": -1}, r"bos_token_id must be .*, got -1"),
        ("text_config", {"dropout": 7}, r"dropout must be .*, got 7"),
        ("vision_config", {"drop_path_rate": "x"}, r"drop_path_rate must be .*, got 'x'"),
        ("vision_config", {"patch_padding": [10**9, 1]}, r"patch_padding must be .* 0 to 7"),
    ],
)
def test_values_that_no_model_can_have_are_refused(
    checkpoint: Path, section: str, values: dict[str, object], message: str
) -> None:
    reconfigure(checkpoint, section, **values)
    with pytest.raises(CheckpointError, match=rf"config\.json: .*{message}"):
        load_checkpoint(checkpoint)


def test_a_table_that_a_file_lacks_is_not_made_without_bounds(
    model: Florence2Model, tmp_path: Path
) -> None:
    save_checkpoint(model, tmp_path)
    rewrite(tmp_path, lambda t: t.pop("visual_temporal_embed.pos_idx_to_embed"))
    assert torch.equal(logits(load_checkpoint(tmp_path)), logits(model))
    table = {"max_temporal_embeddings": 10_000_000}
    reconfigure(tmp_path, "vision_config", visual_temporal_embedding=table)
    with pytest.raises(CheckpointError, match="max_temporal_embeddings must be"):
        load_checkpoint(tmp_path)


def test_the_image_token_survives_the_way_through_microsofts_layout(
    model: Florence2Model, tmp_path: Path
) -> None:
    for name, layout in (("a", "transformers"), ("b", "microsoft"), ("c", "transformers")):
        save_checkpoint(model, tmp_path / name, layout=layout)
        model = load_checkpoint(tmp_path / name)
        assert (model.config.image_token_id, model.config.text.vocab_size) == (40, 41)


@pytest.mark.parametrize(("token", "rows"), [(None, 41), (37, 40), (40, 41), (45, 46)])
def test_the_image_token_takes_the_row_of_the_tokenizer(
    model: Florence2Model, tmp_path: Path, token: int | None, rows: int
) -> None:
    save_checkpoint(model, tmp_path, layout="transformers", image_token=token)
    saved = load_checkpoint(tmp_path)
    assert saved.config.image_token_id == (40 if token is None else token)
    assert saved.config.text.vocab_size == rows
    assert torch.equal(saved.embedding.weight[:40], model.embedding.weight)
    assert torch.equal(saved.embedding.weight[40:], model.embedding.weight[1].expand(rows - 40, 8))


@pytest.mark.parametrize("layout", ["microsoft", "transformers"])
def test_the_ban_of_repeats_is_kept_and_never_left_out(
    model: Florence2Model, layout: str, tmp_path: Path
) -> None:
    text = replace(model.config.text, no_repeat_ngram_size=5)
    config = resaved(replace(model.config, text=text), tmp_path, layout)
    assert config.text.no_repeat_ngram_size == 5
    if layout == "transformers":
        told = json.loads((tmp_path / "generation_config.json").read_text())
        assert told["no_repeat_ngram_size"] == 5
    for unset in (0, None):
        reconfigure(tmp_path, "text_config", no_repeat_ngram_size=unset)
        assert load_checkpoint(tmp_path).config.text.no_repeat_ngram_size == 3
    reconfigure(tmp_path, "text_config", no_repeat_ngram_size=-1)
    with pytest.raises(ValueError, match="no_repeat_ngram_size must be integers from 1"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("layout", ["microsoft", "transformers"])
def test_narrow_feed_forward_layers_are_saved_with_their_ratio(
    model: Florence2Model, layout: str, tmp_path: Path
) -> None:
    vision = replace(model.config.vision, mlp_ratio=2.0)
    config = resaved(replace(model.config, vision=vision), tmp_path, layout)
    assert config.vision.mlp_ratio == 2.0


def test_wrong_folders_say_what_is_wrong(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        load_checkpoint(tmp_path)
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="holds neither"):
        load_checkpoint(checkpoint)
    save_file({"bert.weight": torch.ones(2)}, checkpoint / "model.safetensors")
    with pytest.raises(CheckpointError, match="checkpoint of another model"):
        load_checkpoint(checkpoint)
    (checkpoint / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(CheckpointError, match="model_type is 'bert'"):
        load_checkpoint(checkpoint)
    (checkpoint / "config.json").write_text("[" * 100_000)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(checkpoint)
    (checkpoint / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="vision_config is missing"):
        load_checkpoint(checkpoint)


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('the pickle ran')",))


def test_a_pickle_with_code_is_refused_unrun(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").unlink()
    torch.save({"vision_tower.weight": Payload()}, checkpoint / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"would run code .* safetensors"):
        load_checkpoint(checkpoint)
    (checkpoint / "pytorch_model.bin").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin"):
        load_checkpoint(checkpoint)
    with zipfile.ZipFile(checkpoint / "pytorch_model.bin", "w") as file:
        file.writestr("nothing", "")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin"):
        load_checkpoint(checkpoint)


def test_a_logits_bias_has_no_place_in_the_native_layout(
    model: Florence2Model, tmp_path: Path
) -> None:
    model.logits_bias_V[5] = 1
    save_checkpoint(model, tmp_path / "ms")
    assert torch.equal(load_checkpoint(tmp_path / "ms").logits_bias_V, model.logits_bias_V)
    with pytest.raises(ValueError, match="logits bias that is not zero"):
        save_checkpoint(model, tmp_path / "native", layout="transformers")
    assert not (tmp_path / "native" / "model.safetensors").exists()


def test_the_text_half_comes_from_a_bart(model: Florence2Model, tmp_path: Path) -> None:
    from transformers import BartConfig, BartModel

    config = BartConfig(
        vocab_size=33, d_model=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16,
        max_position_embeddings=24,
    )  # fmt: skip
    bart = BartModel(config)
    bart.save_pretrained(tmp_path)
    before = model.embedding.weight.detach().clone()
    load_bart_text(model, tmp_path)
    assert torch.equal(model.embedding.weight[:33], bart.shared.weight)
    assert torch.equal(model.embedding.weight[33:], before[33:])
    theirs = bart.decoder.layers[0].encoder_attn.k_proj.weight
    found = model.state_dict()["decoder.layers.0.cross_attention.key.weight"]
    assert torch.equal(found, theirs)
    wide = Florence2Model(Florence2Config(model.config.vision, model.config.text.__class__()))
    with pytest.raises(CheckpointError, match="take a BART of the model's size"):
        load_bart_text(wide, tmp_path)


def test_reports_say_what_a_checkpoint_is(checkpoint: Path, model: Florence2Model) -> None:
    report = inspect_checkpoint(checkpoint)
    extra = 8 if report.layout == "transformers" else 0  # the row of <image>
    assert report.problems == ()
    assert report.parameter_count == sum(each.numel() for each in model.parameters()) + extra
    assert (report.positions, report.tied_head, report.size_name) == (24, True, "other")
    name = layout_name("encoder.norm.bias", report.layout)  # type: ignore[arg-type]
    rewrite(checkpoint, lambda t: t[name].fill_(float("nan")))
    assert "not finite" in inspect_checkpoint(checkpoint).problems[0]
    rewrite(checkpoint, lambda t: t.pop(name))
    assert "1 tensors are missing" in inspect_checkpoint(checkpoint).problems[0]
    shutil.rmtree(checkpoint)
    assert "config.json is missing" in inspect_checkpoint(checkpoint).problems[0]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(checkpoint: Path, value: float) -> None:
    def damage(tensors: dict[str, torch.Tensor]) -> None:
        next(iter(tensors.values())).view(-1)[0] = value

    rewrite(checkpoint, damage)
    with pytest.raises(CheckpointError, match="values that are not finite in"):
        load_checkpoint(checkpoint)
    assert "not finite" in inspect_checkpoint(checkpoint).problems[0]


@pytest.mark.parametrize(
    ("old", "config_class", "new"),
    [
        ({"widths": (64, 128, 256, 512)}, VisionConfig, "dim_embed"),
        ({"max_grid": 20}, VisionConfig, "max_position_embeddings"),
        ({"positions": 64}, TextConfig, "max_position_embeddings"),
        ({"no_repeat_ngram": 5}, TextConfig, "no_repeat_ngram_size"),
        ({"tied_head": False}, Florence2Config, "tie_word_embeddings"),
    ],
)
def test_names_of_release_0_1_make_the_same_config(
    old: dict[str, Any], config_class: Any, new: str
) -> None:
    ((name, value),) = old.items()
    with pytest.warns(DeprecationWarning, match=f"'{name}' is now '{new}'"):
        config = config_class(**old)
    assert config == config_class(**{new: value})
    with pytest.warns(DeprecationWarning, match=f"{name} is now {new}"):
        assert getattr(config, name) == value
    with pytest.warns(DeprecationWarning, match=f"'{name}' is now '{new}'"):
        assert replace(config_class(), **old) == config
