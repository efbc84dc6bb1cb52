"""The table and the ratios that a run comes to."""

from __future__ import annotations

import pytest

from florence2.bench.bench_table import add_derived, compute_speedups, make_rows, to_table
from florence2.bench.flops import StageCosts
from florence2.bench.interleaved import InterleavedTimings
from florence2.bench.roofline import Roofline
from florence2.bench.stage_names import BOTH_ENCODERS, TOKEN

ROOFLINE = Roofline({"fp32": 100.0, "bf16": None}, bytes_per_second=50.0)
COSTS = StageCosts(50, 10, 1, token_bytes={"fp32": 5.0, "bf16": 2.5, "int8": 1.0})


def test_sums_and_tokens_follow_from_the_stages() -> None:
    found = add_derived({"vision encoder": 2.0, "encoder": 1.0, "30 tokens, 3 beams": 5.0,
                       "300 tokens, 3 beams": 32.0})  # fmt: skip
    assert found[BOTH_ENCODERS] == 3
    assert found[TOKEN] == pytest.approx(0.1)
    assert add_derived({TOKEN: 7.0, "30 tokens, 3 beams": 5.0})[TOKEN] == 7


def test_fractions_of_the_peak_and_speedups() -> None:
    seconds = {
        "openvino fp32": {"vision encoder": [1.0], "token, 3 beams": [0.2],
                          "300 tokens, 3 beams": [8.0]},
        "openvino bf16": {"vision encoder": [0.5], "token, 3 beams": [0.1]},
        "transformers fp32": {"vision encoder": [2.0], "30 tokens, 3 beams": [6.0],
                              "300 tokens, 3 beams": [33.0]},
    }  # fmt: skip
    rows = make_rows(InterleavedTimings(seconds, [1.0]), ROOFLINE, COSTS)
    by_name = {(row["candidate"], row["stage"]): row for row in rows}
    assert by_name["openvino fp32", "vision encoder"]["fraction_of_peak"] == pytest.approx(0.5)
    assert by_name["openvino fp32", TOKEN]["fraction_of_peak"] == pytest.approx(0.5)
    assert by_name["openvino bf16", "vision encoder"]["fraction_of_peak"] is None
    assert by_name["openvino bf16", TOKEN]["fraction_of_peak"] == pytest.approx(0.5)
    times = {(each["candidate"], each["stage"]): each["speedup"]
             for each in compute_speedups(rows, "transformers fp32")}  # fmt: skip
    assert times == {
        ("openvino fp32", "vision encoder"): 2, ("openvino bf16", "vision encoder"): 4,
        ("openvino fp32", TOKEN): pytest.approx(0.5), ("openvino bf16", TOKEN): pytest.approx(1),
        ("openvino fp32", "300 tokens, 3 beams"): pytest.approx(33 / 8),
    }  # fmt: skip
    columns, lines = to_table(rows)
    assert columns == ["milliseconds", *seconds]
    assert lines[0][:2] == ["vision encoder", "1,000.0  (50%)"]
    assert compute_speedups(rows, "none") == []


def test_int8_is_compared_with_its_own_peak_where_there_is_one() -> None:
    rounds = InterleavedTimings({"openvino int8": {"vision encoder": [1.0]}}, [1.0])
    for products, share in (
        ({"bf16": 200.0, "int8": 400.0}, 0.125), ({"bf16": 200.0}, 0.25), ({"fp32": 100.0}, None)
    ):  # fmt: skip
        (row,) = make_rows(rounds, Roofline(dict(products), bytes_per_second=50.0), COSTS)
        assert row["fraction_of_peak"] == share
