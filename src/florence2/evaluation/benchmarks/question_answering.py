"""Shared parts of the VQA benchmarks: examples, accuracy, result files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...io.atomic import replace_json
from ...results.tasks import Task, custom_task
from ..answer_values import to_text
from ..benchmark import (
    BenchmarkExample,
    BenchmarkScores,
    ExamplePrediction,
    get_image_ids,
    group_table,
)
from ..metric import mean_metric
from ..metrics.intervals import FloatArray
from ..metrics.vqa import Protocol, vqa_scores
from .benchmark_files import Id, get_field

VQA = custom_task("<VQA>")
NO_VQA = """\
The released weights cannot answer questions (the paper's training mix had VQA): this is for a model
fine-tuned with this prompt; `--prompt` sets another."""
_FIRST_WORDS_SHOWN = 12
_COLUMNS = ("", "questions", "score")


@dataclass(frozen=True)
class ReferenceAnswers:
    """The answers of people to a question, and its kinds by name of the division
    (``{"answer type": "yes/no"}``)."""

    answers: tuple[str, ...]
    kinds: Mapping[str, str]


def vqa_example(
    question_id: Id,
    image: Path,
    image_id: str,
    question: str,
    ground_truth: ReferenceAnswers | None,
    task: Task = VQA,
) -> BenchmarkExample:
    """The example of one question; ``ground_truth`` is ``None`` where answers are hidden."""
    return BenchmarkExample(
        str(question_id), image, image_id, task, question, ground_truth, file_id=question_id
    )


def get_reference_answers(predictions: ExamplePrediction) -> ReferenceAnswers:
    """The answers of people; ``ValueError`` where they are hidden."""
    ground_truth = predictions.example.ground_truth
    if not isinstance(ground_truth, ReferenceAnswers) or not ground_truth.answers:
        raise ValueError(f"question {predictions.example.id} has no answers to score by")
    return ground_truth


def score_accuracy(predictions: Sequence[ExamplePrediction], protocol: Protocol) -> BenchmarkScores:
    """VQA accuracy, with tables by kind and by first word of the question."""
    answers = [get_reference_answers(each).answers for each in predictions]
    texts = [to_text(each.answer) for each in predictions]
    return score_questions(predictions, "accuracy", vqa_scores(texts, answers, protocol))


def score_questions(
    predictions: Sequence[ExamplePrediction], name: str, scores: FloatArray
) -> BenchmarkScores:
    """One metric from a score in [0, 1] of each question, with its tables."""
    image_ids = get_image_ids(predictions)
    divisions = dict.fromkeys(
        kind for each in predictions for kind in get_reference_answers(each).kinds
    )
    tables = [
        group_table(
            f"{name} by {division}",
            _COLUMNS,
            [get_reference_answers(each).kinds.get(division, "?") for each in predictions],
            scores.tolist(),
        )
        for division in divisions
    ]
    tables.append(
        group_table(
            f"{name} by first words of the question",
            _COLUMNS,
            [_first_words(each) for each in predictions],
            scores.tolist(),
            max_rows=_FIRST_WORDS_SHOWN,
        )
    )
    return BenchmarkScores(
        (mean_metric(name, scores, image_ids),), tuple(scores.tolist()), tuple(tables)
    )


def get_answers(entry: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """The answers of people: strings, or objects with an ``answer``; empty where hidden.

    Raises ``ValueError`` with the entry for another value.
    """
    given = entry.get("answers") or ()
    if not isinstance(given, list | tuple):
        raise ValueError(f"{path}: answers must be a list, got {given!r} in {dict(entry)!r:.200}")
    return tuple(
        each if isinstance(each, str) else str(get_field(each, "answer", path)) for each in given
    )


def write_answers(
    predictions: Sequence[ExamplePrediction], directory: Path, name: str, key: str
) -> list[Path]:
    """Write the list ``[{key: 1, "answer": "..."}]`` of servers and official scripts.

    Ids are written as in the benchmark's file.
    """
    path = directory / name
    results = [{key: each.example.file_id, "answer": to_text(each.answer)} for each in predictions]
    replace_json(path, results)
    return [path]


def _first_words(prediction: ExamplePrediction) -> str:
    return " ".join(str(prediction.example.prompt_input).lower().split()[:2])
