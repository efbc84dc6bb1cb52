"""TextCaps: captions that need the text in the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..benchmark import Benchmark, BenchmarkExample, PaperResult
from .benchmark_files import (
    Id,
    check_split_name,
    find_directory,
    find_file,
    get_entries,
    get_id,
    image_path,
    read_json,
)
from .captioning import ReferenceCaptions, caption_example, score_captions, write_results
from .textvqa import FOLDERS

VAL, TEST = "val", "test"

SOURCE = """\
From textvqa.org/textcaps: the annotations; the images are those of TextVQA (Open Images).

    TextCaps_0.1_val.json
    TextCaps_0.1_test.json
    train_images/0054c91397f2fe05.jpg ...   (train and val share this directory)
    test_images/..."""

PROTOCOL = """\
val: 3,166 images, five captions each. Prompt `<CAPTION>`. CIDEr-D, BLEU and ROUGE-L on PTB
tokens. test: 3,289 images with hidden captions; the official file is for the EvalAI server. The
paper's results are CIDEr of val, by the released models' card."""


def read(data: Path, split: str) -> Sequence[BenchmarkExample]:
    """The images of a split; with captions where they are known."""
    path = find_file(data, [f"TextCaps_0.1_{split}.json"], SOURCE)
    directory = find_directory(data, FOLDERS[split], SOURCE)
    content = read_json(path, "data")
    check_split_name(content, "dataset_type", split, path)
    images: dict[Id, list[str]] = {}
    for entry in get_entries(content, "data", path):
        _add(entry, images.setdefault(get_id(entry, "image_id", path), []))
    missing = [name for name, captions in images.items() if not captions]
    if split == VAL and missing:
        raise ValueError(f"{path}: image {missing[0]!r} has no caption: it is the test split")
    return [
        caption_example(
            name,
            image_path(directory, f"{name}.jpg", path),
            ReferenceCaptions(tuple(captions)) if captions else None,
        )
        for name, captions in images.items()
    ]


def _add(entry: Mapping[str, Any], captions: list[str]) -> None:
    """Add the captions of an entry to those of its image.

    There is an entry for each caption, and each repeats all captions of the image as references.
    """
    if entry.get("reference_strs"):
        captions[:] = map(str, entry["reference_strs"])
    elif entry.get("caption_str"):
        captions.append(str(entry["caption_str"]))


BENCHMARK = Benchmark(
    name="textcaps",
    title="TextCaps",
    splits=(VAL, TEST),
    protocol=PROTOCOL,
    source=SOURCE,
    read=read,
    score=score_captions,
    official=partial(write_results, name="textcaps_results.json"),
    reported={VAL: {"CIDEr": PaperResult(70.1, 72.8, 143.9, 151.1)}},
    options={"max_new_tokens": 64},
)
