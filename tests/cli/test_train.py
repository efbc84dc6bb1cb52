from __future__ import annotations

import errno
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from florence2.cli import app
from florence2.inference.predictor import Florence2, load
from florence2.training import loop
from florence2.training import trainer as training
from florence2.training.step import TrainingError

SHORT = (
    "start=nano", "image_size=96,96", "batch.size=4", "schedule.samples=12",
    "schedule.warmup_steps=1", "reporting.sample_every=0", "reporting.evaluate_every=2",
    "max_target_tokens=24",
)  # fmt: skip
Train = Callable[..., Any]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A dozen pictures of one square each, with a folder for each of two splits."""
    for split in ("train", "valid"):
        folder = tmp_path / "data" / split
        folder.mkdir(parents=True)
        rows = []
        for number in range(6):
            color = ("red", "blue")[number % 2]
            picture = Image.new("RGB", (64, 64), "white")
            ImageDraw.Draw(picture).rectangle((8, 8, 32, 32), fill=color)
            picture.save(folder / f"{number}.png")
            box = "<loc_125><loc_125><loc_500><loc_500>"
            rows.append({"image": f"{number}.png", "prefix": "<OD>", "suffix": f"{color}{box}"})
            question = {"prefix": "<VQA>Which colour?", "suffix": color}
            rows.append({"image": f"{number}.png", **question})
        (folder / "annotations.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "data"


@pytest.fixture
def train(data: Path, tmp_path: Path) -> Train:
    """Runs ``florence2 train fine-tune`` for three steps on the data, into ``run``."""

    def run(*more: object, recipe: str = "fine-tune") -> Any:
        changed = {str(each).partition("=")[0] for each in more}
        kept = [setting for setting in SHORT if setting.partition("=")[0] not in changed]
        settings = [part for setting in kept for part in ("--set", setting)]
        usual = {"--data": data, "--format": "jsonl", "--split": "train",
                 "--out": tmp_path / "run", "--device": "cpu"}  # fmt: skip
        arguments = [part for name, value in usual.items() if name not in more
                     for part in (name, value)]  # fmt: skip
        arguments += [*settings, "--quiet", *more]
        return CliRunner().invoke(app, ["train", recipe, *map(str, arguments)])

    return run


def log_lines(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return [line for line in lines if line["kind"] == kind]


def test_a_run_converts_trains_judges_and_tells_what_is_next(train: Train, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = train("--validation-split", "valid")
    assert result.exit_code == 0, result.output
    assert "the best checkpoint is selected by od/map" in result.stdout
    assert "done: 3 steps" in result.stdout
    assert f"next: florence2 run IMAGES --task '<OD>' --model {run / 'best'}" in result.stdout

    evaluations = log_lines(run, "evaluation")
    assert [line["step"] for line in evaluations] == [2, 3]
    assert evaluations[0].keys() >= {"loss", "od/map", "od/f1", "vqa/exact_match"}
    recipe = json.loads((run / "recipe.json").read_text())
    assert recipe["reporting"]["metric"] == "od/map"

    model = load(run / "best", device="cpu")
    assert isinstance(model, Florence2)
    assert model.processor.preprocessing.size == (96, 96)

    again = train("--validation-split", "valid")
    assert again.exit_code == 0, again.output
    assert "resuming from" in again.stdout
    assert "6 images converted before" in again.stdout
    assert len(log_lines(run, "evaluation")) == 2


def test_the_best_may_be_chosen_by_the_loss(train: Train, tmp_path: Path) -> None:
    asked = ("--set", "reporting.metric=loss", "--seed", "5", "--validation-limit", "1")
    result = train("--validation-split", "valid", *asked)
    assert result.exit_code == 0, result.output
    recipe = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert recipe["reporting"]["metric"] == "loss"
    assert recipe["seed"] == 5
    assert (tmp_path / "run" / "best" / "model.safetensors").is_file()


def test_shards_and_a_recipe_of_ones_own_and_lora(train: Train, data: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.py"
    recipe.write_text(
        "from florence2.training import Recipe\n"
        "def mine():\n    return Recipe(name='mine', trainable='lora')\n"
    )
    shards = tmp_path / "shards"
    source = ["convert", str(data / "train"), "--format", "jsonl", "--out", str(shards)]
    assert CliRunner().invoke(app, source).exit_code == 0
    settings = [part for setting in SHORT for part in ("--set", setting)]
    arguments = ["--data", shards, "--out", tmp_path / "run", "--quiet", *settings]
    result = CliRunner().invoke(app, ["train", str(recipe), *map(str, arguments)])
    assert result.exit_code == 0, result.output
    assert "mine: from nano, on 6 images" in result.stdout
    assert (tmp_path / "run" / "adapter" / "adapter_model.safetensors").is_file()
    assert f"--model {tmp_path / 'run' / 'last'}" in result.stdout


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--set", "batch.sise=3"), "no field 'batch.sise'"),
        (("--set", "batch.size"), "written NAME=VALUE"),
        (("--validation-split", "train"), "training data cannot validate"),
        (("--device", "teapot"), "device 'teapot' cannot be used"),
        (("--format", "huggingface"), "convert it first"),
        (("--format", "tfrecord"), "is not one of coco"),
        (("--data", "nowhere"), "nowhere does not exist"),
        (("--set", "start=no/where/checkpoint"), "no checkpoint directory no/where/checkpoint"),
    ],
)
def test_unusable_arguments_end_with_status_2_and_one_line(
    train: Train, more: tuple[str, ...], message: str
) -> None:
    result = train(*more)
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def test_an_unknown_recipe_is_answered_with_the_presets(train: Train) -> None:
    result = train(recipe="finetune")
    assert result.exit_code == 2
    assert "fine-tune-vision-frozen" in result.stderr


def test_splits_are_for_data_sets_that_are_converted(tmp_path: Path) -> None:
    arguments = ["--data", "shards", "--out", str(tmp_path), "--split", "train"]
    result = CliRunner().invoke(app, ["train", "fine-tune", *arguments])
    assert result.exit_code == 2
    assert "add --format" in result.stderr


def test_a_folder_of_another_conversion_is_refused(train: Train, tmp_path: Path) -> None:
    assert train().exit_code == 0
    result = train("--split", "valid")
    assert result.exit_code == 2
    assert "choose another --out" in result.stderr


def test_a_start_without_any_example_leaves_room_for_the_next(
    train: Train, data: Path, tmp_path: Path
) -> None:
    file = data / "train" / "annotations.jsonl"
    good = file.read_text()
    file.write_text(json.dumps({"image": "0.png", "prefix": "<CAPTION>", "suffix": "x" * 300_000}))
    empty = train()
    assert empty.exit_code == 2 and "nothing to train on" in empty.stderr
    file.write_text(good)
    again = train()
    assert again.exit_code == 0, again.stderr


def test_a_run_that_diverges_ends_with_status_1(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_: object, **__: object) -> None:
        raise TrainingError("gradients were not finite")

    monkeypatch.setattr(training, "train_loop", diverge)
    result = train()
    assert result.exit_code == 1
    assert result.stderr.strip().endswith("florence2: gradients were not finite")


def test_fields_are_listed_with_the_values_of_a_preset() -> None:
    result = CliRunner().invoke(app, ["train", "--list-fields", "fine-tune-lora"])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    rate = next(number for number, line in enumerate(lines) if "optimizer.learning_rate" in line)
    assert lines[rate].split() == ["optimizer.learning_rate", "0.0001"]
    assert lines[rate + 1].strip() == "a number above 0: peak learning rate"
    assert any(line.split() == ["trainable", "lora"] for line in lines)
    result = CliRunner().invoke(app, ["train", "--list-fields", "--data", "shards"])
    assert result.exit_code == 2 and "leave out --data" in result.stderr


@pytest.mark.parametrize("missing", ["RECIPE", "--data", "--out"])
def test_what_is_missing_is_named(missing: str) -> None:
    words = {"RECIPE": ["fine-tune"], "--data": ["--data", "d"], "--out": ["--out", "o"]}
    given = [word for name, pair in words.items() if name != missing for word in pair]
    result = CliRunner().invoke(app, ["train", *given])
    assert result.exit_code == 2
    assert f"{missing} is missing" in result.stderr


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--set", "lr=1"), "did you mean optimizer.learning_rate?"),
        (("--set", "layout=foo"), "layout must be one of microsoft, transformers"),
        (("--set", "seed=1", "--seed", "2"), "--seed and --set seed are the same"),
        (("--set", "reporting.metric=od/f1"), "needs --validation"),
        (
            ("--validation-split", "valid", "--set", "reporting.metric=od/f2"),
            "must be one of loss, od/map, od/map50, od/f1, vqa/edit_distance, vqa/exact_match",
        ),
        (("--set", "batch.size=3", "--set", "batch.micro=2"), "is not divisible"),
        (("--set", "image_size=100,100"), "image size must be multiples of"),
    ],
)
def test_settings_are_checked_before_anything_is_made(
    train: Train, tmp_path: Path, more: tuple[str, ...], message: str
) -> None:
    result = train(*more)
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.stderr.split())
    assert not (tmp_path / "run" / "recipe.json").exists()
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_the_last_of_two_settings_holds_and_the_first_is_named(train: Train) -> None:
    result = train("--set", "schedule.samples=4", "--set", "schedule.samples=8")
    assert result.exit_code == 0, result.output
    assert "--set schedule.samples=4 has no effect" in result.stderr
    assert "done: 2 steps" in result.stdout


def test_a_metric_that_is_named_knows_which_way_is_better(train: Train, tmp_path: Path) -> None:
    result = train("--validation-split", "valid", "--set", "reporting.metric=od/f1")
    assert result.exit_code == 0, result.output
    recipe = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert recipe["reporting"]["higher_is_better"] is True


def test_what_is_learned_does_not_judge(train: Train, data: Path, tmp_path: Path) -> None:
    """The same records at another place are the same records."""
    shutil.copytree(data / "train", tmp_path / "copy" / "train")
    result = train("--validation", tmp_path / "copy", "--validation-split", "train")
    assert result.exit_code == 2, result.output
    assert "training data cannot validate" in " ".join(result.stderr.split())


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_says_how_far_the_run_is_and_how_to_resume(
    train: Train, monkeypatch: pytest.MonkeyPatch, number: int, status: int
) -> None:
    original = loop.train_step

    def stopping(*arguments: Any) -> Any:
        os.kill(os.getpid(), number)
        return original(*arguments)

    monkeypatch.setattr(loop, "train_step", stopping)
    result = train()
    assert result.exit_code == status, result.output
    assert "stopped at step 1 of 3" in result.stderr and "to resume" in result.stderr
    monkeypatch.undo()
    assert "done: 3 steps" in train().stdout


def test_a_full_disk_ends_with_status_1(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(training, "train_loop", fail)
    result = train()
    assert result.exit_code == 1
    assert "no space left on the disk that holds" in result.stderr
