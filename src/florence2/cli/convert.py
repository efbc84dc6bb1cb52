"""``florence2 convert``: any dataset to shards or to another format, every problem listed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ..datasets.exporters.capacity import RENAMED_TARGETS, TARGETS
from ..datasets.exporters.export_options import ExportOptions
from ..datasets.import_config import FORMATS, SHARDS, TEXT_FORMATS, ImportConfig
from ..io.options import option
from .errors import EXIT_PARTIAL, interruption_note, print_warnings, user_errors
from .loading import load_processor
from .signature import expand_options


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """From which format to which, and with whose vocabulary labels are checked."""

    format: str | None = option(
        None,
        choices=FORMATS,
        help=f"One of {', '.join(FORMATS)}. [default: shards or answers, as found]",
    )
    to: str = option(
        SHARDS,
        choices=(SHARDS, *TARGETS, *RENAMED_TARGETS),
        completion=(SHARDS, *TARGETS),
        help=f"{SHARDS}, or {', '.join(TARGETS)}.",
    )
    model: str | None = option(
        None,
        flags=("--model", "-m"),
        shown_default="nano",
        help="Model whose vocabulary and positions labels are checked with.",
    )
    revision: str | None = option(None, help="Branch, tag or commit of a Hub model.")
    strict: bool = option(False, help="End with status 1 when there is any problem.")
    overwrite: bool = option(False, help="Replace what an earlier conversion wrote to --out.")


@expand_options
def convert(
    source: Annotated[Path, typer.Argument(help="The dataset: its directory, or its label file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Output directory.")],
    options: ConvertOptions,
    import_config: ImportConfig,
    export_options: ExportOptions,
) -> None:
    """Convert a dataset to shards, or shards, predictions and datasets to files of other tools.

    For shards, labels are checked with the vocabulary and the positions of --model. What it cannot
    be trained on is skipped, counted and listed with its file and line. A killed conversion resumes
    when the same command is run again. Other tools get the source's classes, ids, splits and
    polygons unchanged. Ends with status 1 when nothing was written.
    """
    with interruption_note(_describe_interruption), user_errors(), print_warnings():
        from ..datasets.dataset_export import guess_format

        format = options.format or guess_format(source)
        if format == options.to == SHARDS:
            raise ValueError(f"{source} holds shards already; name another format with --to")
        unused = export_options.find_unused(frozenset({options.to}))
        if unused is not None:
            raise ValueError(f"option {unused!r} does not apply to {options.to}; leave it out")
        if options.to == SHARDS:
            problems, is_empty = _convert_to_shards(source, format, out, options, import_config)
        else:
            problems, is_empty = _export(
                source, format, out, options, import_config, export_options
            )
    if is_empty or (options.strict and problems):
        raise typer.Exit(EXIT_PARTIAL)


def _convert_to_shards(
    source: Path, format: str, out: Path, options: ConvertOptions, import_config: ImportConfig
) -> tuple[int, bool]:
    """The number of problems, and whether nothing was converted."""
    from ..datasets.conversion import convert

    reading = import_config.for_format(format)
    model = options.model or "nano"
    processor, positions = load_processor(model, options.revision)
    report = convert(
        source,
        out,
        format,
        processor=processor,
        max_answer_tokens=positions,
        reading=reading,
        overwrite=options.overwrite,
    )
    for line in report.summarize(out):
        typer.echo(line)
    if report.empty_reason:
        typer.echo(f"florence2: nothing was converted: {report.empty_reason}", err=True)
    typer.echo(f"checked for {model}: at most {positions:,} tokens in a label")
    return len(report.problems), report.is_empty


def _export(
    source: Path,
    format: str,
    out: Path,
    options: ConvertOptions,
    import_config: ImportConfig,
    export_options: ExportOptions,
) -> tuple[int, bool]:
    """The number of problems, and whether nothing was written."""
    from ..datasets.dataset_export import export_dataset

    reading = import_config.for_format(format)
    processor = None
    if format in TEXT_FORMATS:
        processor = load_processor(options.model or "nano", options.revision)
    else:
        for name in ("model", "revision"):
            if getattr(options, name) is not None:
                raise ValueError(
                    f"option {name!r} does not apply from {format} to {options.to}: neither has "
                    "labels as text; leave it out"
                )
    report = export_dataset(
        source,
        format,
        options.to,
        out,
        export_options,
        reading,
        processor,
        destination="overwrite" if options.overwrite else "new",
    )
    for line in report.summarize():
        typer.echo(line, err=True)
    return len(report.problems), report.is_empty


def _describe_interruption() -> str:
    return "interrupted; run the same command again to continue the conversion"
