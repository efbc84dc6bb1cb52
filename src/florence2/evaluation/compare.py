"""Two runs of one benchmark laid side by side: paired differences with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..io.tables import format_fixed, markdown_table
from .benchmark import Answered, Benchmark, Scored
from .benchmarks import find_benchmark
from .eval_settings import cases_digest, read_settings
from .runner import answered_cases, read_all
from .subset import choose_cases

_SAME = ("benchmark", "split", "limit", "cases")
METRIC_COLUMNS = ("figure", "A", "B", "B - A", "95% interval", "reversals", "verdict")
_CASES_SHOWN = 10


@dataclass(frozen=True)
class ComparedFigure:
    """A figure of two runs. ``difference`` is second minus first, with its 95% bounds.

    ``reversals`` is the share of draws in which the sign of the difference is not the one found:
    near 0 when it is sure, about .5 when it is chance.
    """

    name: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    reversals: float
    higher_is_better: bool = True

    @property
    def verdict(self) -> str:
        """Whether the second run is better, in words; unclear when the interval holds zero."""
        if self.low <= 0 <= self.high:
            return "no clear difference"
        return "B is better" if (self.low > 0) == self.higher_is_better else "A is better"


@dataclass(frozen=True)
class ChangedCase:
    """A case that two runs answered differently well; qualities are in [0, 1]."""

    id: str
    first: float
    second: float


@dataclass(frozen=True)
class Comparison:
    """Two runs by their folders and models, their figures, and the cases that changed most."""

    benchmark: str
    title: str
    split: str
    cases: int
    folders: tuple[str, str]
    models: tuple[str, str]
    figures: tuple[ComparedFigure, ...]
    changed: tuple[ChangedCase, ...]

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        return asdict(self)

    def to_markdown(self) -> str:
        """The comparison as a page."""
        runs = zip("AB", self.models, self.folders, strict=True)
        figures = markdown_table(METRIC_COLUMNS, map(figure_cells, self.figures))
        changed = [(each.id, each.first, each.second) for each in self.changed]
        parts = (
            f"# {self.title}, {self.split}: two runs compared",
            markdown_table(("run", "model", "folder"), runs),
            f"## Figures of {self.cases:,} cases\n\n{figures}",
            "Both runs are scored on the same draws of pictures. Reversals are the share of draws "
            "in which the difference is zero or has the other sign.",
            "## Cases that changed most",
            markdown_table(("case", "quality in A", "in B"), changed) if changed else "None.",
        )
        return "\n\n".join(parts) + "\n"


def figure_cells(figure: ComparedFigure) -> tuple[str, ...]:
    """A figure as the row of a table."""
    return (
        figure.name,
        format_fixed(figure.first, 2),
        format_fixed(figure.second, 2),
        _signed(figure.difference),
        f"{_signed(figure.low)} to {_signed(figure.high)}",
        f"{figure.reversals:.3f}",
        figure.verdict,
    )


def _signed(value: float) -> str:
    return f"{round(value, 2) + 0.0:+.2f}"


def compare(
    first: str | Path,
    second: str | Path,
    *,
    data: str | Path | None = None,
    find: Callable[[str], Benchmark] = find_benchmark,
) -> Comparison:
    """The differences between the runs in two folders, scored anew from their answers.

    The truth is read from ``data``, by default where the first run had it. Raises ``ValueError``
    when the runs are of different benchmarks, splits, parts or cases, when one is not complete,
    and when the truth is hidden.
    """
    folders = (Path(first), Path(second))
    settings = tuple(read_settings(folder) for folder in folders)
    _check_same(folders, settings)
    benchmark = find(settings[0]["benchmark"])
    source = Path(data or settings[0]["data"])
    before, after = (
        _answered(benchmark, source, folder, held)
        for folder, held in zip(folders, settings, strict=True)
    )
    if any(each.case.truth is None for each in before):
        raise ValueError(
            f"the truth of {benchmark.name} {settings[0]['split']} is hidden: only a server can "
            "score it"
        )
    scored = benchmark.score(before), benchmark.score(after)
    return Comparison(
        benchmark=benchmark.name,
        title=benchmark.title,
        split=settings[0]["split"],
        cases=len(before),
        folders=(str(first), str(second)),
        models=(settings[0]["model"], settings[1]["model"]),
        figures=_figures(*scored),
        changed=_changed(before, *scored),
    )


def _check_same(folders: tuple[Path, ...], settings: tuple[Mapping[str, Any], ...]) -> None:
    for name in _SAME:
        values = [held.get(name) for held in settings]
        if values[0] != values[1]:
            raise ValueError(
                f"{folders[0]} has {name} {values[0]}, {folders[1]} has {values[1]}: only runs of "
                "the same cases can be compared"
            )


def _answered(
    benchmark: Benchmark, data: Path, folder: Path, settings: Mapping[str, Any]
) -> list[Answered]:
    chosen = choose_cases(
        benchmark, data, settings["split"], limit=settings["limit"], prompt=settings["prompt"]
    )
    if cases_digest(chosen.cases) != settings["digest"]:
        raise ValueError(f"{data} does not hold the cases that {folder} was asked; name its --data")
    outcomes = read_all(folder, chosen, settings["shards"])
    missing = len(chosen.cases) - len(outcomes)
    if missing:
        raise ValueError(
            f"{folder} has no answer to {missing:,} of {len(chosen.cases):,} cases; call that "
            "evaluation again, and it goes on"
        )
    return answered_cases(chosen, outcomes)


def _figures(first: Scored, second: Scored) -> tuple[ComparedFigure, ...]:
    compared = []
    for before, after in zip(first.figures, second.figures, strict=True):
        found = before.difference(after)
        compared.append(
            ComparedFigure(
                before.name,
                before.value,
                after.value,
                found.estimate,
                found.low,
                found.high,
                found.reversals,
                before.higher_is_better,
            )
        )
    return tuple(compared)


def _changed(cases: list[Answered], first: Scored, second: Scored) -> tuple[ChangedCase, ...]:
    changes = [
        ChangedCase(each.case.id, before, after)
        for each, before, after in zip(cases, first.qualities, second.qualities, strict=True)
        if before != after
    ]
    changes.sort(key=lambda each: (-abs(each.second - each.first), each.id))
    return tuple(changes[:_CASES_SHOWN])
