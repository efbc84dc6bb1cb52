"""The results of the benchmark as a table and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from .flops import StageCosts
from .interleaved import InterleavedTimings
from .roofline import Roofline
from .stage_names import BOTH_ENCODERS, ENCODER, TOKEN, VISION, parse_length


def make_rows(
    timings: InterleavedTimings, roofline: Roofline, costs: StageCosts
) -> list[dict[str, Any]]:
    """One row for each candidate and stage: seconds, spread, and the fraction of the peak rate."""
    rows = []
    for candidate, stages in timings.seconds.items():
        medians = add_derived({name: timings.median(candidate, name) for name in stages})
        for stage, seconds in medians.items():
            if seconds is None:
                continue
            times = stages.get(stage, [])
            rows.append(
                {
                    "candidate": candidate,
                    "stage": stage,
                    "seconds": seconds,
                    "fastest": min(times, default=None),
                    "slowest": max(times, default=None),
                    "fraction_of_peak": _fraction(candidate, stage, seconds, roofline, costs),
                }
            )
    return rows


def add_derived(medians: Mapping[str, float | None]) -> dict[str, float | None]:
    """The stages with those that follow from them: both encoders together, and the token of a
    candidate whose decoder steps cannot be timed one by one."""
    found = dict(medians)
    vision, encoder = found.get(VISION), found.get(ENCODER)
    if vision is not None and encoder is not None:
        found[BOTH_ENCODERS] = vision + encoder
    lengths = sorted(
        (length, seconds)
        for name, seconds in found.items()
        if (length := parse_length(name)) is not None and seconds is not None
    )
    if TOKEN not in found and len(lengths) > 1:
        (short, first), (long, last) = lengths[0], lengths[-1]
        found[TOKEN] = (last - first) / (long - short)
    return found


def compute_speedups(rows: Sequence[Mapping[str, Any]], baseline: str) -> list[dict[str, Any]]:
    """How many times as fast as ``baseline`` each candidate of this package is, by stage."""
    reference = {row["stage"]: row["seconds"] for row in rows if row["candidate"] == baseline}
    return [
        {
            "candidate": row["candidate"],
            "stage": row["stage"],
            "baseline": baseline,
            "speedup": reference[row["stage"]] / row["seconds"],
        }
        for row in rows
        if row["stage"] in reference and not row["candidate"].startswith("transformers")
    ]


def to_table(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows: a row for each stage, milliseconds and the fraction of the peak rate."""
    candidates = list(dict.fromkeys(row["candidate"] for row in rows))
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    cells = {(row["stage"], row["candidate"]): row for row in rows}
    lines = [
        [stage, *(_cell(cells.get((stage, candidate))) for candidate in candidates)]
        for stage in stages
    ]
    return ["milliseconds", *candidates], lines


def to_json(roofline: Roofline, costs: StageCosts) -> dict[str, Any]:
    """The peak rates and the costs of the stages, for the result file."""
    return {"roofline": asdict(roofline), "costs": asdict(costs)}


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return ""
    fraction = row["fraction_of_peak"]
    return f"{1e3 * row['seconds']:,.1f}" + (f"  ({fraction:.0%})" if fraction is not None else "")


def _fraction(
    candidate: str, stage: str, seconds: float, roofline: Roofline, costs: StageCosts
) -> float | None:
    """The time at the peak rate over the measured time.

    Arithmetic limits the encoders, memory a token. Without a rate for int8, that of bf16 counts.
    """
    precision = candidate.split()[-1]
    flops = roofline.flops.get(precision)
    if precision == "int8" and not flops:
        flops = roofline.flops.get("bf16")
    if stage in (VISION, ENCODER) and flops:
        cost = costs.vision_flops if stage == VISION else costs.encoder_flops
        return cost / flops / seconds
    if stage.startswith("token") and precision in costs.token_bytes:
        return costs.token_bytes[precision] / roofline.bytes_per_second / seconds
    return None
