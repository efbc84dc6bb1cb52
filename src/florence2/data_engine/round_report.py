"""What a round came to: counts by kind, annotator and reason, agreement, the student's figures."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from ..results.records import Annotation
from ..results.types import Boxes, Text
from .merge import MERGED, agreement


@dataclass(frozen=True)
class AnnotatorAgreement:
    """Two annotators' detections: boxes each has, and pairs with one name and IoU of 0.5."""

    first: str
    second: str
    pairs: int
    first_boxes: int
    second_boxes: int

    @property
    def f1(self) -> float:
        """Twice the pairs over all boxes; 0 without boxes."""
        boxes = self.first_boxes + self.second_boxes
        return 2 * self.pairs / boxes if boxes else 0.0


@dataclass(frozen=True)
class RoundReport:
    """``kinds`` are annotations and regions by task, kept and dropped; ``reasons`` and
    ``annotators`` count annotations; ``student`` holds figures on held-out records."""

    round: int
    pictures: int
    kinds: Mapping[str, Mapping[str, int]]
    reasons: Mapping[str, int]
    annotators: Mapping[str, Mapping[str, int]]
    agreements: Sequence[AnnotatorAgreement]
    student: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        values = asdict(self)
        for each, found in zip(values["agreements"], self.agreements, strict=True):
            each["f1"] = found.f1
        return values

    def to_markdown(self) -> str:
        """The report as a page."""
        lines = [f"# Round {self.round}", "", f"{self.pictures} pictures.", ""]
        lines += _table(
            ("task", "kept", "dropped", "regions kept", "regions dropped"),
            [
                (
                    name,
                    *(
                        counts[key]
                        for key in ("kept", "dropped", "regions_kept", "regions_dropped")
                    ),
                )
                for name, counts in self.kinds.items()
            ],
        )
        lines += _table(("dropped because", "annotations"), list(self.reasons.items()))
        lines += _table(
            ("annotator", "kept", "dropped"),
            [(name, each["kept"], each["dropped"]) for name, each in self.annotators.items()],
        )
        lines += _table(
            ("detections of", "and of", "boxes", "boxes", "pairs", "agreement (F1)"),
            [
                (
                    each.first,
                    each.second,
                    each.first_boxes,
                    each.second_boxes,
                    each.pairs,
                    f"{each.f1:.3f}",
                )
                for each in self.agreements
            ],
        )
        lines += _table(
            ("student on held-out records", "value"),
            [(name, f"{value:.4f}") for name, value in self.student.items()],
        )
        return "\n".join(lines)


def report_round(
    round: int, annotations: Iterable[Sequence[Annotation]], student: Mapping[str, float] = {}
) -> RoundReport:
    """The report of a round's table; ``annotations`` are those of each picture in turn."""
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    annotators: dict[str, Counter[str]] = defaultdict(Counter)
    reasons: Counter[str] = Counter()
    pairs: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    pictures = 0
    for given in annotations:
        pictures += 1
        for each in given:
            state = "kept" if each.decision.kept else "dropped"
            regions = 0 if isinstance(each.answer, Text) else len(each.answer)
            kinds[each.task or "(failed)"].update({state: 1, f"regions_{state}": regions})
            annotators[each.annotator.name][state] += 1
            if not each.decision.kept:
                reasons[each.decision.reason.split(":")[0].split(" of ")[0]] += 1
        _count_pairs(given, pairs)
    return RoundReport(
        round,
        pictures,
        {name: _filled(kinds[name]) for name in sorted(kinds)},
        dict(reasons.most_common()),
        {name: _filled(annotators[name]) for name in sorted(annotators)},
        [AnnotatorAgreement(*names, *counts) for names, counts in sorted(pairs.items())],
        dict(student),
    )


def _count_pairs(given: Sequence[Annotation], pairs: dict[tuple[str, str], list[int]]) -> None:
    """Add how far the detectors of one picture agree, by what they said that was believed."""
    boxes = {
        each.annotator.name: each.answer
        for each in given
        if each.task == "<OD>" and isinstance(each.answer, Boxes) and each.decision.reason == MERGED
    }
    for first, second in combinations(sorted(boxes), 2):
        for at, count in enumerate(agreement(boxes[first], boxes[second])):
            pairs[first, second][at] += count


def _filled(counts: Counter[str]) -> dict[str, int]:
    return {key: counts[key] for key in ("kept", "dropped", "regions_kept", "regions_dropped")}


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    if not rows:
        return []
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return [*("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines), ""]
