"""VizWiz-VQA: questions that blind people asked about their own photographs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ..benchmark import Benchmark, BenchmarkExample, Reported
from ..metrics.input_checks import check_unique
from .benchmark_files import entries_of, field_of, find_file, find_folder, image_path, read_json
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
From vizwiz.org, the VQA task's annotations and pictures:

    Annotations/val.json
    Annotations/test.json
    val/VizWiz_val_00000000.jpg ...
    test/VizWiz_test_00000000.jpg ..."""

PROTOCOL = f"""\
val: 4,319 questions, one a picture, ten answers each. Prompt `<VQA>` and the question. VQA accuracy
with the official normalisation; "unanswerable" is an answer like any other. test: 8,000 questions
with hidden answers; the official file is for the EvalAI server. The released models' card names
test-dev as the split of the paper's figures, so they stand beside test. {NO_VQA}"""


def read(data: Path, split: str) -> Sequence[BenchmarkExample]:
    """The questions of a split; with answers and their kinds where they are known."""
    path = find_file(data, [f"Annotations/{split}.json", f"annotations/{split}.json"], SOURCE)
    folder = find_folder(data, [split, f"images/{split}"], SOURCE)
    cases = []
    for entry in entries_of(read_json(path), None, path):
        image = str(field_of(entry, "image", path))
        if f"_{split}_" not in image:
            raise ValueError(f"{path}: picture {image!r} is not of split {split!r}")
        answers = answers_of(entry, path)
        if split == VAL and not answers:
            raise ValueError(f"{path}: the question about {image!r} has no answers")
        truth = None
        if answers:
            answerable = "answerable" if entry.get("answerable", 1) else "unanswerable"
            kinds = {"answer type": str(entry.get("answer_type", "?")), "answerability": answerable}
            truth = VqaExample(answers, kinds)
        question = str(field_of(entry, "question", path))
        cases.append(question_case(image, image_path(folder, image, path), image, question, truth))
    check_unique([case.id for case in cases], f"pictures of {path}")
    return cases


write_results = partial(write_answers, name="vizwiz_results.json", key="image")

BENCHMARK = Benchmark(
    name="vizwiz",
    title="VizWiz-VQA",
    splits=(VAL, TEST),
    protocol=PROTOCOL,
    source=SOURCE,
    read=read,
    score=partial(score_accuracy, protocol="vizwiz"),
    official=write_results,
    reported={TEST: {"accuracy": Reported(base_ft=63.6, large_ft=72.6)}},
    options={"max_new_tokens": 32},
)
