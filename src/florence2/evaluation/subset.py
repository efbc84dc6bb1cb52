"""Which examples of a benchmark a run evaluates, and in which order."""

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
    """The examples of a run in the benchmark's order, and the size of the whole split."""

    examples: tuple[BenchmarkExample, ...]
    split_examples: int
    split_images: int

    @property
    def num_images(self) -> int:
        """The number of images in the examples."""
        return len({example.image_id for example in self.examples})


def check_split(benchmark: Benchmark, split: str | None) -> str:
    """``split``, or the default one; ``ValueError`` with the splits for an unknown name."""
    if split is None:
        return benchmark.splits[0]
    if split not in benchmark.splits:
        known = ", ".join(benchmark.splits)
        raise ValueError(f"{benchmark.name} has no split {split!r}; available: {known}")
    return split


def select_examples(
    benchmark: Benchmark,
    data: Path,
    split: str,
    *,
    limit: int | None = None,
    prompt: str | None = None,
) -> Subset:
    """The examples of ``limit`` images at even distances, with ``prompt`` if it is given.

    Raises what ``benchmark.read`` raises, ``ValueError`` for repeated ids, for a split without
    examples and for a prompt that does not fit, ``FileNotFoundError`` for missing images.
    """
    examples = benchmark.read(data, split)
    if not examples:
        raise ValueError(f"{data} has no example of {benchmark.name} {split}: {benchmark.source}")
    check_unique((each.id for each in examples), f"ids of the examples of {benchmark.name}")
    images = list(dict.fromkeys(example.image_id for example in examples))
    kept = {images[index] for index in sample_evenly(len(images), limit)}
    selected = tuple(example for example in examples if example.image_id in kept)
    _check_images(selected, benchmark)
    if prompt is not None:
        selected = _replace_prompt(selected, prompt)
    return Subset(selected, len(examples), len(images))


def select_shard(
    examples: Sequence[BenchmarkExample], shard: int, shards: int
) -> list[BenchmarkExample]:
    """The examples of every ``shards``-th image from ``shard`` on, image by image."""
    by_image: dict[str, list[BenchmarkExample]] = {}
    for example in examples:
        by_image.setdefault(example.image_id, []).append(example)
    return [example for group in list(by_image.values())[shard::shards] for example in group]


def check_shard(shard: tuple[int, int]) -> None:
    """``ValueError`` when ``shard`` is not ``(I, N)`` with ``0 <= I < N``."""
    number, shards = shard
    if not 0 <= number < shards:
        raise ValueError(f"shard must be I/N with I from 0 to N - 1, got {number}/{shards}")


def sample_evenly(count: int, limit: int | None) -> list[int]:
    """``limit`` of ``count`` indices at even distances; all where there are fewer."""
    if limit is None or count <= limit:
        return list(range(count))
    return [count * index // limit for index in range(limit)]


def _check_images(examples: Sequence[BenchmarkExample], benchmark: Benchmark) -> None:
    paths = dict.fromkeys(each.image for each in examples if isinstance(each.image, Path))
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        shown = ", ".join(missing[:_MISSING_SHOWN])
        more = f" and {len(missing) - _MISSING_SHOWN} more" if len(missing) > _MISSING_SHOWN else ""
        raise FileNotFoundError(
            f"{len(missing)} of {len(paths)} images are missing: {shown}{more}; "
            f"what is needed: {benchmark.source}"
        )


def _replace_prompt(
    examples: Sequence[BenchmarkExample], prompt: str
) -> tuple[BenchmarkExample, ...]:
    task = find_task(prompt)
    for example in examples:
        _check_prompt(task, example)
    return tuple(replace(each, task=_with_answer_kind(task, each.task)) for each in examples)


def _check_prompt(task: Task, example: BenchmarkExample) -> None:
    if task.input != "optional" and (task.input == "none") != (example.prompt_input is None):
        expected = "no input" if task.input == "none" else f"a {task.input}"
        raise ValueError(
            f"prompt {task.token} takes {expected}, but example {example.id} has "
            f"{example.prompt_input!r}; choose a prompt that fits the benchmark"
        )


def _with_answer_kind(task: Task, original: Task) -> Task:
    """A prompt outside the task table gives the kind of answer of the benchmark's own task."""
    return replace(task, answer=original.answer) if task.input == "optional" else task
