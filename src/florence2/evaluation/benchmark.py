"""The parts of a benchmark: its examples, their predictions, and how they are scored.

Metrics are in the paper's units: percent, and CIDEr times 100.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..io.deprecation import renamed_fields
from ..results.records import Region
from ..results.tasks import Task
from ..results.types import Answer
from .metric import Metric


@renamed_fields(question="prompt_input", truth="ground_truth")
@dataclass(frozen=True)
class BenchmarkExample:
    """One request about one image, with its ground truth.

    Args:
        id: unique in the benchmark, the same on every run.
        image: a path, or the bytes of an image file.
        image_id: names the image. Confidence intervals resample images, so that all examples of
            an image are drawn together.
        task: the task of the request.
        prompt_input: the text or region of the prompt.
        ground_truth: what the benchmark scores by; ``None`` where it is hidden.
        file_id: the id in the benchmark's own file, which official results repeat unchanged.
    """

    id: str
    image: Path | bytes
    image_id: str
    task: Task
    prompt_input: str | Region | None = None
    ground_truth: Any = None
    file_id: str | int | None = None


@renamed_fields(case="example")
@dataclass(frozen=True)
class ExamplePrediction:
    """An example and what the model predicted; ``None`` where the request failed."""

    example: BenchmarkExample
    answer: Answer | None


def get_image_ids(predictions: Sequence[ExamplePrediction]) -> list[str]:
    """The image of each example, by which metrics are resampled."""
    return [each.example.image_id for each in predictions]


@dataclass(frozen=True)
class Table:
    """Rows below column titles, such as errors by size or class."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float, ...], ...]


def group_table(
    title: str,
    columns: tuple[str, str, str],
    groups: Sequence[str],
    values: Sequence[float],
    *,
    order: Sequence[str] | None = None,
    max_rows: int | None = None,
) -> Table:
    """The number of values in each group and their mean in percent.

    Args:
        title: title of the table.
        columns: titles of the three columns: group, count, mean.
        groups: the group of each value.
        values: one number for each example.
        order: the groups in the order of their rows, empty ones left out. By default the largest
            group comes first.
        max_rows: number of rows, all by default.
    """
    members: dict[str, list[float]] = defaultdict(list)
    for group, value in zip(groups, values, strict=True):
        members[group].append(float(value))
    names = sorted(members, key=lambda name: (-len(members[name]), name))
    if order is not None:
        names = [name for name in order if name in members]
    rows = tuple(
        (name, len(members[name]), round(100 * float(np.mean(members[name])), 1))
        for name in names[:max_rows]
    )
    return Table(title, columns, rows)


@renamed_fields(figures="metrics", qualities="per_example")
@dataclass(frozen=True)
class BenchmarkScores:
    """What scoring gives.

    Args:
        metrics: the benchmark's own metric first.
        per_example: a number in [0, 1] for each example; the gallery ranks examples by it.
        tables: errors by group.
        notes: what limits the meaning of these metrics.
    """

    metrics: tuple[Metric, ...]
    per_example: tuple[float, ...]
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PaperResult:
    """A metric of the released models in the paper's tables 4 to 6; ``None`` without a value.

    ``base`` and ``large`` are zero-shot, ``base_ft`` and ``large_ft`` fine-tuned.
    """

    base: float | None = None
    large: float | None = None
    base_ft: float | None = None
    large_ft: float | None = None


@dataclass(frozen=True)
class Benchmark:
    """A row of the paper's tables, or another benchmark.

    Args:
        name: name on the command line.
        title: name in reports.
        splits: the default split first.
        protocol: how it is scored, as Markdown.
        source: which files are needed and where to get them, as Markdown.
        read: ``(directory, split)`` -> examples; raises ``FileNotFoundError`` or ``ValueError``
            with the remedy.
        score: predictions with known ground truth -> scores.
        official: ``(predictions, directory)`` -> paths of the files that it wrote for a server or
            an official script.
        reported: the paper's results by split and name of the metric.
        options: options of the model's call.
    """

    name: str
    title: str
    splits: tuple[str, ...]
    protocol: str
    source: str
    read: Callable[[Path, str], Sequence[BenchmarkExample]]
    score: Callable[[Sequence[ExamplePrediction]], BenchmarkScores]
    official: Callable[[Sequence[ExamplePrediction], Path], Sequence[Path]] | None = None
    reported: Mapping[str, Mapping[str, PaperResult]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
