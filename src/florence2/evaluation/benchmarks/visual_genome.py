"""Dense captions of Visual Genome, on the split and with the metric of DenseCap."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...results.geometry import box_area
from ...results.tasks import find_task
from ..answer_values import get_labels, get_scores, to_boxes
from ..benchmark import (
    Benchmark,
    BenchmarkExample,
    BenchmarkScores,
    ExamplePrediction,
    Table,
    get_image_ids,
    group_table,
)
from ..metric import Metric, ap_metric, ratio, ratio_metric
from ..metrics.caption_scores import cider_d
from ..metrics.dense_captions import (
    IOUS,
    MergedRegions,
    RegionPairs,
    merge_regions,
    pair_regions,
    rank_pairs,
)
from ..metrics.input_checks import check_unique
from ..metrics.intervals import FloatArray
from ..metrics.java_captions import has_java, meteor
from ..metrics.ptb import tokenize
from ..metrics.resampling import BoolArray, ClassMatches
from .benchmark_files import find_file, get_field, read_json
from .detection_errors import SIZES, size_class

MAX_WORDS = 15
FOUND_IOU = 0.5
_OPENING = re.compile(r"[\s,\[]*(?=\{)")

SOURCE = """\
From visualgenome.org, "region descriptions" and the two parts of the images, and from the
DenseCap project (github.com/jcjohnson/densecap) its split:

    region_descriptions.json
    densecap_splits.json
    VG_100K/1.jpg ...
    VG_100K_2/2.jpg ..."""

PROTOCOL = """\
DenseCap's split: 5,000 images each for test and val. Prompt `<DENSE_REGION_CAPTION>`. Regions
described in more than 15 words are excluded, as by DenseCap.

mAP is DenseCap's: true regions with IoU of at least .7 are merged and share their descriptions;
each detection, highest-scoring first, is assigned to the region it overlaps most, and only the
first of a region can be correct; AP at 101 recalls is averaged over IoU .3 .4 .5 .6 .7 and METEOR
above 0 .05 .1 .15 .2 .25. METEOR is a Java program: **without Java there is no mAP**, only the
other metrics. "detection mAP" is the same over IoU alone, "recall@0.5" the share of regions found,
"CIDEr of found" CIDEr-D (times 100) of the descriptions of found regions; the last depends on which
regions a model finds. None of them replaces mAP.

Deviations from DenseCap's scorer: continuous coordinates on the images' own size, and
sentences split by the Penn Treebank rules for both sides. Scores are the mean probability of the
location tokens, times that of the description where known, 1 where neither is known. Intervals
resample images. The paper does not report this benchmark."""


def read(data: Path, split: str) -> list[BenchmarkExample]:
    """One example per image of the split that has a region, in the order of the split's list."""
    split_path = find_file(data, ["densecap_splits.json", "info/densecap_splits.json"], SOURCE)
    selected = read_json(split_path, split)[split]
    check_unique(selected, f"images of {split!r} in {split_path}")
    path = find_file(data, ["region_descriptions.json"], SOURCE)
    regions = _read_regions(path, set(selected))
    missing = [image for image in selected if image not in regions]
    if missing:
        raise ValueError(
            f"{path} lacks {len(missing)} of {len(selected)} images of {split!r}, such as "
            f"{missing[0]}: it is cut off, or of another release"
        )
    return [
        BenchmarkExample(
            id=str(image),
            image=_image_path(data, image),
            image_id=str(image),
            task=find_task("dense-region-caption"),
            ground_truth=regions[image],
        )
        for image in selected
        if len(regions[image].boxes)
    ]


def score(predictions: Sequence[ExamplePrediction]) -> BenchmarkScores:
    """DenseCap's mAP where there is Java, metrics without Java, and regions found by size."""
    ground_truths: list[MergedRegions] = [each.example.ground_truth for each in predictions]
    detections = [(to_boxes(each.answer), get_scores(each.answer)) for each in predictions]
    pairs = pair_regions(ground_truths, detections)
    candidates, references = _descriptions(predictions, pairs)
    metrics = [_make_metric("detection mAP", rank_pairs(pairs), len(ground_truths))]
    if has_java():
        meteors = _meteors(pairs, candidates, references)
        metrics.insert(0, _make_metric("mAP", rank_pairs(pairs, meteors), len(ground_truths)))
    hits = pairs.hits(FOUND_IOU)
    found: list[set[int]] = [set() for _ in ground_truths]
    for image, region in zip(pairs.images[hits], pairs.regions[hits], strict=True):
        found[image].add(int(region))
    counts = np.asarray(
        [
            (len(regions), len(ground_truth.boxes))
            for regions, ground_truth in zip(found, ground_truths, strict=True)
        ]
    )
    image_ids = get_image_ids(predictions)
    metrics.append(ratio_metric("recall@0.5", counts, image_ids, ratio))
    ciders = _cider_counts(pairs, hits, candidates, references, len(ground_truths))
    metrics.append(ratio_metric("CIDEr of found", ciders, image_ids, ratio))
    per_example = tuple((counts[:, 0] / counts[:, 1]).tolist())
    return BenchmarkScores(
        tuple(metrics), per_example, (_size_table(ground_truths, found), _count_detections(hits))
    )


def _read_regions(path: Path, selected: set[Any]) -> dict[Any, MergedRegions]:
    """The merged regions of the selected images."""
    regions: dict[Any, MergedRegions] = {}
    for entry in _entries(path):
        image = get_field(entry, "id", path)
        if image in selected:
            if image in regions:
                raise ValueError(f"{path} lists image {image} twice; get the file again")
            regions[image] = _merge(get_field(entry, "regions", path), path)
    return regions


def _entries(path: Path) -> Iterator[Mapping[str, Any]]:
    """The objects of a list one by one: all objects of the file take gigabytes."""
    text = path.read_text(encoding="utf-8")
    decoder = json.JSONDecoder()
    position = 0
    while opening := _OPENING.match(text, position):
        try:
            entry, position = decoder.raw_decode(text, opening.end())
        except ValueError as error:
            raise ValueError(f"{path} cannot be read as JSON: {error}; get it again") from error
        yield entry


def _merge(items: Sequence[Mapping[str, Any]], path: Path) -> MergedRegions:
    phrases, boxes = [], []
    for item in items:
        phrase = str(get_field(item, "phrase", path)).strip()
        if 0 < len(phrase.split()) <= MAX_WORDS:
            x, y, width, height = (
                get_field(item, key, path) for key in ("x", "y", "width", "height")
            )
            boxes.append((x, y, x + width, y + height))
            phrases.append(phrase)
    return merge_regions(np.asarray(boxes, np.float64).reshape(-1, 4), phrases)


def _image_path(data: Path, image: Any) -> Path:
    """The image in one of the two directories."""
    second = data / f"VG_100K_2/{image}.jpg"
    return second if second.is_file() else data / f"VG_100K/{image}.jpg"


def _descriptions(
    predictions: Sequence[ExamplePrediction], pairs: RegionPairs
) -> tuple[list[list[str]], list[list[list[str]]]]:
    """The words of each detection, and those of the region that it is assigned to."""
    candidates, references = [], []
    for image, index, region in zip(
        pairs.images.tolist(), pairs.indices.tolist(), pairs.regions.tolist(), strict=True
    ):
        each = predictions[image]
        candidates.append(tokenize(get_labels(each.answer)[index]))
        phrases = each.example.ground_truth.references[region] if region >= 0 else ()
        references.append([tokenize(phrase) for phrase in phrases])
    return candidates, references


def _meteors(
    pairs: RegionPairs, candidates: list[list[str]], references: list[list[list[str]]]
) -> FloatArray:
    """METEOR of each detection that can be correct; 0 for the others."""
    scores = np.zeros(len(candidates))
    selected = np.flatnonzero(pairs.hits(IOUS[0]))
    if len(selected):
        found = meteor([candidates[i] for i in selected], [references[i] for i in selected])
        scores[selected] = found.per_item
    return scores


def _cider_counts(
    pairs: RegionPairs,
    hits: BoolArray,
    candidates: list[list[str]],
    references: list[list[list[str]]],
    images: int,
) -> FloatArray:
    """The sum of CIDEr-D of found regions and their number, for each image."""
    counts = np.zeros((images, 2))
    selected = np.flatnonzero(hits)
    if len(selected):
        scores = cider_d([candidates[i] for i in selected], [references[i] for i in selected])
        np.add.at(
            counts, pairs.images[selected], np.stack([scores, np.ones(len(selected))], axis=1)
        )
    return counts


def _make_metric(name: str, matches: ClassMatches, images: int) -> Metric:
    def precision(counts: FloatArray) -> float:
        precisions = matches.average_precisions(counts, slice(None))
        return 0.0 if precisions is None else float(precisions.mean())

    return ap_metric(name, images, precision)


def _size_table(ground_truths: Sequence[MergedRegions], found: Sequence[set[int]]) -> Table:
    sizes: list[str] = []
    values: list[float] = []
    for ground_truth, regions in zip(ground_truths, found, strict=True):
        sizes += [size_class(area) for area in box_area(ground_truth.boxes).tolist()]
        values += [float(region in regions) for region in range(len(ground_truth.boxes))]
    columns = ("size", "regions", "found")
    return group_table("Regions found by size", columns, sizes, values, order=tuple(SIZES))


def _count_detections(hits: BoolArray) -> Table:
    rows = (("detections", len(hits)), ("false positives", int((~hits).sum())))
    return Table(f"Detections (IoU {FOUND_IOU})", ("outcome", "count"), rows)


BENCHMARK = Benchmark(
    name="visual-genome",
    title="Visual Genome dense captions",
    splits=("test", "val"),
    protocol=PROTOCOL,
    source=SOURCE,
    read=read,
    score=score,
)
