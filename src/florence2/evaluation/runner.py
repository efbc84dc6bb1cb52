"""A benchmark asked of a model, so that a kill costs one answer and processes share the work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..io.atomic import atomic_replace, replace_json
from ..io.environment import environment_info
from ..io.run_lock import lock_run_dir
from ..results.types import Failure, Result
from .benchmark import Answered, Benchmark, BenchmarkExample
from .eval_settings import SETTINGS, cases_digest, weights_digest, write_or_check_settings
from .gallery import gallery_page
from .locking import exclusive
from .markdown import report_markdown
from .prediction_log import Outcome, OutcomeFile, file_name, read_outcomes
from .report import REPORT, Report, make_report
from .subset import Subset, check_shard, check_split, choose_cases, part_of

OFFICIAL = "official"
PICTURES = "pictures.html"
REPORT_PAGE = "report.md"
# Opened with the number of cases to ask; what it gives is called after each of them.
TrainState = Callable[[int], AbstractContextManager[Callable[[], None]]]


class Model(Protocol):
    """What answers: a ``Florence2``, or anything that streams as it does."""

    @property
    def name(self) -> str: ...
    def stream(self, requests: Iterable[Any], /, **options: Any) -> Iterator[Result | Failure]: ...


@contextmanager
def _silent(total: int) -> Iterator[Callable[[], None]]:
    yield lambda: None


def evaluate(
    benchmark: Benchmark,
    model: Model,
    data: str | Path,
    out: str | Path,
    *,
    split: str | None = None,
    limit: int | None = None,
    shard: tuple[int, int] = (0, 1),
    prompt: str | None = None,
    weights: Sequence[Path] = (),
    settings: Mapping[str, Any] | None = None,
    progress: TrainState = _silent,
    batch_size: int | None = None,
    **options: Any,
) -> Report | None:
    """The report of ``model`` on a benchmark, which is also written into ``out``.

    ``data`` holds the official files. ``limit`` asks about so many pictures only, at even
    distances. ``prompt`` replaces the benchmark's own. ``shard=(i, n)`` asks the ``i``-th of ``n``
    parts; the process that finds all parts answered scores them, the others get None. What ``out``
    holds already is not asked again, failures excepted. ``weights`` are folders whose weight files
    tell this model from others (by default ``model.name``, where it is one), ``settings`` what
    else shapes the answers: with any of it changed, and with other ``options`` (those of the
    model's call), ``out`` is refused with a ``ValueError``, as it is while another process works in
    it. A run that fails before its first answer leaves nothing behind.
    """
    check_shard(shard)
    split = check_split(benchmark, split)
    chosen = choose_cases(benchmark, Path(data), split, limit=limit, prompt=prompt)
    batching = {} if batch_size is None else {"batch_size": batch_size}
    held = {
        "benchmark": benchmark.name,
        "split": split,
        "limit": limit,
        "prompt": prompt,
        "model": model.name,
        "weights": weights_digest(weights or [Path(model.name)]),
        "options": {**benchmark.options, **options},
        "shards": shard[1],
        **(settings or {}),
        "cases": len(chosen.cases),
        "digest": cases_digest(chosen.cases),
        "data": str(Path(data).resolve()),
    }
    run = _Run(benchmark, model, chosen, held, Path(out))
    # Processes that share a run have a lock for each part; a run that is not shared has one.
    with lock_run_dir(run.out) if shard[1] == 1 else nullcontext():
        started = write_or_check_settings(run.out, held)
        try:
            asking = run.ask(shard, progress, batching)
        except BaseException:
            if started and shard[1] == 1:
                _remove_unanswered(run.out)
            raise
        outcomes = read_all(run.out, chosen, shard[1])
        if len(outcomes) < len(chosen.cases):
            return None
        with exclusive(run.out / ".scoring.lock") as alone:
            return run.score(outcomes, asking) if alone else None


def _remove_unanswered(out: Path) -> None:
    """Take back the start of a run that failed before its first answer, say for its model."""
    answers = out / file_name(0, 1)
    if not answers.exists() or not answers.stat().st_size:
        for name in (answers.name, f".{answers.name}.lock", SETTINGS, f".{SETTINGS}.lock"):
            (out / name).unlink(missing_ok=True)


def read_all(out: Path, chosen: Subset, shards: int) -> dict[str, Outcome]:
    """The outcomes that all processes of a run have written so far, by case."""
    found: dict[str, Outcome] = {}
    for number in range(shards):
        ids = {case.id for case in part_of(chosen.cases, number, shards)}
        found |= read_outcomes(out / file_name(number, shards), ids)
    return found


def answered_cases(chosen: Subset, outcomes: Mapping[str, Outcome]) -> list[Answered]:
    """The cases with what was answered, in the benchmark's order."""
    return [Answered(case, outcomes[case.id].answer) for case in chosen.cases]


@dataclass(frozen=True)
class _Asking:
    """How many cases this process asked, and the seconds they took."""

    cases: int
    seconds: float


@dataclass(frozen=True)
class _Run:
    """A benchmark, a model, the cases, what the run was begun with, and its folder."""

    benchmark: Benchmark
    model: Model
    chosen: Subset
    settings: Mapping[str, Any]
    out: Path

    def ask(
        self, shard: tuple[int, int], progress: TrainState, batching: Mapping[str, int]
    ) -> _Asking:
        """Ask those cases of a shard that have no answer yet."""
        start = time.perf_counter()
        cases = part_of(self.chosen.cases, *shard)
        with OutcomeFile(self.out / file_name(*shard), {case.id for case in cases}) as file:
            left = [case for case in cases if case.id not in file.done]
            for case, result in zip(left, self._results(left, batching, progress), strict=True):
                file.append(_outcome(case, result))
        return _Asking(len(left), time.perf_counter() - start)

    def score(self, outcomes: Mapping[str, Outcome], asking: _Asking) -> Report:
        """Score, and write the report, the official files and the page of pictures."""
        answered = answered_cases(self.chosen, outcomes)
        hidden = any(each.case.truth is None for each in answered)
        scored = None if hidden else self.benchmark.score(answered)
        report = make_report(
            self.benchmark,
            self.chosen,
            outcomes,
            self.settings,
            scored,
            self._write_official(answered),
            trained=getattr(self.model, "trained", True),
            asked=asking.cases,
            seconds=asking.seconds,
            machine=environment_info(self.model),
        )
        title = f"{report.title}, {report.split}: {self.model.name}"
        page = gallery_page(title, answered, None if scored is None else scored.qualities)
        atomic_replace(self.out / PICTURES, page)
        atomic_replace(self.out / REPORT_PAGE, report_markdown(report))
        replace_json(self.out / REPORT, report.to_json())
        return report

    def _results(
        self, cases: Sequence[BenchmarkExample], batching: Mapping[str, int], progress: TrainState
    ) -> Iterator[Result | Failure]:
        if not cases:
            return
        requests = ((case.image, case.task, case.question) for case in cases)
        options = {**self.settings["options"], **batching}
        with progress(len(cases)) as advance:
            for result in self.model.stream(requests, **options):
                yield result
                advance()

    def _write_official(self, answered: Sequence[Answered]) -> list[str]:
        """The official files, as paths below the folder of the run."""
        if self.benchmark.official is None:
            return []
        paths = self.benchmark.official(answered, self.out / OFFICIAL)
        return [path.relative_to(self.out).as_posix() for path in paths]


def _outcome(case: BenchmarkExample, result: Result | Failure) -> Outcome:
    if isinstance(result, Failure):
        return Outcome(case.id, None, result.error)
    return Outcome(case.id, result.answer, None, result.truncated)
