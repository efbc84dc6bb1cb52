"""The loop: annotate, filter, train a student on what was kept, have it annotate, again.

Section 3.4 of the paper. The student is trained by ``florence2 train`` in a process of its own, so
that it ends as an artifact like any other run and its memory is gone when it annotates.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..datasets.shards import ShardDataset
from ..io.atomic import atomic_replace, replace_json
from ..io.messages import shorten
from ..io.run_lock import lock_run_dir
from ..results.tasks import CAPTIONS
from .annotate import PART_SIZE, IndexSummary, annotate, entries_of, in_order, index_pictures
from .annotators import SpecialistSpec
from .annotators.student import REGIONS, Student
from .executor import Executor
from .filters import Thresholds
from .part_files import RunFolder
from .part_workers import PartDone
from .round_end import finish_round
from .round_report import RoundReport, report_round

STUDENT = "student"
_FIGURES = "figures.json"
_MOST_TOLD = 20


class StudentError(RuntimeError):
    """The training of a student ended with an error; the message says where its words are."""


@dataclass(frozen=True)
class StudentConfig:
    """How students are made and what they answer. ``recipe`` and ``settings`` are those of
    ``florence2 train``; ``validation`` are shards with the truth, for the report alone."""

    recipe: str = "fine-tune"
    settings: tuple[str, ...] = ()
    validation: Path | None = None
    tasks: tuple[str, ...] = (*CAPTIONS, *REGIONS)
    workers: int = 1
    cpus: float = 1
    gpus: float = 0
    batch_size: int = 16

    def to_dict(self) -> dict[str, Any]:
        """What a run states of it: all that shapes the students."""
        return {
            "recipe": self.recipe,
            "settings": list(self.settings),
            "validation": None if self.validation is None else str(self.validation),
            "tasks": list(self.tasks),
        }


@dataclass(frozen=True)
class EngineRun:
    """What a run came to: its index, and the report of every round."""

    index: IndexSummary
    reports: tuple[RoundReport, ...]


def run_engine(
    source: str,
    out: Path,
    specs: Sequence[SpecialistSpec],
    executor: Executor,
    *,
    rounds: int = 0,
    student: StudentConfig = StudentConfig(),
    limits: Thresholds | None = None,
    part_size: int = PART_SIZE,
    workers: int = 1,
    tell: Callable[[str], None] = lambda line: None,
    advance: Callable[[str, PartDone], None] = lambda name, done: None,
) -> EngineRun:
    """Annotate the pictures of a source, and refine ``rounds`` times; goes on where it stopped.

    ``out`` holds ``round-NN/shards``, the report beside it as JSON and Markdown, and the students.
    One process at a time works in ``out``. Raises ``ValueError`` for a folder of another run or in
    use by another process, ``StudentError`` when a training fails.
    """
    limits = limits or Thresholds()
    in_order(specs)  # names that repeat, or wait for each other, are an error before any work
    settings: dict[str, Any] = {
        "specialists": {each.name: each.identity or each.name for each in specs},
        "thresholds": asdict(limits),
    }
    if rounds:
        settings["student"] = student.to_dict()
    with lock_run_dir(out):
        folder = RunFolder(out)
        tell(f"index of {source}")
        index = index_pictures(
            source, folder, executor, part_size=part_size, workers=workers, settings=settings
        )
        _tell_index(index, folder, tell)
        reports = _run_rounds(folder, specs, executor, rounds, student, limits, tell, advance)
    return EngineRun(index, tuple(reports))


def _run_rounds(
    folder: RunFolder,
    specs: Sequence[SpecialistSpec],
    executor: Executor,
    rounds: int,
    student: StudentConfig,
    limits: Thresholds,
    tell: Callable[[str], None],
    advance: Callable[[str, PartDone], None],
) -> list[RoundReport]:
    reports = []
    for round in range(rounds + 1):
        figures: dict[str, float] = {}
        if round == 0:
            annotate(folder, specs, 0, executor, advance)
        else:
            tell(f"round {round}: training a student on round {round - 1}")
            checkpoint, figures = train_student(folder, round, student)
            spec = student_spec(checkpoint, round, student)
            tell(f"round {round}: the student annotates")
            annotate(folder, [spec], round, executor, advance)
        tell(f"round {round}: filters")
        records = finish_round(folder, round, limits, tell=tell)
        report = report_round(round, records.annotations(), figures)
        replace_json(folder.round(round) / "report.json", report.to_dict())
        atomic_replace(folder.round(round) / "report.md", report.to_markdown())
        reports.append(report)
    return reports


def _tell_index(index: IndexSummary, folder: RunFolder, tell: Callable[[str], None]) -> None:
    """What the run is about, and by name what of the source cannot be used."""
    tell(
        f"{index.pictures} pictures, {index.broken} broken, {index.duplicates} duplicates, "
        f"{index.near_duplicates} near duplicates"
    )
    if index.passed_over:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(index.passed_over.items()))
        tell(f"passed over, as they are no pictures: {kinds}")
    broken = [f"broken: {each.place.id}: {each.error}" for each in entries_of(folder) if each.error]
    notes = [
        f"text not used: {each.place.id}: {each.place.note}"
        for each in entries_of(folder)
        if each.place.note
    ]
    for lines in (broken, notes):
        for line in lines[:_MOST_TOLD]:
            tell(shorten(line))
        if len(lines) > _MOST_TOLD:
            kind = lines[0].partition(":")[0]
            tell(f"{kind}: {len(lines) - _MOST_TOLD} more, in {folder.path}/index")


def train_student(
    folder: RunFolder, round: int, plan: StudentConfig
) -> tuple[Path, dict[str, float]]:
    """Train on what was kept in the round before: the checkpoint, and its figures if any.

    A training that was stopped goes on from its last checkpoint.
    """
    run = folder.round(round) / STUDENT
    done = run / _FIGURES
    if not done.exists():
        command = [sys.executable, "-m", "florence2", "train", plan.recipe]
        command += ["--data", str(folder.shards(round - 1)), "--out", str(run), "--quiet"]
        for setting in plan.settings:
            command += ["--set", setting]
        if plan.validation is not None:
            command += ["--validation", str(plan.validation)]
        run.mkdir(parents=True, exist_ok=True)
        words = run / "training.txt"
        with words.open("ab") as log:
            ended = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT)
        # Some pairs that cannot be read end a training with 1, and leave a student all the same.
        if not (run / "last").is_dir() or ended.returncode not in (0, 1):
            raise StudentError(
                f"training the student of round {round} ended with {ended.returncode}; its words "
                f"are in {words}, and the same call tries again"
            )
        replace_json(done, _last_figures(run / "log.jsonl"))
    best = run / "best"
    return (best if best.is_dir() else run / "last"), json.loads(done.read_text("utf-8"))


def student_spec(checkpoint: Path, round: int, plan: StudentConfig) -> SpecialistSpec:
    """The student of a round as a specialist."""
    return SpecialistSpec(
        STUDENT,
        partial(Student, str(checkpoint), version=f"round-{round}", tasks=plan.tasks),
        batch_size=plan.batch_size,
        workers=plan.workers,
        cpus=plan.cpus,
        gpus=plan.gpus,
    )


def open_round(out: Path, round: int | None = None) -> ShardDataset:
    """The table of a round, the last finished one by default.

    Raises ``FileNotFoundError`` when no round is finished.
    """
    folder = RunFolder(out)
    finished = [
        int(path.name.removeprefix("round-"))
        for path in sorted(out.glob("round-*"))
        if (path / "report.json").exists()
    ]
    numbers = finished if round is None else [round]
    if not numbers:
        raise FileNotFoundError(f"{out} has no finished round: run florence2 engine run first")
    return ShardDataset(folder.shards(numbers[-1]))


def _last_figures(log: Path) -> dict[str, float]:
    figures: dict[str, float] = {}
    for line in log.read_text("utf-8").splitlines():
        values = json.loads(line)
        if values.get("kind") == "evaluation":
            skip = ("kind", "step")
            figures = {
                name: float(value)
                for name, value in values.items()
                if name not in skip and isinstance(value, int | float)
            }
    return figures
