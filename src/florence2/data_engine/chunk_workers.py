"""Workers: one indexes the images of a chunk, one runs an annotator on a chunk.

When an annotator raises or hangs, only the images that cause it get a failure.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from weakref import WeakSet

from ..results.records import Annotation, Annotator, Record
from ..results.types import Text
from .annotators import AnnotatorSpec, ImageAnnotator
from .chunk_files import (
    EngineFiles,
    ImageAnnotations,
    is_failure,
    make_failure,
    read_chunk,
    write_chunk,
)
from .image_sources import ImageLocation, read_images
from .index import IndexEntry, make_entries, read_entries, write_entries

_Annotations = tuple[Annotation, ...]
_CALLS: WeakSet[threading.Thread] = WeakSet()


@dataclass(frozen=True)
class ChunkResult:
    """A finished chunk: its index, number of images, number of failures, annotator's seconds."""

    chunk: int
    images: int = 0
    failures: int = 0
    seconds: float = 0.0


class IndexWorker:
    """Writes the index entries of a chunk: sizes, hashes, errors."""

    is_stuck = False

    def __init__(self, files: EngineFiles, chunk_size: int) -> None:
        self.files, self.chunk_size = files, chunk_size
        # The worker reads the listing itself: it may be too long to send.
        self._locations: Sequence[ImageLocation] | None = None

    def __call__(self, chunk: int) -> ChunkResult:
        path = self.files.unmarked_index_chunk(chunk)
        if path.exists():
            return ChunkResult(chunk)
        if self._locations is None:
            listed = read_entries(self.files.listing)
            self._locations = [replace(entry.location, error=entry.error) for entry in listed]
        begin = chunk * self.chunk_size
        entries = make_entries(self._locations[begin : begin + self.chunk_size])
        write_entries(path, entries)
        return ChunkResult(chunk, len(entries), sum(bool(entry.error) for entry in entries))


def calls_in_progress() -> int:
    """Number of annotator calls in this process that have not returned."""
    return sum(thread.is_alive() for thread in _CALLS)


def _check_text(annotation: Annotation) -> None:
    """Raise ``ValueError`` for text that no file can store: half a surrogate pair."""
    answer = annotation.answer
    labels = (answer.text,) if isinstance(answer, Text) else answer.labels
    for text in (annotation.text, *labels):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{annotation.task}: a text is not Unicode: {error}") from error


class AnnotationWorker:
    """Runs an annotator on chunks; the annotator is made when the first chunk needs it.

    ``is_stuck`` is true when a call of the annotator did not return: its thread still runs.
    """

    def __init__(self, files: EngineFiles, spec: AnnotatorSpec, round: int) -> None:
        self.files, self.spec, self.round = files, spec, round
        self.is_stuck = False
        self._annotator: ImageAnnotator | None = None

    def __call__(self, chunk: int) -> ChunkResult:
        path = self.files.annotations(self.round, self.spec.name, chunk)
        if path.exists():
            return ChunkResult(chunk)
        entries = read_entries(self.files.index_chunk(chunk))
        entries = [entry for entry in entries if entry.needs_annotation]
        earlier = self._read_earlier(chunk)
        start = time.perf_counter()
        images: list[ImageAnnotations] = []
        for begin in range(0, len(entries), self.spec.batch_size):
            images += self._annotate(entries[begin : begin + self.spec.batch_size], earlier)
        seconds = time.perf_counter() - start
        write_chunk(path, images)
        failures = sum(any(map(is_failure, image.annotations)) for image in images)
        return ChunkResult(chunk, len(images), failures, seconds)

    def _read_earlier(self, chunk: int) -> dict[str, _Annotations]:
        """Annotations that the annotators in ``spec.after`` made for the chunk, by image id."""
        found: dict[str, _Annotations] = {}
        for name in self.spec.after:
            for image in read_chunk(self.files.annotations(self.round, name, chunk)):
                usable = tuple(each for each in image.annotations if not is_failure(each))
                found[image.id] = found.get(image.id, ()) + usable
        return found

    def _annotate(
        self, entries: Sequence[IndexEntry], earlier: dict[str, _Annotations]
    ) -> list[ImageAnnotations]:
        records: list[Record] = []
        annotations: dict[str, _Annotations] = {}
        contents = read_images([entry.location for entry in entries])
        for entry, content in zip(entries, contents, strict=True):
            id = entry.location.id
            problem = entry.find_problem(content)
            if not problem and isinstance(content, bytes):
                record = Record(id, entry.width, entry.height, entry.sha256, content, id)
                records.append(replace(record, annotations=earlier.get(id, ())))
            else:
                annotations[id] = (make_failure(self._identity(), problem),)
        for record, made in zip(records, self._annotate_or_fail(records), strict=True):
            annotations[record.id] = made
        return [
            ImageAnnotations(
                entry.location.id,
                (entry.width, entry.height),
                tuple(replace(each, round=self.round) for each in annotations[entry.location.id]),
            )
            for entry in entries
        ]

    def _annotate_or_fail(self, records: Sequence[Record]) -> list[_Annotations]:
        """The annotations of records. When a whole batch fails, its records are tried one by one;
        a record that fails on its own gets a failure."""
        if not records:
            return []
        try:
            return self._call_annotator(records)
        except Exception as error:
            if len(records) == 1:
                return [(make_failure(self._identity(), f"{type(error).__name__}: {error}"),)]
        return [made for record in records for made in self._annotate_or_fail([record])]

    def _call_annotator(self, records: Sequence[Record]) -> list[_Annotations]:
        """Call the annotator in a thread with a time limit, and check what it returns."""
        annotator = self._get_annotator()
        results: SimpleQueue[list[_Annotations] | Exception] = SimpleQueue()

        def call() -> None:
            try:
                results.put([tuple(each) for each in annotator.annotate(records)])
            except Exception as error:  # any error belongs to these records
                results.put(error)

        limit = self.spec.time_limit * len(records)
        thread = threading.Thread(target=call, daemon=True, name=self.spec.name)
        _CALLS.add(thread)
        thread.start()
        try:
            result = results.get(timeout=limit)
        except Empty:
            # The hanging call may hold a lock, so the next call gets a new annotator.
            self.is_stuck, self._annotator = True, None
            raise TimeoutError(f"no result within {limit:g} seconds") from None
        if isinstance(result, Exception):
            raise result
        if len(result) != len(records):
            raise ValueError(f"{len(result)} results for {len(records)} images")
        for record, made in zip(records, result, strict=True):
            replace(record, annotations=made)  # raises for results of another image size
            for annotation in made:
                _check_text(annotation)
        return result

    def _get_annotator(self) -> ImageAnnotator:
        if self._annotator is None:
            self._annotator = self.spec.make()
        return self._annotator

    def _identity(self) -> Annotator:
        return self._get_annotator().annotator
