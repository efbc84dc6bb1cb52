"""The result of an evaluation, as a value that is written as JSON and read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..io.deprecation import add_old_keys, drop_old_keys, rename_keys, renamed_fields
from ..io.environment import package_versions
from .benchmark import Benchmark, BenchmarkScores, PaperResult, Table
from .metric import Metric
from .prediction_log import LoggedPrediction
from .subset import Subset

REPORT = "report.json"
_RENAMED = {"figures": "metrics", "extent": "coverage", "asked": "predicted"}
_RENAMED_IN_COVERAGE = {
    "cases": "examples",
    "pictures": "images",
    "split_cases": "split_examples",
    "split_pictures": "split_images",
}


@dataclass(frozen=True)
class ReportedMetric:
    """A metric with its 95% confidence interval and the paper's results.

    The value means nothing where ``defined`` is false: the images cannot give the metric.
    """

    name: str
    value: float
    low: float
    high: float
    higher_is_better: bool = True
    paper: PaperResult = field(default_factory=PaperResult)
    defined: bool = True


@dataclass(frozen=True)
class Coverage:
    """The number of examples and images in the run and in its whole split."""

    examples: int
    images: int
    split_examples: int
    split_images: int

    @property
    def is_whole(self) -> bool:
        """Whether the run has the whole split."""
        return self.examples == self.split_examples


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """The facts in a report about the run itself.

    Args:
        settings: those of ``run.json``.
        trained: false for a model with random weights.
        predicted: number of examples that this process predicted; the others were predicted by an
            earlier call or by other processes.
        seconds: how long that took.
        machine: device, precision and CPU.
        official: files for a server or an official script, relative to the run's directory.
    """

    settings: Mapping[str, Any]
    trained: bool
    predicted: int
    seconds: float
    machine: str
    official: tuple[str, ...] = ()


@renamed_fields(**_RENAMED)
@dataclass(frozen=True)
class Report:
    """The result of one run, without the images.

    ``metrics`` is empty where ground truth is hidden; ``official`` then names the files for the
    server. ``failures`` are pairs of example and reason. ``paper_splits`` are the splits that the
    paper reports. ``remarks`` limit the meaning of the metrics. The other fields are those of
    ``RunFacts``.
    """

    benchmark: str
    title: str
    split: str
    settings: Mapping[str, Any]
    trained: bool
    coverage: Coverage
    metrics: tuple[ReportedMetric, ...]
    tables: tuple[Table, ...]
    failures: tuple[tuple[str, str], ...]
    truncated: int
    official: tuple[str, ...]
    protocol: str
    paper_splits: tuple[str, ...]
    predicted: int
    seconds: float
    machine: str
    versions: Mapping[str, str] = field(default_factory=package_versions)
    date: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    remarks: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values, for one release with the keys of release 0.1 too."""
        values = asdict(self)
        values["coverage"] = add_old_keys(values["coverage"], _RENAMED_IN_COVERAGE)
        return add_old_keys(values, _RENAMED)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Report:
        """The report that ``to_json`` gave, also that of release 0.1."""
        values = drop_old_keys(values, _RENAMED)
        known = rename_keys(values, _RENAMED, REPORT, stacklevel=0)
        coverage = drop_old_keys(known["coverage"], _RENAMED_IN_COVERAGE)
        coverage = rename_keys(coverage, _RENAMED_IN_COVERAGE, REPORT, stacklevel=0)
        known["coverage"] = Coverage(**coverage)
        known["metrics"] = tuple(
            ReportedMetric(**{**each, "paper": PaperResult(**each["paper"])})
            for each in known["metrics"]
        )
        known["tables"] = tuple(
            Table(each["title"], tuple(each["columns"]), tuple(map(tuple, each["rows"])))
            for each in known["tables"]
        )
        known["failures"] = tuple((example, reason) for example, reason in known["failures"])
        for name in ("official", "paper_splits", "remarks"):
            known[name] = tuple(known.get(name, ()))
        return cls(**known)


def make_report(
    benchmark: Benchmark,
    subset: Subset,
    predictions: Mapping[str, LoggedPrediction],
    scores: BenchmarkScores | None,
    facts: RunFacts,
) -> Report:
    """The report of a run that has a prediction for every example.

    ``scores`` is ``None`` where ground truth is hidden.
    """
    split = str(facts.settings["split"])
    paper = benchmark.reported.get(split, {})
    ordered = [predictions[example.id] for example in subset.examples]
    size = len(subset.examples), subset.num_images
    return Report(
        benchmark=benchmark.name,
        title=benchmark.title,
        split=split,
        # As JSON returns them: tuples become lists.
        settings=json.loads(json.dumps(dict(facts.settings))),
        trained=facts.trained,
        coverage=Coverage(*size, subset.split_examples, subset.split_images),
        metrics=tuple(_with_paper(each, paper) for each in (scores.metrics if scores else ())),
        tables=scores.tables if scores else (),
        failures=tuple((each.id, each.failure) for each in ordered if each.failure is not None),
        truncated=sum(each.truncated for each in ordered),
        official=facts.official,
        protocol=benchmark.protocol,
        paper_splits=tuple(benchmark.reported),
        predicted=facts.predicted,
        seconds=round(facts.seconds, 1),
        machine=facts.machine,
        remarks=scores.notes if scores else (),
    )


def read_report(directory: Path) -> Report:
    """The report in the directory of a run; ``FileNotFoundError`` without one."""
    path = directory / REPORT
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist: the run is not complete; run the same command again"
        )
    return Report.from_json(json.loads(path.read_bytes()))


def _with_paper(metric: Metric, paper: Mapping[str, PaperResult]) -> ReportedMetric:
    interval = metric.interval()
    return ReportedMetric(
        metric.name,
        interval.estimate,
        interval.low,
        interval.high,
        metric.higher_is_better,
        paper.get(metric.name, PaperResult()),
        metric.defined,
    )
