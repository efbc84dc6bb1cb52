"""The names of the stages in tables and result files."""

from __future__ import annotations

IMAGE = "image"
VISION = "vision encoder"
ENCODER = "encoder"
BOTH_ENCODERS = "vision encoder + encoder"
TOKEN_GREEDY = "token, 1 beam"
TOKEN = "token, 3 beams"
_TOKENS = " tokens, 3 beams"


def tokens_stage(length: int) -> str:
    """The stage of a whole output of ``length`` tokens."""
    return f"{length}{_TOKENS}"


def parse_length(stage: str) -> int | None:
    """The length of a stage that ``tokens_stage`` named; ``None`` for another stage."""
    return int(stage.removesuffix(_TOKENS)) if stage.endswith(_TOKENS) else None
