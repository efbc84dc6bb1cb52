"""Questions about pictures: what the question benchmarks share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...io.atomic import replace_json
from ...results.tasks import Task, custom_task
from ..answer_values import to_text
from ..benchmark import Answered, BenchmarkExample, Scored, pictures_of
from ..metric import mean_metric
from ..metrics.intervals import FloatArray
from ..metrics.vqa import Protocol, vqa_scores
from .benchmark_files import Id, field_of
from .group_table import grouped_table

VQA = custom_task("<VQA>")
NO_VQA = """\
The released weights were not made to answer questions (the paper's mix had VQA, the weights give
no usable answers): this is for a model fine-tuned with this prompt; `--prompt` names another."""
_FIRST_WORDS_SHOWN = 12
_COLUMNS = ("", "questions", "score")


@dataclass(frozen=True)
class VqaExample:
    """The truth of a question: people's answers, and its kinds by the name of the division
    (``{"answer type": "yes/no"}``)."""

    answers: tuple[str, ...]
    kinds: Mapping[str, str]


def question_case(
    question_id: Id,
    image: Path,
    image_id: str,
    question: str,
    truth: VqaExample | None,
    task: Task = VQA,
) -> BenchmarkExample:
    """The case of one question; ``truth`` is ``None`` where the answers are hidden."""
    return BenchmarkExample(
        str(question_id), image, image_id, task, question, truth, file_id=question_id
    )


def truth_of(answered: Answered) -> VqaExample:
    """The answers people gave. ``ValueError`` when they are not known."""
    truth = answered.case.truth
    if not isinstance(truth, VqaExample) or not truth.answers:
        raise ValueError(f"question {answered.case.id} has no answers to score by")
    return truth


def score_accuracy(answered: Sequence[Answered], protocol: Protocol) -> Scored:
    """VQA accuracy, with tables by kind and by first word of the question."""
    answers = [truth_of(each).answers for each in answered]
    predictions = [to_text(each.answer) for each in answered]
    return scored(answered, "accuracy", vqa_scores(predictions, answers, protocol))


def scored(answered: Sequence[Answered], name: str, scores: FloatArray) -> Scored:
    """One figure from a score in [0, 1] for each question, with its tables."""
    pictures = pictures_of(answered)
    divisions = dict.fromkeys(kind for each in answered for kind in truth_of(each).kinds)
    tables = [
        grouped_table(
            f"{name} by {division}",
            _COLUMNS,
            [truth_of(each).kinds.get(division, "?") for each in answered],
            scores.tolist(),
        )
        for division in divisions
    ]
    tables.append(
        grouped_table(
            f"{name} by first words of the question",
            _COLUMNS,
            [_first_words(each) for each in answered],
            scores.tolist(),
            most=_FIRST_WORDS_SHOWN,
        )
    )
    return Scored((mean_metric(name, scores, pictures),), tuple(scores.tolist()), tuple(tables))


def answers_of(entry: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """The answers that people gave: strings, or objects with an ``answer``; none where hidden.

    Raises ``ValueError`` with the entry when they are anything else.
    """
    given = entry.get("answers") or ()
    if not isinstance(given, list | tuple):
        raise ValueError(f"{path}: answers must be a list, got {given!r} in {dict(entry)!r:.200}")
    return tuple(
        each if isinstance(each, str) else str(field_of(each, "answer", path)) for each in given
    )


def write_answers(answered: Sequence[Answered], folder: Path, name: str, key: str) -> list[Path]:
    """The list ``[{key: 1, "answer": "..."}]`` that servers and official scripts take.

    Ids are written as the benchmark's file has them.
    """
    path = folder / name
    results = [{key: each.case.file_id, "answer": to_text(each.answer)} for each in answered]
    replace_json(path, results)
    return [path]


def _first_words(answered: Answered) -> str:
    return " ".join(str(answered.case.question).lower().split()[:2])
