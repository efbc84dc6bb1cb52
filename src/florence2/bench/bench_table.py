"""What a run of the benchmark found, as a table for people and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from .flops import Work
from .interleaved import Rounds
from .roofline import Limits

SHORT, LONG = "30 tokens, 3 beams", "300 tokens, 3 beams"
TOKEN = "token, 3 beams"
SEEING = "tower + encoder"


def rows_of(rounds: Rounds, limits: Limits, work: Work) -> list[dict[str, Any]]:
    """One row for every contender and stage: seconds, spread, and the share of the limit."""
    rows = []
    for contender, stages in rounds.seconds.items():
        medians = with_sums({name: rounds.median(contender, name) for name in stages})
        for stage, seconds in medians.items():
            if seconds is None:
                continue
            times = stages.get(stage, [])
            rows.append(
                {
                    "contender": contender,
                    "stage": stage,
                    "seconds": seconds,
                    "fastest": min(times, default=None),
                    "slowest": max(times, default=None),
                    "share_of_limit": _share(contender, stage, seconds, limits, work),
                }
            )
    return rows


def with_sums(medians: Mapping[str, float | None]) -> dict[str, float | None]:
    """The stages with those that follow from them: what comes before the first token, and the
    token of a contender whose steps cannot be timed one by one."""
    found = dict(medians)
    tower, encoder = found.get("tower"), found.get("encoder")
    if tower is not None and encoder is not None:
        found[SEEING] = tower + encoder
    lengths = sorted(
        (int(name.split()[0]), seconds)
        for name, seconds in found.items()
        if name.endswith("tokens, 3 beams") and seconds is not None
    )
    if TOKEN not in found and len(lengths) > 1:
        (short, first), (long, last) = lengths[0], lengths[-1]
        found[TOKEN] = (last - first) / (long - short)
    return found


def ratios(rows: Sequence[Mapping[str, Any]], peer: str) -> list[dict[str, Any]]:
    """How many times as fast each of ours is as the ``peer``, stage by stage."""
    theirs = {row["stage"]: row["seconds"] for row in rows if row["contender"] == peer}
    return [
        {
            "contender": row["contender"],
            "stage": row["stage"],
            "peer": peer,
            "times": theirs[row["stage"]] / row["seconds"],
        }
        for row in rows
        if row["stage"] in theirs and not row["contender"].startswith("transformers")
    ]


def table_of(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Stages down, contenders across, milliseconds and the share of the limit in the cells."""
    contenders = list(dict.fromkeys(row["contender"] for row in rows))
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    cells = {(row["stage"], row["contender"]): row for row in rows}
    lines = [
        [stage, *(_cell(cells.get((stage, contender))) for contender in contenders)]
        for stage in stages
    ]
    return ["milliseconds", *contenders], lines


def as_json(limits: Limits, work: Work) -> dict[str, Any]:
    """The limits and the work, for the file of results."""
    return {"limits": asdict(limits), "work": asdict(work)}


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return ""
    share = row["share_of_limit"]
    return f"{1e3 * row['seconds']:,.1f}" + (f"  ({share:.0%})" if share is not None else "")


def _share(contender: str, stage: str, seconds: float, limits: Limits, work: Work) -> float | None:
    """The time that the limit would take, over the time taken. Products bound what sees, memory
    bounds a token. Products in 8 bits are held against those of bf16 where there are none."""
    precision = contender.split()[-1]
    arithmetic = limits.products.get(precision)
    if precision == "int8" and not arithmetic:
        arithmetic = limits.products.get("bf16")
    if stage in ("tower", "encoder") and arithmetic:
        return (work.tower if stage == "tower" else work.encoder) / arithmetic / seconds
    if stage.startswith("token") and precision in work.token_bytes:
        return work.token_bytes[precision] / limits.reads / seconds
    return None
