"""The report of a round: counts by task, annotator and reason, agreement, student's metrics."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from ..io.deprecation import add_old_keys
from ..io.messages import format_count
from ..io.tables import format_fixed, markdown_table
from ..results.records import Annotation
from ..results.types import Boxes, Text
from .filters import DETECTION
from .merge import MERGED, count_agreement

_COUNTS = ("kept", "dropped", "regions_kept", "regions_dropped")


@dataclass(frozen=True)
class AnnotatorAgreement:
    """Detections of two annotators: boxes of each, and pairs of one label with an IoU of 0.5."""

    first: str
    second: str
    pairs: int
    first_boxes: int
    second_boxes: int

    @property
    def f1(self) -> float:
        """Twice the pairs, divided by all boxes; 0 without boxes."""
        boxes = self.first_boxes + self.second_boxes
        return 2 * self.pairs / boxes if boxes else 0.0


@dataclass(frozen=True)
class RoundReport:
    """Counts of a round.

    ``kinds`` counts annotations and regions by task, kept and dropped. ``reasons`` and
    ``annotators`` count annotations. ``student`` has the student's metrics on validation records.
    """

    round: int
    images: int
    kinds: Mapping[str, Mapping[str, int]]
    reasons: Mapping[str, int]
    annotators: Mapping[str, Mapping[str, int]]
    agreements: Sequence[AnnotatorAgreement]
    student: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values, for one release with the keys of release 0.1 too."""
        values = asdict(self)
        for each, agreement in zip(values["agreements"], self.agreements, strict=True):
            each["f1"] = agreement.f1
        return add_old_keys(values, {"pictures": "images"})

    def to_markdown(self) -> str:
        """The report as a Markdown page."""
        tables: list[tuple[Sequence[str], list[Sequence[object]]]] = [
            (
                ("task", "kept", "dropped", "regions kept", "regions dropped"),
                [(name, *(counts[key] for key in _COUNTS)) for name, counts in self.kinds.items()],
            ),
            (("reason", "annotations dropped"), list(self.reasons.items())),
            (
                ("annotator", "kept", "dropped"),
                [(name, each["kept"], each["dropped"]) for name, each in self.annotators.items()],
            ),
            (
                ("first detector", "second detector", "boxes", "boxes", "pairs", "agreement (F1)"),
                [
                    (
                        each.first,
                        each.second,
                        each.first_boxes,
                        each.second_boxes,
                        each.pairs,
                        format_fixed(each.f1, 3),
                    )
                    for each in self.agreements
                ],
            ),
            (
                ("metric of the student on validation records", "value"),
                [(name, format_fixed(value, 4)) for name, value in self.student.items()],
            ),
        ]
        shown = [markdown_table(columns, rows) for columns, rows in tables if rows]
        head = f"# Round {self.round}\n\n{format_count(self.images, 'image')}."
        return "\n\n".join([head, *shown]) + "\n"


def report_round(
    round: int, annotations: Iterable[Sequence[Annotation]], student: Mapping[str, float] = {}
) -> RoundReport:
    """Count the shards of a round.

    Args:
        round: Number of the round.
        annotations: The annotations of each image.
        student: The student's validation metrics.
    """
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    annotators: dict[str, Counter[str]] = defaultdict(Counter)
    reasons: Counter[str] = Counter()
    pairs: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    images = 0
    for image in annotations:
        images += 1
        for each in image:
            state = "kept" if each.decision.kept else "dropped"
            regions = 0 if isinstance(each.answer, Text) else len(each.answer)
            kinds[each.task or "(failed)"].update({state: 1, f"regions_{state}": regions})
            annotators[each.annotator.name][state] += 1
            if not each.decision.kept:
                reasons[each.decision.reason.split(":")[0].split(" of ")[0]] += 1
        _count_pairs(image, pairs)
    return RoundReport(
        round,
        images,
        {name: _fill_counts(kinds[name]) for name in sorted(kinds)},
        dict(reasons.most_common()),
        {name: _fill_counts(annotators[name]) for name in sorted(annotators)},
        [AnnotatorAgreement(*names, *counts) for names, counts in sorted(pairs.items())],
        dict(student),
    )


def _count_pairs(image: Sequence[Annotation], pairs: dict[tuple[str, str], list[int]]) -> None:
    """Add the agreement of the detectors of one image, on their boxes that were fused."""
    boxes = {
        each.annotator.name: each.answer
        for each in image
        if each.task == DETECTION
        and isinstance(each.answer, Boxes)
        and each.decision.reason == MERGED
    }
    for first, second in combinations(sorted(boxes), 2):
        for index, count in enumerate(count_agreement(boxes[first], boxes[second])):
            pairs[first, second][index] += count


def _fill_counts(counts: Counter[str]) -> dict[str, int]:
    return {key: counts[key] for key in _COUNTS}
