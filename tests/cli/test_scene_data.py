"""``florence2 train --data scenes``: what is made, and what is refused beside it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageDraw
from typer.testing import CliRunner

pytest.importorskip("cv2")

from florence2.cli import app
from florence2.cli.scene_data import SceneData
from florence2.synthetic.asset_cache import Drawing, write_assets
from florence2.synthetic.asset_fetch import NOTO
from florence2.training.distributed import DistributedContext
from florence2.training.recipe import AuxiliaryConfig, Recipe


@pytest.fixture(scope="module")
def art(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of art: four drawings of a car, beside the shapes that are always there."""
    folder = tmp_path_factory.mktemp("art")
    drawings = []
    for number in range(4):
        picture = Image.new("RGBA", (48, 48))
        ImageDraw.Draw(picture).rectangle((4, 12, 44, 30 + number), fill=(200, 30 * number, 0, 255))
        file = io.BytesIO()
        picture.save(file, format="PNG")
        drawings.append(Drawing(f"noto/car-{number}", "🚗", file.getvalue()))
    write_assets(folder, drawings, {}, [NOTO])
    return folder


def run(art: Path, out: Path, *more: str) -> Any:
    settings = ("start=nano", "image_size=48,48", "batch.size=4", "batch.micro=4",
                "schedule.samples=8", "schedule.warmup_steps=1", "reporting.sample_every=0",
                "auxiliary.prompts_per_image=2", "auxiliary.dense_weight=1.0")  # fmt: skip
    arguments = [part for setting in settings for part in ("--set", setting)]
    return CliRunner().invoke(
        app,
        ["train", "fine-tune", "--data", "scenes", "--art", str(art), "--out", str(out),
         "--device", "cpu", "--workers", "1", "--quiet", *arguments, *more],
    )  # fmt: skip


def test_a_model_learns_from_pictures_as_they_are_made(art: Path, tmp_path: Path) -> None:
    result = run(art, tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert "on synthetic images" in result.output
    recipe = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert {"car", "hexagon"} <= set(recipe["auxiliary"]["dense_categories"])
    assert (tmp_path / "run" / "last" / "model.safetensors").is_file()


def test_the_recipe_says_what_is_made(art: Path, tmp_path: Path) -> None:
    world = DistributedContext(0, 1, torch.device("cpu"))
    curriculum = ((0, "easy"), (9, "full"))
    recipe = Recipe(
        task_weights={"<OCR>": 0.0},
        auxiliary=AuxiliaryConfig(dense_weight=1.0, prompts_per_image=3, curriculum=curriculum),
    )
    records, held_out = SceneData(None, art).open(tmp_path, recipe, world)
    assert held_out is None
    asked = {each.task for number in range(12) for each in records[number].annotations}
    assert "<OD>" in asked
    assert "<OCR>" not in asked
    # From the third picture on, at three questions each, scenes are full.
    counts = [len(_detections(records[number])) for number in range(40)]
    assert max(counts[:3]) <= 3
    assert max(counts[3:]) > 4

    alone, _ = SceneData(None, art).open(
        tmp_path, Recipe(auxiliary=AuxiliaryConfig(dense_weight=1.0, dense_only=True)), world
    )
    assert {each.task for each in alone[0].annotations} == {"<OD>"}
    others, _ = SceneData(None, art).open(tmp_path, Recipe(seed=1), world)
    assert others[0].id != records[0].id


def _detections(record: Any) -> Any:
    return next(each.answer.labels for each in record.annotations if each.task == "<OD>")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--format", "coco"], "--format has no meaning with --data scenes"),
        (["--task", "od"], "--task has no meaning with --data scenes"),
        (
            ["--set", "auxiliary.curriculum=((0, 'hard'),)"],
            "unknown level 'hard'; available: easy, text",
        ),
    ],
)
def test_what_does_not_go_together_is_told(
    art: Path, tmp_path: Path, more: list[str], words: str
) -> None:
    result = run(art, tmp_path / "run", *more)
    assert result.exit_code != 0
    assert words in result.output


def test_missing_art_says_how_to_get_it(tmp_path: Path) -> None:
    result = run(tmp_path / "none", tmp_path / "run")
    assert result.exit_code != 0
    assert "florence2 scenes fetch" in result.output
    result = CliRunner().invoke(
        app, ["train", "fine-tune", "--data", "x", "--art", "y", "--out", str(tmp_path / "run")]
    )
    assert "--art is for --data scenes" in result.output
