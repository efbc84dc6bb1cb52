"""The model of a command."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from ..inference.predictor import Florence2

UNTRAINED_NOTICE = "nano lies here without its weights: its answers are noise"


def load_model(source: str, *, by_default: bool = False, **options: Any) -> Florence2:
    """``florence2.load``, with a word on standard error where the answers are worth little.

    ``by_default`` tells that nobody chose ``source``: then it is said what the bundled model knows.
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


def is_default(context: typer.Context, parameter: str) -> bool:
    """Whether nobody gave this option of a command, so that its default holds."""
    source = context.get_parameter_source(parameter)
    return source is None or source.name in ("DEFAULT", "DEFAULT_MAP")


def print_nano_notice() -> None:
    """Say on standard error what the bundled model is for."""
    from ..inference.predictor import NANO_NOTICE

    typer.echo(f"florence2: {NANO_NOTICE}", err=True)


def hash_checkpoint(source: str, revision: str | None, adapter: str | None) -> str | None:
    """The SHA-256 of what decides the answers of a model: its weights and its adapter's.

    ``None`` where there are no files, as for a bundled model without weights. Raises what
    ``florence2.load`` raises for a checkpoint that is not there.
    """
    from ..inference.predictor import resolve_checkpoint
    from ..io.atomic import file_hash
    from ..model.checkpoint.weights import checkpoint_files

    directories = [
        resolve_checkpoint(source, revision),
        *([] if adapter is None else [Path(adapter)]),
    ]
    if not all(each.is_dir() for each in directories):
        return None
    digest = hashlib.sha256()
    for file in checkpoint_files(*directories):
        digest.update(f"{file.name} {file_hash(file)}\n".encode())
    return digest.hexdigest()
