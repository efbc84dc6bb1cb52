"""The settings of an evaluation run, compared before a run is resumed in a directory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from ..io.run_dir import RunFormat, read_run_settings
from .benchmark import BenchmarkExample
from .benchmarks import current_name

_WEIGHTS = ("*.safetensors", "*.bin")


def _upgrade(settings: dict[str, Any]) -> dict[str, Any]:
    return {**settings, "benchmark": current_name(str(settings["benchmark"]))}


# The data directory may change: equal examples have an equal digest.
EVALUATION_RUN = RunFormat(
    changeable=frozenset({"data"}),
    renamed={"cases": "examples"},
    upgrade=_upgrade,
    allow_other_files=True,
    remedy="resume with the same settings, or choose another --out",
)


def read_settings(directory: Path) -> dict[str, Any]:
    """The settings of the run in ``directory``; ``FileNotFoundError`` when there is no run."""
    settings = read_run_settings(directory, EVALUATION_RUN)
    if not settings:
        path = directory / EVALUATION_RUN.settings_file
        raise FileNotFoundError(f"{path} does not exist: name the --out of an evaluation")
    return settings


def examples_digest(examples: Iterable[BenchmarkExample]) -> str:
    """A digest of the requests: ids, prompts and inputs."""
    digest = sha256()
    for each in examples:
        request = (each.id, each.image_id, each.task.prompt, each.prompt_input)
        digest.update(json.dumps(request).encode() + b"\n")
    return digest.hexdigest()


def weights_digest(directories: Sequence[Path]) -> str | None:
    """A digest of the weight files in ``directories``; None without any."""
    files = [
        path
        for directory in directories
        if directory.is_dir()
        for pattern in _WEIGHTS
        for path in sorted(directory.glob(pattern))
    ]
    digest = sha256()
    for path in files:
        with path.open("rb") as stream:
            digest.update(file_digest(stream, "sha256").digest())
    return digest.hexdigest() if files else None
