"""``florence2 convert``: any data set to shards, with every problem listed."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from . import options as option
from .conversion import FORMATS, check_format, convert_to, load_processor, make_reading
from .errors import SOME_FAILED, mendable_errors


class Target(StrEnum):
    """What data sets are converted to."""

    shards = "shards"


def convert(
    source: Annotated[
        Path, typer.Argument(help="The data set: its folder, or its file of labels.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the shards.")],
    format: Annotated[
        str,
        typer.Option("--format", callback=check_format, help=f"One of {', '.join(FORMATS)}."),
    ],
    to: Annotated[Target, typer.Option("--to", help="What to write.")] = Target.shards,
    task: option.DatasetTasks = None,
    split: option.Split = None,
    prompt: option.DatasetPrompt = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Folder of the pictures that a JSONL or CSV file names. [default: its]"),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="NAME=COLUMN",
            help="What a column of csv or huggingface holds: image=photo, boxes=objects.bbox ...",
        ),
    ] = None,
    answer: Annotated[
        list[str] | None,
        typer.Option(
            "--answer",
            metavar="COLUMN=PROMPT",
            help="A huggingface column that answers PROMPT. Repeatable.",
        ),
    ] = None,
    model: option.Model = "nano",
    revision: option.Revision = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="End with status 1 when there is any problem.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Make the shards of --out anew.")
    ] = False,
) -> None:
    """Turn a data set into shards.

    Labels are checked with the vocabulary and the positions of --model. What it cannot be trained
    on is left out, counted and listed with its file and line. A killed conversion goes on when
    called again in the same words.
    """
    with mendable_errors():
        reading = make_reading(
            format,
            tasks=task or (),
            split=split,
            prompt=prompt,
            images=images,
            columns=column or (),
            answers=answer or (),
        )
        processor, positions = load_processor(model, revision)
        report = convert_to(out, source, format, reading, processor, positions, overwrite=overwrite)
        typer.echo(f"checked for {model}: {positions:,} positions for an answer")
    if strict and report.problems:
        raise typer.Exit(SOME_FAILED)
