"""COCO captions: the Karpathy test split, its validation split, and val2017."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ..benchmark import Benchmark, BenchmarkExample, Reported
from ..metrics.input_checks import check_unique
from .benchmark_files import (
    entries_of,
    field_of,
    find_file,
    find_folder,
    id_of,
    image_path,
    read_json,
)
from .captioning import (
    CaptionExample,
    caption_case,
    read_coco_captions,
    score_captions,
    write_results,
)

TEST, VAL, VAL2017 = "karpathy-test", "karpathy-val", "val2017"

SOURCE = """\
Karpathy splits: `dataset_coco.json` of "caption_datasets.zip" (cs.stanford.edu/people/karpathy/\
deepimagesent), and "2014 Val images" of cocodataset.org:

    dataset_coco.json
    val2014/COCO_val2014_000000391895.jpg ...

val2017: "2017 Val images" and "2017 Train/Val annotations" of cocodataset.org:

    annotations/captions_val2017.json
    val2017/000000000139.jpg ..."""

PROTOCOL = """\
karpathy-test and karpathy-val: 5,000 pictures each, five captions or more a picture. Prompt
`<CAPTION>`. CIDEr-D, BLEU and ROUGE-L on PTB tokens, as pycocoevalcap counts them; METEOR and SPICE
are Java programs and left to it (the official file is what it takes). The paper gives CIDEr of the
Karpathy test split."""


def read(data: Path, split: str) -> Sequence[BenchmarkExample]:
    """The pictures of a split with their captions."""
    return _read_2017(data) if split == VAL2017 else _read_karpathy(data, split)


def _read_karpathy(data: Path, split: str) -> list[BenchmarkExample]:
    path = find_file(data, ["dataset_coco.json", "annotations/dataset_coco.json"], SOURCE)
    folder = find_folder(data, ["val2014", "images/val2014"], SOURCE).parent
    wanted = split.removeprefix("karpathy-")
    cases = []
    for entry in entries_of(read_json(path, "images"), "images", path):
        if field_of(entry, "split", path) != wanted:
            continue
        number = id_of(entry, "cocoid", path)
        image = image_path(
            folder, f"{field_of(entry, 'filepath', path)}/{field_of(entry, 'filename', path)}", path
        )
        sentences = entries_of(entry, "sentences", path)
        captions = tuple(str(field_of(each, "raw", path)) for each in sentences)
        if not captions:
            raise ValueError(f"{path}: image {number} has no sentence; get the file again")
        cases.append(caption_case(number, image, CaptionExample(captions)))
    if not cases:
        raise ValueError(f"{path} has no image of split {wanted!r}: is it of another data set?")
    check_unique([case.id for case in cases], f"cocoid of {path}")
    return cases


def _read_2017(data: Path) -> list[BenchmarkExample]:
    names = ["annotations/captions_val2017.json", "captions_val2017.json"]
    path = find_file(data, names, SOURCE)
    folder = find_folder(data, ["val2017", "images/val2017", "images"], SOURCE)
    images, captions = read_coco_captions(path)
    return [
        caption_case(
            number,
            image_path(folder, field_of(image, "file_name", path), path),
            CaptionExample(tuple(captions[number])),
        )
        for number, image in zip(captions, images, strict=True)
    ]


BENCHMARK = Benchmark(
    name="coco-caption",
    title="COCO captions",
    splits=(TEST, VAL, VAL2017),
    protocol=PROTOCOL,
    source=SOURCE,
    read=read,
    score=score_captions,
    official=partial(write_results, name="captions_results.json"),
    reported={TEST: {"CIDEr": Reported(133.0, 135.6, 140.0, 143.3)}},
    options={"max_new_tokens": 64},
)
