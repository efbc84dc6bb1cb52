"""What a conversion to shards made, and its summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..io.messages import format_count
from .importers.problems import ImportProblem
from .shards.manifest import Manifest

PROBLEMS_FILE = "problems.jsonl"
# Problems that a summary shows; the file has all of them.
SHOWN_PROBLEMS = 10


@dataclass(frozen=True)
class ConversionReport:
    """What a conversion made: the manifest of the shards, and every problem with its location.

    ``resumed`` is the number of records that an earlier, killed conversion had finished.
    """

    manifest: Manifest
    problems: tuple[ImportProblem, ...]
    without_annotations: int
    resumed: int

    @property
    def records(self) -> int:
        """The number of images in the shards."""
        return self.manifest.rows

    @property
    def is_empty(self) -> bool:
        """Whether nothing was converted: no image, or only problems and no annotation."""
        annotations = sum(self.manifest.counts.task.values())
        return not self.records or bool(self.problems and not annotations)

    @property
    def problem_counts(self) -> Mapping[str, int]:
        """The number of problems of each kind."""
        return dict(sorted(Counter(problem.kind for problem in self.problems).items()))

    def summarize(self, directory: Path) -> Iterator[str]:
        """The lines of a summary; the shards are in ``directory``."""
        counts = self.manifest.counts.task
        annotations = format_count(sum(counts.values()), "annotation")
        yield f"{directory}: {format_count(self.records, 'image')}, {annotations}"
        yield from _list_counts(counts.items())
        if self.without_annotations:
            yield f"  {format_count(self.without_annotations, 'image')} without annotations"
        if self.resumed:
            yield f"  {format_count(self.resumed, 'image')} from a conversion that was killed"
        if not self.problems:
            yield "no problems"
            return
        yield f"{format_count(len(self.problems), 'problem')}; skipped and logged:"
        yield from _list_counts(self.problem_counts.items())
        for problem in self.problems[:SHOWN_PROBLEMS]:
            yield f"  {problem}"
        yield f"all problems: {directory / PROBLEMS_FILE}"

    @property
    def empty_reason(self) -> str:
        """Why nothing was converted; ``""`` when something was."""
        if not self.is_empty:
            return ""
        return "see the problems" if self.problems else "the source has no images"


def _list_counts(counts: Iterable[tuple[str, int]]) -> Iterator[str]:
    for name, count in counts:
        yield f"  {name:<38} {count:>10,}"
