"""``florence2 run``: ask a model about many images."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import typer

from ..messages import format_count
from ..results import Failure
from . import options as option
from .answering import Work, answers_of
from .errors import SOME_FAILED, interruption_note, mendable_errors, name_options
from .folder import PICTURES, OutputFolder
from .loading import is_default, load_model
from .progress import progress_bar
from .questions import Question, ask, prompts_of
from .sources import Source, expand, read_listing
from .stream import StandardOutput
from .writing import TARGETS, write_set, writing_options

if TYPE_CHECKING:
    from ..predictor import Florence2, Prediction
    from ..workflows.tiling import Tiling

JSON_LINES = "jsonl"


class Output(Protocol):
    """Where answers go: standard output or a folder."""

    def pending(self, source: Source) -> list[Question]: ...
    def save(
        self, source: Source, answers: Sequence[tuple[Question, Prediction | Failure]]
    ) -> None: ...


def run(
    context: typer.Context,
    sources: option.Sources,
    task: option.Tasks,
    text: option.Texts = None,
    region: option.RegionBoxes = None,
    model: option.Model = "nano",
    revision: option.Revision = None,
    adapter: option.Adapter = None,
    device: option.Device = None,
    precision: option.Precision = None,
    runtime: option.Runtime = None,
    out: option.OutputDirectory = None,
    format: option.OutputFormat = JSON_LINES,
    classes: option.Classes = None,
    pictures: option.WithPictures = True,
    prefix: option.Prefix = None,
    suffix: option.Suffix = None,
    trigger: option.Trigger = None,
    caption: option.CaptionTask = None,
    draw: option.Draw = False,
    sidecars: option.Sidecars = False,
    resume: option.Resume = False,
    tiles: option.Tiles = None,
    every: option.Every = 1.0,
    allow_urls: option.AllowUrls = False,
    min_score: option.MinScore = None,
    nms_iou: option.NmsIou = None,
    order_corners: option.OrderCorners = False,
    clip: option.Clip = False,
    ascii_labels: option.AsciiLabels = False,
    beams: option.Beams = None,
    max_new_tokens: option.MaxNewTokens = None,
    temperature: option.Temperature = None,
    top_k: option.TopK = None,
    top_p: option.TopP = None,
    constrained: option.Constrained = False,
    seed: option.Seed = None,
    batch_size: option.BatchSize = None,
    memory: option.Memory = None,
) -> None:
    """Ask a model about images, in JSON lines and in files of other tools.

    The prompts of --classes are asked for where a task takes classes and no --text is given.
    """
    answering = option.given(
        min_score=min_score, nms_iou=nms_iou, order_corners=order_corners, clip=clip,
        ascii_labels=ascii_labels, beams=beams, max_new_tokens=max_new_tokens,
        temperature=temperature, top_k=top_k, top_p=top_p, seed=seed,
        constrained=True if constrained else None,
    )  # fmt: skip
    loading = option.given(revision=revision, adapter=adapter, precision=precision, runtime=runtime)
    handling = option.given(
        allow_urls=allow_urls, batch_size=batch_size,
        memory=option.in_bytes(memory),
    )  # fmt: skip
    with mendable_errors():
        how = writing_options(
            classes, pictures=pictures, prefix=prefix, suffix=suffix, trigger=trigger,
            caption=caption,
        )  # fmt: skip
        if format not in TARGETS:
            raise ValueError(f"--format {format!r} is none of {', '.join(TARGETS)}")
        if format != JSON_LINES and out is None:
            raise ValueError(f"--format {format} needs a folder to write to; add --out DIR")
        empty = False
        questions = ask(task, text or prompts_of(how.classes, task), region or ())
        written = () if out is None else (out / PICTURES, out / format)
        tiling = None if tiles is None else read_tiling(tiles)
        images = expand(
            sources, listing=read_listing(), allow_urls=allow_urls, leave_out=written, every=every
        )
        settings = {"model": model, **loading, **answering, **option.given(tiles=tiles)}
        with _open_output(out, images, questions, settings, draw, sidecars, resume) as output:
            work = [(image, left) for image in images if (left := output.pending(image))]
            failures = _answer(
                lambda: load_model(
                    model, by_default=is_default(context, "model"), device=device, **loading
                ),
                work, output, {**answering, **handling}, every, tiling, bar=out is not None,
            )  # fmt: skip
        if out is not None and format != JSON_LINES:
            empty = write_set(out, "answers", format, out / format, how, owned=True).empty
    if failures or empty:
        raise typer.Exit(SOME_FAILED)


def _open_output(
    out: Path | None,
    images: Sequence[Source],
    questions: Sequence[Question],
    settings: dict[str, Any],
    draw: bool,
    sidecars: bool,
    resume: bool,
) -> OutputFolder | StandardOutput:
    if out is not None:
        return OutputFolder(
            out, images, questions,
            settings=settings, resume=resume, draw=draw, sidecars=sidecars,
        )  # fmt: skip
    for name, wanted in (("--draw", draw), ("--sidecars", sidecars), ("--resume", resume)):
        if wanted:
            raise ValueError(f"{name} needs a folder to write to; add --out DIR")
    return StandardOutput(questions)


def read_tiling(text: str) -> Tiling:
    """How pictures are cut. Raises ``ValueError`` for what says nothing of that."""
    from ..workflows.tiling import Tiling

    return Tiling.parse(text)


def _answer(
    load: Callable[[], Florence2],
    work: Work,
    output: Output,
    options: dict[str, Any],
    every: float,
    tiling: Tiling | None,
    *,
    bar: bool,
) -> int:
    """The number of images that failed; each is named on standard error at the end."""
    if not work:
        typer.echo("florence2: nothing left to do", err=True)
        return 0
    model = load()
    failures: dict[str, str] = {}
    done = 0
    start = time.perf_counter()
    outcomes = answers_of(model, work, options, every, tiling)

    def note() -> str:
        rest = "; continue with --resume" if bar else ""
        return f"interrupted: {done:,} of {format_count(len(work), 'image')} done{rest}"

    with (
        interruption_note(note),
        progress_bar(len(work), shown=bar or not sys.stdout.isatty()) as advance,
    ):
        for source, questions in work:
            answers = list(zip(questions, islice(outcomes, len(questions)), strict=True))
            output.save(source, answers)
            errors = [each.error for _, each in answers if isinstance(each, Failure)]
            if errors:
                failures[source.image] = errors[0]
            done += 1
            advance()
    rate = len(work) / (time.perf_counter() - start)
    for image, error in failures.items():
        typer.echo(f"failed: {image}: {name_options(error)}", err=True)
    asked = format_count(len(work), "image")
    typer.echo(f"{asked}, {len(failures):,} failed, {rate:.2f} images/s", err=True)
    return len(failures)
