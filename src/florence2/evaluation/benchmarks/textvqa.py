"""TextVQA: questions whose answers are written in the picture."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ..benchmark import Benchmark, BenchmarkExample, Reported
from ..metrics.input_checks import check_unique
from .benchmark_files import (
    check_split_name,
    entries_of,
    field_of,
    find_file,
    find_folder,
    id_of,
    image_path,
    read_json,
)
from .question_answering import (
    NO_VQA,
    VqaExample,
    answers_of,
    question_case,
    score_accuracy,
    write_answers,
)

VAL, TEST = "val", "test"

SOURCE = """\
From textvqa.org, version 0.5.1; the pictures are Open Images':

    TextVQA_0.5.1_val.json
    TextVQA_0.5.1_test.json
    train_images/003a8ae2ef43b901.jpg ...   (train and val share this folder)
    test_images/..."""

PROTOCOL = f"""\
val: 5,000 questions, ten answers each. Prompt `<VQA>` and the question, no text of an OCR system.
VQA accuracy with TextVQA's normalisation. test: 5,734 questions with hidden answers; the official
file is for the EvalAI server. The released models' card names test-dev as the split of the paper's
figures, so they stand beside test, and none beside val. {NO_VQA}"""

FOLDERS = {
    VAL: ["train_images", "train_val_images/train_images", "images"],
    TEST: ["test_images", "images"],
}


def read(data: Path, split: str) -> Sequence[BenchmarkExample]:
    """The questions of a split; with answers where they are known."""
    path = find_file(data, [f"TextVQA_0.5.1_{split}.json"], SOURCE)
    folder = find_folder(data, FOLDERS[split], SOURCE)
    content = read_json(path, "data")
    check_split_name(content, "dataset_type", split, path)
    cases = []
    for entry in entries_of(content, "data", path):
        image = str(id_of(entry, "image_id", path))
        number = id_of(entry, "question_id", path)
        answers = answers_of(entry, path)
        if split == VAL and not answers:
            raise ValueError(f"{path}: question {number} has no answers: is it the test split's?")
        truth = VqaExample(answers, {}) if answers else None
        question = str(field_of(entry, "question", path))
        cases.append(
            question_case(number, image_path(folder, f"{image}.jpg", path), image, question, truth)
        )
    check_unique([case.id for case in cases], f"question ids of {path}")
    return cases


write_results = partial(write_answers, name="textvqa_results.json", key="question_id")

BENCHMARK = Benchmark(
    name="textvqa",
    title="TextVQA",
    splits=(VAL, TEST),
    protocol=PROTOCOL,
    source=SOURCE,
    read=read,
    score=partial(score_accuracy, protocol="textvqa"),
    official=write_results,
    reported={TEST: {"accuracy": Reported(base_ft=63.6, large_ft=73.5)}},
    options={"max_new_tokens": 32},
)
