"""From images to annotation files: the index first, then one annotator after the other."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from ..io.atomic import replace_json
from ..io.deprecation import rename_keys
from .annotators import AnnotatorSpec
from .chunk_files import EngineFiles
from .chunk_workers import AnnotationWorker, ChunkResult, IndexWorker
from .duplicates import mark_duplicates
from .engine_config import CHUNK_SIZE
from .executor import Executor, Resources
from .image_sources import list_images
from .index import IndexEntry, read_entries, write_entries

_SUMMARY = "index.json"
_SKIPPED = "passed_over.json"
_OLD_KEYS = {"pictures": "images", "parts": "chunks", "passed_over": "skipped_files"}


@dataclass(frozen=True)
class IndexSummary:
    """Number of images and chunks of a run, and of images that are not annotated or are copies.

    ``skipped_files`` counts the files of the source that are not images, by suffix.
    """

    images: int
    chunks: int
    broken: int
    duplicates: int
    near_duplicates: int
    skipped_files: Mapping[str, int] = field(default_factory=dict)


def index_images(
    source: str,
    files: EngineFiles,
    executor: Executor,
    *,
    chunk_size: int = CHUNK_SIZE,
    workers: int = 1,
) -> IndexSummary:
    """List, read and hash the images of a source; a second call returns the first one's result.

    Images that are added to the source after the first call do not belong to the run.

    Raises:
        FileNotFoundError: There is nothing at ``source``.
        ValueError: ``source`` has no images.
    """
    summary = files.path / _SUMMARY
    if summary.exists():
        stored = json.loads(summary.read_text("utf-8"))
        return IndexSummary(**rename_keys(stored, _OLD_KEYS, _SUMMARY, stacklevel=0))
    skipped_files = _list_source(source, files)
    count = len(read_entries(files.listing))
    chunks = range(-(-count // chunk_size))
    pending = [chunk for chunk in chunks if not files.unmarked_index_chunk(chunk).exists()]
    make = partial(IndexWorker, files, chunk_size)
    for _ in executor.run(make, pending, Resources(workers)):
        pass
    entries = mark_duplicates(
        entry for chunk in chunks for entry in read_entries(files.unmarked_index_chunk(chunk))
    )
    for chunk in chunks:
        own = entries[chunk * chunk_size : (chunk + 1) * chunk_size]
        write_entries(files.index_chunk(chunk), own)
    found = IndexSummary(
        len(entries),
        len(chunks),
        sum(bool(entry.error) for entry in entries),
        sum(bool(entry.duplicate_of) for entry in entries),
        sum(bool(entry.near_duplicate_of) for entry in entries),
        skipped_files,
    )
    replace_json(summary, vars(found))
    return found


def annotate(
    files: EngineFiles,
    specs: Sequence[AnnotatorSpec],
    round: int,
    executor: Executor,
    on_chunk: Callable[[str, ChunkResult], None] = lambda name, result: None,
) -> None:
    """Run every annotator on every chunk that it has no file for, in a round.

    Annotators run in the order of ``order_annotators``. ``on_chunk`` is called with the
    annotator's name and each result.
    """
    chunks = range(files.num_chunks())
    for spec in order_annotators(specs):
        pending = [
            chunk for chunk in chunks if not files.annotations(round, spec.name, chunk).exists()
        ]
        make = partial(AnnotationWorker, files, spec, round)
        resources = Resources(spec.workers, spec.cpus, spec.gpus)
        for result in executor.run(make, pending, resources):
            on_chunk(spec.name, result)


def order_annotators(specs: Sequence[AnnotatorSpec]) -> list[AnnotatorSpec]:
    """The annotators in topological order: each one after those in its ``after``.

    Raises:
        ValueError: Names repeat, ``after`` has an unknown name, or annotators form a cycle.
    """
    names = [spec.name for spec in specs]
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise ValueError(f"two annotators are called {', '.join(sorted(repeated))}: rename one")
    unknown = {name for spec in specs for name in spec.after} - set(names)
    if unknown:
        raise ValueError(
            f"annotators run after {sorted(unknown)}, which are not among {names}: add them"
        )
    ordered: list[AnnotatorSpec] = []
    waiting = list(specs)
    while waiting:
        done = {spec.name for spec in ordered}
        ready = [spec for spec in waiting if done.issuperset(spec.after)]
        if not ready:
            raise ValueError(f"{[spec.name for spec in waiting]} wait for each other")
        ordered += ready[:1]
        waiting.remove(ready[0])
    return ordered


def read_index(files: EngineFiles) -> Iterator[IndexEntry]:
    """The entries of all images of a run, in order."""
    for chunk in range(files.num_chunks()):
        yield from read_entries(files.index_chunk(chunk))


def _list_source(source: str, files: EngineFiles) -> dict[str, int]:
    """Write the locations of a source's images, unless an earlier call did.

    Returns the numbers of skipped files by suffix. Writes nothing when there are no images.
    """
    counts = files.path / _SKIPPED
    if not files.listing.exists():
        skipped_files: Counter[str] = Counter()
        listed = [
            IndexEntry(location, error=location.error)
            for location in list_images(source, skipped_files)
        ]
        write_entries(files.listing, listed)
        replace_json(counts, dict(skipped_files))
    found: dict[str, int] = json.loads(counts.read_text("utf-8")) if counts.exists() else {}
    return found
