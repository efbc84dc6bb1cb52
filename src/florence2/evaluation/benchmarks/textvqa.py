"""TextVQA: questions that need the text in the image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ..benchmark import Benchmark, BenchmarkExample, PaperResult
from ..metrics.input_checks import check_unique
from .benchmark_files import (
    check_split_name,
    find_directory,
    find_file,
    get_entries,
    get_field,
    get_id,
    image_path,
    read_json,
)
from .question_answering import (
    NO_VQA,
    ReferenceAnswers,
    get_answers,
    score_accuracy,
    vqa_example,
    write_answers,
)

VAL, TEST = "val", "test"

SOURCE = """\
From textvqa.org, version 0.5.1; the images are Open Images':

    TextVQA_0.5.1_val.json
    TextVQA_0.5.1_test.json
    train_images/003a8ae2ef43b901.jpg ...   (train and val share this directory)
    test_images/..."""

PROTOCOL = f"""\
val: 5,000 questions, ten answers each. Prompt `<VQA>` and the question, without text from an OCR
system.
VQA accuracy with TextVQA's normalization. test: 5,734 questions with hidden answers; the official
file is for the EvalAI server. The released models' card names test-dev as the split of the paper's
results, so they are compared with test. {NO_VQA}"""

FOLDERS = {
    VAL: ["train_images", "train_val_images/train_images", "images"],
    TEST: ["test_images", "images"],
}


def read(data: Path, split: str) -> Sequence[BenchmarkExample]:
    """The questions of a split; with answers where they are known."""
    path = find_file(data, [f"TextVQA_0.5.1_{split}.json"], SOURCE)
    directory = find_directory(data, FOLDERS[split], SOURCE)
    content = read_json(path, "data")
    check_split_name(content, "dataset_type", split, path)
    examples = []
    for entry in get_entries(content, "data", path):
        image = str(get_id(entry, "image_id", path))
        number = get_id(entry, "question_id", path)
        answers = get_answers(entry, path)
        if split == VAL and not answers:
            raise ValueError(f"{path}: question {number} has no answers: it is the test split")
        ground_truth = ReferenceAnswers(answers, {}) if answers else None
        question = str(get_field(entry, "question", path))
        examples.append(
            vqa_example(
                number, image_path(directory, f"{image}.jpg", path), image, question, ground_truth
            )
        )
    check_unique([example.id for example in examples], f"question ids of {path}")
    return examples


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
    reported={TEST: {"accuracy": PaperResult(base_ft=63.6, large_ft=73.5)}},
    options={"max_new_tokens": 32},
)
