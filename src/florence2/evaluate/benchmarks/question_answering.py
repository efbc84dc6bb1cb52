"""Questions about pictures: what the question benchmarks share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...results import Text
from ...tasks import Task, free_prompt
from ..benchmark import Answered, Case, Scored, Table
from ..figures import mean_figure
from ..metrics.intervals import FloatArray
from ..metrics.vqa import Protocol, vqa_scores

VQA = free_prompt("<VQA>")
NO_VQA = """\
The released weights were not made to answer questions (the paper's mix had VQA, the weights give
no usable answers): this is for a model fine-tuned with this prompt; `--prompt` names another."""
_FIRST_WORDS_SHOWN = 12


@dataclass(frozen=True)
class Asked:
    """The truth of a question: people's answers, and its kinds by the name of the division
    (``{"answer type": "yes/no"}``)."""

    answers: tuple[str, ...]
    kinds: Mapping[str, str]


def question_case(
    question_id: str,
    image: Path,
    image_id: str,
    question: str,
    truth: Asked | None,
    task: Task = VQA,
) -> Case:
    """The case of one question; ``truth`` is ``None`` where the answers are hidden."""
    return Case(question_id, image, image_id, task, question, truth)


def answer_of(answered: Answered) -> str:
    """The answer in words; ``""`` where there is none."""
    return answered.answer.plain if isinstance(answered.answer, Text) else ""


def truth_of(answered: Answered) -> Asked:
    """The answers people gave. ``ValueError`` when they are not known."""
    truth = answered.case.truth
    if not isinstance(truth, Asked) or not truth.answers:
        raise ValueError(f"question {answered.case.id} has no answers to score by")
    return truth


def score_accuracy(answered: Sequence[Answered], protocol: Protocol) -> Scored:
    """VQA accuracy, with tables by kind and by first word of the question."""
    answers = [truth_of(each).answers for each in answered]
    predictions = [answer_of(each) for each in answered]
    return scored(answered, "accuracy", vqa_scores(predictions, answers, protocol))


def scored(answered: Sequence[Answered], name: str, scores: FloatArray) -> Scored:
    """One figure from a score in [0, 1] for each question, with its tables."""
    pictures = [each.case.image_id for each in answered]
    divisions = dict.fromkeys(kind for each in answered for kind in truth_of(each).kinds)
    tables = [
        _table(
            f"{name} by {division}",
            [truth_of(each).kinds.get(division, "?") for each in answered],
            scores,
        )
        for division in divisions
    ]
    tables.append(
        _table(
            f"{name} by first words of the question",
            [_first_words(each) for each in answered],
            scores,
            most=_FIRST_WORDS_SHOWN,
        )
    )
    return Scored((mean_figure(name, scores, pictures),), tuple(scores.tolist()), tuple(tables))


def _first_words(answered: Answered) -> str:
    return " ".join(str(answered.case.question).lower().split()[:2])


def _table(title: str, names: Sequence[str], scores: FloatArray, most: int | None = None) -> Table:
    """Questions and mean score by name, the most frequent names first."""
    rows = np.asarray(names, dtype=object)
    found, counts = np.unique(rows, return_counts=True)
    order = sorted(range(len(found)), key=lambda index: (-counts[index], found[index]))[:most]
    return Table(
        title,
        ("", "questions", "score"),
        tuple(
            (
                str(found[index]),
                int(counts[index]),
                round(100 * float(scores[rows == found[index]].mean()), 1),
            )
            for index in order
        ),
    )
