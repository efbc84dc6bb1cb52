"""Label images: predict tasks for every image, write the predictions, resume."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ...io.messages import format_count, shorten
from ...results.types import Failure
from .label_config import DEFAULT_FRAME_INTERVAL, LabelConfig
from .label_requests import LabelRequest, build_requests
from .option_checks import check_frame_interval, check_label_config
from .output_directory import ANNOTATED_IMAGES, ANSWERS, SIDECARS, LabelDirectory, LineStream
from .predict_images import Work, predict_images
from .source_files import SkippedFiles
from .sources import Source, list_sources, read_listing

if TYPE_CHECKING:
    from ...datasets.dataset_export import ExportReport
    from ...inference.predictor import Florence2

_LOGGER = logging.getLogger("florence2")


@dataclass(frozen=True)
class LabelOutcome:
    """What a run of ``label`` did.

    Attributes:
        done: number of images whose predictions were written by this call.
        skipped: number of images that an earlier call had finished.
        failed: image -> error, for images that could not be predicted.
        unwritten: image -> reason, for images with a drawing or sidecar that could not be written.
        paths: the files and directories in the output directory that hold the results.
        exports: a report for each exported format.
        seconds: time for the predictions.
    """

    done: int
    skipped: int
    failed: Mapping[str, str]
    unwritten: Mapping[str, str]
    paths: tuple[Path, ...]
    seconds: float
    exports: tuple[ExportReport, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether every image was predicted and every file was written."""
        exported = not any(each.problems or each.is_empty for each in self.exports)
        return exported and not self.failed and not self.unwritten


class LabelMonitor:
    """Gets the messages and the progress of a run. Subclass it to show them."""

    def notify(self, message: str) -> None:
        """Report something that is not an error; by default to the log."""
        _LOGGER.info(message)

    def start(self, done: int, total: int) -> None:
        """The run starts, with ``done`` of ``total`` images finished by an earlier call."""

    def advance(self) -> None:
        """One more image is finished."""

    def finish(self, outcome: LabelOutcome) -> None:
        """All images are predicted; formats are exported next."""


def load_model(config: LabelConfig) -> Florence2:
    """The model that the options name."""
    from ...inference.predictor import load

    return load(config.model, **config.load_arguments)


def label(
    sources: str | Path | Iterable[str | Path],
    tasks: str | Sequence[str],
    *,
    out: str | Path | BinaryIO,
    resume: bool = True,
    config: LabelConfig | None = None,
    load: Callable[[LabelConfig], Florence2] = load_model,
    monitor: LabelMonitor | None = None,
) -> LabelOutcome:
    """Predict tasks for images and write the predictions.

    An image that cannot be read or predicted is reported in the outcome, and the run continues. A
    run that was stopped or killed resumes when it is called again: images that are done are
    skipped, failed ones are tried again.

    Args:
        sources: images, PDF files, videos, directories, patterns, URLs, or ``"-"`` for a list of
            them on standard input.
        tasks: names, aliases or tokens of tasks.
        out: the output directory, for ``answers.jsonl`` with one JSON line for each image and
            task, ``pictures``, ``sidecars`` and a directory for each format; or a binary stream
            that gets the lines.
        resume: continue the run in ``out``; without it a directory with predictions is refused.
        config: the model, its options, and what is written.
        load: called once if an image is left; ``lambda config: model`` uses a loaded model, whose
            name should be ``config.model``.
        monitor: gets messages and progress.

    Returns:
        Counts, errors by image, and the paths that were written.

    Raises:
        ValueError: an unknown task, an option that does not apply, a source that does not exist,
            an output directory of another run or in use by another process.
    """
    config, monitor = config or LabelConfig(), monitor or LabelMonitor()
    directory = Path(out) if isinstance(out, (str, os.PathLike)) else None
    names = [tasks] if isinstance(tasks, str) else tasks
    requests = build_requests(names, config.text, config.region, config.classes)
    check_label_config(config, requests, in_directory=directory is not None, resume=resume)
    if directory is not None and directory.exists() and not directory.is_dir():
        raise ValueError(f"--out {directory} is a file; name a directory")
    images = _list_images(sources, directory, config, monitor)
    check_frame_interval(config, images)
    with _open_output(out, images, requests, config, resume, monitor) as output:
        pending = [(image, output.pending(image)) for image in images]
        work = [(image, requests) for image, requests in pending if requests]
        if isinstance(output, LabelDirectory) and (work or output.has_other_model_name):
            output.check_checkpoint(_hash_checkpoint(config))
        outcome = _predict(work, len(images), output, config, load, monitor)
        monitor.finish(outcome)
        if directory is None:
            return outcome
        return _export(directory, config, outcome)


def _list_images(
    sources: str | Path | Iterable[str | Path],
    directory: Path | None,
    config: LabelConfig,
    monitor: LabelMonitor,
) -> list[Source]:
    listed = [sources] if isinstance(sources, (str, os.PathLike)) else sources
    outputs = (ANNOTATED_IMAGES, SIDECARS, *config.formats)
    skipped = SkippedFiles()
    images = list_sources(
        [str(each) for each in listed],
        listing=read_listing(),
        allow_urls=config.allow_urls,
        exclude=() if directory is None else [directory / name for name in outputs],
        frame_interval=config.frame_interval or DEFAULT_FRAME_INTERVAL,
        skipped=skipped,
    )
    for sentence in skipped.sentences():
        monitor.notify(sentence)
    return images


@contextmanager
def _open_output(
    out: str | Path | BinaryIO,
    images: Sequence[Source],
    requests: Sequence[LabelRequest],
    config: LabelConfig,
    resume: bool,
    monitor: LabelMonitor,
) -> Iterator[LabelDirectory | LineStream]:
    if not isinstance(out, (str, os.PathLike)):
        yield LineStream(out, requests)
        return
    path = Path(out)
    with LabelDirectory.open(
        path, images, requests, settings=config.settings, resume=resume
    ) as output:
        if output.repeated:
            count = format_count(output.repeated, "line")
            monitor.notify(f"{count} of {path / ANSWERS} were duplicates and are removed")
        if output.changed:
            count = format_count(len(output.changed), "image")
            names = shorten(", ".join(output.changed))
            monitor.notify(f"{count} changed since the prediction and will be repeated: {names}")
        yield output


def _predict(
    work: Work,
    total: int,
    output: LabelDirectory | LineStream,
    config: LabelConfig,
    load: Callable[[LabelConfig], Florence2],
    monitor: LabelMonitor,
) -> LabelOutcome:
    """Predict what is left of ``total`` images, and write each when it is done."""
    failed: dict[str, str] = {}
    skipped = total - len(work)
    model = load(config) if work else None
    start = time.perf_counter()
    if model is None:
        monitor.notify("nothing to do")
    else:
        outcomes = predict_images(model, work, config)
        monitor.start(skipped, total)
        for source, requests in work:
            predicted = list(zip(requests, islice(outcomes, len(requests)), strict=True))
            output.save(source, predicted)
            errors = [each.error for _, each in predicted if isinstance(each, Failure)]
            if errors:
                failed[source.image] = errors[0]
            monitor.advance()
    unwritten: dict[str, str] = {}
    paths: tuple[Path, ...] = ()
    if isinstance(output, LabelDirectory):
        unwritten, paths = dict(output.unwritten), tuple(output.list_paths())
    seconds = time.perf_counter() - start
    return LabelOutcome(len(work) - len(failed), skipped, failed, unwritten, paths, seconds)


def _export(directory: Path, config: LabelConfig, outcome: LabelOutcome) -> LabelOutcome:
    """Write the predictions in the formats of other tools, each to a directory of its name."""
    if not config.dataset_formats:
        return outcome
    from ...datasets.dataset_export import export_dataset

    options = config.export_options
    reports = tuple(
        export_dataset(directory, "answers", name, directory / name, options, destination="owned")
        for name in config.dataset_formats
    )
    paths = (*outcome.paths, *(directory / name for name in config.dataset_formats))
    return replace(outcome, paths=paths, exports=reports)


def _hash_checkpoint(config: LabelConfig) -> str | None:
    """The SHA-256 of what decides the predictions of a model: its weights and its adapter's.

    ``None`` where there are no files, as for a bundled model without weights. Raises what
    ``florence2.load`` raises for a checkpoint that does not exist.
    """
    from ...inference.predictor import resolve_checkpoint
    from ...io.atomic import file_hash
    from ...model.checkpoint.weights import checkpoint_files

    adapter = () if config.adapter is None else (Path(config.adapter),)
    directories = [resolve_checkpoint(config.model, config.revision), *adapter]
    if not all(each.is_dir() for each in directories):
        return None
    digest = hashlib.sha256()
    for file in checkpoint_files(*directories):
        digest.update(f"{file.name} {file_hash(file)}\n".encode())
    return digest.hexdigest()
