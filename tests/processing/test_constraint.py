"""Answers made at random of what is allowed: every one is whole, and reads back whole."""

from __future__ import annotations

import re

import numpy as np
import pytest

import florence2
from florence2.inference.predictor import BUNDLED, Florence2, resolve_checkpoint
from florence2.processing import grammar
from florence2.processing.constraint import Constraint
from florence2.processing.tokenizer import Tokenizer
from florence2.results.tasks import AnswerKind, find_task
from florence2.results.types import Boxes, Polygons, Quads

POLYGON = "(?:ll){3,}"
FORMS: dict[AnswerKind, str] = {
    "text": "[wl]*",
    "boxes": "(?:w+(?:l{4})+)*",
    "phrases": "(?:w+(?:l{4})+)*",
    "proposals": "(?:l{4})*",
    "quads": "(?:w+l{8})*",
    "polygons": f"(?:{POLYGON}(?:s{POLYGON})*)?|(?:o{POLYGON}(?:s{POLYGON})*c)+",
    "boxes_or_polygons": f"(?:w+(?:l{{4}})+)*|(?:w+(?:o{POLYGON}(?:s{POLYGON})*c)+)*",
}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(resolve_checkpoint(BUNDLED) / "tokenizer.json")


def letters(ids: list[int], tokenizer: Tokenizer) -> str:
    """Each token by its class."""
    markers = {tokenizer.polygon_open: "o", tokenizer.polygon_close: "c", tokenizer.separator: "s"}
    return "".join(markers.get(each, "l" if tokenizer.is_location(each) else "w") for each in ids)


def drawn(constraint: Constraint, tokenizer: Tokenizer, seed: int) -> list[int]:
    """A body made of allowed tokens, every class as likely as another."""
    rng = np.random.default_rng(seed)
    ids = [tokenizer.eos, tokenizer.bos]
    for _ in range(2000):
        allowed = constraint.allowed(ids).mask.nonzero()[0]
        assert len(allowed)
        choice = int(rng.choice(allowed))
        if tokenizer.eos in allowed and rng.random() < 0.15:
            return ids[2:]
        if len(allowed) > 1000 and rng.random() < 0.6:
            choice = tokenizer.first_location + int(rng.integers(1000))
            choice = choice if choice in allowed else int(rng.choice(allowed))
        rare = [each for each in (tokenizer.polygon_open, tokenizer.polygon_close,
                                  tokenizer.separator) if each in allowed]  # fmt: skip
        if rare and rng.random() < 0.3:
            choice = int(rng.choice(rare))
        if choice == tokenizer.eos:
            return ids[2:]
        ids.append(choice)
    raise AssertionError("no end was ever allowed")


@pytest.mark.parametrize("kind", list(FORMS))
def test_whatever_is_allowed_is_a_whole_answer(kind: AnswerKind, tokenizer: Tokenizer) -> None:
    constraint, seen = Constraint(kind, tokenizer), set()
    for seed in range(60):
        body = drawn(constraint, tokenizer, seed)
        form = letters(body, tokenizer)
        assert re.fullmatch(FORMS[kind], form), form
        seen.add(form[:3])
        ids = [tokenizer.bos, *body, tokenizer.eos]
        answer = grammar.read(ids, kind, (1000, 1000), tokenizer)
        # Nothing that was said is skipped: the locations of the answer are those of the ids.
        if kind in ("boxes", "proposals") and isinstance(answer, Boxes):
            assert 4 * len(answer.xyxy) == form.count("l")
        if isinstance(answer, Quads):
            assert 8 * len(answer.corners) == form.count("l")
        if isinstance(answer, Polygons):
            points = sum(len(part) for parts in answer.polygons for part in parts)
            assert 2 * points == form.count("l")
    assert len(seen) > 1


def test_locations_alone_are_told_as_a_span(tokenizer: Tokenizer) -> None:
    constraint, first = Constraint("boxes", tokenizer), tokenizer.first_location
    start = [tokenizer.eos, tokenizer.bos, *tokenizer.encode("car")]
    assert constraint.allowed(start).id_range is None
    assert constraint.allowed([*start, first + 5]).id_range == range(first, first + 1000)
    assert constraint.allowed([*start, *[first] * 4]).id_range is None


def test_a_label_of_white_space_is_no_label(tokenizer: Tokenizer) -> None:
    constraint = Constraint("boxes", tokenizer)
    start = [tokenizer.eos, tokenizer.bos, *tokenizer.encode_plain(" ")]
    assert not constraint.allowed(start).mask[tokenizer.first_location]
    named = [*start, *tokenizer.encode_plain("car")]
    assert constraint.allowed(named).mask[tokenizer.first_location]


@pytest.fixture(scope="module")
def noisy() -> Florence2:
    """A model of random weights, which unconstrained says anything at all."""
    from florence2.model import Florence2Model
    from florence2.processing.processor import Processor
    from florence2.runtime import TorchRuntime

    bundled = florence2.load("nano", device="cpu")
    model = Florence2Model(bundled.config)
    model.initialize(seed=4)
    processor = Processor(bundled.tokenizer, bundled.processor.preprocessing)
    return Florence2("noisy", TorchRuntime(model), processor, trained=False)


@pytest.mark.parametrize("options", [{}, {"beams": 1}, {"seed": 3, "temperature": 2.0}])
def test_constrained_answers_of_noise_parse(noisy: Florence2, options: dict[str, int]) -> None:
    picture = np.zeros((40, 60, 3), np.uint8)
    tasks = (("od", None), ("ocr_with_region", None), ("region_proposal", None),
             ("referring_expression_segmentation", "a car"), ("caption", None))  # fmt: skip
    requests = [(picture, task, text) for task, text in tasks]
    found = noisy.batch(requests, max_new_tokens=40, constrained=True, **options)
    for (task, text), result in zip(tasks, found, strict=True):
        ids = list(result.token_ids)
        body, kind = ids[1:-1], find_task(task).answer
        form = letters(body, noisy.tokenizer)
        # The length limit may cut an answer; what stands before it follows the grammar.
        assert re.fullmatch(f"(?:{FORMS[kind]})[wl]*(?:o[ls]*)?", form), (task, form)
        alone = noisy(picture, task, text, max_new_tokens=40, constrained=True,
                      **options)  # fmt: skip
        assert alone.token_ids == result.token_ids


def test_a_narrow_head_gives_the_answer_of_the_whole_one(
    noisy: Florence2, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans: list[range | None] = []
    step = noisy.runtime.step

    def whole(state, ids, id_range=None):  # type: ignore[no-untyped-def]
        spans.append(id_range)
        return step(state, ids)

    picture = np.zeros((40, 60, 3), np.uint8)
    asked = {"max_new_tokens": 30, "constrained": True}
    narrow = noisy(picture, "region_proposal", **asked)
    monkeypatch.setattr(noisy.runtime, "step", whole)
    assert noisy(picture, "region_proposal", **asked).token_ids == narrow.token_ids
    assert sum(each is not None for each in spans) > len(spans) / 2
