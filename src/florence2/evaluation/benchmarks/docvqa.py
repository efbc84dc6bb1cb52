"""DocVQA: questions about document pages, scored by ANLS."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ...results.tasks import custom_task
from ..answer_values import to_text
from ..benchmark import (
    Benchmark,
    BenchmarkExample,
    BenchmarkScores,
    ExamplePrediction,
    get_image_ids,
)
from ..metric import mean_metric
from ..metrics.input_checks import check_unique
from ..metrics.vqa import anls_scores, exact_matches
from .benchmark_files import (
    check_split_name,
    find_file,
    get_entries,
    get_field,
    get_id,
    image_path,
    read_json,
)
from .question_answering import (
    ReferenceAnswers,
    get_answers,
    get_reference_answers,
    score_questions,
    vqa_example,
    write_answers,
)

VAL, TEST = "val", "test"
DOCVQA = custom_task("<DocVQA>")

SOURCE = """\
From docvqa.org (the Robust Reading Competition's download page), task 1, "single page":

    val_v1.0_withQT.json   (or val_v1.0.json)
    test_v1.0.json
    documents/xnbl0037_1.png ...   (the `image` field's path below this directory)"""

PROTOCOL = """\
val: 5,349 questions about 1,286 pages. Prompt `<DocVQA>` and the question, the prompt of the public
fine-tuning tutorial; `--prompt` sets another. ANLS with a threshold of .5, and exact match. test:
5,188 questions with hidden answers; the official file is for the competition's server. Not in the
paper: the released weights cannot answer questions about documents, fine-tuned ones can."""


def read(data: Path, split: str) -> Sequence[BenchmarkExample]:
    """The questions of a split; with answers where they are known."""
    names = [f"{split}_v1.0_withQT.json", f"{split}_v1.0.json", f"{split}/{split}_v1.0.json"]
    path = find_file(data, names, SOURCE)
    content = read_json(path, "data")
    check_split_name(content, "dataset_split", split, path)
    examples = []
    for entry in get_entries(content, "data", path):
        number = get_id(entry, "questionId", path)
        image = str(get_field(entry, "image", path))
        answers = get_answers(entry, path)
        if split == VAL and not answers:
            raise ValueError(f"{path}: question {number} has no answers: it is the test split")
        kinds = {"question type": ", ".join(map(str, entry.get("question_types") or ("?",)))}
        ground_truth = ReferenceAnswers(answers, kinds) if answers else None
        question = str(get_field(entry, "question", path))
        page = _image_path(path, image)
        examples.append(vqa_example(number, page, image, question, ground_truth, DOCVQA))
    check_unique([example.id for example in examples], f"question ids of {path}")
    return examples


def _image_path(path: Path, image: str) -> Path:
    """The image of the page: at the path in the file of questions, or below ``documents``."""
    listed = image_path(path.parent, image, path)
    other = path.parent / "documents" / listed.name
    return other if not listed.is_file() and other.is_file() else listed


def score(predictions: Sequence[ExamplePrediction]) -> BenchmarkScores:
    """ANLS and exact match, with tables by type of question."""
    texts = [to_text(each.answer) for each in predictions]
    answers = [get_reference_answers(each).answers for each in predictions]
    found = score_questions(predictions, "ANLS", anls_scores(texts, answers))
    images = get_image_ids(predictions)
    exact = mean_metric("exact match", exact_matches(texts, answers), images)
    return BenchmarkScores((*found.metrics, exact), found.per_example, found.tables)


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
