"""The model of a command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from ..predictor import Florence2

UNTRAINED_NOTICE = "nano lies here without its weights: its answers are noise"


def load_model(source: str, *, by_default: bool = False, **options: Any) -> Florence2:
    """``florence2.load``, with a word on standard error where the answers are worth little.

    ``by_default`` tells that nobody chose ``source``: then it is said what the bundled model knows.
    """
    from ..predictor import load

    model = load(source, **options)
    if not model.trained:
        typer.echo(f"florence2: {UNTRAINED_NOTICE}", err=True)
    elif by_default:
        print_nano_notice()
    return model


def is_default(context: typer.Context, parameter: str) -> bool:
    """Whether nobody gave this option of a command, so that its default holds."""
    source = context.get_parameter_source(parameter)
    return source is None or source.name in ("DEFAULT", "DEFAULT_MAP")


def print_nano_notice() -> None:
    """Say on standard error what the bundled model is for."""
    from ..predictor import NANO_NOTICE

    typer.echo(f"florence2: {NANO_NOTICE}", err=True)
