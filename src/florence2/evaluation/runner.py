"""Runs a benchmark with a model; a run resumes after a kill, and processes can share it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..io.atomic import atomic_replace, replace_json
from ..io.environment import environment_info
from ..io.run_dir import RunDir
from ..io.run_lock import lock_file
from ..results.types import Failure, Result
from .benchmark import Benchmark, BenchmarkExample, BenchmarkScores, ExamplePrediction
from .eval_settings import EVALUATION_RUN, examples_digest, weights_digest
from .evaluation_config import EvaluationConfig
from .gallery import gallery_page
from .prediction_log import LoggedPrediction, log_path, open_log, read_predictions, to_line
from .report import REPORT, Report, RunFacts, make_report
from .report_page import report_markdown
from .subset import Subset, check_shard, check_split, select_examples, select_shard

OFFICIAL = "official"
GALLERY = "examples.html"
REPORT_PAGE = "report.md"
# Opened with the number of requests; the function it gives is called after each of them.
ProgressFactory = Callable[[int], AbstractContextManager[Callable[[], None]]]


class StreamingModel(Protocol):
    """What is evaluated: a ``Florence2``, or another object with its ``stream``."""

    @property
    def name(self) -> str: ...
    def stream(self, requests: Iterable[Any], /, **options: Any) -> Iterator[Result | Failure]: ...


@contextmanager
def _no_progress(total: int) -> Iterator[Callable[[], None]]:
    yield lambda: None


def evaluate(
    benchmark: Benchmark,
    model: StreamingModel,
    data: str | Path,
    out: str | Path,
    config: EvaluationConfig | None = None,
    *,
    progress: ProgressFactory = _no_progress,
    **changes: Any,
) -> Report | None:
    """Evaluate ``model`` on a benchmark and write the report into ``out``.

    Predictions that ``out`` has already are kept; requests that failed are tried again. A run that
    fails before its first prediction leaves no files.

    Args:
        benchmark: what to evaluate on.
        model: the model.
        data: directory of the official files.
        out: directory of the run.
        config: how it is run.
        progress: called after each prediction.
        changes: fields of the config by name (``limit=200``); other names are options of the
            model's call.

    Returns:
        The report; ``None`` while other shards have examples without predictions.

    Raises:
        ValueError: ``out`` has a run with other settings or is used by another process, or the
            data does not fit.
        FileNotFoundError: files of the benchmark are missing.
    """
    config = (config or EvaluationConfig()).update(changes)
    check_shard(config.shard)
    split = check_split(benchmark, config.split)
    subset = select_examples(benchmark, Path(data), split, limit=config.limit, prompt=config.prompt)
    settings = _describe_run(benchmark, model, Path(data), split, config, subset)
    alone = config.shard[1] == 1
    # Processes that share a run lock the log of their shard; otherwise the directory is locked.
    with RunDir.open(Path(out), settings, EVALUATION_RUN, lock=alone) as run_dir:
        run_dir.save()
        run = _Run(benchmark, model, subset, settings, Path(out))
        try:
            stats = run.predict(run_dir, config, progress)
        except BaseException:
            if alone and not run_dir.is_resumed:
                _discard_without_predictions(run_dir)
            raise
        predictions = read_all(run.out, subset, config.shard[1])
        if len(predictions) < len(subset.examples):
            return None
        with lock_file(run.out / ".scoring.lock") as locked:
            return run.score(predictions, stats) if locked else None


def _describe_run(
    benchmark: Benchmark,
    model: StreamingModel,
    data: Path,
    split: str,
    config: EvaluationConfig,
    subset: Subset,
) -> dict[str, Any]:
    """The settings in ``run.json``: what shapes the predictions, and the data."""
    return {
        "benchmark": benchmark.name,
        "split": split,
        "limit": config.limit,
        "prompt": config.prompt,
        "model": model.name,
        "weights": weights_digest(config.weights or [Path(model.name)]),
        "options": {**benchmark.options, **config.call_options},
        "shards": config.shard[1],
        **config.settings,
        "examples": len(subset.examples),
        "digest": examples_digest(subset.examples),
        "data": str(data.resolve()),
    }


def read_all(out: Path, subset: Subset, shards: int) -> dict[str, LoggedPrediction]:
    """The predictions that all processes of a run have written so far, by example."""
    found: dict[str, LoggedPrediction] = {}
    for shard in range(shards):
        ids = {example.id for example in select_shard(subset.examples, shard, shards)}
        found |= read_predictions(log_path(out, shard, shards), ids)
    return found


def pair_predictions(
    subset: Subset, predictions: Mapping[str, LoggedPrediction]
) -> list[ExamplePrediction]:
    """The examples with their predictions, in the benchmark's order."""
    return [ExamplePrediction(each, predictions[each.id].answer) for each in subset.examples]


def _discard_without_predictions(run_dir: RunDir) -> None:
    """Remove the files of a run that failed before its first prediction."""
    log = log_path(run_dir.path, 0, 1)
    if not log.exists() or not log.stat().st_size:
        log.unlink(missing_ok=True)
        run_dir.discard()


@dataclass(frozen=True)
class _PredictionStats:
    """How many examples this process predicted, and the seconds it took."""

    predicted: int
    seconds: float


@dataclass(frozen=True)
class _Run:
    benchmark: Benchmark
    model: StreamingModel
    subset: Subset
    settings: Mapping[str, Any]
    out: Path

    def predict(
        self, run_dir: RunDir, config: EvaluationConfig, progress: ProgressFactory
    ) -> _PredictionStats:
        """Predict the examples of a shard that have no prediction yet."""
        start = time.perf_counter()
        examples = select_shard(self.subset.examples, *config.shard)
        path = log_path(self.out, *config.shard)
        log, done = open_log(run_dir, path, {each.id for each in examples})
        pending = [each for each in examples if each.id not in done]
        results = self._stream(pending, config.batch_size, progress)
        for example, result in zip(pending, results, strict=True):
            log.append(to_line(_to_logged(example, result)))
        return _PredictionStats(len(pending), time.perf_counter() - start)

    def score(self, logged: Mapping[str, LoggedPrediction], stats: _PredictionStats) -> Report:
        """Score, and write the report, the official files and the gallery."""
        predictions = pair_predictions(self.subset, logged)
        scores = self._compute_scores(predictions)
        facts = RunFacts(
            settings=self.settings,
            trained=getattr(self.model, "trained", True),
            predicted=stats.predicted,
            seconds=stats.seconds,
            machine=environment_info(self.model),
            official=self._write_official(predictions),
        )
        report = make_report(self.benchmark, self.subset, logged, scores, facts)
        title = f"{report.title}, {report.split}: {self.model.name}"
        page = gallery_page(title, predictions, None if scores is None else scores.per_example)
        atomic_replace(self.out / GALLERY, page)
        atomic_replace(self.out / REPORT_PAGE, report_markdown(report))
        replace_json(self.out / REPORT, report.to_json())
        return report

    def _compute_scores(self, predictions: Sequence[ExamplePrediction]) -> BenchmarkScores | None:
        """The scores; ``None`` where ground truth is hidden."""
        if any(each.example.ground_truth is None for each in predictions):
            return None
        return self.benchmark.score(predictions)

    def _stream(
        self,
        examples: Sequence[BenchmarkExample],
        batch_size: int | None,
        progress: ProgressFactory,
    ) -> Iterator[Result | Failure]:
        if not examples:
            return
        requests = ((each.image, each.task, each.prompt_input) for each in examples)
        batching = {} if batch_size is None else {"batch_size": batch_size}
        with progress(len(examples)) as advance:
            for result in self.model.stream(requests, **self.settings["options"], **batching):
                yield result
                advance()

    def _write_official(self, predictions: Sequence[ExamplePrediction]) -> tuple[str, ...]:
        """Write the official files; their paths relative to the run's directory."""
        if self.benchmark.official is None:
            return ()
        paths = self.benchmark.official(predictions, self.out / OFFICIAL)
        return tuple(path.relative_to(self.out).as_posix() for path in paths)


def _to_logged(example: BenchmarkExample, result: Result | Failure) -> LoggedPrediction:
    if isinstance(result, Failure):
        return LoggedPrediction(example.id, None, result.error)
    return LoggedPrediction(example.id, result.answer, None, result.truncated)
