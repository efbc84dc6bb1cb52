"""The names of the options are a promise: none comes or goes without a word in ``docs/cli.md``."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from florence2.cli import app
from florence2.cli.help_format import EXAMPLES, PRESETS
from florence2.inference.call_options import RUNTIMES
from florence2.io.environment import TORCH_BELOW, TORCH_FROM, describe_torch
from florence2.runtime.factory import RUNTIMES as REAL_RUNTIMES
from florence2.training.presets import PRESETS as REAL_PRESETS

from .conftest import documented

ROOT = Path(__file__).resolve().parents[2]
Command = Callable[..., Any]
VERBS = (
    "run", "doctor", "demo", "bench", "train", "convert", "evaluate", "serve", "mcp", "export",
)  # fmt: skip


def options_of(verb: str) -> set[str]:
    verbs: Any = get_command(app)
    return {
        name
        for parameter in verbs.commands[verb].params
        for name in (*parameter.opts, *parameter.secondary_opts)
        if name.startswith("--")
    }


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_is_documented_and_every_documented_option_exists(verb: str) -> None:
    assert options_of(verb) == documented(verb) - {"--help"}


def test_help_names_the_options(command: Command) -> None:
    for verb in VERBS:
        result = command(verb, "--help")
        assert result.exit_code == 0
        assert all(name in result.stdout for name in options_of(verb))


def test_help_does_not_load_the_model_library() -> None:
    code = "import sys, florence2.cli; print([n for n in ('torch', 'PIL') if n in sys.modules])"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert finished.stdout.strip() == "[]", finished.stderr


def test_the_tested_range_of_torch_is_that_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    low, high = ".".join(map(str, TORCH_FROM)), ".".join(map(str, TORCH_BELOW))
    assert f"torch>={low},<{high}" in project["dependencies"]
    assert describe_torch(f"{low}.1+cpu").startswith("inside")
    assert describe_torch(f"{high}.0").startswith("OUTSIDE")


COMMANDS = {
    path: command
    for name, command in get_command(app).commands.items()  # type: ignore[attr-defined]
    for path, command in (
        {f"{name} {below}": each for below, each in command.commands.items()}
        if hasattr(command, "commands")
        else {name: command}
    ).items()
}


@pytest.mark.parametrize("path", COMMANDS)
def test_help_has_known_names_one_default_and_an_example(command: Command, path: str) -> None:
    text = command(*path.split(), "--help").stdout
    assert "<" not in text and "{" not in text
    assert f"Usage: florence2 {path} [OPTIONS]" in text
    for entry in re.split(r"\n  (?=-)", text.partition("\n\nExamples:")[0]):
        assert entry.count("default:") < 2, entry
    assert "Examples:\n  florence2 " in text


@pytest.mark.parametrize("path", EXAMPLES)
def test_examples_in_the_help_have_options_that_exist(path: str) -> None:
    options = {name for each in COMMANDS[path].params for name in each.opts}
    for example in EXAMPLES[path]:
        words = shlex.split(example)
        assert words[: 1 + len(path.split())] == ["florence2", *path.split()]
        assert {word for word in words if word.startswith("-")} <= options


def test_lists_in_the_help_are_whole() -> None:
    assert sorted(PRESETS) == sorted(REAL_PRESETS)
    assert sorted(RUNTIMES) == sorted(REAL_RUNTIMES)
