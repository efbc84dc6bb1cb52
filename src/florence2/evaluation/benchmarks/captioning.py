"""Shared parts of the caption benchmarks: reading reference captions, scoring, results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...io.atomic import replace_json
from ...results.tasks import find_task
from ..answer_values import to_text
from ..benchmark import (
    BenchmarkExample,
    BenchmarkScores,
    ExamplePrediction,
    Table,
    get_image_ids,
    group_table,
)
from ..metric import Metric, mean_metric, ratio_metric
from ..metrics.caption_scores import bleu_counts, bleu_from_counts, cider_d, has_rare_words, rouge_l
from ..metrics.intervals import FloatArray
from ..metrics.ptb import tokenize
from .benchmark_files import Id, check_ids, get_entries, get_field, get_id, read_json

CAPTION = find_task("<CAPTION>")
# CIDEr has no upper bound; from this value on the score of an example is 1.
_GOOD_CIDER = 3.0
# With fewer images the rarity of a word is a poor estimate.
_FEW_IMAGES = 100
_LENGTHS = {"1 to 7": 1, "8 to 10": 8, "11 to 14": 11, "15 or more": 15}


@dataclass(frozen=True)
class ReferenceCaptions:
    """The reference captions of an image, and its part of the split (such as a domain), ``""``
    where the split has no parts."""

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
    images = get_entries(content, "images", path)
    ids = [get_id(image, "id", path) for image in images]
    check_ids(ids, f"image ids of {path}")
    captions: dict[Id, list[str]] = {number: [] for number in ids}
    listed = get_entries(content, "annotations", path) if "annotations" in content else []
    for annotation in listed:
        number = get_id(annotation, "image_id", path)
        if number not in captions:
            raise ValueError(f"{path}: a caption has image {number!r}, which is not listed")
        captions[number].append(str(get_field(annotation, "caption", path)))
    missing = [number for number, found in captions.items() if not found]
    if missing and not hidden:
        raise ValueError(
            f"{path}: {len(missing)} images have no caption, such as {missing[0]!r}; "
            "it may be the file of another split"
        )
    return images, captions


def caption_example(
    image_id: Id, image: Path, ground_truth: ReferenceCaptions | None
) -> BenchmarkExample:
    """The example of one image; ``ground_truth`` is ``None`` where captions are hidden."""
    name = str(image_id)
    return BenchmarkExample(name, image, name, CAPTION, ground_truth=ground_truth, file_id=image_id)


def score_captions(predictions: Sequence[ExamplePrediction]) -> BenchmarkScores:
    """CIDEr-D, BLEU-1 to BLEU-4 and ROUGE-L, and CIDEr for each part of the split.

    Document frequencies of CIDEr are those of the scored images' references, as in pycocoevalcap,
    so the metrics of a part of a split (``--limit``) differ from those of the whole.
    """
    ground_truths = [_ground_truth(each) for each in predictions]
    captions = [tokenize(to_text(each.answer)) for each in predictions]
    references = [
        [tokenize(caption) for caption in ground_truth.captions] for ground_truth in ground_truths
    ]
    images = get_image_ids(predictions)
    cider = cider_d(captions, references)
    has_weights = has_rare_words(references)
    counts = bleu_counts(captions, references)
    metrics = [
        replace(mean_metric("CIDEr", cider, images), defined=has_weights),
        *_parts(cider, ground_truths, images),
        *(ratio_metric(f"BLEU-{n}", counts, images, _bleu(n)) for n in range(1, 5)),
        mean_metric("ROUGE-L", rouge_l(captions, references), images),
    ]
    return BenchmarkScores(
        tuple(metrics),
        tuple(np.clip(cider / _GOOD_CIDER, 0, 1).tolist()),
        (_by_length(cider, captions), _empty(captions)),
        tuple(_describe_limits(len(captions), has_weights)),
    )


def write_results(
    predictions: Sequence[ExamplePrediction], directory: Path, name: str
) -> list[Path]:
    """Write the result list ``[{"image_id": 1, "caption": "..."}]`` of servers and pycocoevalcap.

    Ids are written as in the benchmark's file.
    """
    path = directory / name
    results = [
        {"image_id": each.example.file_id, "caption": to_text(each.answer)} for each in predictions
    ]
    replace_json(path, results)
    return [path]


def _describe_limits(images: int, has_weights: bool) -> Iterator[str]:
    """The limits of CIDEr on this number of images."""
    weights = "CIDEr weights words by how rare they are in the references of the scored images"
    if not has_weights:
        cause = "with a single image" if images == 1 else "as all images have the same references"
        yield f"{weights}: {cause}, all weights are 0, and CIDEr is undefined."
    elif images < _FEW_IMAGES:
        yield f"{weights}: {images} images are few for that, and CIDEr of more images differs."


def _ground_truth(predictions: ExamplePrediction) -> ReferenceCaptions:
    ground_truth = predictions.example.ground_truth
    if not isinstance(ground_truth, ReferenceCaptions) or not ground_truth.captions:
        raise ValueError(f"image {predictions.example.image_id} has no captions to score by")
    return ground_truth


def _bleu(order: int) -> Callable[[FloatArray], float]:
    return lambda sums: bleu_from_counts(sums)[order - 1]


def _parts(
    cider: FloatArray, ground_truths: Sequence[ReferenceCaptions], images: Sequence[str]
) -> list[Metric]:
    """CIDEr of each part of the split; intervals resample the images of that part."""
    parts = [
        part for part in dict.fromkeys(ground_truth.part for ground_truth in ground_truths) if part
    ]
    metrics = []
    for part in parts:
        rows = [row for row, ground_truth in enumerate(ground_truths) if ground_truth.part == part]
        metrics.append(mean_metric(f"CIDEr {part}", cider[rows], [images[row] for row in rows]))
    return metrics


def _by_length(cider: FloatArray, captions: Sequence[Sequence[str]]) -> Table:
    return group_table(
        "CIDEr by length of the prediction",
        ("words", "images", "CIDEr"),
        [_length_name(len(caption)) for caption in captions],
        cider.tolist(),
        order=[*_LENGTHS],
    )


def _length_name(words: int) -> str:
    return [name for name, bound in _LENGTHS.items() if words >= bound][-1] if words else "none"


def _empty(captions: Iterable[Sequence[str]]) -> Table:
    empty = sum(not caption for caption in captions)
    return Table("Empty predictions", ("predictions",), ((empty,),))
