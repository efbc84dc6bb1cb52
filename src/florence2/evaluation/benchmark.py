"""What a benchmark is: cases to ask, a way to score the answers, and what the paper reports.

Figures are in the paper's units: percent, and CIDEr times 100.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..results.records import Region
from ..results.tasks import Task
from ..results.types import Answer
from .metric import Metric


@dataclass(frozen=True)
class BenchmarkExample:
    """One question about one picture.

    ``id`` is unique in the benchmark and the same on every run. ``image`` is a path or the bytes
    of a file; ``image_id`` names the picture, for cases about the same picture stand or fall
    together. ``question`` is what the prompt is filled with. ``truth`` is whatever the benchmark
    scores by, ``None`` where it is hidden. ``file_id`` is the id as the benchmark's own file has
    it, a number or a string: official results repeat it unchanged.
    """

    id: str
    image: Path | bytes
    image_id: str
    task: Task
    question: str | Region | None = None
    truth: Any = None
    file_id: str | int | None = None


@dataclass(frozen=True)
class Answered:
    """A case and what the model said; ``None`` where it could not be asked."""

    case: BenchmarkExample
    answer: Answer | None


def pictures_of(answered: Sequence[Answered]) -> list[str]:
    """The picture of each case, by which figures are drawn."""
    return [each.case.image_id for each in answered]


@dataclass(frozen=True)
class Table:
    """Rows beneath column titles: failures by size or class."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float, ...], ...]


@dataclass(frozen=True)
class Scored:
    """Figures, the first of them the benchmark's own, and what a reader wants beneath them.

    ``qualities`` has one number in [0, 1] for each case, to find the best and the worst by.
    ``notes`` say what the figures of these cases can't tell.
    """

    figures: tuple[Metric, ...]
    qualities: tuple[float, ...]
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reported:
    """What the paper (tables 4 to 6) gives for the released models; ``None`` where it is silent.

    ``base`` and ``large`` are the zero-shot figures, ``base_ft`` and ``large_ft`` the fine-tuned.
    """

    base: float | None = None
    large: float | None = None
    base_ft: float | None = None
    large_ft: float | None = None


@dataclass(frozen=True)
class Benchmark:
    """A row of the paper's tables, or one beside them.

    ``splits`` begins with the usual one. ``read`` gives the cases of a split from the user's
    folder, and raises ``FileNotFoundError`` or ``ValueError`` with the remedy. ``score`` takes
    cases whose truth is known. ``official`` writes the files that a server or an official script
    takes into a folder, and returns them. ``reported`` is by split and name of figure.
    ``protocol`` and ``source`` are Markdown: how it is scored, and which files are needed and
    where they are got. ``options`` are for the model's call.
    """

    name: str
    title: str
    splits: tuple[str, ...]
    protocol: str
    source: str
    read: Callable[[Path, str], Sequence[BenchmarkExample]]
    score: Callable[[Sequence[Answered]], Scored]
    official: Callable[[Sequence[Answered], Path], Sequence[Path]] | None = None
    reported: Mapping[str, Mapping[str, Reported]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
