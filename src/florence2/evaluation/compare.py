"""Two runs of one benchmark compared: paired differences with confidence intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..io.deprecation import add_old_keys
from ..io.tables import format_fixed, markdown_table
from .benchmark import Benchmark, BenchmarkScores, ExamplePrediction
from .benchmarks import find_benchmark
from .eval_settings import examples_digest, read_settings
from .runner import pair_predictions, read_all
from .subset import select_examples

_SAME = ("benchmark", "split", "limit", "examples")
METRIC_COLUMNS = ("metric", "A", "B", "B - A", "95% interval", "sign-flip rate", "verdict")
_EXAMPLES_SHOWN = 10


@dataclass(frozen=True)
class ComparedMetric:
    """A metric of two runs. ``difference`` is second minus first, with its 95% interval.

    ``sign_flip_rate`` is the share of bootstrap samples in which the difference is zero or has
    the other sign: near 0 for a certain difference, about 0.5 for chance.
    """

    name: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    sign_flip_rate: float
    higher_is_better: bool = True

    @property
    def verdict(self) -> str:
        """Whether the second run is better, in words; unclear when the interval has zero."""
        if self.low <= 0 <= self.high:
            return "no clear difference"
        return "B is better" if (self.low > 0) == self.higher_is_better else "A is better"


_RENAMED = {"cases": "examples", "folders": "directories", "figures": "metrics"}
_RENAMED_IN_METRICS = {"reversals": "sign_flip_rate"}


@dataclass(frozen=True)
class ChangedExample:
    """An example whose score in [0, 1] differs between two runs."""

    id: str
    first: float
    second: float


@dataclass(frozen=True)
class Comparison:
    """Two runs by directory and model, their metrics, and the examples that changed most."""

    benchmark: str
    title: str
    split: str
    examples: int
    directories: tuple[str, str]
    models: tuple[str, str]
    metrics: tuple[ComparedMetric, ...]
    changed: tuple[ChangedExample, ...]

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON values, for one release with the keys of release 0.1 too."""
        values = asdict(self)
        values["metrics"] = [add_old_keys(each, _RENAMED_IN_METRICS) for each in values["metrics"]]
        return add_old_keys(values, _RENAMED)

    def to_markdown(self) -> str:
        """The comparison as a page."""
        runs = zip("AB", self.models, self.directories, strict=True)
        metrics = markdown_table(METRIC_COLUMNS, map(metric_cells, self.metrics))
        changed = [(each.id, each.first, each.second) for each in self.changed]
        parts = (
            f"# {self.title}, {self.split}: two runs compared",
            markdown_table(("run", "model", "directory"), runs),
            f"## Metrics of {self.examples:,} examples\n\n{metrics}",
            "Both runs are scored on the same bootstrap samples of images. The sign-flip rate is "
            "the share of samples in which the difference is zero or has the other sign.",
            "## Examples that changed most",
            markdown_table(("example", "score in A", "in B"), changed) if changed else "None.",
        )
        return "\n\n".join(parts) + "\n"


def metric_cells(metric: ComparedMetric) -> tuple[str, ...]:
    """A metric as the row of a table."""
    return (
        metric.name,
        format_fixed(metric.first, 2),
        format_fixed(metric.second, 2),
        _signed(metric.difference),
        f"{_signed(metric.low)} to {_signed(metric.high)}",
        f"{metric.sign_flip_rate:.3f}",
        metric.verdict,
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
    """The differences between the runs in two directories, scored from their predictions.

    Args:
        first: directory of run A.
        second: directory of run B.
        data: where the ground truth is read from, by default where the first run had it.
        find: looks up a benchmark by name.

    Raises:
        ValueError: the runs have other benchmarks, splits, limits or examples, one is not
            complete, or ground truth is hidden.
    """
    directories = (Path(first), Path(second))
    settings = tuple(read_settings(directory) for directory in directories)
    _check_same(directories, settings)
    benchmark = find(settings[0]["benchmark"])
    source = Path(data or settings[0]["data"])
    before, after = (
        _load_predictions(benchmark, source, directory, each)
        for directory, each in zip(directories, settings, strict=True)
    )
    if any(each.example.ground_truth is None for each in before):
        raise ValueError(
            f"ground truth of {benchmark.name} {settings[0]['split']} is hidden: only a server "
            "can score it"
        )
    scored = benchmark.score(before), benchmark.score(after)
    return Comparison(
        benchmark=benchmark.name,
        title=benchmark.title,
        split=settings[0]["split"],
        examples=len(before),
        directories=(str(first), str(second)),
        models=(settings[0]["model"], settings[1]["model"]),
        metrics=_compare_metrics(*scored),
        changed=_find_changed(before, *scored),
    )


def _check_same(directories: tuple[Path, ...], settings: tuple[Mapping[str, Any], ...]) -> None:
    for name in _SAME:
        first, second = (each.get(name) for each in settings)
        if first != second:
            raise ValueError(
                f"{directories[0]} has {name} {first}, {directories[1]} has {second}: only runs "
                "of the same examples can be compared"
            )


def _load_predictions(
    benchmark: Benchmark, data: Path, directory: Path, settings: Mapping[str, Any]
) -> list[ExamplePrediction]:
    subset = select_examples(
        benchmark, data, settings["split"], limit=settings["limit"], prompt=settings["prompt"]
    )
    if examples_digest(subset.examples) != settings["digest"]:
        raise ValueError(f"{data} does not hold the examples of {directory}; name its --data")
    predictions = read_all(directory, subset, settings["shards"])
    missing = len(subset.examples) - len(predictions)
    if missing:
        raise ValueError(
            f"{directory} has no prediction for {missing:,} of {len(subset.examples):,} examples; "
            "run that evaluation again to complete it"
        )
    return pair_predictions(subset, predictions)


def _compare_metrics(first: BenchmarkScores, second: BenchmarkScores) -> tuple[ComparedMetric, ...]:
    compared = []
    for before, after in zip(first.metrics, second.metrics, strict=True):
        found = before.difference(after)
        compared.append(
            ComparedMetric(
                before.name,
                before.value,
                after.value,
                found.estimate,
                found.low,
                found.high,
                found.sign_flip_rate,
                before.higher_is_better,
            )
        )
    return tuple(compared)


def _find_changed(
    predictions: list[ExamplePrediction], first: BenchmarkScores, second: BenchmarkScores
) -> tuple[ChangedExample, ...]:
    scores = zip(predictions, first.per_example, second.per_example, strict=True)
    changes = [
        ChangedExample(each.example.id, before, after)
        for each, before, after in scores
        if before != after
    ]
    changes.sort(key=lambda each: (-abs(each.second - each.first), each.id))
    return tuple(changes[:_EXAMPLES_SHOWN])
