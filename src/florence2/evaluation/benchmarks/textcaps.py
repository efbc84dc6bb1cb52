"""TextCaps: captions that have to read the text in the picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..benchmark import Benchmark, BenchmarkExample, Reported
from .benchmark_files import (
    Id,
    check_split_name,
    entries_of,
    find_file,
    find_folder,
    id_of,
    image_path,
    read_json,
)
from .captioning import CaptionExample, caption_case, score_captions, write_results
from .textvqa import FOLDERS

VAL, TEST = "val", "test"

SOURCE = """\
From textvqa.org/textcaps: the annotations; the pictures are those of TextVQA (Open Images).

    TextCaps_0.1_val.json
    TextCaps_0.1_test.json
    train_images/0054c91397f2fe05.jpg ...   (train and val share this folder)
    test_images/..."""

PROTOCOL = """\
val: 3,166 pictures, five captions each. Prompt `<CAPTION>`. CIDEr-D, BLEU and ROUGE-L on PTB
tokens. test: 3,289 pictures whose captions are hidden; the official file is for the EvalAI server.
The paper's figures are CIDEr of val, as the released models' card says."""


def read(data: Path, split: str) -> Sequence[BenchmarkExample]:
    """The pictures of a split; with captions where they are known."""
    path = find_file(data, [f"TextCaps_0.1_{split}.json"], SOURCE)
    folder = find_folder(data, FOLDERS[split], SOURCE)
    content = read_json(path, "data")
    check_split_name(content, "dataset_type", split, path)
    pictures: dict[Id, list[str]] = {}
    for entry in entries_of(content, "data", path):
        _add(entry, pictures.setdefault(id_of(entry, "image_id", path), []))
    silent = [name for name, captions in pictures.items() if not captions]
    if split == VAL and silent:
        raise ValueError(f"{path}: picture {silent[0]!r} has no caption: is it the test split's?")
    return [
        caption_case(
            name,
            image_path(folder, f"{name}.jpg", path),
            CaptionExample(tuple(captions)) if captions else None,
        )
        for name, captions in pictures.items()
    ]


def _add(entry: Mapping[str, Any], captions: list[str]) -> None:
    """Put an entry's captions to those of its picture.

    There is an entry for each caption, and every one repeats all of the picture's as references.
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
    reported={VAL: {"CIDEr": Reported(70.1, 72.8, 143.9, 151.1)}},
    options={"max_new_tokens": 64},
)
