"""Which cases of a benchmark a run asks, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..results.tasks import Task, find_task
from .benchmark import Benchmark, BenchmarkExample
from .metrics.input_checks import check_unique

_MISSING_SHOWN = 3


@dataclass(frozen=True)
class Subset:
    """The cases of a run in the benchmark's order, and how much the whole split has."""

    cases: tuple[BenchmarkExample, ...]
    split_cases: int
    split_pictures: int

    @property
    def pictures(self) -> int:
        """How many pictures the cases are about."""
        return len({case.image_id for case in self.cases})


def check_split(benchmark: Benchmark, split: str | None) -> str:
    """``split``, or the usual one; ``ValueError`` with the splits there are for another name."""
    if split is None:
        return benchmark.splits[0]
    if split not in benchmark.splits:
        known = ", ".join(benchmark.splits)
        raise ValueError(f"{benchmark.name} has no split {split!r}; there are {known}")
    return split


def choose_cases(
    benchmark: Benchmark,
    data: Path,
    split: str,
    *,
    limit: int | None = None,
    prompt: str | None = None,
) -> Subset:
    """The cases of ``limit`` pictures at even distances, asked by ``prompt`` if it is given.

    Raises what ``benchmark.read`` raises, ``ValueError`` for ids that occur twice, for no case at
    all and for a prompt that does not fit, ``FileNotFoundError`` for pictures that are not there.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1 picture, got {limit}")
    cases = benchmark.read(data, split)
    if not cases:
        raise ValueError(f"{data} has no case of {benchmark.name} {split}: {benchmark.source}")
    check_unique((case.id for case in cases), f"ids of the cases of {benchmark.name}")
    pictures = list(dict.fromkeys(case.image_id for case in cases))
    kept = {pictures[number] for number in evenly(len(pictures), limit)}
    chosen = tuple(case for case in cases if case.image_id in kept)
    _check_pictures(chosen, benchmark)
    if prompt is not None:
        chosen = _with_prompt(chosen, prompt)
    return Subset(chosen, len(cases), len(pictures))


def part_of(cases: Sequence[BenchmarkExample], shard: int, shards: int) -> list[BenchmarkExample]:
    """The cases of every ``shards``-th picture from ``shard`` on, each picture's together."""
    by_picture: dict[str, list[BenchmarkExample]] = {}
    for case in cases:
        by_picture.setdefault(case.image_id, []).append(case)
    return [case for group in list(by_picture.values())[shard::shards] for case in group]


def check_shard(shard: tuple[int, int]) -> None:
    """``ValueError`` when ``shard`` is not ``(I, N)`` with ``0 <= I < N``."""
    number, shards = shard
    if not 0 <= number < shards:
        raise ValueError(f"shard must be I/N with I from 0 to N - 1, got {number}/{shards}")


def evenly(count: int, limit: int | None) -> list[int]:
    """The numbers of ``limit`` of ``count`` things at even distances; all where there are fewer."""
    if limit is None or count <= limit:
        return list(range(count))
    return [count * place // limit for place in range(limit)]


def _check_pictures(cases: Sequence[BenchmarkExample], benchmark: Benchmark) -> None:
    paths = dict.fromkeys(case.image for case in cases if isinstance(case.image, Path))
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        shown = ", ".join(missing[:_MISSING_SHOWN])
        more = f" and {len(missing) - _MISSING_SHOWN} more" if len(missing) > _MISSING_SHOWN else ""
        raise FileNotFoundError(
            f"{len(missing)} of {len(paths)} pictures are not there: {shown}{more}; "
            f"what is needed: {benchmark.source}"
        )


def _with_prompt(cases: Sequence[BenchmarkExample], prompt: str) -> tuple[BenchmarkExample, ...]:
    task = find_task(prompt)
    for case in cases:
        _check_prompt(task, case)
    return tuple(replace(case, task=_answered_as(task, case.task)) for case in cases)


def _check_prompt(task: Task, case: BenchmarkExample) -> None:
    if task.input != "optional" and (task.input == "none") != (case.question is None):
        wanted = "nothing" if task.input == "none" else f"a {task.input}"
        raise ValueError(
            f"prompt {task.token} asks about {wanted}, and case {case.id} about "
            f"{case.question!r}; choose a prompt that fits the benchmark"
        )


def _answered_as(task: Task, original: Task) -> Task:
    """A prompt outside the table is read as what the benchmark's own task answers."""
    return replace(task, answer=original.answer) if task.input == "optional" else task
