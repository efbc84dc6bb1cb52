"""What a set of annotations amounts to: the paper's Tables 2 and 3 for any shards.

Counted over what was kept. Tokens are words and marks of the parse, where the paper does not say
whose tokens it counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ..io.atomic import atomic_write
from ..results.records import Annotation
from ..results.tasks import CAPTIONS
from ..results.types import Text
from .caption_parsing import TextFacts, parse_captions

# Table 2 and 3 of arXiv 2311.06242, by kind of text: brief, detailed, more detailed.
PAPER_TEXTS: Mapping[str, Sequence[float]] = {
    "tokens": (7.95, 31.65, 70.53),
    "objects": (3.23, 13.31, 28.06),
    "attributes": (2.80, 7.27, 16.25),
    "actions": (0.58, 4.21, 8.76),
    "proper nouns": (1.10, 2.40, 2.41),
    "object complexity": (2.80, 4.00, 4.02),
    "action complexity": (1.14, 3.63, 4.38),
}
PAPER_REGIONS = {"regions a picture": 5.42, "tokens a category": 1.19}
PAPER_PHRASES = (4.27, 10.25, 10.17)
_REGION_TEXT = ("<OD>", "<DENSE_REGION_CAPTION>", "<OCR_WITH_REGION>")
_GROUNDING = "<CAPTION_TO_PHRASE_GROUNDING>"
_AT_A_TIME = 256


@dataclass(frozen=True)
class TextStatistics:
    """Means over the texts of one task; ``phrases`` are those with a box, of grounded texts."""

    texts: int
    grounded: int
    phrases: float
    means: Mapping[str, float]


@dataclass(frozen=True)
class RegionStatistics:
    """Annotations of one region task, its regions, and means."""

    annotations: int
    regions: int
    regions_a_picture: float
    tokens_a_region: float


@dataclass(frozen=True)
class Statistics:
    """The tables; ``lengths`` are tokens of each text and ``counts`` regions of each picture, for
    plots."""

    pictures: int
    texts: Mapping[str, TextStatistics]
    regions: Mapping[str, RegionStatistics]
    lengths: Mapping[str, Sequence[int]]
    counts: Mapping[str, Sequence[int]]

    def to_dict(self) -> dict[str, Any]:
        """The tables as plain JSON values."""
        values = asdict(self)
        return {name: values[name] for name in ("pictures", "texts", "regions")}

    def rows(self) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
        """Table 3 beside the paper's and Table 2's regions, as cells of text, headers first."""
        tasks = [task for task in CAPTIONS if task in self.texts]
        header = ("of a text", *(cell for task in tasks for cell in (task, "paper")))
        texts: list[tuple[str, ...]] = [header]
        texts.append(("texts", *(c for t in tasks for c in (str(self.texts[t].texts), "-"))))
        for name, paper in PAPER_TEXTS.items():
            cells = [
                cell
                for task in tasks
                for cell in (
                    f"{self.texts[task].means[name]:.2f}",
                    f"{paper[CAPTIONS.index(task)]:.2f}",
                )
            ]
            texts.append((name, *cells))
        phrases = [
            cell
            for task in tasks
            for cell in (
                f"{self.texts[task].phrases:.2f}",
                f"{PAPER_PHRASES[CAPTIONS.index(task)]:.2f}",
            )
        ]
        texts.append(("phrases with boxes", *phrases))
        regions: list[tuple[str, ...]] = [
            ("of regions", "pictures", "regions", "a picture", "tokens a region")
        ]
        regions += [
            (
                task,
                str(each.annotations),
                str(each.regions),
                f"{each.regions_a_picture:.2f}",
                f"{each.tokens_a_region:.2f}",
            )
            for task, each in self.regions.items()
        ]
        return texts, regions


def statistics_of(pictures: Iterable[Sequence[Annotation]]) -> Statistics:
    """The tables over the annotations of each picture in turn."""
    facts: dict[str, list[TextFacts]] = defaultdict(list)
    phrases: dict[str, list[int]] = defaultdict(list)
    words: dict[str, list[int]] = defaultdict(list)
    counts: dict[str, list[int]] = defaultdict(list)
    total = 0
    waiting = iter(pictures)
    while batch := list(islice(waiting, _AT_A_TIME)):
        total += len(batch)
        kept = [[each for each in given if each.decision.kept] for given in batch]
        told = [
            (each.task, each.answer.plain_text)
            for given in kept
            for each in given
            if each.task in CAPTIONS and isinstance(each.answer, Text)
        ]
        for (task, _), found in zip(told, parse_captions(text for _, text in told), strict=True):
            facts[task].append(found)
        for given in kept:
            _count_regions(given, words, counts)
            _count_phrases(given, phrases)
    return Statistics(
        total,
        {task: _text_statistics(facts[task], phrases[task]) for task in CAPTIONS if facts[task]},
        {
            task: RegionStatistics(
                len(counts[task]),
                sum(counts[task]),
                sum(counts[task]) / max(total, 1),
                _mean(words[task]),
            )
            for task in _REGION_TEXT
            if counts[task]
        },
        {task: [each.tokens for each in facts[task]] for task in CAPTIONS if facts[task]},
        {task: counts[task] for task in _REGION_TEXT if counts[task]},
    )


def draw_statistics(found: Statistics, path: Path) -> None:
    """Write histograms of the lengths of texts and of regions a picture as a picture file."""
    from matplotlib.figure import Figure

    panels = [(f"tokens, {task}", values) for task, values in found.lengths.items()]
    panels += [(f"regions, {task}", values) for task, values in found.counts.items()]
    figure = Figure(figsize=(4 * max(len(panels), 1), 3), layout="constrained")
    for number, (title, values) in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), number)
        axes.hist(values, bins=min(30, max(values) + 1), color="#3b6ea5")
        axes.set_title(title, fontsize=9)
        axes.set_ylabel("how many", fontsize=8)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lstrip(".") or "png", dpi=110)


def _count_regions(
    given: Sequence[Annotation], words: dict[str, list[int]], counts: dict[str, list[int]]
) -> None:
    for task in _REGION_TEXT:
        labels = [
            label
            for each in given
            if each.task == task and not isinstance(each.answer, Text)
            for label in each.answer.labels
        ]
        if any(each.task == task for each in given):
            counts[task].append(len(labels))
            words[task] += [len(label.split()) for label in labels]


def _count_phrases(given: Sequence[Annotation], phrases: dict[str, list[int]]) -> None:
    """The phrases with boxes of each grounded text, by the task that the text answers."""
    tasks = {
        each.answer.plain_text: each.task
        for each in given
        if each.task in CAPTIONS and isinstance(each.answer, Text)
    }
    for each in given:
        if each.task == _GROUNDING and each.text in tasks and not isinstance(each.answer, Text):
            phrases[tasks[each.text]].append(len(set(each.answer.labels)))


def _text_statistics(facts: Sequence[TextFacts], phrases: Sequence[int]) -> TextStatistics:
    figures: Mapping[str, Callable[[TextFacts], float]] = {
        "tokens": lambda each: each.tokens,
        "objects": lambda each: len(each.objects),
        "attributes": lambda each: len(each.attributes),
        "actions": lambda each: len(each.actions),
        "proper nouns": lambda each: each.proper_nouns,
        "object complexity": lambda each: each.object_complexity,
        "action complexity": lambda each: each.action_complexity,
    }
    means = {name: _mean([figure(each) for each in facts]) for name, figure in figures.items()}
    return TextStatistics(len(facts), len(phrases), _mean(phrases), means)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
