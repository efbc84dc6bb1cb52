"""Self-training: annotate, filter, train a student on what is kept, annotate with it, repeat.

Section 3.4 of the paper. The student is trained by ``florence2 train`` in its own process: it ends
as a checkpoint like any other, and its memory is free when it annotates.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..datasets.shards import ShardDataset
from ..io.atomic import atomic_replace, replace_json
from ..io.deprecation import rename_keys, renamed_arguments, warn_renamed
from ..io.messages import format_count, shorten
from ..io.run_dir import RunDir
from .annotate import IndexSummary, annotate, index_images, order_annotators, read_index
from .annotators import AnnotatorSpec
from .annotators.student import Student
from .chunk_files import EngineFiles
from .chunk_workers import ChunkResult
from .engine_config import EngineConfig, StudentConfig, make_run_format, make_settings
from .executor import Executor
from .round_end import finish_round
from .round_report import RoundReport, report_round

STUDENT = "student"
_METRICS = "figures.json"
_MAX_LISTED = 20
_Log = Callable[[str], None]
_OnChunk = Callable[[str, ChunkResult], None]


class StudentError(RuntimeError):
    """The training of a student ended with an error; the message names its log."""


@dataclass(frozen=True)
class EngineResult:
    """The index of a run, and the report of every round."""

    index: IndexSummary
    reports: tuple[RoundReport, ...]


@renamed_arguments(specs="annotators", tell="log", advance="on_chunk")
def run_engine(
    source: str,
    out: Path,
    annotators: Sequence[AnnotatorSpec],
    executor: Executor,
    config: EngineConfig | None = None,
    *,
    log: _Log = lambda line: None,
    on_chunk: _OnChunk = lambda name, result: None,
    **old_settings: Any,
) -> EngineResult:
    """Annotate the images of a source, and refine in self-training rounds. A stopped run resumes.

    Args:
        source: Directory, tar or Parquet file of images, or a URL of one.
        out: Directory of the run: ``round-NN/shards``, their reports, and the students.
        annotators: How the annotators of round 0 are made.
        executor: Where they run.
        config: Settings of the run.
        log: Called with lines about the progress.
        on_chunk: Called with an annotator's name and the result of each chunk.
        old_settings: Settings as keyword arguments, as release 0.1 had them.

    Raises:
        RunLockedError: Another process works in ``out``.
        StudentError: The training of a student failed.
        ValueError: ``out`` has a run with other settings, or other files.
    """
    config = _config_from_old(old_settings) if old_settings else config or EngineConfig()
    order_annotators(annotators)  # raises before any work
    files = EngineFiles(out)
    settings = make_settings(source, annotators, config)
    with RunDir.open(out, settings, make_run_format(files, settings)) as run:
        log(f"index of {source}")
        run.save()
        try:
            index = index_images(
                source, files, executor, chunk_size=config.chunk_size, workers=config.workers
            )
        except BaseException:
            if not files.listing.exists():
                run.discard()
            raise
        _log_index(index, files, log)
        reports = []
        for round in range(config.rounds + 1):
            metrics = _annotate_round(files, annotators, round, executor, config, log, on_chunk)
            log(f"round {round}: filters")
            records = finish_round(files, round, config.thresholds, log)
            report = report_round(round, records.annotations(), metrics)
            replace_json(files.round(round) / "report.json", report.to_dict())
            atomic_replace(files.round(round) / "report.md", report.to_markdown())
            reports.append(report)
    return EngineResult(index, tuple(reports))


def _config_from_old(old: dict[str, Any]) -> EngineConfig:
    """The settings that release 0.1 took as keyword arguments."""
    names = {"limits": "thresholds", "part_size": "chunk_size"}
    known = {"rounds", "student", "workers", *names, *names.values()}
    unknown = old.keys() - known
    if unknown:
        raise TypeError(f"run_engine() got an unknown keyword argument {sorted(unknown)[0]!r}")
    warn_renamed("run_engine() with settings as keyword arguments", "EngineConfig", stacklevel=5)
    values = rename_keys(old, names, "run_engine()", stacklevel=0)
    return EngineConfig(**{name: value for name, value in values.items() if value is not None})


def _annotate_round(
    files: EngineFiles,
    annotators: Sequence[AnnotatorSpec],
    round: int,
    executor: Executor,
    config: EngineConfig,
    log: _Log,
    on_chunk: _OnChunk,
) -> dict[str, float]:
    """Run the annotators of a round: the given ones, then each round's student.

    Returns the student's validation metrics.
    """
    if round == 0:
        annotate(files, annotators, 0, executor, on_chunk)
        return {}
    log(f"round {round}: training a student on round {round - 1}")
    checkpoint, metrics = train_student(files, round, config.student)
    spec = make_student_spec(checkpoint, round, config.student)
    log(f"round {round}: the student annotates")
    annotate(files, [spec], round, executor, on_chunk)
    return metrics


def _log_index(index: IndexSummary, files: EngineFiles, log: _Log) -> None:
    """Log the size of the index, and name what cannot be used."""
    log(
        f"{format_count(index.images, 'image')}: {index.broken} broken, {index.duplicates} "
        f"duplicates, {index.near_duplicates} near duplicates"
    )
    if index.skipped_files:
        counts = sorted(index.skipped_files.items())
        log(f"skipped, not images: {', '.join(f'{count} {kind}' for kind, count in counts)}")
    broken = [
        f"broken: {entry.location.id}: {entry.error}" for entry in read_index(files) if entry.error
    ]
    unused = [
        f"text not used: {entry.location.id}: {entry.location.note}"
        for entry in read_index(files)
        if entry.location.note
    ]
    for lines in (broken, unused):
        for line in lines[:_MAX_LISTED]:
            log(shorten(line))
        if len(lines) > _MAX_LISTED:
            kind = lines[0].partition(":")[0]
            log(f"{kind}: {len(lines) - _MAX_LISTED} more, in {files.path}/index")


def train_student(
    files: EngineFiles, round: int, config: StudentConfig
) -> tuple[Path, dict[str, float]]:
    """Train on what the round before kept: the checkpoint, and its validation metrics.

    A stopped training resumes from its last checkpoint.
    """
    run = files.round(round) / STUDENT
    metrics = run / _METRICS
    if not metrics.exists():
        command = [sys.executable, "-m", "florence2", "train", config.recipe]
        command += ["--data", str(files.shards(round - 1)), "--out", str(run), "--quiet"]
        for setting in config.settings:
            command += ["--set", setting]
        if config.validation is not None:
            command += ["--validation", str(config.validation)]
        run.mkdir(parents=True, exist_ok=True)
        log_file = run / "training.txt"
        with log_file.open("ab") as log:
            ended = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT)
        # Status 1: some examples could not be read, and the student was trained on the others.
        if not (run / "last").is_dir() or ended.returncode not in (0, 1):
            raise StudentError(
                f"training the student of round {round} ended with {ended.returncode}; its log is "
                f"{log_file}. The same call tries again"
            )
        replace_json(metrics, _read_last_metrics(run / "log.jsonl"))
    best = run / "best"
    checkpoint = best if best.is_dir() else run / "last"
    return checkpoint, json.loads(metrics.read_text("utf-8"))


def make_student_spec(checkpoint: Path, round: int, config: StudentConfig) -> AnnotatorSpec:
    """The student of a round as an annotator."""
    return AnnotatorSpec(
        STUDENT,
        partial(Student, str(checkpoint), version=f"round-{round}", tasks=config.tasks),
        batch_size=config.batch_size,
        workers=config.workers,
        cpus=config.cpus,
        gpus=config.gpus,
    )


def open_round(out: Path, round: int | None = None) -> ShardDataset:
    """The shards of a round, by default of the last finished one.

    Raises ``FileNotFoundError`` when no round is finished.
    """
    files = EngineFiles(out)
    finished = [
        int(path.name.removeprefix("round-"))
        for path in sorted(out.glob("round-*"))
        if (path / "report.json").exists()
    ]
    numbers = finished if round is None else [round]
    if not numbers:
        raise FileNotFoundError(f"{out} has no finished round: run florence2 engine run first")
    return ShardDataset(files.shards(numbers[-1]))


def _read_last_metrics(log: Path) -> dict[str, float]:
    """The metrics of the last validation in a training log."""
    metrics: dict[str, float] = {}
    for line in log.read_text("utf-8").splitlines():
        values = json.loads(line)
        if values.get("kind") == "evaluation":
            metrics = {
                name: float(value)
                for name, value in values.items()
                if name not in ("kind", "step") and isinstance(value, int | float)
            }
    return metrics
