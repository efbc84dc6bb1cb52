"""Runs in this process: what is frozen stays, adapters load, bad steps and pairs are counted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.utils._python_dispatch import TorchDispatchMode

import florence2
from florence2.inference.predictor import Florence2
from florence2.model.checkpoint.weights import load_checkpoint
from florence2.results.records import Annotation, FilterDecision
from florence2.results.types import Text
from florence2.training import Recipe, TrainingError, TrainingOutcome, override, train
from florence2.training.batches import micro_size
from florence2.training.examples import ExampleReader, list_examples
from florence2.training.step import train_step

BASE = [
    "batch.size=4", "schedule.samples=12", "schedule.warmup_steps=1", "reporting.sample_every=0",
    "optimizer.learning_rate=0.01", "reporting.log_every=1",
]  # fmt: skip


def run(records, start: Path, out: Path, *settings: str, **more) -> TrainingOutcome:
    recipe = override(Recipe(start=str(start)), [*BASE, *settings])
    return train(recipe, records, out, device="cpu", quiet=True, **more)


def lines(out: Path, kind: str) -> list[dict[str, float]]:
    read = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line for line in read if line["kind"] == kind]


@pytest.mark.parametrize(
    ("trainable", "frozen"),
    [
        ("full", ()),
        ("vision-stages-1-2-frozen", ("vision_tower.convs.0.", "vision_tower.convs.1.",
                                      "vision_tower.blocks.0.", "vision_tower.blocks.1.")),
        ("vision-frozen", ("vision_tower.",)),
    ],
)  # fmt: skip
def test_what_is_frozen_stays_and_all_else_moves(
    records, start: Path, tmp_path: Path, trainable: str, frozen: tuple[str, ...]
) -> None:
    outcome = run(records, start, tmp_path, f"trainable={trainable}")
    before, after = (
        load_file(start / "model.safetensors"),
        load_file(outcome.last / "model.safetensors"),
    )
    fixed = ("pos_idx_to_embed", "final_logits_bias")
    unmoved = {name for name in before if torch.equal(before[name], after[name])}
    expected = {name for name in before if name.startswith(frozen) or name.endswith(fixed)}
    # Keys' biases have no gradient but weight decay does not touch them either.
    assert {name for name in unmoved if "k_proj.bias" not in name} == expected


def test_adapters_load_and_equal_the_merged_model(records, start: Path, tmp_path: Path) -> None:
    outcome = run(records, start, tmp_path, "trainable=lora", "lora.rank=4")
    before, merged = load_checkpoint(start), load_checkpoint(outcome.last)
    pairs = zip(before.named_parameters(), merged.parameters(), strict=True)
    moved = {name for (name, one), other in pairs if not torch.equal(one, other)}
    assert moved and all(name.endswith("weight") for name in moved)
    assert {name.split(".")[0] for name in moved} == {"vision_encoder", "encoder", "decoder"}
    adapted = florence2.load(start, adapter=tmp_path / "adapter", device="cpu")
    for one, other in zip(adapted.runtime.model.parameters(), merged.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_keeps_fp32_weights_and_learns(
    records, start: Path, tmp_path: Path, precision: str
) -> None:
    run(records, start, tmp_path, f"precision={precision}", "schedule.samples=120")
    stored = load_file(tmp_path / "last" / "model.safetensors")
    assert {each.dtype for each in stored.values()} == {torch.float32}
    steps = lines(tmp_path, "step")
    assert steps[-1]["loss"] < steps[0]["loss"] - 1
    plain = tmp_path / "plain"
    run(records, start, plain, "schedule.samples=4")
    assert steps[0]["loss"] == pytest.approx(lines(plain, "step")[0]["loss"], rel=0.02)


def test_gradient_checkpointing_changes_no_number(records, start: Path, tmp_path: Path) -> None:
    for name, setting in (("a", "true"), ("b", "false")):
        run(records, start, tmp_path / name, f"gradient_checkpointing={setting}")
    first, second = (load_file(tmp_path / name / "last" / "model.safetensors") for name in "ab")
    assert all(torch.allclose(first[name], second[name], atol=1e-6) for name in first)


def test_accumulation_changes_nothing_but_memory(records, start: Path, tmp_path: Path) -> None:
    quiet = [f"regularization.{name}=0.0" for name in
             ("dropout", "attention_dropout", "activation_dropout", "drop_path")]  # fmt: skip
    for micro in (1, 4):
        run(records, start, tmp_path / str(micro), f"batch.micro={micro}", *quiet)
    found = [[line["loss"] for line in lines(tmp_path / str(micro), "step")] for micro in (1, 4)]
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_steps_that_are_not_finite_are_skipped_counted_and_limited(
    records, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import florence2.training.loop as loop

    def poisoned(setup, batches):
        if setup.state.step in poison:
            batches = [replace(each, pixels_BCHW=each.pixels_BCHW * float("nan"))
                       for each in batches]  # fmt: skip
        return train_step(setup, batches)

    monkeypatch.setattr(loop, "train_step", poisoned)
    poison = {1}
    outcome = run(records, start, tmp_path / "one")
    assert outcome.skipped_steps == 1
    assert [line["skipped"] for line in lines(tmp_path / "one", "step")] == [False, True, False]
    weights = load_file(outcome.last / "model.safetensors")
    assert all(bool(torch.isfinite(each).all()) for each in weights.values())
    poison = set(range(100))
    with pytest.raises(TrainingError, match="not finite for 3 steps in a row"):
        run(records, start, tmp_path / "all", "max_skipped_steps=2", "schedule.samples=100")


def test_pairs_that_cannot_be_read_are_listed(records, start: Path, tmp_path: Path) -> None:
    damaged = type(records)(records)
    damaged[3] = replace(records[3], image=b"no picture")
    long = Annotation("<CAPTION>", Text("word " * 300))
    damaged[5] = replace(records[5], annotations=(long,))
    dropped = replace(records[7].annotations[0], decision=FilterDecision(False, "for this test"))
    damaged[7] = replace(records[7], annotations=(dropped,))
    outcome = run(damaged, start, tmp_path, "schedule.epochs=1", "schedule.samples=none")
    assert outcome.skipped_examples == 2
    listed = [json.loads(line) for line in (tmp_path / "problems.jsonl").read_text().splitlines()]
    assert {each["record"] for each in listed} == {3, 5}
    assert any("tokens" in each["problem"] for each in listed)


def test_the_best_model_is_kept_by_the_selected_metric(
    records, start: Path, tmp_path: Path
) -> None:
    values = iter([0.5, 0.9, 0.2])
    evaluated: list[Florence2] = []

    def evaluate(model: Florence2) -> dict[str, float]:
        evaluated.append(model)
        return {"exact": next(values)}

    outcome = run(
        records, start, tmp_path, "reporting.evaluate_every=1", "reporting.metric=exact",
        "reporting.higher_is_better=true", evaluator=evaluate,
    )  # fmt: skip
    assert [line["exact"] for line in lines(tmp_path, "evaluation")] == [0.5, 0.9, 0.2]
    assert len(evaluated) == 3
    assert outcome.best is not None
    best, last = (load_file(each / "model.safetensors") for each in (outcome.best, outcome.last))
    assert any(not torch.equal(best[name], last[name]) for name in best)


def test_a_run_from_before_a_field_existed_resumes(records, start: Path, tmp_path: Path) -> None:
    run(records, start, tmp_path)
    path = tmp_path / "recipe.json"
    before = json.loads(path.read_text())
    del before["auxiliary"]["attention_loss_weight"], before["max_skipped_steps"]
    path.write_text(json.dumps(before))
    run(records, start, tmp_path)
    before["seed"] += 1
    path.write_text(json.dumps(before))
    with pytest.raises(ValueError, match=r"another recipe \(seed 1, not 0\)"):
        run(records, start, tmp_path)


def test_another_recipe_does_not_resume_a_run(records, start: Path, tmp_path: Path) -> None:
    run(records, start, tmp_path)
    with pytest.raises(ValueError, match=r"holds a run with another recipe \(seed 0, not 5\)"):
        run(records, start, tmp_path, "seed=5")


def test_samples_are_drawn(records, start: Path, tmp_path: Path) -> None:
    from PIL import Image

    run(records, start, tmp_path, "reporting.sample_every=2", "schedule.samples=8")
    sheet = Image.open(tmp_path / "samples" / "step-00000002.png")
    assert sheet.width > 6 * 100


def test_fresh_models_start_from_their_seed(records, start: Path, tmp_path: Path) -> None:
    small = ["image_size=[64, 48]", "schedule.samples=4"]
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        recipe = override(Recipe(start="scratch:nano"), [*BASE, *small, f"seed={seed}"])
        train(recipe, records, tmp_path / name, device="cpu", quiet=True)
    first = [lines(tmp_path / name, "step")[0]["loss"] for name in "abc"]
    assert first[0] == first[1] != first[2]
    with pytest.raises(ValueError, match="scratch is one of base, large, nano"):
        train(Recipe(start="scratch:huge"), records, tmp_path / "d", device="cpu", quiet=True)


def test_batches_must_divide() -> None:
    recipe = override(Recipe(), ["batch.size=12", "batch.micro=8"])
    with pytest.raises(ValueError, match="12 is not divisible by micro-batches of 8"):
        micro_size(recipe, 1)
    assert micro_size(recipe, 2) == 6
    with pytest.raises(ValueError, match="is not divisible by 5 processes"):
        micro_size(recipe, 5)


class Products(TorchDispatchMode):
    """Notes the precision of every batched product, of which attention is made."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[torch.dtype] = set()

    def __torch_dispatch__(self, function, types, arguments=(), named=None):  # type: ignore[no-untyped-def]
        if function is torch.ops.aten.bmm.default:
            self.seen.add(arguments[0].dtype)
        return function(*arguments, **(named or {}))


@pytest.mark.parametrize(("precision", "kept"), [("bf16", torch.bfloat16), ("fp32", None)])
def test_attention_in_half_precision_is_trained_in_half_precision(
    records, start: Path, tmp_path: Path, precision: str, kept: torch.dtype | None
) -> None:
    before = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
    with Products() as products:
        run(records, start, tmp_path, f"precision={precision}", "schedule.samples=4")
    assert products.seen <= {kept or torch.float32}
    assert kept is None or products.seen, "plain products are what it should be made of"
    assert torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed() == before


def test_finite_data_has_character_level_tasks_and_unknown_ones_are_refused(
    records, start: Path, processor, tmp_path: Path
) -> None:
    recipe = override(Recipe(), ["auxiliary.char_level_tasks=('<OCR>',)"])
    example = next(each for each in list_examples(records) if each.task == "<OCR>")
    plain = ExampleReader(records, processor, Recipe()).read(example, 0).target
    character_level = ExampleReader(records, processor, recipe).read(example, 0).target
    assert character_level == processor.tokenizer.to_byte_tokens(plain) != plain
    with pytest.raises(ValueError, match=r"char_level_tasks names \['<WRITING>'\]; the data has"):
        run(records, start, tmp_path, "auxiliary.char_level_tasks=('<WRITING>',)")
