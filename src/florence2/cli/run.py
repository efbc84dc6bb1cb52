"""``florence2 run``: ask a model about many images."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import typer

from ..io.messages import format_count, shorten
from ..results.types import Failure
from ..workflows.labeling.label_requests import Question, ask, prompts_of
from ..workflows.labeling.output_directory import ANSWERS, PICTURES, SIDECARS, OutputFolder
from ..workflows.labeling.predictions import Work, answers_of
from ..workflows.labeling.source_files import PassedOver
from ..workflows.labeling.sources import Source, expand, read_listing
from ..workflows.labeling.stdout import StandardOutput
from . import options as option
from .errors import EXIT_PARTIAL, interruption_note, name_options, user_errors
from .loading import hash_checkpoint, is_default, load_model
from .progress import progress_bar
from .run_options import (
    check_caption,
    check_decoding,
    check_every,
    check_formats,
    check_places,
    check_questions,
    split_formats,
)
from .writing import write_set, writing_options

if TYPE_CHECKING:
    from ..datasets.exporters import Options as WritingOptions
    from ..inference.predictor import Florence2, Prediction
    from ..workflows.tiling import Tiling


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
    format: option.OutputFormats = None,
    classes: option.Classes = None,
    pictures: option.WithPictures = True,
    link_images: option.LinkImages = False,
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
    fix_inverted_boxes: option.FixInvertedBoxes = False,
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
        min_score=min_score,
        nms_iou=nms_iou,
        fix_inverted_boxes=fix_inverted_boxes,
        clip=clip,
        ascii_labels=ascii_labels,
        beams=beams,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        constrained=True if constrained else None,
    )
    loading = option.given(revision=revision, adapter=adapter, precision=precision, runtime=runtime)
    handling = option.given(
        allow_urls=allow_urls, batch_size=batch_size, memory=option.in_bytes(memory)
    )
    with user_errors():
        formats = split_formats(format)
        how = writing_options(
            classes,
            pictures=pictures,
            prefix=prefix,
            suffix=suffix,
            trigger=trigger,
            caption=caption,
            link_images=link_images,
        )
        prompts = () if text else prompts_of(how.classes, task)
        check_formats(
            formats,
            has_out=out is not None,
            sidecars=sidecars,
            caption=caption,
            texts={"prefix": prefix, "suffix": suffix, "trigger": trigger},
            pictures=pictures,
            link_images=link_images,
            classes=classes,
            asks_classes=bool(prompts),
        )
        _check_out(out, draw=draw, sidecars=sidecars, resume=resume)
        questions = ask(task, text or prompts, region or ())
        tiling = None if tiles is None else read_tiling(tiles)
        check_caption(caption, questions, resume)
        check_places(formats, questions, resume)
        check_questions(questions, answering, tiling)
        check_decoding({**answering, **handling})
        images = _list_images(sources, out, formats, allow_urls=allow_urls, every=every)
        check_every(not is_default(context, "every"), every, images)
        settings = {"model": model, **loading, **answering, **option.given(tiles=tiles)}
        with _open_output(out, images, questions, settings, draw, sidecars, resume) as output:
            work = [(image, left) for image in images if (left := output.pending(image))]
            if isinstance(output, OutputFolder) and (work or output.has_other_model_name):
                output.check_checkpoint(hash_checkpoint(model, revision, adapter))
            failures = _answer(
                lambda: load_model(
                    model, by_default=is_default(context, "model"), device=device, **loading
                ),
                work,
                output,
                {**answering, **handling},
                every,
                tiling,
                before=len(images) - len(work),
            )
            if out is not None:
                failures += _write_formats(out, [each for each in formats if each != "jsonl"], how)
    if failures:
        raise typer.Exit(EXIT_PARTIAL)


def _list_images(
    sources: Sequence[str],
    out: Path | None,
    formats: Sequence[str],
    *,
    allow_urls: bool,
    every: float,
) -> list[Source]:
    """The images of a run; what was passed over on the way is said on standard error."""
    written = () if out is None else tuple(out / name for name in (PICTURES, SIDECARS, *formats))
    passed_over = PassedOver()
    images = expand(
        sources,
        listing=read_listing(),
        allow_urls=allow_urls,
        leave_out=written,
        every=every,
        passed_over=passed_over,
    )
    for sentence in passed_over.sentences():
        typer.echo(f"florence2: {sentence}", err=True)
    return images


def _check_out(out: Path | None, **wanted: bool) -> None:
    """Raise ``ValueError`` for options that need a directory to write to, where there is none."""
    for name, given in wanted.items():
        if given and out is None:
            raise ValueError(f"--{name} needs a folder to write to; add --out DIR")
    if out is not None and out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file; name a folder")


def _open_output(
    out: Path | None,
    images: Sequence[Source],
    questions: Sequence[Question],
    settings: dict[str, Any],
    draw: bool,
    sidecars: bool,
    resume: bool,
) -> OutputFolder | StandardOutput:
    if out is None:
        return StandardOutput(questions)
    output = OutputFolder(
        out, images, questions, settings=settings, resume=resume, draw=draw, sidecars=sidecars
    )
    if output.repeated:
        count = format_count(output.repeated, "line")
        typer.echo(f"florence2: {count} of {out / ANSWERS} told the same again: removed", err=True)
    if output.changed:
        count = format_count(len(output.changed), "image")
        typer.echo(
            f"florence2: {count} changed since they were answered, and are asked about again: "
            f"{shorten(', '.join(output.changed))}",
            err=True,
        )
    return output


def _write_formats(out: Path, formats: Sequence[str], how: WritingOptions) -> int:
    """Write the answers in ``formats``; how many could not be written whole."""
    failed = 0
    for name in formats:
        outcome = write_set(out, "answers", name, out / name, how, owned=True)
        failed += bool(outcome.problems or outcome.empty)
    return failed


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
    before: int,
) -> int:
    """The number of images that failed; each is named on standard error at the end.

    ``before`` images were answered by an earlier run.
    """
    if not work:
        typer.echo("florence2: nothing left to do", err=True)
        return 0
    model = load()
    failures: dict[str, str] = {}
    done = 0
    start = time.perf_counter()
    outcomes = answers_of(model, work, options, every, tiling)

    in_folder = isinstance(output, OutputFolder)

    def note() -> str:
        rest = "; add --resume to continue" if in_folder else ""
        total = format_count(before + len(work), "image")
        return f"interrupted: {before + done:,} of {total} done{rest}"

    with (
        interruption_note(note),
        progress_bar(len(work), shown=in_folder or not sys.stdout.isatty()) as advance,
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
    unwritten = output.unwritten if isinstance(output, OutputFolder) else {}
    for image, reason in unwritten.items():
        typer.echo(f"answered, but {image}: {reason}", err=True)
    asked = format_count(len(work), "image")
    typer.echo(f"{asked}, {len(failures):,} failed, {rate:.2f} images/s", err=True)
    return len(failures.keys() | unwritten.keys())
