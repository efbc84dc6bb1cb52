"""VQAv2: open questions about COCO's images, ten answers each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ..benchmark import Benchmark, BenchmarkExample, PaperResult
from ..metrics.input_checks import check_known, check_unique
from .benchmark_files import (
    Id,
    check_ids,
    check_split_name,
    find_directory,
    find_file,
    get_entries,
    get_field,
    get_id,
    get_integer,
    id_sort_key,
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

VAL, TEST_DEV, TEST = "val", "test-dev", "test"

SOURCE = """\
From visualqa.org, questions and annotations of version 2.0, and COCO's images of 2014 and 2015:

    v2_OpenEnded_mscoco_val2014_questions.json
    v2_mscoco_val2014_annotations.json
    v2_OpenEnded_mscoco_test-dev2015_questions.json
    v2_OpenEnded_mscoco_test2015_questions.json
    val2014/COCO_val2014_000000262148.jpg ...
    test2015/COCO_test2015_000000262144.jpg ..."""

PROTOCOL = f"""\
val: 214,354 questions about 40,504 images. Prompt `<VQA>` and the question. VQA accuracy with
the official normalization, averaged over leaving out each of ten people. test-dev: 107,394
questions with hidden answers, the split of the paper; the official file is for the EvalAI
server, which for `test` needs answers to all 447,793 questions. {NO_VQA}"""

_IMAGES = {VAL: "val2014", TEST_DEV: "test2015", TEST: "test2015"}
_QUESTIONS = {VAL: "val2014", TEST_DEV: "test-dev2015", TEST: "test2015"}


def read(data: Path, split: str) -> Sequence[BenchmarkExample]:
    """The questions of a split; with answers where they are known."""
    name = f"v2_OpenEnded_mscoco_{_QUESTIONS[split]}_questions.json"
    path = find_file(data, [name, f"questions/{name}", f"annotations/{name}"], SOURCE)
    images = _IMAGES[split]
    directory = find_directory(data, [images, f"images/{images}"], SOURCE)
    content = read_json(path, "questions")
    check_split_name(content, "data_subtype", _QUESTIONS[split], path)
    questions = get_entries(content, "questions", path)
    ids = [get_id(each, "question_id", path) for each in questions]
    check_ids(ids, f"ids of {path}")
    ground_truths = _answers(data, set(ids)) if split == VAL else {}
    examples = []
    for question_id, entry in zip(ids, questions, strict=True):
        number = get_integer(entry, "image_id", path)
        examples.append(
            vqa_example(
                question_id,
                directory / f"COCO_{images}_{number:012d}.jpg",
                str(number),
                str(get_field(entry, "question", path)),
                ground_truths.get(question_id),
            )
        )
    return examples


def _answers(data: Path, questions: set[Id]) -> dict[Id, ReferenceAnswers]:
    name = "v2_mscoco_val2014_annotations.json"
    path = find_file(data, [name, f"annotations/{name}"], SOURCE)
    annotations = get_entries(read_json(path, "annotations"), "annotations", path)
    numbers = [get_id(each, "question_id", path) for each in annotations]
    check_unique(numbers, f"question ids of {path}")
    check_known(numbers, questions, f"questions of {path}")
    missing = questions - set(numbers)
    if missing:
        raise ValueError(
            f"{path} has no answers to {len(missing)} questions, such as "
            f"{min(missing, key=id_sort_key)}"
        )
    return {
        number: ReferenceAnswers(
            get_answers(each, path),
            {
                "answer type": str(each.get("answer_type", "?")),
                "question type": str(each.get("question_type", "?")),
            },
        )
        for number, each in zip(numbers, annotations, strict=True)
    }


write_results = partial(write_answers, name="vqav2_results.json", key="question_id")

BENCHMARK = Benchmark(
    name="vqav2",
    title="VQAv2",
    splits=(VAL, TEST_DEV, TEST),
    protocol=PROTOCOL,
    source=SOURCE,
    read=read,
    score=partial(score_accuracy, protocol="vqav2"),
    official=write_results,
    reported={TEST_DEV: {"accuracy": PaperResult(base_ft=79.7, large_ft=81.7)}},
    options={"max_new_tokens": 32},
)
