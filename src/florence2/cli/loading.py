"""The model of a command."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from ..inference.predictor import Florence2
    from ..processing.processor import Processor

UNTRAINED_NOTICE = "nano has no weights; outputs are random"


def load_model(source: str, *, by_default: bool = False, **options: Any) -> Florence2:
    """``florence2.load``, with its warnings on standard error.

    ``by_default``: the user did not choose ``source``; a notice describes the bundled model.
    """
    from ..inference.predictor import load

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        model = load(source, **options)
    for warning in caught:
        if issubclass(warning.category, UserWarning):
            typer.echo(f"florence2: {warning.message}", err=True)
    if not model.trained:
        typer.echo(f"florence2: {UNTRAINED_NOTICE}", err=True)
    elif by_default:
        print_nano_notice()
    return model


def load_processor(model: str, revision: str | None = None) -> tuple[Processor, int]:
    """The processor of a checkpoint and the number of its decoder positions, without weights."""
    from ..inference.predictor import resolve_checkpoint
    from ..model.checkpoint.weights import read_config
    from ..processing.processor import Processor

    directory = resolve_checkpoint(model, revision)
    config = read_config(directory)
    positions = config.text.max_position_embeddings
    return Processor.from_directory(directory, positions, config.vision.stride), positions


def is_default(context: typer.Context, parameter: str) -> bool:
    """Whether the user did not pass this option of a command."""
    source = context.get_parameter_source(parameter)
    return source is None or source.name in ("DEFAULT", "DEFAULT_MAP")


def print_nano_notice() -> None:
    """Print a notice about the bundled model on standard error."""
    from ..inference.predictor import NANO_NOTICE

    typer.echo(f"florence2: {NANO_NOTICE}", err=True)
