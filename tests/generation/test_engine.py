"""Continuous batching: every request gets the output of a call of its own."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from florence2.generation import DecodingOptions, Engine, Generated, GenerationRequest, generate
from florence2.generation.engine import Outcome
from florence2.runtime import TorchRuntime

PROMPTS = ([0, 7, 2], [0, 8, 9, 10, 11, 2], [0, 2], [0, 40, 41, 42, 2], [0, 21, 5, 2], [0, 33, 2])
BEAMS = DecodingOptions(max_new_tokens=30)
GREEDY = DecodingOptions(beams=1, max_new_tokens=12)


@pytest.fixture(scope="module")
def runtime(runtime: TorchRuntime) -> TorchRuntime:
    """In double precision: with random weights, beams are often closer than single rounds."""
    return TorchRuntime(copy.deepcopy(runtime.model).double())


@pytest.fixture(scope="module")
def pictures() -> NDArray[np.float32]:
    pixels = np.random.default_rng(5).standard_normal((3, 3, 96, 96))
    return pixels.astype(np.float32)


def queries(pictures: NDArray[np.float32], count: int = 18) -> list[GenerationRequest]:
    """Mixed prompts, pictures and options, neighbours about one picture."""
    return [
        GenerationRequest(
            number // 3 % 3,
            pictures[number // 3 % 3],
            PROMPTS[number % len(PROMPTS)],
            GREEDY if number % 5 == 4 else BEAMS,
        )
        for number in range(count)
    ]


def alone(runtime: TorchRuntime, query: GenerationRequest) -> Generated:
    image = runtime.encode_images(query.pixels[None])
    return generate(runtime, runtime.encode_prompts(image, [query.prompt]), query.options)[0]


def run(engine: Engine) -> dict[int, Outcome]:
    done: dict[int, Outcome] = {}
    while len(engine):
        done |= engine.step()
    return done


def same(found: Outcome, expected: Generated) -> bool:
    assert isinstance(found, Generated), found
    assert found.token_logprobs == pytest.approx(expected.token_logprobs, abs=1e-5)
    return found.token_ids == expected.token_ids


@pytest.mark.parametrize("most", [1, 3, 4, 50])
def test_everybody_gets_the_answer_of_a_call_alone(
    runtime: TorchRuntime, pictures: NDArray[np.float32], most: int
) -> None:
    asked = queries(pictures)
    engine = Engine(runtime, max_num_seqs=most)
    numbers = [engine.submit(query) for query in asked]
    done = run(engine)
    assert sorted(done) == numbers
    expected = [alone(runtime, query) for query in asked]
    assert all(same(done[number], answer) for number, answer in enumerate(expected))
    assert len({len(answer.token_ids) for answer in expected}) > 3, "lengths should differ"


def test_queries_that_come_late_join_those_in_the_middle(
    runtime: TorchRuntime, pictures: NDArray[np.float32]
) -> None:
    asked = queries(pictures)
    engine, done = Engine(runtime, max_num_seqs=6), {}
    for query in asked:
        engine.submit(query)
        done |= engine.step()
    done |= run(engine)
    assert all(same(done[number], alone(runtime, query)) for number, query in enumerate(asked))


def test_a_picture_is_encoded_once_for_all_queries_in_line(
    runtime: TorchRuntime, pictures: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    encode = runtime.encode_images

    def counted(pixels: NDArray[np.float32]):  # type: ignore[no-untyped-def]
        encoded.append(len(pixels))
        return encode(pixels)

    monkeypatch.setattr(runtime, "encode_images", counted)
    engine = Engine(runtime, max_num_seqs=2)
    for prompt in PROMPTS:
        engine.submit(GenerationRequest("one", pictures[0], prompt, GREEDY))
    run(engine)
    assert encoded == [1]


def test_memory_bounds_how_many_run_at_once(
    runtime: TorchRuntime, pictures: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    step = runtime.step

    def counted(decoding, ids, id_range=None):  # type: ignore[no-untyped-def]
        rows.append(len(ids))
        return step(decoding, ids)

    monkeypatch.setattr(runtime, "step", counted)
    asked = [GenerationRequest(0, pictures[0], PROMPTS[0], GREEDY) for _ in range(6)]
    # 10 tokens of the picture (or fewer), 3 of the prompt, 12 of the answer; 2 layers of 32.
    one = 2 * 2 * (9 + 1 + 3 + 12) * 32 * 4
    for memory, most in ((1, 1), (one, 1), (3 * one + 1, 3), (None, 6)):
        rows.clear()
        engine = Engine(runtime, max_num_seqs=6, memory=memory)
        for query in asked:
            engine.submit(query)
        assert len(run(engine)) == 6
        assert max(rows) == most


def test_a_query_that_cannot_run_fails_alone(
    runtime: TorchRuntime, pictures: NDArray[np.float32]
) -> None:
    asked = queries(pictures, 6)
    asked[2] = GenerationRequest(0, pictures[0], [0, *[5] * 80, 2], BEAMS)
    asked[3] = GenerationRequest(9, pictures[0][:, :50, :70], PROMPTS[0], BEAMS)
    engine = Engine(runtime, max_num_seqs=6)
    for query in asked:
        engine.submit(query)
    done = run(engine)
    assert "positions of this model" in str(done[2])
    assert isinstance(done[2], ValueError)
    for number in (0, 1, 4, 5):
        assert same(done[number], alone(runtime, asked[number]))


def test_a_step_that_fails_for_all_is_the_outcome_of_all(
    runtime: TorchRuntime, pictures: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(runtime, max_num_seqs=2)
    asked = [GenerationRequest(0, pictures[0], prompt, BEAMS) for prompt in PROMPTS[:3]]
    for query in asked:
        engine.submit(query)
    engine.step()

    def broken(decoding, ids, id_range=None):  # type: ignore[no-untyped-def]
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(runtime, "step", broken)
        failed = engine.step()
        failed |= engine.step()
    assert {number: str(error) for number, error in failed.items()} == {
        0: "out of memory", 1: "out of memory"
    }  # fmt: skip
    assert same(run(engine)[2], alone(runtime, asked[2]))


def test_a_step_that_fails_once_costs_nobody_an_answer(
    runtime: TorchRuntime, pictures: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [
        GenerationRequest(n % 3, pictures[n % 3], prompt, BEAMS) for n, prompt in enumerate(PROMPTS)
    ]
    engine = Engine(runtime, max_num_seqs=6)
    numbers = [engine.submit(query) for query in asked]
    done = engine.step()
    engine.cancel(numbers[3])

    def broken(decoding, ids, id_range=None):  # type: ignore[no-untyped-def]
        raise IndexError("out of range")

    with monkeypatch.context() as patch:
        patch.setattr(runtime, "step", broken)
        done |= engine.step()
    done |= run(engine)
    assert sorted(done) == [0, 1, 2, 4, 5]
    assert all(same(done[number], alone(runtime, asked[number])) for number in done)


class Refuses:
    """A rule that fails after a few tokens."""

    def allowed(self, ids: Sequence[int], /) -> NoReturn:
        raise TypeError("no such state")


def test_one_search_that_fails_costs_the_others_nothing(
    runtime: TorchRuntime, pictures: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Three of the same options and one of others: searches of one lane.
    draws = DecodingOptions(seed=3, temperature=1.5, max_new_tokens=12)
    asked = [GenerationRequest(0, pictures[0], PROMPTS[n], draws) for n in range(3)]
    asked.append(GenerationRequest(1, pictures[1], PROMPTS[3], GREEDY))
    draw, poisoned = torch.multinomial, alone(runtime, asked[1]).token_ids[2]

    def failing(probability: torch.Tensor, count: int, *, generator: torch.Generator) -> Any:
        # The draws of the second prompt are known by the token that it drew once.
        drawn = draw(probability, count, generator=generator)
        if int(drawn) == poisoned and torch.equal(probability, seen[0]):
            raise RuntimeError("probability tensor contains nan")
        return drawn

    seen: list[torch.Tensor] = []

    def looking(probability: torch.Tensor, count: int, *, generator: torch.Generator) -> Any:
        drawn = draw(probability, count, generator=generator)
        if int(drawn) == poisoned and not seen:
            seen.append(probability)
        return drawn

    monkeypatch.setattr(torch, "multinomial", looking)
    alone(runtime, asked[1])
    monkeypatch.undo()
    expected = [alone(runtime, query) for query in asked]
    assert seen
    monkeypatch.setattr(torch, "multinomial", failing)
    engine = Engine(runtime, max_num_seqs=4)
    for query in asked:
        engine.submit(query)
    done = run(engine)
    assert "nan" in str(done[1]) and isinstance(done[1], RuntimeError)
    for number in (0, 2, 3):
        assert same(done[number], expected[number])


def test_a_rule_that_fails_costs_the_others_nothing(
    runtime: TorchRuntime, pictures: NDArray[np.float32]
) -> None:
    asked = [GenerationRequest(0, pictures[0], prompt, BEAMS) for prompt in PROMPTS[:3]]
    asked[1] = dataclasses.replace(asked[1], logits_processor=Refuses())
    engine = Engine(runtime, max_num_seqs=3)
    for query in asked:
        engine.submit(query)
    done = run(engine)
    assert isinstance(done[1], TypeError)
    assert same(done[0], alone(runtime, asked[0])) and same(done[2], alone(runtime, asked[2]))


def test_cancelled_queries_are_gone_and_others_go_on(
    runtime: TorchRuntime, pictures: NDArray[np.float32]
) -> None:
    asked = queries(pictures, 9)
    engine = Engine(runtime, max_num_seqs=4)
    numbers = [engine.submit(query) for query in asked]
    done = engine.step()
    for number in (numbers[1], numbers[4], numbers[7], 1000):
        engine.cancel(number)
    done |= run(engine)
    assert set(numbers) - set(done) == {1, 4, 7} - set(done)
    assert {4, 7}.isdisjoint(done)
    assert all(same(done[number], alone(runtime, asked[number])) for number in done)


@pytest.mark.parametrize(
    ("settings", "word"), [({"max_num_seqs": 0}, "max_num_seqs=0"), ({"memory": 0}, "0")]
)
def test_bad_bounds_are_told(runtime: TorchRuntime, settings: dict[str, int], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Engine(runtime, **settings)  # type: ignore[arg-type]
