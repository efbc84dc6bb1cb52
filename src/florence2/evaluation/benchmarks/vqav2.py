"""VQAv2: open questions about COCO's pictures, ten answers each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ..benchmark import Benchmark, BenchmarkExample, Reported
from ..metrics.input_checks import check_known, check_unique
from .benchmark_files import (
    Id,
    check_ids,
    check_split_name,
    entries_of,
    field_of,
    find_file,
    find_folder,
    id_of,
    order_of_id,
    read_json,
    whole_number_of,
)
from .question_answering import (
    NO_VQA,
    VqaExample,
    answers_of,
    question_case,
    score_accuracy,
    write_answers,
)

VAL, TEST_DEV, TEST = "val", "test-dev", "test"

SOURCE = """\
From visualqa.org, questions and annotations of version 2.0, and COCO's pictures of 2014 and 2015:

    v2_OpenEnded_mscoco_val2014_questions.json
    v2_mscoco_val2014_annotations.json
    v2_OpenEnded_mscoco_test-dev2015_questions.json
    v2_OpenEnded_mscoco_test2015_questions.json
    val2014/COCO_val2014_000000262148.jpg ...
    test2015/COCO_test2015_000000262144.jpg ..."""

PROTOCOL = f"""\
val: 214,354 questions about 40,504 pictures. Prompt `<VQA>` and the question. VQA accuracy with
the official normalisation, averaged over leaving out each of ten people. test-dev: 107,394
questions with hidden answers, on which the paper reports; the official file is for the EvalAI
server, which for `test` wants answers to all 447,793 questions. {NO_VQA}"""

_PICTURES = {VAL: "val2014", TEST_DEV: "test2015", TEST: "test2015"}
_QUESTIONS = {VAL: "val2014", TEST_DEV: "test-dev2015", TEST: "test2015"}


def read(data: Path, split: str) -> Sequence[BenchmarkExample]:
    """The questions of a split; with answers where they are known."""
    name = f"v2_OpenEnded_mscoco_{_QUESTIONS[split]}_questions.json"
    path = find_file(data, [name, f"questions/{name}", f"annotations/{name}"], SOURCE)
    pictures = _PICTURES[split]
    folder = find_folder(data, [pictures, f"images/{pictures}"], SOURCE)
    content = read_json(path, "questions")
    check_split_name(content, "data_subtype", _QUESTIONS[split], path)
    questions = entries_of(content, "questions", path)
    ids = [id_of(each, "question_id", path) for each in questions]
    check_ids(ids, f"ids of {path}")
    truths = _answers(data, set(ids)) if split == VAL else {}
    cases = []
    for question_id, entry in zip(ids, questions, strict=True):
        number = whole_number_of(entry, "image_id", path)
        cases.append(
            question_case(
                question_id,
                folder / f"COCO_{pictures}_{number:012d}.jpg",
                str(number),
                str(field_of(entry, "question", path)),
                truths.get(question_id),
            )
        )
    return cases


def _answers(data: Path, questions: set[Id]) -> dict[Id, VqaExample]:
    name = "v2_mscoco_val2014_annotations.json"
    path = find_file(data, [name, f"annotations/{name}"], SOURCE)
    annotations = entries_of(read_json(path, "annotations"), "annotations", path)
    numbers = [id_of(each, "question_id", path) for each in annotations]
    check_unique(numbers, f"question ids of {path}")
    check_known(numbers, questions, f"questions of {path}")
    missing = questions - set(numbers)
    if missing:
        raise ValueError(
            f"{path} has no answers to {len(missing)} questions, such as "
            f"{min(missing, key=order_of_id)}"
        )
    return {
        number: VqaExample(
            answers_of(each, path),
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
    reported={TEST_DEV: {"accuracy": Reported(base_ft=79.7, large_ft=81.7)}},
    options={"max_new_tokens": 32},
)
