"""Rounds: who is timed when, what is left out, what an interruption leaves."""

from __future__ import annotations

import sys

import pytest

from florence2.bench.interleaved import InterleavedTimings, RepeatedCall, run_rounds
from florence2.bench.openvino_roofline import measure_openvino_flops
from florence2.bench.roofline import measure_roofline, probe


class Clock:
    """Time that passes only in calls."""

    def __init__(self) -> None:
        self.now, self.log = 0.0, list[str]()

    def __call__(self) -> float:
        return self.now

    def work(self, name: str, seconds: float):  # type: ignore[no-untyped-def]
        def call() -> None:
            self.log.append(name)
            self.now += seconds

        return call


def test_candidates_take_turns_and_the_first_round_warms_up() -> None:
    clock = Clock()
    candidates = {
        "a": {"tower": clock.work("a tower", 1), "token": clock.work("a token", 2)},
        "b": {"tower": clock.work("b tower", 3)},
    }
    done: list[int] = []
    found = run_rounds(candidates, 2, lambda: 1.0, done.append, clock)
    assert clock.log == ["a tower", "b tower", "a token"] * 3
    assert done == [1, 2]
    assert found.seconds == {"a": {"tower": [1, 1], "token": [2, 2]}, "b": {"tower": [3, 3]}}
    assert found.median("b", "tower") == 3
    assert found.median("b", "token") is None


def test_disturbed_rounds_are_marked_and_left_out() -> None:
    rounds = InterleavedTimings({"a": {"tower": [1.0, 9.0, 2.0, 3.0]}}, [100, 50, 81, 99])
    assert rounds.disturbed == [False, True, False, False]
    assert rounds.median("a", "tower") == 2
    assert InterleavedTimings({"a": {"tower": [4.0]}}, [1]).median("a", "tower") == 4


def test_an_interruption_leaves_what_is_there() -> None:
    clock, calls = Clock(), [0]

    def stop() -> float:
        calls[0] += 1
        if calls[0] == 3:
            raise KeyboardInterrupt
        return 1.0

    found = run_rounds({"a": {"x": clock.work("x", 1)}}, 5, stop, clock=clock)
    assert found.seconds == {"a": {"x": [1]}}


def test_limits_are_positive_numbers() -> None:
    roofline = measure_roofline(repeats=1, side=64, num_bytes=2**16)
    assert roofline.bytes_per_second > 0
    assert roofline.flops["fp32"] is not None
    assert roofline.flops["fp32"] > 0
    assert probe(side=32) == pytest.approx(probe(side=32), rel=1e3)


def test_limits_are_the_better_of_two_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {"fp32": 1e30, "bf16": 1.0, "int8": 7.0}
    monkeypatch.setattr("florence2.bench.roofline.measure_openvino_flops", lambda *_: rates)
    flops = measure_roofline(repeats=1, side=64, num_bytes=2**16).flops
    assert flops["fp32"] == 1e30
    assert flops["bf16"] != 1.0
    assert flops["int8"] == 7


def test_products_of_openvino_are_measured_in_the_precisions_there_are() -> None:
    found = measure_openvino_flops(repeats=1, side=64)
    assert found["fp32"] > 0
    assert set(found) <= {"fp32", "bf16", "int8"}


def test_short_calls_are_timed_together_after_one_that_is_not() -> None:
    clock = Clock()
    short = clock.work("x", 2)
    assert RepeatedCall(short, 4).seconds(clock) == 2
    found = run_rounds({"a": {"x": RepeatedCall(short, 4)}}, 2, lambda: 1.0, clock=clock)
    assert found.seconds == {"a": {"x": [2, 2]}}
    assert len(clock.log) == 3 * 5 + 5


def test_without_openvino_the_limits_are_those_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert measure_openvino_flops(1, 64) == {}
    assert "int8" not in measure_roofline(repeats=1, side=64, num_bytes=2**16).flops
