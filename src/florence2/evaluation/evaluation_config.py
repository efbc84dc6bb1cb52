"""How a benchmark is run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ..io.options import check_options, option


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """What is evaluated and how; see ``runner.evaluate``.

    Besides its options: ``shard`` is ``(i, n)`` for the ``i``-th of ``n`` processes that share the
    run. ``weights`` are directories whose weight files identify the model. ``settings`` are
    other values that shape the predictions. ``options`` are those of the model's call.
    """

    split: str | None = option(
        None, help="Split of the benchmark. [default: its first, see --list]"
    )
    limit: int | None = option(
        None, min=1, max=1_000_000_000, help="Evaluate only this many images."
    )
    prompt: str | None = option(None, help="Prompt in place of the benchmark's own.")
    beams: int | None = option(None, min=1, max=100, help="Number of beams. [default: 3]")
    max_new_tokens: int | None = option(
        None, min=1, max=1_000_000, help="Maximum number of new tokens. [default: 1024]"
    )
    batch_size: int | None = option(
        None, min=1, max=65_536, help="Maximum number of sequences decoded together."
    )
    shard: tuple[int, int] = (0, 1)
    weights: tuple[Path, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_options(self)

    @property
    def call_options(self) -> dict[str, Any]:
        """The options of the model's call that are set, without the batch size."""
        named = {"beams": self.beams, "max_new_tokens": self.max_new_tokens}
        return {**{k: v for k, v in named.items() if v is not None}, **self.options}

    def update(self, changes: Mapping[str, Any]) -> EvaluationConfig:
        """The config with fields by their names; other names are options of the model's call."""
        names = {each.name for each in fields(self)}
        own = {name: value for name, value in changes.items() if name in names}
        others = {name: value for name, value in changes.items() if name not in names}
        own["weights"] = tuple(own.get("weights", self.weights))
        own["settings"] = dict(own.get("settings") or self.settings)
        own["options"] = {**self.options, **own.get("options", {}), **others}
        return replace(self, **own)
