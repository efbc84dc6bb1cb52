"""Static batches give the outputs of growing ones, in steps of one shape."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from florence2.generation import DecodingOptions, Engine, Generated, GenerationRequest, generate
from florence2.generation.static_batch import CudaGraphBatch
from florence2.runtime import TorchRuntime

PROMPTS = [[0, 5, 6, 2], [0, 9, 2], [0, 17, 30, 31, 32, 2], [0, 40, 2]]
OPTIONS = [
    DecodingOptions(max_new_tokens=40),
    DecodingOptions(beams=1, max_new_tokens=40),
    DecodingOptions(beams=5, max_new_tokens=20, length_penalty=1.7),
    DecodingOptions(max_new_tokens=25, early_stopping=False),
    DecodingOptions(max_new_tokens=30, no_repeat_ngram=0),
    DecodingOptions(max_new_tokens=2),
    DecodingOptions(max_new_tokens=500, no_repeat_ngram=2),
    DecodingOptions(max_new_tokens=30, min_new_tokens=17),
]


@pytest.fixture(scope="module")
def exact(runtime: TorchRuntime) -> TorchRuntime:
    """In float64, where sums of beams differ by more than rounding."""
    return TorchRuntime(_double(runtime))


@pytest.fixture(scope="module")
def slotted(runtime: TorchRuntime) -> TorchRuntime:
    return TorchRuntime(_double(runtime), static_buffers=True)


def _double(runtime: TorchRuntime) -> torch.nn.Module:
    import copy

    return copy.deepcopy(runtime.model).double()


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(4, 3, 96, 96)).astype(np.float32)


def _same(found: Generated, expected: Generated) -> None:
    assert found.token_ids == expected.token_ids
    assert found.token_logprobs == pytest.approx(expected.token_logprobs, abs=1e-5)
    assert found.score == pytest.approx(expected.score, abs=1e-5)
    assert found.truncated == expected.truncated


@pytest.mark.parametrize("options", OPTIONS)
def test_answers_are_those_of_the_usual_search(
    exact: TorchRuntime, slotted: TorchRuntime, pixels: np.ndarray, options: DecodingOptions
) -> None:
    image = exact.encode_images(pixels)
    prompted = exact.encode_prompts(image, PROMPTS)
    assert (
        CudaGraphBatch.create(slotted, options, 1) is not None
        and CudaGraphBatch.create(exact, options, 1) is None
    )
    for found, expected in zip(
        generate(slotted, prompted, options), generate(exact, prompted, options), strict=True
    ):
        _same(found, expected)


def test_prompts_come_and_go(
    exact: TorchRuntime, slotted: TorchRuntime, pixels: np.ndarray
) -> None:
    """More queries than slots, of all lengths; and again when the slots were used before."""
    engines = [Engine(each, max_num_seqs=3) for each in (exact, slotted)]
    for again in range(2):
        queries = [
            GenerationRequest(n % 4, pixels[n % 4], PROMPTS[(n + again) % 4],
                  DecodingOptions(max_new_tokens=4 + 7 * n % 50))
            for n in range(11)
        ]  # fmt: skip
        found = []
        for engine in engines:
            numbers = [engine.submit(query) for query in queries]
            done: dict[int, object] = {}
            while len(engine):
                done |= engine.step()
            found.append([done[number] for number in numbers])
        for ours, theirs in zip(*found, strict=True):
            assert isinstance(ours, Generated) and isinstance(theirs, Generated)
            _same(ours, theirs)


def test_cancelled_prompts_leave_and_what_has_a_rule_goes_elsewhere(
    slotted: TorchRuntime, pixels: np.ndarray
) -> None:
    class Anything:
        def allowed(self, ids: object) -> object:
            return self

        id_range, mask = None, np.ones(60, np.bool_)

    engine = Engine(slotted, max_num_seqs=4)
    options = DecodingOptions(max_new_tokens=30)
    numbers = [
        engine.submit(GenerationRequest(0, pixels[0], PROMPTS[n], options)) for n in range(3)
    ]
    ruled = engine.submit(
        GenerationRequest(1, pixels[1], PROMPTS[3], options, logits_processor=Anything())
    )
    engine.step()
    engine.cancel(numbers[1])
    done: dict[int, object] = {}
    while len(engine):
        done |= engine.step()
    assert sorted(done) == [numbers[0], numbers[2], ruled]
    assert all(isinstance(each, Generated) for each in done.values())


def test_steps_keep_their_shapes(
    slotted: TorchRuntime, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is expanded over beams, and no step has another shape than the first."""
    shapes = set()
    decode = type(slotted.model).decode

    def watched(self: object, ids: torch.Tensor, cross: object, cache: object, **more: object):  # type: ignore[no-untyped-def]
        shapes.add((tuple(ids.shape), tuple(cross.keys[0].shape), tuple(cache.past.shape)))  # type: ignore[attr-defined]
        return decode(self, ids, cross, cache, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(type(slotted.model), "decode", watched)
    prompted = slotted.encode_prompts(slotted.encode_images(pixels), PROMPTS)
    generate(slotted, prompted, DecodingOptions(max_new_tokens=40))
    assert len(shapes) == 1
    ((ids, cross, _),) = shapes
    assert ids == (12, 1) and cross[0] == 4
