"""What release 0.1 wrote still opens: runs resume, shards are read, old module names import."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from florence2.cli import app

FILES = Path(__file__).parent / "fixtures" / "release_0_1.zip"
# The directory in which the files were written.
WRITTEN_IN = "/data"

OLD_MODULES = (
    "calibration", "cascades", "constraint", "containers", "data_engine.specialists.endpoint",
    "draw", "durable", "evaluate.benchmarks.scenes", "evaluate.metrics.coco", "evaluate.run",
    "formats", "formats.coco", "formats.writers.yolo", "generate", "generate.engine", "geometry",
    "grammar", "image", "interop", "locations", "model.weights", "predictor", "processor",
    "reading_order", "records", "requests", "runtime.pytorch", "runtime.choosing",
    "scenes.placing", "scenes.stream", "selection", "serve.app", "shards", "tasks", "tokenizer",
    "train", "train.convert", "train.presets", "train.recipe", "workflows.exporting",
)  # fmt: skip


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The files of release 0.1 in a directory of their own, which is the working directory."""
    shutil.unpack_archive(FILES, tmp_path)
    for settings in (tmp_path / "run" / "run.json", tmp_path / "eval_run" / "run.json"):
        settings.write_text(settings.read_text().replace(WRITTEN_IN, str(tmp_path)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    yield tmp_path
    sys.modules.pop("recipe_old", None)


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def test_a_run_resumes(files: Path) -> None:
    result = run("run", "images", "-t", "od", "-t", "caption", "--out", "run",
                 "--model", "start", "--max-new-tokens", 8, "--resume")  # fmt: skip
    assert result.exit_code == 0, result.output
    lines = (files / "run" / "answers.jsonl").read_text().splitlines()
    assert len(lines) == 6
    assert {json.loads(line)["image"] for line in lines} == {f"images/{n}.png" for n in range(3)}


def test_a_training_run_resumes_with_the_recipe_in_its_directory(files: Path) -> None:
    fields = (
        "start=start", "batch.size=2", "batch.micro=2", "schedule.samples=8",
        "schedule.warmup_steps=0", "aids.location_spread=2.0", "aids.outline_corners=8",
        "reporting.checkpoint_every=2",
    )  # fmt: skip
    settings = [word for field in fields for word in ("--set", field)]
    result = run("train", "fine-tune", "--data", "shards/train", "--validation", "shards/val",
                 "--out", "train_run", "--workers", 1, *settings)  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "done: 4 steps" in result.output
    assert "aids.location_spread is now auxiliary.location_smoothing_sigma" in result.output
    assert "step-00000002" in (files / "train_run" / "log.jsonl").read_text()


def test_an_evaluation_is_scored_again_without_new_predictions(files: Path) -> None:
    before = (files / "eval_run" / "answers-00000-of-00001.jsonl").read_bytes()
    result = run("evaluate", "scenes", "--model", "start", "--data", "shards/val", "--split",
                 "test", "--limit", 2, "--out", "eval_run", "--max-new-tokens", 5,
                 "--beams", 1)  # fmt: skip
    assert result.exit_code == 0, result.output
    assert (files / "eval_run" / "answers-00000-of-00001.jsonl").read_bytes() == before


@pytest.mark.parametrize("names", [("--annotator", "region-proposals"), ("-s", "colour-regions")])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_engine_run_resumes_without_new_annotations(files: Path, names: tuple[str, str]) -> None:
    run_dir = files / "engine_run"
    parts = {path: path.read_bytes() for path in run_dir.rglob("*.parquet")}
    assert len(parts) == 5
    result = run("engine", "run", "--images", "images", "--out", run_dir, "--workers", 0, *names)
    assert result.exit_code == 0, result.output
    assert "images/s" not in result.output, "an annotator ran"
    assert {path: path.read_bytes() for path in run_dir.rglob("*.parquet")} == parts
    settings = json.loads((run_dir / "run.json").read_text())
    assert settings["annotators"] == {"region-proposals": "region-proposals"}
    assert settings["thresholds"]["nms_iou"] == 0.6
    refused = run("engine", "run", "--images", "images", "--out", run_dir, "--workers", 0, *names,
                  "--threshold", "min_agreement=1", "--threshold", "nms_iou=0.5")  # fmt: skip
    assert refused.exit_code == 2 and "thresholds.nms_iou 0.6, not 0.5" in refused.output


def test_shards_are_read(files: Path) -> None:
    from florence2.datasets.shards import ShardDataset

    records = list(ShardDataset(files / "shards" / "train"))
    assert len(records) == 4
    assert all(record.annotations for record in records)
    assert len(list(ShardDataset(files / "engine_run" / "round-00" / "shards"))) == 3


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_recipe_file_is_read(files: Path) -> None:
    from florence2.training import load_recipe

    recipe = load_recipe(str(files / "recipe_old.py"))
    assert recipe.name == "fine-tune"
    assert 2.0 in vars(recipe.aids).values() and 8 in vars(recipe.aids).values()
    assert recipe.auxiliary.location_smoothing_sigma == 2.0
    assert recipe.auxiliary.polygon_vertices == 8
    assert recipe.aids.outline_corners == 8


def test_fields_of_recipes_are_set_by_their_old_names() -> None:
    from florence2.training.recipe import AuxiliaryConfig, Lora, Recipe, override

    with pytest.warns(DeprecationWarning, match="looking_weight. is now"):
        config = AuxiliaryConfig(looking_weight=0.5)  # type: ignore[call-arg]
    assert config == AuxiliaryConfig(attention_loss_weight=0.5)
    with pytest.warns(DeprecationWarning, match="aids. is now .auxiliary"):
        assert Recipe(aids=config) == Recipe(auxiliary=config)  # type: ignore[call-arg]
    with pytest.warns(DeprecationWarning, match="rank_stabilised. is now"):
        assert not Lora(rank_stabilised=False).rank_stabilized  # type: ignore[call-arg]
    with pytest.warns(DeprecationWarning, match="aids.dense_weight is now auxiliary.dense_weight"):
        assert override(Recipe(), ["aids.dense_weight=2"]).auxiliary.dense_weight == 2.0


def test_values_of_recipes_are_set_by_their_old_names() -> None:
    from florence2.training.recipe import Lora, Recipe, override, to_dict, with_defaults

    new = Recipe(trainable="vision_encoder")
    with pytest.warns(DeprecationWarning, match="trainable=tower is now trainable=vision_encoder"):
        assert Recipe(trainable="tower") == new  # type: ignore[arg-type]
    with pytest.warns(DeprecationWarning, match="trainable=tower is now"):
        assert override(Recipe(), ["trainable=tower"]) == new
    with pytest.warns(DeprecationWarning, match="lora.parts=tower is now lora.parts=vision_enc"):
        assert Lora(parts=("tower", "encoder", "decoder")) == Lora()
    with pytest.warns(DeprecationWarning, match="lora.parts=tower is now"):
        assert override(Recipe(), ["lora.parts=tower"]).lora.parts == ("vision_encoder",)
    stored = {**to_dict(Recipe()), "trainable": "tower", "lora": {"parts": ["tower", "decoder"]}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = with_defaults(stored)
    assert read["trainable"] == "vision_encoder"
    assert read["lora"]["parts"] == ["vision_encoder", "decoder"]


def test_a_checkpoint_is_loaded(files: Path) -> None:
    import florence2

    model = florence2.load(str(files / "start"), runtime="torch")
    assert model(str(files / "images" / "0.png"), "caption", max_new_tokens=4).answer is not None


@pytest.mark.parametrize("name", OLD_MODULES)
def test_an_old_module_name_imports_with_a_warning(name: str) -> None:
    old = f"florence2.{name}"
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match="is now florence2"):
        module = importlib.import_module(old)
    assert module.target.__name__ in sys.modules  # type: ignore[attr-defined]
    assert module.__doc__ == module.target.__doc__


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_train_is_a_function_and_its_old_modules_still_import() -> None:
    import florence2

    assert callable(florence2.train)
    from florence2.train.presets import load_recipe  # type: ignore[import-not-found]

    assert load_recipe("fine-tune").name == "fine-tune"
    assert callable(florence2.train)


def test_results_have_their_old_names() -> None:
    import florence2
    from florence2.results.postprocess import PostprocessOptions
    from florence2.results.records import Annotation, FilterDecision

    with pytest.warns(DeprecationWarning, match="plain is now plain_text"):
        assert florence2.Text(" a <loc_3>").plain == "a"  # type: ignore[attr-defined]
    with pytest.warns(DeprecationWarning, match="free_prompt is now florence2.custom_task"):
        task = florence2.free_prompt("<VQA>")  # type: ignore[attr-defined]
    with pytest.warns(DeprecationWarning, match="fill is now format_prompt"):
        assert task.fill("who?") == "<VQA>who?"
    with pytest.warns(DeprecationWarning, match="order_corners. is now"):
        options = PostprocessOptions(order_corners=True)  # type: ignore[call-arg]
    assert options.fix_inverted_boxes
    dropped = FilterDecision(False, "empty text")
    with pytest.warns(DeprecationWarning, match="verdict. is now"):
        annotation = Annotation("<CAPTION>", florence2.Text("a"), verdict=dropped)  # type: ignore[call-arg]
    assert annotation.decision == dropped
    with pytest.warns(DeprecationWarning, match="keep is now kept"):
        assert not annotation.decision.keep  # type: ignore[attr-defined]
    with pytest.warns(DeprecationWarning, match="question is now prompt_input"):
        assert annotation.question is None  # type: ignore[attr-defined]


def test_a_stage_of_nano_is_found_by_its_old_name() -> None:
    from florence2.training import load_recipe

    file = Path(__file__).parents[1] / "recipes" / "nano.py"
    with pytest.warns(DeprecationWarning, match="nano.py:names is now .*stage_02_language_model"):
        old = load_recipe(f"{file}:names")
    new = load_recipe(f"{file}:stage_02_language_model_short_targets")
    # A run that was started by the old name resumes: its recipe has the old names of runs.
    assert (old.name, old.start) == ("nano-names", "runs/nano-tower/last")
    assert replace(old, name=new.name, start=new.start) == new


def test_train_takes_its_old_arguments(files: Path) -> None:
    import florence2
    from florence2.datasets.shards import ShardDataset
    from florence2.training import Recipe, override

    settings = ["batch.size=2", "schedule.samples=2", "reporting.sample_every=0"]
    seen: list[object] = []

    def judge(model: object) -> dict[str, float]:
        seen.append(model)
        return {"exact": 1.0}

    with pytest.warns(DeprecationWarning, match="'(held_out|judge)' is now"):
        outcome = florence2.train(
            override(Recipe(start=str(files / "start")), settings),
            ShardDataset(files / "shards" / "train"),
            files / "python_run",
            held_out=ShardDataset(files / "shards" / "val"),  # type: ignore[call-arg]
            judge=judge,
            device="cpu",
            workers=1,
            quiet=True,
        )
    assert outcome.steps == 1 and seen


def test_reports_keep_the_keys_of_release_0_1(files: Path) -> None:
    from florence2.evaluation.report import Report

    old = json.loads((files / "eval_run" / "report.json").read_text())
    report = Report.from_json(old)
    written = report.to_json()
    assert written["figures"] == written["metrics"]
    assert written["extent"]["pictures"] == written["coverage"]["images"]
    assert set(old) - set(written) == set()
    assert Report.from_json(json.loads(json.dumps(written))) == report


def test_old_names_of_the_image_index_warn() -> None:
    from florence2.data_engine import index
    from florence2.data_engine.duplicates import mark_duplicates

    with pytest.warns(DeprecationWarning, match="now IndexEntry"):
        assert index.Entry is index.IndexEntry
    with pytest.warns(DeprecationWarning, match="mark_duplicates"):
        assert index.with_copies is mark_duplicates
