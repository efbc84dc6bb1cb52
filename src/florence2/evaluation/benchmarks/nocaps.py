"""NoCaps: captions of objects that COCO's captions never name, by domain."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ..benchmark import Benchmark, BenchmarkExample, Reported
from .benchmark_files import field_of, find_file, find_folder, image_path
from .captioning import (
    CaptionExample,
    caption_case,
    read_coco_captions,
    score_captions,
    write_results,
)

VAL, TEST = "val", "test"

SOURCE = """\
From nocaps.org: the annotations; the pictures are Open Images V4's, under the file names that the
annotations give.

    nocaps_val_4500_captions.json
    nocaps_test_image_info.json
    images/0013ea2087020901.jpg ...   (or val/ and test/)"""

PROTOCOL = """\
val: 4,500 pictures, ten captions each, in-domain, near-domain and out-of-domain. Prompt
`<CAPTION>`. CIDEr-D over the whole split; CIDEr of a domain is the mean of its pictures' values,
whose document frequencies are the whole split's. (Scripts that score a domain as a set of its own
count frequencies in that domain: their figures of domains differ, the overall one does not.)
test: 10,600 pictures whose captions are hidden; the official file is for the EvalAI server."""

_FILES = {VAL: "nocaps_val_4500_captions.json", TEST: "nocaps_test_image_info.json"}
_DOMAINS = {"in-domain", "near-domain", "out-domain"}


def read(data: Path, split: str) -> Sequence[BenchmarkExample]:
    """The pictures of a split; with captions and domain where they are known."""
    path = find_file(data, [_FILES[split], f"annotations/{_FILES[split]}"], SOURCE)
    folder = find_folder(data, [split, f"images/{split}", "images"], SOURCE)
    images, captions = read_coco_captions(path, hidden=split == TEST)
    cases = []
    for number, image in zip(captions, images, strict=True):
        truth = None
        if split == VAL:
            domain = field_of(image, "domain", path)
            if domain not in _DOMAINS:
                raise ValueError(f"{path}: image {number} is of unknown domain {domain!r}")
            truth = CaptionExample(tuple(captions[number]), domain)
        name = image_path(folder, field_of(image, "file_name", path), path)
        cases.append(caption_case(number, name, truth))
    return cases


BENCHMARK = Benchmark(
    name="nocaps",
    title="NoCaps",
    splits=(VAL, TEST),
    protocol=PROTOCOL,
    source=SOURCE,
    read=read,
    score=score_captions,
    official=partial(write_results, name="nocaps_results.json"),
    reported={VAL: {"CIDEr": Reported(118.7, 120.8, 116.7, 124.9)}},
    options={"max_new_tokens": 64},
)
