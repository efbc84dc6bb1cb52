"""NoCaps: captions of objects that are not in COCO's captions, by domain."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ..benchmark import Benchmark, BenchmarkExample, PaperResult
from .benchmark_files import find_directory, find_file, get_field, image_path
from .captioning import (
    ReferenceCaptions,
    caption_example,
    read_coco_captions,
    score_captions,
    write_results,
)

VAL, TEST = "val", "test"

SOURCE = """\
From nocaps.org: the annotations; the images are those of Open Images V4, under the file names in
the annotations.

    nocaps_val_4500_captions.json
    nocaps_test_image_info.json
    images/0013ea2087020901.jpg ...   (or val/ and test/)"""

PROTOCOL = """\
val: 4,500 images, ten captions each, in-domain, near-domain and out-of-domain. Prompt
`<CAPTION>`. CIDEr-D over the whole split; CIDEr of a domain is the mean over its images, with the
document frequencies of the whole split. (Scripts that score a domain as its own set count
frequencies in that domain: their values of domains differ, the overall value does not.)
test: 10,600 images whose captions are hidden; the official file is for the EvalAI server."""

_FILES = {VAL: "nocaps_val_4500_captions.json", TEST: "nocaps_test_image_info.json"}
_DOMAINS = {"in-domain", "near-domain", "out-domain"}


def read(data: Path, split: str) -> Sequence[BenchmarkExample]:
    """The images of a split; with captions and domain where they are known."""
    path = find_file(data, [_FILES[split], f"annotations/{_FILES[split]}"], SOURCE)
    directory = find_directory(data, [split, f"images/{split}", "images"], SOURCE)
    images, captions = read_coco_captions(path, hidden=split == TEST)
    examples = []
    for number, image in zip(captions, images, strict=True):
        ground_truth = None
        if split == VAL:
            domain = get_field(image, "domain", path)
            if domain not in _DOMAINS:
                raise ValueError(f"{path}: image {number} has unknown domain {domain!r}")
            ground_truth = ReferenceCaptions(tuple(captions[number]), domain)
        name = image_path(directory, get_field(image, "file_name", path), path)
        examples.append(caption_example(number, name, ground_truth))
    return examples


BENCHMARK = Benchmark(
    name="nocaps",
    title="NoCaps",
    splits=(VAL, TEST),
    protocol=PROTOCOL,
    source=SOURCE,
    read=read,
    score=score_captions,
    official=partial(write_results, name="nocaps_results.json"),
    reported={VAL: {"CIDEr": PaperResult(118.7, 120.8, 116.7, 124.9)}},
    options={"max_new_tokens": 64},
)
