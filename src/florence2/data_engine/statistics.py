"""Statistics of annotations: the paper's Tables 2 and 3 for any shards.

Only kept annotations count. Tokens are spaCy's; the paper does not define its tokenization.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ..io.atomic import atomic_write
from ..io.deprecation import add_old_keys
from ..io.tables import format_fixed
from ..results.records import Annotation
from ..results.tasks import CAPTIONS
from ..results.types import Text
from .caption_parsing import TextFacts, parse_captions

# Tables 2 and 3 of arXiv 2311.06242, for brief, detailed and more detailed captions.
PAPER_CAPTIONS: Mapping[str, Sequence[float]] = {
    "tokens": (7.95, 31.65, 70.53),
    "objects": (3.23, 13.31, 28.06),
    "attributes": (2.80, 7.27, 16.25),
    "actions": (0.58, 4.21, 8.76),
    "proper nouns": (1.10, 2.40, 2.41),
    "object complexity": (2.80, 4.00, 4.02),
    "action complexity": (1.14, 3.63, 4.38),
}
PAPER_PHRASES = (4.27, 10.25, 10.17)
_REGION_TASKS = ("<OD>", "<DENSE_REGION_CAPTION>", "<OCR_WITH_REGION>")
_GROUNDING = "<CAPTION_TO_PHRASE_GROUNDING>"
_BATCH_SIZE = 256


@dataclass(frozen=True)
class CaptionStatistics:
    """Means over the captions of one task.

    ``phrases`` is the mean number of phrases with a box, over the ``grounded`` captions.
    """

    texts: int
    grounded: int
    phrases: float
    means: Mapping[str, float]


@dataclass(frozen=True)
class RegionStatistics:
    """Number of annotations of one region task and of their regions, and means."""

    annotations: int
    regions: int
    regions_per_image: float
    tokens_per_region: float


_RENAMED_IN_REGIONS = {
    "regions_a_picture": "regions_per_image",
    "tokens_a_region": "tokens_per_region",
}


@dataclass(frozen=True)
class AnnotationStatistics:
    """The tables, and values for plots.

    Attributes:
        images: number of images.
        texts: statistics of captions, by task.
        regions: statistics of regions, by task.
        lengths: number of tokens of each caption, by task.
        counts: number of regions of each image, by task.
    """

    images: int
    texts: Mapping[str, CaptionStatistics]
    regions: Mapping[str, RegionStatistics]
    lengths: Mapping[str, Sequence[int]]
    counts: Mapping[str, Sequence[int]]

    def to_dict(self) -> dict[str, Any]:
        """The tables as JSON values, for one release with the keys of release 0.1 too."""
        values = asdict(self)
        regions = {
            task: add_old_keys(row, _RENAMED_IN_REGIONS) for task, row in values["regions"].items()
        }
        tables = {"images": self.images, "texts": values["texts"], "regions": regions}
        return add_old_keys(tables, {"pictures": "images"})

    def rows(self) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
        """Table 3 with the paper's values, and Table 2's regions: cells of text, headers first."""
        tasks = [task for task in CAPTIONS if task in self.texts]
        columns = [CAPTIONS.index(task) for task in tasks]
        captions: list[tuple[str, ...]] = [
            ("mean per caption", *(cell for task in tasks for cell in (task, "paper"))),
            ("captions", *(c for task in tasks for c in (str(self.texts[task].texts), "-"))),
        ]
        for name, paper in PAPER_CAPTIONS.items():
            means = [self.texts[task].means[name] for task in tasks]
            captions.append((name, *_interleave(means, [paper[index] for index in columns])))
        phrases = [self.texts[task].phrases for task in tasks]
        paper_phrases = [PAPER_PHRASES[index] for index in columns]
        captions.append(("phrases with boxes", *_interleave(phrases, paper_phrases)))
        regions: list[tuple[str, ...]] = [
            ("task", "images", "regions", "regions per image", "tokens per region")
        ]
        regions += [
            (
                task,
                str(each.annotations),
                str(each.regions),
                format_fixed(each.regions_per_image, 2),
                format_fixed(each.tokens_per_region, 2),
            )
            for task, each in self.regions.items()
        ]
        return captions, regions


def compute_statistics(images: Iterable[Sequence[Annotation]]) -> AnnotationStatistics:
    """The statistics over the annotations of each image."""
    facts: dict[str, list[TextFacts]] = defaultdict(list)
    phrases: dict[str, list[int]] = defaultdict(list)
    words: dict[str, list[int]] = defaultdict(list)
    counts: dict[str, list[int]] = defaultdict(list)
    total = 0
    left = iter(images)
    while batch := list(islice(left, _BATCH_SIZE)):
        total += len(batch)
        kept = [[each for each in image if each.decision.kept] for image in batch]
        captions = [
            (each.task, each.answer.plain_text)
            for image in kept
            for each in image
            if each.task in CAPTIONS and isinstance(each.answer, Text)
        ]
        parsed = parse_captions(text for _, text in captions)
        for (task, _), found in zip(captions, parsed, strict=True):
            facts[task].append(found)
        for image in kept:
            _count_regions(image, words, counts)
            _count_phrases(image, phrases)
    return AnnotationStatistics(
        total,
        {task: _average_captions(facts[task], phrases[task]) for task in CAPTIONS if facts[task]},
        {
            task: RegionStatistics(
                len(counts[task]),
                sum(counts[task]),
                sum(counts[task]) / max(total, 1),
                _mean(words[task]),
            )
            for task in _REGION_TASKS
            if counts[task]
        },
        {task: [each.tokens for each in facts[task]] for task in CAPTIONS if facts[task]},
        {task: counts[task] for task in _REGION_TASKS if counts[task]},
    )


def draw_statistics(statistics: AnnotationStatistics, path: Path) -> None:
    """Write histograms of caption lengths and of regions per image to an image file."""
    from matplotlib.figure import Figure

    panels = [(f"tokens, {task}", values) for task, values in statistics.lengths.items()]
    panels += [(f"regions, {task}", values) for task, values in statistics.counts.items()]
    figure = Figure(figsize=(4 * max(len(panels), 1), 3), layout="constrained")
    for number, (title, values) in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), number)
        axes.hist(values, bins=min(30, max(values) + 1), color="#3b6ea5")
        axes.set_title(title, fontsize=9)
        axes.set_ylabel("count", fontsize=8)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lstrip(".") or "png", dpi=110)


def _interleave(values: Sequence[float], paper: Sequence[float]) -> list[str]:
    """Cells: each value, and the paper's next to it."""
    pairs = zip(values, paper, strict=True)
    return [format_fixed(value, 2) for pair in pairs for value in pair]


def _count_regions(
    image: Sequence[Annotation], words: dict[str, list[int]], counts: dict[str, list[int]]
) -> None:
    for task in _REGION_TASKS:
        labels = [
            label
            for each in image
            if each.task == task and not isinstance(each.answer, Text)
            for label in each.answer.labels
        ]
        if any(each.task == task for each in image):
            counts[task].append(len(labels))
            words[task] += [len(label.split()) for label in labels]


def _count_phrases(image: Sequence[Annotation], phrases: dict[str, list[int]]) -> None:
    """Count the phrases with boxes of each grounded caption, by the task of the caption."""
    tasks = {
        each.answer.plain_text: each.task
        for each in image
        if each.task in CAPTIONS and isinstance(each.answer, Text)
    }
    for each in image:
        if each.task == _GROUNDING and each.text in tasks and not isinstance(each.answer, Text):
            phrases[tasks[each.text]].append(len(set(each.answer.labels)))


def _average_captions(facts: Sequence[TextFacts], phrases: Sequence[int]) -> CaptionStatistics:
    measures: Mapping[str, Callable[[TextFacts], float]] = {
        "tokens": lambda each: each.tokens,
        "objects": lambda each: len(each.objects),
        "attributes": lambda each: len(each.attributes),
        "actions": lambda each: len(each.actions),
        "proper nouns": lambda each: each.proper_nouns,
        "object complexity": lambda each: each.object_complexity,
        "action complexity": lambda each: each.action_complexity,
    }
    means = {name: _mean([measure(each) for each in facts]) for name, measure in measures.items()}
    return CaptionStatistics(len(facts), len(phrases), _mean(phrases), means)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
