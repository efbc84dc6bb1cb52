from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Command = Callable[..., Any]


@dataclass(frozen=True)
class StandInReport:
    path: Path
    problems: tuple[str, ...] = ()
    files: tuple[str, ...] = ("model.safetensors",)
    layout: str = "microsoft"
    tensor_count: int = 7
    parameter_count: int = 231_414_016
    vocab_size: int = 51289
    positions: int = 1024
    tied_head: bool = True
    size_name: str = "base"

    @property
    def dtypes(self) -> dict[str, int]:
        return {"float16": 6, "float32": 1}


@pytest.fixture
def problems(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the stand-in for the inspection finds wrong with any checkpoint."""
    found: list[str] = []
    module = ModuleType("florence2.model.checkpoint.weights")
    module.inspect_checkpoint = lambda path: StandInReport(path, tuple(found))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "florence2.model.checkpoint.weights", module)
    return found


def test_the_machine_is_described(command: Command) -> None:
    result = command("doctor")
    assert result.exit_code == 0
    for name in ("Python", "torch", "tested range", "threads", "memory", "CUDA", "(optional)"):
        assert name in result.stdout


def test_a_valid_checkpoint(command: Command, problems: list[str]) -> None:
    result = command("doctor", "some-directory")
    assert result.exit_code == 0
    for words in (
        "some-directory", "microsoft", "base", "231,414,016 in 7 tensors", "1,024", "51,289",
        "tied to the embedding", "float16 (6 tensors), float32 (1 tensors)", "valid",
    ):  # fmt: skip
        assert words in result.stdout


def test_a_checkpoint_with_problems(command: Command, problems: list[str]) -> None:
    problems.append("model.safetensors: tensor image_projection is missing")
    result = command("doctor", "some-directory")
    assert result.exit_code == 1
    assert "PROBLEM" in result.stdout and "image_projection is missing" in result.stdout
    assert "cannot be used" in result.stdout
