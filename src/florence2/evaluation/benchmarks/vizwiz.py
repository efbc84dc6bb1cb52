"""VizWiz-VQA: questions of blind people about their own photographs."""

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
From vizwiz.org, the VQA task's annotations and images:

    Annotations/val.json
    Annotations/test.json
    val/VizWiz_val_00000000.jpg ...
    test/VizWiz_test_00000000.jpg ..."""

PROTOCOL = f"""\
val: 4,319 questions, one per image, ten answers each. Prompt `<VQA>` and the question. VQA accuracy
with the official normalization; "unanswerable" is an answer like any other. test: 8,000 questions
with hidden answers; the official file is for the EvalAI server. The released models' card names
test-dev as the split of the paper's results, so they are compared with test. {NO_VQA}"""


def read(data: Path, split: str) -> Sequence[BenchmarkExample]:
    """The questions of a split; with answers and their kinds where they are known."""
    path = find_file(data, [f"Annotations/{split}.json", f"annotations/{split}.json"], SOURCE)
    directory = find_directory(data, [split, f"images/{split}"], SOURCE)
    examples = []
    for entry in get_entries(read_json(path), None, path):
        image = str(get_field(entry, "image", path))
        if f"_{split}_" not in image:
            raise ValueError(f"{path}: image {image!r} is not of split {split!r}")
        answers = get_answers(entry, path)
        if split == VAL and not answers:
            raise ValueError(f"{path}: the question about {image!r} has no answers")
        ground_truth = None
        if answers:
            answerable = "answerable" if entry.get("answerable", 1) else "unanswerable"
            kinds = {"answer type": str(entry.get("answer_type", "?")), "answerability": answerable}
            ground_truth = ReferenceAnswers(answers, kinds)
        question = str(get_field(entry, "question", path))
        examples.append(
            vqa_example(image, image_path(directory, image, path), image, question, ground_truth)
        )
    check_unique([example.id for example in examples], f"images of {path}")
    return examples


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
    reported={TEST: {"accuracy": PaperResult(base_ft=63.6, large_ft=72.6)}},
    options={"max_new_tokens": 32},
)
