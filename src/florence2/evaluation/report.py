"""What an evaluation found, as one value that is written as JSON and read back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..io.environment import package_versions
from .benchmark import Benchmark, Reported, Scored, Table
from .metric import Metric
from .prediction_log import Outcome
from .subset import Subset

REPORT = "report.json"


@dataclass(frozen=True)
class ReportedFigure:
    """A figure with its 95% bounds, beside what the paper gives for the released models.

    Without ``defined`` the images of the run can't give the figure, and its value means nothing.
    """

    name: str
    value: float
    low: float
    high: float
    higher_is_better: bool = True
    paper: Reported = field(default_factory=Reported)
    defined: bool = True


@dataclass(frozen=True)
class Coverage:
    """How much was asked: cases and pictures of the run, and of its whole split."""

    cases: int
    pictures: int
    split_cases: int
    split_pictures: int

    @property
    def is_whole(self) -> bool:
        """Whether nothing of the split was left out."""
        return self.cases == self.split_cases


@dataclass(frozen=True)
class Report:
    """Everything about one run that a reader wants to know, but for the pictures.

    ``figures`` is empty where the truth is hidden; ``official`` then names the files for the
    server. ``settings`` are those of ``run.json``. ``failures`` are case and reason. ``seconds``
    is what answering ``asked`` cases took in the process that scored; the others were answered
    before, or by other processes. ``paper_splits`` are those that the paper reports. ``remarks``
    say what the figures of the cases can't tell.
    """

    benchmark: str
    title: str
    split: str
    settings: Mapping[str, Any]
    trained: bool
    extent: Coverage
    figures: tuple[ReportedFigure, ...]
    tables: tuple[Table, ...]
    failures: tuple[tuple[str, str], ...]
    truncated: int
    official: tuple[str, ...]
    protocol: str
    paper_splits: tuple[str, ...]
    asked: int
    seconds: float
    machine: str
    versions: Mapping[str, str] = field(default_factory=package_versions)
    date: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    remarks: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Report:
        """The report that ``to_json`` gave."""
        known = dict(values)
        known["extent"] = Coverage(**known["extent"])
        known["figures"] = tuple(
            ReportedFigure(**{**each, "paper": Reported(**each["paper"])})
            for each in known["figures"]
        )
        known["tables"] = tuple(
            Table(each["title"], tuple(each["columns"]), tuple(map(tuple, each["rows"])))
            for each in known["tables"]
        )
        known["failures"] = tuple((case, reason) for case, reason in known["failures"])
        for name in ("official", "paper_splits", "remarks"):
            known[name] = tuple(known.get(name, ()))
        return cls(**known)


def make_report(
    benchmark: Benchmark,
    chosen: Subset,
    outcomes: Mapping[str, Outcome],
    settings: Mapping[str, Any],
    scored: Scored | None,
    official: Sequence[str],
    *,
    trained: bool,
    asked: int,
    seconds: float,
    machine: str,
) -> Report:
    """The report of a run all of whose cases have an outcome; ``scored`` unless truth is hidden."""
    split = str(settings["split"])
    paper = benchmark.reported.get(split, {})
    ordered = [outcomes[case.id] for case in chosen.cases]
    return Report(
        benchmark=benchmark.name,
        title=benchmark.title,
        split=split,
        # As they are read back from the file, where tuples are lists.
        settings=json.loads(json.dumps(dict(settings))),
        trained=trained,
        extent=Coverage(
            len(chosen.cases), chosen.pictures, chosen.split_cases, chosen.split_pictures
        ),
        figures=tuple(_with_paper(each, paper) for each in (scored.figures if scored else ())),
        tables=scored.tables if scored else (),
        failures=tuple((each.id, each.failure) for each in ordered if each.failure is not None),
        truncated=sum(each.truncated for each in ordered),
        official=tuple(official),
        protocol=benchmark.protocol,
        paper_splits=tuple(benchmark.reported),
        asked=asked,
        seconds=round(seconds, 1),
        machine=machine,
        remarks=scored.notes if scored else (),
    )


def read_report(folder: Path) -> Report:
    """The report in the folder of a run; ``FileNotFoundError`` when it has none yet."""
    path = folder / REPORT
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: the run is not complete; call it again")
    return Report.from_json(json.loads(path.read_bytes()))


def _with_paper(figure: Metric, paper: Mapping[str, Reported]) -> ReportedFigure:
    interval = figure.interval()
    return ReportedFigure(
        figure.name,
        interval.estimate,
        interval.low,
        interval.high,
        figure.higher_is_better,
        paper.get(figure.name, Reported()),
        figure.defined,
    )
