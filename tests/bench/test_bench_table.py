"""The table and the ratios that a run comes to."""

from __future__ import annotations

import pytest

from florence2.bench.bench_table import SEEING, TOKEN, ratios, rows_of, table_of, with_sums
from florence2.bench.flops import Work
from florence2.bench.interleaved import Rounds
from florence2.bench.roofline import Limits

LIMITS = Limits({"fp32": 100.0, "bf16": None}, reads=50.0)
WORK = Work(tower=50, encoder=10, token=1, token_bytes={"fp32": 5.0, "bf16": 2.5, "int8": 1.0})


def test_sums_and_tokens_follow_from_the_stages() -> None:
    found = with_sums({"tower": 2.0, "encoder": 1.0, "30 tokens, 3 beams": 5.0,
                       "300 tokens, 3 beams": 32.0})  # fmt: skip
    assert found[SEEING] == 3
    assert found[TOKEN] == pytest.approx(0.1)
    assert with_sums({TOKEN: 7.0, "30 tokens, 3 beams": 5.0})[TOKEN] == 7


def test_shares_of_the_limit_and_ratios() -> None:
    seconds = {
        "openvino fp32": {"tower": [1.0], "token, 3 beams": [0.2], "300 tokens, 3 beams": [8.0]},
        "openvino bf16": {"tower": [0.5], "token, 3 beams": [0.1]},
        "transformers fp32": {"tower": [2.0], "30 tokens, 3 beams": [6.0],
                              "300 tokens, 3 beams": [33.0]},
    }  # fmt: skip
    rows = rows_of(Rounds(seconds, [1.0]), LIMITS, WORK)
    by_name = {(row["contender"], row["stage"]): row for row in rows}
    assert by_name["openvino fp32", "tower"]["share_of_limit"] == pytest.approx(0.5)
    assert by_name["openvino fp32", TOKEN]["share_of_limit"] == pytest.approx(0.5)
    assert by_name["openvino bf16", "tower"]["share_of_limit"] is None
    assert by_name["openvino bf16", TOKEN]["share_of_limit"] == pytest.approx(0.5)
    times = {(each["contender"], each["stage"]): each["times"]
             for each in ratios(rows, "transformers fp32")}  # fmt: skip
    assert times == {
        ("openvino fp32", "tower"): 2, ("openvino bf16", "tower"): 4,
        ("openvino fp32", TOKEN): pytest.approx(0.5), ("openvino bf16", TOKEN): pytest.approx(1),
        ("openvino fp32", "300 tokens, 3 beams"): pytest.approx(33 / 8),
    }  # fmt: skip
    columns, lines = table_of(rows)
    assert columns == ["milliseconds", *seconds]
    assert lines[0][:2] == ["tower", "1,000.0  (50%)"]
    assert ratios(rows, "nobody") == []


def test_products_in_8_bits_are_held_against_their_own_limit_where_there_is_one() -> None:
    rounds = Rounds({"openvino int8": {"tower": [1.0]}}, [1.0])
    for products, share in (
        ({"bf16": 200.0, "int8": 400.0}, 0.125), ({"bf16": 200.0}, 0.25), ({"fp32": 100.0}, None)
    ):  # fmt: skip
        (row,) = rows_of(rounds, Limits(dict(products), reads=50.0), WORK)
        assert row["share_of_limit"] == share
