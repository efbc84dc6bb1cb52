"""Captions against people's captions: what the caption benchmarks share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...io.atomic import replace_json
from ...results.tasks import find_task
from ..answer_values import to_text
from ..benchmark import Answered, BenchmarkExample, Scored, Table, pictures_of
from ..metric import Metric, mean_metric, ratio_metric
from ..metrics.caption_scores import bleu_counts, bleu_from_counts, cider_d, has_rare_words, rouge_l
from ..metrics.intervals import FloatArray
from ..metrics.ptb import tokenise
from .benchmark_files import Id, check_ids, entries_of, field_of, id_of, read_json
from .group_table import grouped_table

CAPTION = find_task("<CAPTION>")
# CIDEr has no upper bound; a caption that reaches this one of ten is as good as any for a page.
_GOOD_CIDER = 3.0
# Below so many images, how rare a word is can hardly be told from their references.
_FEW_IMAGES = 100
_LENGTHS = {"1 to 7": 1, "8 to 10": 8, "11 to 14": 11, "15 or more": 15}


@dataclass(frozen=True)
class CaptionExample:
    """The truth of a picture: people's captions, and the part of the split that it belongs to
    (a domain, say), ``""`` where there are no parts."""

    captions: tuple[str, ...]
    part: str = ""


def read_coco_captions(
    path: Path, *, hidden: bool = False
) -> tuple[list[Mapping[str, Any]], dict[Id, list[str]]]:
    """The image entries of a file in COCO's caption format, and the captions by image id.

    Raises ``ValueError`` for repeated ids, captions of images that are not listed and, unless the
    captions of the split are ``hidden``, images without any.
    """
    content = read_json(path, "images")
    images = entries_of(content, "images", path)
    ids = [id_of(image, "id", path) for image in images]
    check_ids(ids, f"image ids of {path}")
    captions: dict[Id, list[str]] = {number: [] for number in ids}
    listed = entries_of(content, "annotations", path) if "annotations" in content else []
    for annotation in listed:
        number = id_of(annotation, "image_id", path)
        if number not in captions:
            raise ValueError(f"{path}: a caption is of image {number!r}, which is not listed")
        captions[number].append(str(field_of(annotation, "caption", path)))
    silent = [number for number, found in captions.items() if not found]
    if silent and not hidden:
        raise ValueError(
            f"{path}: {len(silent)} images have no caption, such as {silent[0]!r}; "
            "is it the file of another split?"
        )
    return images, captions


def caption_case(image_id: Id, image: Path, truth: CaptionExample | None) -> BenchmarkExample:
    """The case of one picture; ``truth`` is ``None`` where the captions are hidden."""
    name = str(image_id)
    return BenchmarkExample(name, image, name, CAPTION, truth=truth, file_id=image_id)


def score_captions(answered: Sequence[Answered]) -> Scored:
    """CIDEr-D, BLEU-1 to BLEU-4 and ROUGE-L, and CIDEr for each part of the split.

    Document frequencies of CIDEr are those of the scored pictures' references, as pycocoevalcap
    has them, so a part of a split (``--limit``) has figures that are not those of the whole.
    """
    truths = [_truth(each) for each in answered]
    captions = [tokenise(to_text(each.answer)) for each in answered]
    references = [[tokenise(caption) for caption in truth.captions] for truth in truths]
    pictures = pictures_of(answered)
    cider = cider_d(captions, references)
    weighed = has_rare_words(references)
    counts = bleu_counts(captions, references)
    figures = [
        replace(mean_metric("CIDEr", cider, pictures), defined=weighed),
        *_parts(cider, truths, pictures),
        *(ratio_metric(f"BLEU-{n}", counts, pictures, _bleu(n)) for n in range(1, 5)),
        mean_metric("ROUGE-L", rouge_l(captions, references), pictures),
    ]
    return Scored(
        tuple(figures),
        tuple(np.clip(cider / _GOOD_CIDER, 0, 1).tolist()),
        (_by_length(cider, captions), _empty(captions)),
        tuple(_limits(len(captions), weighed)),
    )


def write_results(answered: Sequence[Answered], folder: Path, name: str) -> list[Path]:
    """The result list ``[{"image_id": 1, "caption": "..."}]`` that servers and pycocoevalcap take.

    Ids are written as the benchmark's file has them.
    """
    path = folder / name
    results = [
        {"image_id": each.case.file_id, "caption": to_text(each.answer)} for each in answered
    ]
    replace_json(path, results)
    return [path]


def _limits(images: int, weighed: bool) -> Iterator[str]:
    """What CIDEr of so many images can't tell."""
    weights = "CIDEr weighs words by how rare they are among the references of the images scored"
    if not weighed:
        cause = "of a single image" if images == 1 else "as all images have the same references"
        yield f"{weights}: {cause}, all weights are 0, and CIDEr is undefined."
    elif images < _FEW_IMAGES:
        yield f"{weights}: {images} images are few for that, and CIDEr of more will differ."


def _truth(answered: Answered) -> CaptionExample:
    truth = answered.case.truth
    if not isinstance(truth, CaptionExample) or not truth.captions:
        raise ValueError(f"picture {answered.case.image_id} has no captions to score by")
    return truth


def _bleu(order: int) -> Callable[[FloatArray], float]:
    return lambda sums: bleu_from_counts(sums)[order - 1]


def _parts(
    cider: FloatArray, truths: Sequence[CaptionExample], pictures: Sequence[str]
) -> list[Metric]:
    """CIDEr of each part. Draws are of the part's own pictures."""
    parts = [part for part in dict.fromkeys(truth.part for truth in truths) if part]
    figures = []
    for part in parts:
        rows = [row for row, truth in enumerate(truths) if truth.part == part]
        figures.append(mean_metric(f"CIDEr {part}", cider[rows], [pictures[row] for row in rows]))
    return figures


def _by_length(cider: FloatArray, captions: Sequence[Sequence[str]]) -> Table:
    return grouped_table(
        "CIDEr by length of the answer",
        ("words", "pictures", "CIDEr"),
        [_length_name(len(caption)) for caption in captions],
        cider.tolist(),
        order=[*_LENGTHS],
    )


def _length_name(words: int) -> str:
    return [name for name, least in _LENGTHS.items() if words >= least][-1] if words else "none"


def _empty(captions: Iterable[Sequence[str]]) -> Table:
    silent = sum(not caption for caption in captions)
    return Table("Answers without a word", ("answers",), ((silent,),))
