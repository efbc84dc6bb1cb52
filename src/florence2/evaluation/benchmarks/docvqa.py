"""DocVQA: questions about pages of documents, by ANLS."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ...results.tasks import custom_task
from ..answer_values import to_text
from ..benchmark import Answered, Benchmark, BenchmarkExample, Scored, pictures_of
from ..metric import mean_metric
from ..metrics.input_checks import check_unique
from ..metrics.vqa import anls_scores, exact_matches
from .benchmark_files import (
    check_split_name,
    entries_of,
    field_of,
    find_file,
    id_of,
    image_path,
    read_json,
)
from .question_answering import (
    VqaExample,
    answers_of,
    question_case,
    scored,
    truth_of,
    write_answers,
)

VAL, TEST = "val", "test"
DOCVQA = custom_task("<DocVQA>")

SOURCE = """\
From docvqa.org (the Robust Reading Competition's download page), task 1, "single page":

    val_v1.0_withQT.json   (or val_v1.0.json)
    test_v1.0.json
    documents/xnbl0037_1.png ...   (the `image` field's path below this folder)"""

PROTOCOL = """\
val: 5,349 questions about 1,286 pages. Prompt `<DocVQA>` and the question, the prompt of the public
fine-tuning tutorial; `--prompt` names another. ANLS with a threshold of .5, and exact match. test:
5,188 questions with hidden answers; the official file is for the competition's server. Not in the
paper: the released weights answer no questions about documents, this is for fine-tunes."""


def read(data: Path, split: str) -> Sequence[BenchmarkExample]:
    """The questions of a split; with answers where they are known."""
    names = [f"{split}_v1.0_withQT.json", f"{split}_v1.0.json", f"{split}/{split}_v1.0.json"]
    path = find_file(data, names, SOURCE)
    content = read_json(path, "data")
    check_split_name(content, "dataset_split", split, path)
    cases = []
    for entry in entries_of(content, "data", path):
        number = id_of(entry, "questionId", path)
        image = str(field_of(entry, "image", path))
        answers = answers_of(entry, path)
        if split == VAL and not answers:
            raise ValueError(f"{path}: question {number} has no answers: is it the test split's?")
        kinds = {"question type": ", ".join(map(str, entry.get("question_types") or ("?",)))}
        truth = VqaExample(answers, kinds) if answers else None
        question = str(field_of(entry, "question", path))
        picture = _picture(path, image)
        cases.append(question_case(number, picture, image, question, truth, DOCVQA))
    check_unique([case.id for case in cases], f"question ids of {path}")
    return cases


def _picture(path: Path, image: str) -> Path:
    """The page's file: where the file of questions says, or below ``documents``."""
    said = image_path(path.parent, image, path)
    beside = path.parent / "documents" / said.name
    return beside if not said.is_file() and beside.is_file() else said


def score(answered: Sequence[Answered]) -> Scored:
    """ANLS, with tables by type of question, and exact match."""
    predictions = [to_text(each.answer) for each in answered]
    answers = [truth_of(each).answers for each in answered]
    found = scored(answered, "ANLS", anls_scores(predictions, answers))
    pictures = pictures_of(answered)
    exact = mean_metric("exact match", exact_matches(predictions, answers), pictures)
    return Scored((*found.figures, exact), found.qualities, found.tables)


write_results = partial(write_answers, name="docvqa_results.json", key="questionId")

BENCHMARK = Benchmark(
    name="docvqa",
    title="DocVQA",
    splits=(VAL, TEST),
    protocol=PROTOCOL,
    source=SOURCE,
    read=read,
    score=score,
    official=write_results,
    options={"max_new_tokens": 64},
)
