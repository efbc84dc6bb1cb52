"""COCO captions: the Karpathy test split, its validation split, and val2017."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ..benchmark import Benchmark, BenchmarkExample, PaperResult
from ..metrics.input_checks import check_unique
from .benchmark_files import (
    find_directory,
    find_file,
    get_entries,
    get_field,
    get_id,
    image_path,
    read_json,
)
from .captioning import (
    ReferenceCaptions,
    caption_example,
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
karpathy-test and karpathy-val: 5,000 images each, five captions or more per image. Prompt
`<CAPTION>`. CIDEr-D, BLEU and ROUGE-L on PTB tokens, as in pycocoevalcap; METEOR and SPICE are Java
programs, for which the official file is the input. The paper reports CIDEr of the Karpathy test
split."""


def read(data: Path, split: str) -> Sequence[BenchmarkExample]:
    """The images of a split with their captions."""
    return _read_2017(data) if split == VAL2017 else _read_karpathy(data, split)


def _read_karpathy(data: Path, split: str) -> list[BenchmarkExample]:
    path = find_file(data, ["dataset_coco.json", "annotations/dataset_coco.json"], SOURCE)
    directory = find_directory(data, ["val2014", "images/val2014"], SOURCE).parent
    name = split.removeprefix("karpathy-")
    examples = []
    for entry in get_entries(read_json(path, "images"), "images", path):
        if get_field(entry, "split", path) != name:
            continue
        image_id = get_id(entry, "cocoid", path)
        image = image_path(
            directory,
            f"{get_field(entry, 'filepath', path)}/{get_field(entry, 'filename', path)}",
            path,
        )
        sentences = get_entries(entry, "sentences", path)
        captions = tuple(str(get_field(each, "raw", path)) for each in sentences)
        if not captions:
            raise ValueError(f"{path}: image {image_id} has no sentence; get the file again")
        examples.append(caption_example(image_id, image, ReferenceCaptions(captions)))
    if not examples:
        raise ValueError(f"{path} has no image of split {name!r}: it is of another dataset")
    check_unique([example.id for example in examples], f"cocoid of {path}")
    return examples


def _read_2017(data: Path) -> list[BenchmarkExample]:
    names = ["annotations/captions_val2017.json", "captions_val2017.json"]
    path = find_file(data, names, SOURCE)
    directory = find_directory(data, ["val2017", "images/val2017", "images"], SOURCE)
    images, captions = read_coco_captions(path)
    return [
        caption_example(
            number,
            image_path(directory, get_field(image, "file_name", path), path),
            ReferenceCaptions(tuple(captions[number])),
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
    reported={TEST: {"CIDEr": PaperResult(133.0, 135.6, 140.0, 143.3)}},
    options={"max_new_tokens": 64},
)
