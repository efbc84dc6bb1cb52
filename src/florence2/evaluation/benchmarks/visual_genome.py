"""Dense captions of Visual Genome, on the split and by the measure of DenseCap."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...results.geometry import box_area
from ...results.tasks import find_task
from ..answer_values import labels_of, scores_of, to_boxes
from ..benchmark import Answered, Benchmark, BenchmarkExample, Scored, Table, pictures_of
from ..metric import Metric, ap_metric, ratio_metric, share
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
from ..metrics.ptb import tokenise
from ..metrics.resampling import BoolArray, ClassMatches
from .benchmark_files import field_of, find_file, read_json
from .detection_errors import SIZES, size_of
from .group_table import grouped_table

MOST_WORDS = 15
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
DenseCap's split: 5,000 pictures each for test and val. Prompt `<DENSE_REGION_CAPTION>`. Regions
described in more than 15 words are left out, as DenseCap does.

mAP is DenseCap's: true regions with IoU of at least .7 are merged and share their descriptions;
each detection, surest first, goes to the region it overlaps most, and only the first can be
right; AP at 101 recalls is averaged over IoU .3 .4 .5 .6 .7 and METEOR above 0 .05 .1 .15 .2 .25.
METEOR is a Java program: **without Java there is no mAP**, only the figures that need none.
"detection mAP" is the same over IoU alone, "recall@0.5" the share of regions found, "CIDEr of
found" CIDEr-D (times 100) of the descriptions of found regions; the last depends on what a model
finds, and none of them stands for mAP.

Deviations from DenseCap's scorer: continuous coordinates on the pictures' own size, and
sentences split by the Penn Treebank rules for both sides. Scores are the mean probability of the
location tokens, times that of the description where known, 1 where the model gives neither.
Intervals draw pictures. The paper does not report this benchmark."""


def read(data: Path, split: str) -> list[BenchmarkExample]:
    """One case a picture of the split that has a region, in the order of the split's list."""
    split_path = find_file(data, ["densecap_splits.json", "info/densecap_splits.json"], SOURCE)
    wanted = read_json(split_path, split)[split]
    check_unique(wanted, f"pictures of {split!r} in {split_path}")
    path = find_file(data, ["region_descriptions.json"], SOURCE)
    regions = _regions_of(path, set(wanted))
    missing = [image for image in wanted if image not in regions]
    if missing:
        raise ValueError(
            f"{path} lacks {len(missing)} of {len(wanted)} pictures of {split!r}, such as "
            f"{missing[0]}: is it cut off, or of another release?"
        )
    return [
        BenchmarkExample(
            id=str(image),
            image=_picture(data, image),
            image_id=str(image),
            task=find_task("dense-region-caption"),
            truth=regions[image],
        )
        for image in wanted
        if len(regions[image].boxes)
    ]


def score(answered: Sequence[Answered]) -> Scored:
    """DenseCap's mAP where Java is there, and what needs no Java; regions found by size."""
    truths: list[MergedRegions] = [each.case.truth for each in answered]
    detections = [(to_boxes(each.answer), scores_of(each.answer)) for each in answered]
    pairs = pair_regions(truths, detections)
    candidates, references = _descriptions(answered, pairs)
    figures = [_figure("detection mAP", rank_pairs(pairs), len(truths))]
    if has_java():
        meteors = _meteors(pairs, candidates, references)
        figures.insert(0, _figure("mAP", rank_pairs(pairs, meteors), len(truths)))
    hits = pairs.hits(FOUND_IOU)
    found: list[set[int]] = [set() for _ in truths]
    for picture, region in zip(pairs.pictures[hits], pairs.regions[hits], strict=True):
        found[picture].add(int(region))
    counts = np.asarray(
        [(len(some), len(truth.boxes)) for some, truth in zip(found, truths, strict=True)]
    )
    pictures = pictures_of(answered)
    figures.append(ratio_metric("recall@0.5", counts, pictures, share))
    ciders = _cider_counts(pairs, hits, candidates, references, len(truths))
    figures.append(ratio_metric("CIDEr of found", ciders, pictures, share))
    qualities = tuple((counts[:, 0] / counts[:, 1]).tolist())
    return Scored(tuple(figures), qualities, (_by_size(truths, found), _invented(hits)))


def _regions_of(path: Path, wanted: set[Any]) -> dict[Any, MergedRegions]:
    """The merged regions of the wanted pictures."""
    regions: dict[Any, MergedRegions] = {}
    for entry in _entries(path):
        image = field_of(entry, "id", path)
        if image in wanted:
            if image in regions:
                raise ValueError(f"{path} lists picture {image} twice; get the file again")
            regions[image] = _merged(field_of(entry, "regions", path), path)
    return regions


def _entries(path: Path) -> Iterator[Mapping[str, Any]]:
    """The objects of a list one by one: all of the file at once would be gigabytes of objects."""
    text = path.read_text(encoding="utf-8")
    decoder = json.JSONDecoder()
    place = 0
    while opening := _OPENING.match(text, place):
        try:
            entry, place = decoder.raw_decode(text, opening.end())
        except ValueError as error:
            raise ValueError(f"{path} cannot be read as JSON: {error}; get it again") from error
        yield entry


def _merged(items: Sequence[Mapping[str, Any]], path: Path) -> MergedRegions:
    phrases, boxes = [], []
    for item in items:
        phrase = str(field_of(item, "phrase", path)).strip()
        if 0 < len(phrase.split()) <= MOST_WORDS:
            x, y, width, height = (
                field_of(item, key, path) for key in ("x", "y", "width", "height")
            )
            boxes.append((x, y, x + width, y + height))
            phrases.append(phrase)
    return merge_regions(np.asarray(boxes, np.float64).reshape(-1, 4), phrases)


def _picture(data: Path, image: Any) -> Path:
    """The picture in the one or the other of the two folders."""
    second = data / f"VG_100K_2/{image}.jpg"
    return second if second.is_file() else data / f"VG_100K/{image}.jpg"


def _descriptions(
    answered: Sequence[Answered], pairs: RegionPairs
) -> tuple[list[list[str]], list[list[list[str]]]]:
    """The words of each detection, and those of the region it went to (none without a region)."""
    candidates, references = [], []
    for picture, place, region in zip(
        pairs.pictures.tolist(), pairs.places.tolist(), pairs.regions.tolist(), strict=True
    ):
        each = answered[picture]
        candidates.append(tokenise(labels_of(each.answer)[place]))
        phrases = each.case.truth.references[region] if region >= 0 else ()
        references.append([tokenise(phrase) for phrase in phrases])
    return candidates, references


def _meteors(
    pairs: RegionPairs, candidates: list[list[str]], references: list[list[list[str]]]
) -> FloatArray:
    """METEOR of each detection that can be right; 0 for the others."""
    scores = np.zeros(len(candidates))
    chosen = np.flatnonzero(pairs.hits(IOUS[0]))
    if len(chosen):
        figures = meteor([candidates[i] for i in chosen], [references[i] for i in chosen])
        scores[chosen] = figures.per_item
    return scores


def _cider_counts(
    pairs: RegionPairs,
    hits: BoolArray,
    candidates: list[list[str]],
    references: list[list[list[str]]],
    pictures: int,
) -> FloatArray:
    """The sum of CIDEr-D of found regions and their number, for each picture."""
    counts = np.zeros((pictures, 2))
    chosen = np.flatnonzero(hits)
    if len(chosen):
        scores = cider_d([candidates[i] for i in chosen], [references[i] for i in chosen])
        np.add.at(counts, pairs.pictures[chosen], np.stack([scores, np.ones(len(chosen))], axis=1))
    return counts


def _figure(name: str, matches: ClassMatches, pictures: int) -> Metric:
    def precision(counts: FloatArray) -> float:
        precisions = matches.average_precisions(counts, slice(None))
        return 0.0 if precisions is None else float(precisions.mean())

    return ap_metric(name, pictures, precision)


def _by_size(truths: Sequence[MergedRegions], found: Sequence[set[int]]) -> Table:
    sizes: list[str] = []
    values: list[float] = []
    for truth, places in zip(truths, found, strict=True):
        sizes += [size_of(area) for area in box_area(truth.boxes).tolist()]
        values += [float(region in places) for region in range(len(truth.boxes))]
    columns = ("size", "regions", "found")
    return grouped_table("Regions found by size", columns, sizes, values, order=tuple(SIZES))


def _invented(hits: BoolArray) -> Table:
    rows = (("detections", len(hits)), ("false alarms", int((~hits).sum())))
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
