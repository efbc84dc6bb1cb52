"""Made scenes: all fifteen tasks at once, on pictures and art that training never had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...results.records import Record
from ...results.types import Boxes
from ..benchmark import Answered, Benchmark, BenchmarkExample, Scored
from ..metric import Metric
from . import synthetic_metrics as figures
from .group_table import grouped_table

TEST, TRAIN = "test", "train"

SOURCE = """\
Shards of scenes, which this package makes:

    florence2 scenes fetch
    florence2 scenes make 1000 --split test --out DATA"""

PROTOCOL = """\
Scenes of the split's seeds and art: odd seeds and held-out drawings for `test` (a category with a
single drawing has no other; those are in both). Every task is asked with its released prompt.

- detection: COCO's AP over classes, F1 at IoU .5; AP of the same boxes with their scores dealt out
  at random, the mean of five deals; calibration error over ten bins of the score, a box being right
  at IoU .5 and the right class. A box's score is that of its location tokens times its label's.
- open vocabulary: F1 of what is there; how often a class that is absent is answered by no box.
- grounding: each phrase's surest box, right at IoU .5 with any of its true boxes.
- segmentation: mean IoU of masks. Regions: exact words. Proposals: objects found at IoU .5.
- OCR: ICDAR's hmean of lines at IoU .5; characters to edit over true ones in the lines matched, and
  in the whole text.
- captions: named objects that are in the scene, and objects of the scene that are named, with
  numbers ("two dogs" are two), over the categories of the scored scenes."""

_TASKS: Mapping[str, figures.Task] = {
    "<OD>": figures.detection,
    "<OPEN_VOCABULARY_DETECTION>": figures.open_vocabulary,
    "<CAPTION_TO_PHRASE_GROUNDING>": figures.grounding,
    "<REFERRING_EXPRESSION_SEGMENTATION>": figures.segmentation("referring mIoU"),
    "<REGION_TO_SEGMENTATION>": figures.segmentation("region mIoU"),
    "<REGION_PROPOSAL>": figures.proposals,
    "<REGION_TO_CATEGORY>": figures.exact_words("region category accuracy"),
    "<REGION_TO_DESCRIPTION>": figures.exact_words("region description exact"),
    "<OCR_WITH_REGION>": figures.text_regions,
    "<OCR>": figures.characters("OCR CER"),
    "<REGION_TO_OCR>": figures.characters("region OCR CER"),
}
_CAPTIONS = {
    "<CAPTION>": "caption",
    "<DETAILED_CAPTION>": "detailed caption",
    "<MORE_DETAILED_CAPTION>": "more detailed caption",
}
# Dense captions are scored by where their boxes are: words for one thing differ.
_UNSCORED = {"<DENSE_REGION_CAPTION>"}


def read(data: Path, split: str) -> list[BenchmarkExample]:
    """The annotations of a folder of shards, one case each."""
    from ...datasets.shards import ShardDataset

    if not data.is_dir():
        raise FileNotFoundError(f"there is no folder {data}; make it: {SOURCE}")
    records = ShardDataset(data)
    cases: list[BenchmarkExample] = []
    for number in range(len(records)):
        cases += _cases(records[number], split, data)
    return cases


def _cases(record: Record, split: str, data: Path) -> list[BenchmarkExample]:
    if not record.id.startswith(f"scene-{split}-"):
        raise ValueError(
            f"{data} holds {record.id!r}, which is no scene of split {split!r}: make some with "
            f"florence2 scenes make N --split {split}"
        )
    content = record.image_bytes()
    return [
        BenchmarkExample(
            id=f"{record.id}/{each.task}/{number}",
            image=content,
            image_id=record.id,
            task=each.task_definition,
            question=each.prompt_input,
            truth=each.answer,
        )
        for number, each in enumerate(record.annotations)
        if each.task not in _UNSCORED
    ]


def score(answered: Sequence[Answered]) -> Scored:
    """The figures of every task that was asked, detection first."""
    rows: dict[str, list[int]] = {}
    for row, each in enumerate(answered):
        rows.setdefault(each.case.task.token, []).append(row)
    categories = _categories(answered)
    scorers = {
        **_TASKS,
        **{task: figures.captions(categories, kind) for task, kind in _CAPTIONS.items()},
    }
    found: list[Metric] = []
    qualities = np.zeros(len(answered))
    for task, scorer in scorers.items():
        if task in rows:
            more, values = scorer([answered[row] for row in rows[task]])
            found += more
            qualities[rows[task]] = values
    table = grouped_table(
        "Mean quality of the answers, by task",
        ("task", "cases", "percent"),
        [each.case.task.token for each in answered],
        qualities.tolist(),
        order=[*scorers],
    )
    return Scored(tuple(found), tuple(np.clip(qualities, 0, 1).tolist()), (table,))


def _categories(answered: Sequence[Answered]) -> dict[str, tuple[str, ...]]:
    """What is in each picture, by the truth of its detection."""
    return {
        each.case.image_id: each.case.truth.labels
        for each in answered
        if each.case.task.token == "<OD>" and isinstance(each.case.truth, Boxes)
    }


BENCHMARK = Benchmark(
    name="scenes",
    title="Made scenes",
    splits=(TEST, TRAIN),
    protocol=PROTOCOL,
    source=SOURCE,
    read=read,
    score=score,
    options={"max_new_tokens": 512},
)
