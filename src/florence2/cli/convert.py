"""``florence2 convert``: any dataset to shards or to another format, every problem listed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..datasets.exporters.capacity import TARGETS
from ..datasets.exporters.export_options import ExportOptions
from . import options as option
from .conversion import (
    FORMATS,
    SHARDS,
    WRITTEN_FORMATS,
    check_format,
    convert_to,
    load_processor,
    make_reading,
)
from .errors import EXIT_PARTIAL, interruption_note, user_errors
from .loading import is_default
from .parameters import choose, complete
from .signature import expand_options


@expand_options
def convert(
    context: typer.Context,
    source: Annotated[
        Path, typer.Argument(help="The dataset: its directory, or its file of labels.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Directory for what is written.")],
    *,
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            callback=check_format,
            autocompletion=complete(*FORMATS),
            help=f"One of {', '.join(FORMATS)}. [default: shards or answers, as found]",
        ),
    ] = None,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            callback=choose(SHARDS, *TARGETS),
            autocompletion=complete(SHARDS, *TARGETS),
            help=f"{SHARDS}, or {', '.join(TARGETS)}.",
        ),
    ] = SHARDS,
    export: ExportOptions,
    task: option.DatasetTasks = None,
    split: option.Split = None,
    prompt: option.DatasetPrompt = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Directory of the images. [default: where the format has them]"),
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
        bool, typer.Option("--overwrite", help="Replace what an earlier conversion wrote to --out.")
    ] = False,
) -> None:
    """Turn a dataset into shards, or shards, answers and datasets into files of other tools.

    For shards, labels are checked with the vocabulary and the positions of --model. What it cannot
    be trained on is skipped, counted and listed with its file and line. A killed conversion goes
    on when called again in the same words. Other tools get the source's classes, ids, splits and
    outlines as they are. Ends with status 1 when nothing was written.
    """
    with interruption_note(_describe_interruption), user_errors():
        from ..datasets.dataset_export import export_dataset, guess_format

        found = format or guess_format(source)
        if found == SHARDS and to == SHARDS:
            raise ValueError(f"{source} holds shards already; name another format with --to")
        reading = make_reading(
            found,
            tasks=task or (),
            split=split,
            prompt=prompt,
            images=images,
            columns=column or (),
            answers=answer or (),
        )
        unused = export.find_unused(frozenset({to}))
        if unused is not None:
            raise ValueError(f"option {unused!r} does not apply to {to}; leave it out")
        reads_words = to == SHARDS or found in WRITTEN_FORMATS
        for name in ("model", "revision"):
            if not reads_words and not is_default(context, name):
                raise ValueError(
                    f"--{name} does not apply from {found} to {to}, which no text of a model is "
                    "read for: leave it out"
                )
        if to == SHARDS:
            processor, positions = load_processor(model, revision)
            report = convert_to(
                out, source, found, reading, processor, positions, overwrite=overwrite
            )
            typer.echo(f"checked for {model}: {positions:,} positions for an answer")
            problems, empty = len(report.problems), report.is_empty
        else:
            words = load_processor(model, revision) if reads_words else None
            exported = export_dataset(
                source,
                found,
                to,
                out,
                export,
                reading,
                words,
                destination="overwrite" if overwrite else "new",
            )
            for line in exported.summarize():
                typer.echo(line, err=True)
            problems, empty = len(exported.problems), exported.is_empty
    if empty or (strict and problems):
        raise typer.Exit(EXIT_PARTIAL)


def _describe_interruption() -> str:
    return "interrupted; run the same command again to continue the conversion"
