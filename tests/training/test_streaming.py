"""Endless records: order, shared images, weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from florence2.results.records import Record
from florence2.results.tasks import TASKS
from florence2.training import Recipe, TrainingOutcome, override, train
from florence2.training.batches import BatchStream, collate
from florence2.training.distributed import DistributedContext
from florence2.training.loss import IGNORE_INDEX
from florence2.training.streaming import EndlessSource

CPU = DistributedContext(0, 1, torch.device("cpu"))


class Repeated:
    """The same few records for ever: an endless source."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = records

    def __getitem__(self, number: int) -> Record:
        return self._records[number % len(self._records)]


def test_examples_of_an_image_share_its_pixels_in_the_batch(
    records, processor, tmp_path: Path
) -> None:
    recipe = override(Recipe(), ["batch.size=4", "batch.micro=4", "auxiliary.prompts_per_image=2"])
    source = EndlessSource(Repeated(records), processor, recipe)
    batch = next(BatchStream(source, recipe, CPU, tmp_path / "problems.jsonl").steps(0))[0]
    assert len(batch) == 4
    assert len(batch.pixels_BCHW) == 2
    assert batch.image_index_B is not None
    assert batch.image_index_B.tolist() == [0, 0, 1, 1]


def test_what_a_number_gives_never_changes_and_weights_choose_tasks(
    many_questions, processor
) -> None:
    weights = {task.token: 0.0 for task in TASKS if task.token not in ("<OD>", "<OCR>")}
    recipe = override(Recipe(task_weights=weights), ["auxiliary.prompts_per_image=2"])
    source = EndlessSource(Repeated(many_questions), processor, recipe)
    first, second = source.read(5), source.read(5)
    assert [each.target for each in first] == [each.target for each in second]
    prompts = {processor.tokenizer.decode(pair.prompt) for pair in first}
    assert {prompt.split("?")[0].removeprefix("<s>") for prompt in prompts} == {
        "Locate the objects with category name in the image.</s>",
        "What is the text in the image",
    }


def test_character_level_tasks_have_one_token_per_byte(many_questions, processor) -> None:
    weights = {task.token: float(task.token in ("<OD>", "<OCR>")) for task in TASKS}
    recipe = override(Recipe(task_weights=weights), ["auxiliary.prompts_per_image=2"])
    plain = EndlessSource(Repeated(many_questions), processor, recipe).read(5)
    recipe = override(recipe, ["auxiliary.char_level_tasks=('<OCR>',)"])
    character_level = EndlessSource(Repeated(many_questions), processor, recipe).read(5)
    tokenizer = processor.tokenizer
    for before, after in zip(plain, character_level, strict=True):
        read = "text in the image" in tokenizer.decode(before.prompt)
        assert after.target == (tokenizer.to_byte_tokens(before.target) if read else before.target)
        assert (after.target == before.target) == (not read)


def test_polygons_have_the_number_of_vertices_of_the_recipe(many_questions, processor) -> None:
    weights = {task.token: float("SEGMENTATION" in task.token) for task in TASKS}
    recipe = override(Recipe(task_weights=weights), ["auxiliary.polygon_vertices=7"])
    tokenizer = processor.tokenizer
    resampled = EndlessSource(Repeated(many_questions), processor, recipe).read(5)
    plain = EndlessSource(Repeated(many_questions), processor, Recipe(task_weights=weights)).read(5)
    counts = [sum(map(tokenizer.is_location, pair.target)) for pair in resampled]
    assert counts and set(counts) == {14}
    assert counts != [sum(map(tokenizer.is_location, pair.target)) for pair in plain]


def test_unknown_weights_and_missing_lengths_are_refused(
    records, processor, start: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="<CAPTIONS>"):
        EndlessSource(Repeated(records), processor, Recipe(task_weights={"<CAPTIONS>": 1.0}))
    with pytest.raises(ValueError, match=r"char_level_tasks names \['<WRITING>'\]"):
        recipe = override(Recipe(), ["auxiliary.char_level_tasks=('<WRITING>',)"])
        EndlessSource(Repeated(records), processor, recipe)
    with pytest.raises(ValueError, match=r"schedule\.samples"):
        train(Recipe(start=str(start)), Repeated(records), tmp_path, device="cpu", quiet=True)
    recipe = override(Recipe(start=str(start)), ["auxiliary.prompts_per_image=2"])
    with pytest.raises(ValueError, match="endless"):
        train(recipe, records, tmp_path / "two", device="cpu", quiet=True)


def run_with_dense_loss(
    records: Sequence[Record], start: Path, out: Path, *settings: str
) -> tuple[TrainingOutcome, list[dict[str, Any]]]:
    """A short run with the dense task and two questions a picture; its outcome, and its steps."""
    names = ("OPEN", "a tree", "red car", "two dogs")
    recipe = override(
        Recipe(start=str(start)),
        [
            "batch.size=4",
            "batch.micro=4",
            "schedule.warmup_steps=1",
            "optimizer.learning_rate=0.003",
            "reporting.log_every=1",
            "reporting.sample_every=0",
            "auxiliary.prompts_per_image=2",
            f"auxiliary.dense_categories={names}",
            *settings,
        ],
    )
    outcome = train(recipe, Repeated(records), out, device="cpu", quiet=True)
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return outcome, [line for line in lines if line["kind"] == "step"]


def test_a_run_with_auxiliary_losses_learns_and_leaves_a_plain_checkpoint(
    many_questions, start: Path, tmp_path: Path
) -> None:
    outcome, steps = run_with_dense_loss(
        many_questions,
        start,
        tmp_path,
        "schedule.samples=24",
        "auxiliary.dense_weight=1.0",
        "auxiliary.location_smoothing_sigma=8.0",
        "auxiliary.final_location_smoothing_sigma=1.0",
    )
    assert steps[-1]["dense_loss"] < steps[0]["dense_loss"]
    assert steps[-1]["loss"] < steps[0]["loss"]
    assert 0 <= steps[-1]["cell_accuracy"] <= 1
    names_saved = load_file(outcome.last / "model.safetensors").keys()
    assert names_saved == load_file(start / "model.safetensors").keys()


def test_training_the_vision_encoder_alone_leaves_the_language_model_unchanged(
    many_questions, start: Path, tmp_path: Path
) -> None:
    recipe = override(
        Recipe(start=str(start), trainable="vision_encoder"),
        [
            "batch.size=2",
            "batch.micro=2",
            "schedule.samples=4",
            "optimizer.learning_rate=0.003",
            "schedule.warmup_steps=1",
            "reporting.sample_every=0",
            "auxiliary.dense_weight=1.0",
            "auxiliary.dense_only=True",
            "auxiliary.dense_categories=('two dogs',)",
        ],
    )
    outcome = train(recipe, Repeated(many_questions), tmp_path, device="cpu", quiet=True)
    before = load_file(start / "model.safetensors")
    after = load_file(outcome.last / "model.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all("vision_tower" in name for name in changed)


_ATTENTION = (
    "auxiliary.dense_weight=1.0",
    "auxiliary.dense_categories=('a',)",
    "auxiliary.attention_loss_weight=1.0",
    "auxiliary.prompts_per_image=2",
)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["auxiliary.dense_weight=1.0"], "dense_categories"),
        (["auxiliary.dense_only=True"], "dense_weight"),
        (["auxiliary.char_loss_weight=1.0"], "char_loss_weight needs"),
        (["auxiliary.attention_loss_weight=1.0"], "attention_loss_weight needs"),
        (["auxiliary.encoder_probe_weight=1.0"], "encoder_probe_weight needs"),
        (
            [
                "auxiliary.dense_weight=1.0",
                "auxiliary.dense_categories=('a',)",
                "auxiliary.encoder_probe_weight=1.0",
                "auxiliary.dense_only=True",
            ],
            "encoder_probe_weight needs the language model",
        ),
        ([*_ATTENTION, "auxiliary.prompts_per_image=1"], "prompts_per_image above 1"),
        ([*_ATTENTION, "auxiliary.dense_only=True"], "dense_only off"),
        ([*_ATTENTION, "gradient_checkpointing=True"], "gradient_checkpointing off"),
        (
            [
                "auxiliary.dense_weight=1.0",
                "auxiliary.dense_categories=('a',)",
                "augmentation.flip=0.5",
            ],
            "augmentation",
        ),
        (["auxiliary.prompts_per_image=3", "batch.size=8"], "batch.micro"),
    ],
)
def test_auxiliary_objectives_that_cannot_be_combined_are_refused(
    many_questions, start: Path, tmp_path: Path, settings: list[str], message: str
) -> None:
    recipe = override(Recipe(start=str(start)), ["schedule.samples=4", *settings])
    with pytest.raises(ValueError, match=message):
        train(recipe, Repeated(many_questions), tmp_path, device="cpu", quiet=True)


def test_processes_make_what_threads_make(many_questions, start: Path, tmp_path: Path) -> None:
    recipe = override(
        Recipe(start=str(start)),
        [
            "batch.size=4",
            "batch.micro=4",
            "schedule.samples=8",
            "reporting.log_every=1",
            "reporting.sample_every=0",
            "auxiliary.prompts_per_image=2",
        ],
    )
    losses = []
    for processes in (False, True):
        folder = tmp_path / str(processes)
        train(
            recipe,
            Repeated(many_questions),
            folder,
            device="cpu",
            workers=1,
            worker_processes=processes,
            quiet=True,
        )
        lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
        losses.append([line["loss"] for line in lines if line["kind"] == "step"])
    assert losses[0] == losses[1]


def test_processes_are_for_endless_records(records, start: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="endless"):
        train(Recipe(start=str(start)), records, tmp_path, worker_processes=True, device="cpu")


def test_examples_of_shared_images_are_sorted_by_target_length(
    many_questions, processor, tmp_path: Path
) -> None:
    recipe = override(Recipe(), ["batch.size=6", "batch.micro=6", "auxiliary.prompts_per_image=3"])
    source = EndlessSource(Repeated(many_questions), processor, recipe)
    batch = next(BatchStream(source, recipe, CPU, tmp_path / "problems.jsonl").steps(0))[0]
    lengths = (batch.labels_BT != IGNORE_INDEX).sum(dim=1).tolist()
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1]


def test_examples_that_share_no_image_have_token_regions_too(
    many_questions, processor, tmp_path: Path
) -> None:
    recipe = override(
        Recipe(),
        [
            "batch.size=4",
            "batch.micro=4",
            "auxiliary.prompts_per_image=2",
            "auxiliary.dense_weight=1.0",
            "auxiliary.dense_categories=('two dogs',)",
            "auxiliary.attention_loss_weight=1.0",
        ],
    )
    pairs = EndlessSource(Repeated(many_questions), processor, recipe)
    # As if the other question of each picture had been too long.
    one_each = [pairs.read(number)[0] for number in range(3)]
    batch = collate(one_each, start=2, pad=1)
    assert batch.image_index_B is not None and sorted(batch.image_index_B.tolist()) == [0, 1, 2]
    assert len(batch.targets["regions"]) == 3
    lengths = (batch.labels_BT != IGNORE_INDEX).sum(dim=1).tolist()
    assert lengths == sorted(lengths)
