"""The settings of an engine run, and how they are stored in its directory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..io.run_dir import RunFormat
from ..results.tasks import CAPTIONS
from .annotate import CHUNK_SIZE
from .annotators import AnnotatorSpec
from .annotators.annotator import OLD_ANNOTATOR_NAMES
from .annotators.student import REGIONS
from .chunk_files import EngineFiles
from .filters import OLD_THRESHOLDS, Thresholds


@dataclass(frozen=True)
class StudentConfig:
    """How students are trained, and what they predict.

    Args:
        recipe: Recipe of ``florence2 train``.
        settings: Its ``--set`` values.
        validation: Shards with ground truth, whose metrics go into the report.
        tasks: Tasks that the student predicts, as tokens.
        workers: Number of workers that run the student.
        cpus: CPUs of each worker.
        gpus: GPUs of each worker.
        batch_size: Images for each call of the student.
    """

    recipe: str = "fine-tune"
    settings: tuple[str, ...] = ()
    validation: Path | None = None
    tasks: tuple[str, ...] = (*CAPTIONS, *REGIONS)
    workers: int = 1
    cpus: float = 1
    gpus: float = 0
    batch_size: int = 16

    def to_dict(self) -> dict[str, Any]:
        """The values that shape the students, as the run stores them."""
        return {
            "recipe": self.recipe,
            "settings": list(self.settings),
            "validation": None if self.validation is None else str(self.validation),
            "tasks": list(self.tasks),
        }


@dataclass(frozen=True)
class EngineConfig:
    """Settings of ``run_engine``.

    Args:
        rounds: Number of self-training rounds after the first annotation.
        student: How students are trained; used with ``rounds``.
        thresholds: Thresholds of the filters.
        chunk_size: Images for each file.
        workers: Number of workers that index images.
    """

    rounds: int = 0
    student: StudentConfig = StudentConfig()
    thresholds: Thresholds = field(default_factory=Thresholds)
    chunk_size: int = CHUNK_SIZE
    workers: int = 1


_RUN_FORMAT = RunFormat(
    kind="data engine",
    partial=True,
    renamed={
        "part_size": "chunk_size",
        "specialists": "annotators",
        **{f"specialists.{old}": new for old, new in OLD_ANNOTATOR_NAMES.items()},
        **{f"thresholds.{old}": new for old, new in OLD_THRESHOLDS.items()},
        **{f"thresholds.confidence.{old}": new for old, new in OLD_ANNOTATOR_NAMES.items()},
    },
    remedy="call it with the same settings, or choose another directory",
)


def make_settings(
    source: str, specs: Sequence[AnnotatorSpec], config: EngineConfig
) -> dict[str, Any]:
    """What a run stores of its settings: everything that shapes the annotations.

    More ``rounds`` are not another run. The student's settings are stored once it is trained.
    """
    settings: dict[str, Any] = {
        "source": _resolve_source(source),
        "chunk_size": config.chunk_size,
        "annotators": {spec.name: spec.identity or spec.name for spec in specs},
        "thresholds": asdict(config.thresholds),
    }
    if config.rounds:
        settings["student"] = config.student.to_dict()
    return settings


def make_run_format(files: EngineFiles, settings: dict[str, Any]) -> RunFormat:
    """How the stored settings of the run in ``files`` are read, release 0.1's included."""
    annotators = {path.name for path in files.annotators(0).glob("*")}
    return replace(_RUN_FORMAT, upgrade=partial(_upgrade, annotators, settings["annotators"]))


def _upgrade(
    annotators: set[str], requested: dict[str, str], stored: dict[str, Any]
) -> dict[str, Any]:
    """Settings of an earlier release in today's form.

    Some have a relative source. The oldest have no annotators: these are known by their files.
    """
    if "source" not in stored:
        raise ValueError("it is not of a data engine run")
    stored = {**stored, "source": _resolve_source(stored["source"])}
    names = {OLD_ANNOTATOR_NAMES.get(name, name) for name in annotators}
    if "annotators" in stored:
        stored["annotators"] = {
            name: OLD_ANNOTATOR_NAMES.get(identity, identity)
            for name, identity in stored["annotators"].items()
        }
    elif not names <= requested.keys():
        stored["annotators"] = {name: requested.get(name, name) for name in names}
    return stored


def _resolve_source(source: str) -> str:
    return source if "://" in source else os.path.abspath(source)
