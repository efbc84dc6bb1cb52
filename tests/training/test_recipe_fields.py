"""Settings of a recipe: types, choices, ranges, near misses."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from florence2.cli.train import PRESETS as NAMES
from florence2.training import Recipe, override
from florence2.training.field_rules import ALIASES, RULES
from florence2.training.presets import PRESETS, load_recipe
from florence2.training.recipe import Batch, Schedule
from florence2.training.recipe_fields import check_recipe, find_repeated, list_fields


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("precision=fp8", "precision must be one of fp32, bf16, fp16, got 'fp8'"),
        ("optimizer.kind=sgd", "optimizer.kind must be one of adamw, muon"),
        ("optimizer.kind=AdamW", "did you mean adamw?"),
        ("schedule.shape=foo", "schedule.shape must be one of cosine, constant"),
        ("trainable=foo", "vision-frozen, vision_encoder, lora, got 'foo'"),
        ("layout=foo", "layout must be one of microsoft, transformers"),
        ("lora.parts=head", "some of vision_encoder, encoder, decoder"),
        ("image_size=100", "image_size must be 2 numbers separated by a comma"),
        ("image_size=768,0", "each from 16 to 4096"),
        ("schedule.epochs=0", "schedule.epochs must be a number above 0, got 0"),
        ("schedule.epochs=nan", "schedule.epochs must be a number above 0, got nan"),
        ("optimizer.learning_rate=inf", "optimizer.learning_rate must be a number above 0"),
        ("optimizer.weight_decay=-1", "must be a number at least 0, got -1"),
        ("optimizer.betas=0.9,1.5", "each at least 0 and below 1"),
        ("batch.size=2.5", "batch.size must be a whole number at least 1"),
        ("batch.size=true", "batch.size must be a whole number"),
        ("seed=-1", "seed must be a whole number from 0"),
        ("gradient_checkpointing=maybe", "must be true or false, got 'maybe'"),
        ("task_weights.<OD>=-1", "task_weights must be weights by task"),
        ("regularization.dropout=1", "below 1, or none, got 1"),
        ("reporting.keep_checkpoints=0", "must be a whole number at least 1"),
        ("start=", "start must be text, got ''"),
        ("lr=1e-4", "no field 'lr' in a recipe; did you mean optimizer.learning_rate?"),
        ("optimizer.lr=1e-4", "did you mean optimizer.learning_rate?"),
        ("learning-rate=1e-4", "did you mean optimizer.learning_rate?"),
        ("epochs=3", "did you mean schedule.epochs?"),
        ("batch_size=3", "did you mean batch.size?"),
        ("batch=4", "batch is a group of fields; did you mean batch.size?"),
        ("scheduel.epochs=3", "did you mean schedule.epochs?"),
        ("zzzzzz=3", "--list-fields lists all"),
        ("batch.size", "a setting is written NAME=VALUE"),
    ],
)
def test_what_a_field_does_not_take_is_refused_by_name(setting: str, message: str) -> None:
    with pytest.raises(ValueError) as error:
        override(Recipe(), [setting])
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        ("optimizer.learning_rate=1e-4", "optimizer.learning_rate", 1e-4),
        ("optimizer.learning_rate=1", "optimizer.learning_rate", 1.0),
        ("batch.size=16.0", "batch.size", 16),
        ("schedule.samples=1e6", "schedule.samples", 1_000_000),
        ("schedule.samples=none", "schedule.samples", None),
        ("image_size=96,64", "image_size", (96, 64)),
        ("image_size=[96, 64]", "image_size", (96, 64)),
        ("gradient_checkpointing=True", "gradient_checkpointing", True),
        ("gradient_checkpointing=off", "gradient_checkpointing", False),
        ("lora.parts=encoder,decoder", "lora.parts", ("encoder", "decoder")),
        ("auxiliary.char_level_tasks=('<OCR>',)", "auxiliary.char_level_tasks", ("<OCR>",)),
        ("auxiliary.curriculum=((0, 'easy'), (9, 'full'))", "auxiliary.curriculum",
         ((0, "easy"), (9, "full"))),
        ("task_weights.<OD>=2", "task_weights", {"<OD>": 2.0}),
        ("name=7", "name", "7"),
        ("start='my model'", "start", "my model"),
    ],
)  # fmt: skip
def test_values_are_read_by_the_type_of_the_field(setting: str, path: str, value: object) -> None:
    fields = {each.path: each.default for each in list_fields(override(Recipe(), [setting]))}
    assert fields[path] == value
    assert type(fields[path]) is type(value)


def test_settings_that_a_later_one_replaces_are_found() -> None:
    settings = ["seed=1", "batch.size=2", "task_weights.<OD>=1", "seed=2", "task_weights={}"]
    assert find_repeated(settings) == [
        ("seed=1", "seed=2"),
        ("task_weights.<OD>=1", "task_weights={}"),
    ]


def test_recipes_of_ones_own_are_checked_too() -> None:
    for recipe, name in (
        (Recipe(precision="fp8"), "precision"),  # type: ignore[arg-type]
        (Recipe(schedule=Schedule(epochs=float("nan"))), "schedule.epochs"),
        (Recipe(schedule=3), "schedule must be a Schedule"),  # type: ignore[arg-type]
        (replace(Recipe(), batch=Batch(size=2.5)), "batch.size"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ValueError, match=name):
            check_recipe(recipe)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_hold_what_their_fields_take(name: str) -> None:
    check_recipe(load_recipe(name))


def test_every_field_has_a_rule_and_a_line_of_help() -> None:
    paths = [each.path for each in list_fields()]
    assert set(paths) == set(RULES)
    assert set(ALIASES.values()) <= set(paths)
    assert not set(ALIASES) & set(paths)
    assert all(each.rule.help and each.allowed for each in list_fields())


def test_the_command_names_all_presets() -> None:
    assert set(NAMES) == set(PRESETS)


def test_every_default_that_is_listed_can_be_set(tmp_path: Path) -> None:
    from florence2.cli.train import format_value

    for each in list_fields():
        written = format_value(each.default)
        if each.default != () and each.default != {}:
            assert each.parse(written) == each.default, each.path
        else:
            assert ast.literal_eval(written or "()") == each.default


def test_levels_of_release_0_1_get_their_new_names() -> None:
    from florence2.training.recipe import AuxiliaryConfig, Recipe, to_dict, with_defaults

    with pytest.warns(DeprecationWarning, match="level 'crowd' is now 'dense'"):
        auxiliary = AuxiliaryConfig(curriculum=((0, "crowd+full"), (9, "text")))
    assert auxiliary.curriculum == ((0, "dense+full"), (9, "text"))
    stored = to_dict(Recipe(auxiliary=auxiliary))
    before = {**stored, "auxiliary": {**stored["auxiliary"], "curriculum": [[0, "altered-crowd"]]}}
    assert with_defaults(before)["auxiliary"]["curriculum"] == [[0, "augmented-dense"]]
