from __future__ import annotations

from pathlib import Path

import pytest

from florence2.training.presets import PRESETS, load_recipe
from florence2.training.recipe import Recipe
from florence2.training.schedule import total_steps


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_bears_the_name_it_is_found_by_and_says_where_its_numbers_are_from(
    name: str,
) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    documentation = PRESETS[name].__doc__ or ""
    assert "Paper, " in documentation or "Ours, " in documentation


@pytest.mark.parametrize(
    ("name", "size", "batch", "rate", "samples"),
    [
        ("pretrain-base-stage1", 384, 2048, 1e-4, 3_000_000_000),
        ("pretrain-base-stage2", 768, 2048, 1e-4, 500_000_000),
        ("pretrain-large-stage1", 384, 3072, 1e-5, 3_000_000_000),
        ("pretrain-large-stage2", 768, 3072, 1e-5, 100_000_000),
    ],
)
def test_pre_training_has_the_numbers_of_the_paper(
    name: str, size: int, batch: int, rate: float, samples: int
) -> None:
    recipe = load_recipe(name)
    assert recipe.image_size == (size, size)
    assert (recipe.batch.size, recipe.optimizer.learning_rate) == (batch, rate)
    assert (recipe.schedule.warmup_steps, recipe.schedule.shape) == (5000, "cosine")
    # The number of annotations at hand does not matter: samples are counted.
    assert total_steps(recipe, epoch_length=7) == -(-samples // batch)
    assert recipe.batch.size % recipe.batch.micro == 0
    assert (recipe.regularization.drop_path, recipe.regularization.dropout) == (0.1, 0.1)


def test_fine_tuning_presets_freeze_what_they_are_named_for() -> None:
    trainable = {name: load_recipe(name).trainable for name in PRESETS if "fine" in name}
    assert trainable == {
        "fine-tune": "full",
        "fine-tune-stages-1-2-frozen": "vision-stages-1-2-frozen",
        "fine-tune-vision-frozen": "vision-frozen",
        "fine-tune-lora": "lora",
    }
    assert load_recipe("fine-tune-lora").optimizer.learning_rate == 1e-4


def test_a_file_gives_its_only_function_or_the_one_that_is_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    start = "from florence2.training import Recipe\n"
    file.write_text(f"{start}def mine():\n    return Recipe(name='mine')\n")
    assert load_recipe(str(file)) == load_recipe(f"{file}:mine") == Recipe(name="mine")
    file.write_text(file.read_text() + "def other():\n    return Recipe(name='other')\n")
    assert load_recipe(f"{file}:other").name == "other"
    with pytest.raises(ValueError, match=r"name the function.*\['mine', 'other'\]"):
        load_recipe(str(file))
    with pytest.raises(ValueError, match="no function 'third'"):
        load_recipe(f"{file}:third")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("def mine():\n    return 3\n", "should return a Recipe, got int"),
        ("def mine():\n    return 1 / 0\n", "mine failed: ZeroDivisionError"),
        ("def mine(:\n", "failed: SyntaxError"),
    ],
)
def test_a_file_that_gives_no_recipe_is_an_error_that_says_why(
    tmp_path: Path, content: str, message: str
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(content)
    with pytest.raises(ValueError, match=message):
        load_recipe(f"{file}:mine")


def test_unknown_names_are_answered_with_the_presets(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown recipe 'finetune'.*mean 'fine-tune'\?"):
        load_recipe("finetune")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_recipe(str(tmp_path / "gone.py"))
