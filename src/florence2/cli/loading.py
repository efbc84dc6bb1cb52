"""The model of a command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from ..predictor import Florence2

UNTRAINED_NOTICE = "nano lies here without its weights: its answers are noise"


def load_model(source: str, **options: Any) -> Florence2:
    """``florence2.load``, with a word on standard error where the answers are worth nothing."""
    from ..predictor import load

    model = load(source, **options)
    if not model.trained:
        typer.echo(f"florence2: {UNTRAINED_NOTICE}", err=True)
    return model
