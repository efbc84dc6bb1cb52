"""The end of a round: all annotations of every image, filtered, as shards.

The same files give the same shards, however often the run was interrupted: the decisions on an
image depend on its own annotations, and images keep their order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..datasets.shards import ShardDataset, ShardWriter
from ..datasets.shards.manifest import read_manifest
from ..io.messages import shorten
from ..results.records import Annotation, Annotator, Record
from ..results.types import Boxes, Text
from .apply_filters import apply_filters, list_captions
from .caption_parsing import MAX_PARSED_CHARS, TextFacts, parse_captions
from .chunk_files import EngineFiles, read_chunk
from .engine_config import OLD_ANNOTATOR_NAMES, OLD_THRESHOLDS, Thresholds
from .filters import DETECTION, FilterContext
from .image_sources import read_images
from .index import IndexEntry, read_entries, write_entries

# Captions that came with the images, as image-text pairs from the web have them.
ALT_TEXT = Annotator("found-text")
_RECORDS_PER_SHARD = 512


def finish_round(
    files: EngineFiles,
    round: int,
    thresholds: Thresholds,
    log: Callable[[str], None] = lambda line: None,
) -> ShardDataset:
    """Write the shards of a round, or those that are missing, and open them.

    An image that is gone or changed since the run started is left out; ``log`` is called with its
    name, and the index marks it as broken.

    Raises:
        ValueError: Stored shards were filtered with other thresholds.
    """
    annotators = list_annotators(files, round)
    context = FilterContext(
        thresholds,
        known_labels=find_known_labels(files, annotators),
        # A later round of an annotator replaces the earlier one.
        last_rounds={name: number for number, name in annotators},
    )
    origin = {
        "maker": "data engine",
        "round": round,
        "annotators": [list(each) for each in annotators],
        "thresholds": asdict(thresholds),
    }
    origin = _match_stored_origin(files.shards(round), json.loads(json.dumps(origin)))
    writer = ShardWriter(files.shards(round), max_records=_RECORDS_PER_SHARD, origin=origin)
    with writer:
        done = writer.manifest.rows
        for chunk in range(files.num_chunks()):
            entries = read_entries(files.index_chunk(chunk))
            entries = [entry for entry in entries if entry.needs_annotation]
            if done >= len(entries):
                done -= len(entries)
                continue
            found = _read_records(files, annotators, chunk, entries[done:], log)
            for record in _filter_records(found, context):
                writer.write(record)
            done = 0
    return ShardDataset(files.shards(round))


def list_annotators(files: EngineFiles, round: int) -> list[tuple[int, str]]:
    """The rounds and names of the annotators up to a round, in the order of rounds."""
    return [
        (number, path.name)
        for number in range(round + 1)
        for path in sorted(files.annotators(number).glob("*"))
    ]


def find_known_labels(files: EngineFiles, annotators: Sequence[tuple[int, str]]) -> frozenset[str]:
    """All labels that a detector gave to any image: the classes that it is known to detect."""
    found: set[str] = set()
    for round, name in annotators:
        for chunk in range(files.num_chunks()):
            for image in read_chunk(files.annotations(round, name, chunk)):
                for each in image.annotations:
                    if each.task == DETECTION and isinstance(each.answer, Boxes):
                        found.update(each.answer.labels)
    return frozenset(found)


def _match_stored_origin(shards: Path, origin: dict[str, Any]) -> dict[str, Any]:
    """``origin``, with release 0.1's names of thresholds where the stored shards have them."""
    manifest = read_manifest(shards)
    stored = {} if manifest is None else dict(manifest.origin)
    thresholds = {
        OLD_THRESHOLDS.get(name, name): value
        for name, value in stored.get("thresholds", {}).items()
    }
    if "confidence" in thresholds:
        thresholds["confidence"] = {
            OLD_ANNOTATOR_NAMES.get(name, name): value
            for name, value in thresholds["confidence"].items()
        }
    return stored if {**stored, "thresholds": thresholds} == origin else origin


def _read_records(
    files: EngineFiles,
    annotators: Sequence[tuple[int, str]],
    chunk: int,
    entries: Sequence[IndexEntry],
    log: Callable[[str], None],
) -> list[tuple[IndexEntry, Record]]:
    """The images of a chunk with all their annotations, without images that are gone."""
    annotations: dict[str, list[Annotation]] = {entry.location.id: [] for entry in entries}
    for round, name in annotators:
        for image in read_chunk(files.annotations(round, name, chunk)):
            if image.id in annotations:
                annotations[image.id] += image.annotations
    contents = read_images([entry.location for entry in entries])
    found, gone = [], {}
    for entry, content in zip(entries, contents, strict=True):
        id = entry.location.id
        problem = entry.find_problem(content)
        if problem or not isinstance(content, bytes):
            gone[id] = f"{problem}, and was readable when the run started"
            continue
        captions = (
            Annotation("<CAPTION>", Text(text), annotator=ALT_TEXT) for text in entry.location.texts
        )
        record = Record(id, entry.width, entry.height, entry.sha256, content, id)
        found.append((entry, replace(record, annotations=(*captions, *annotations[id]))))
    if gone:
        _mark_broken(files.index_chunk(chunk), gone)
        for id, problem in gone.items():
            log(shorten(f"left out: {id}: {problem}"))
    return found


def _mark_broken(path: Path, problems: Mapping[str, str]) -> None:
    """Write the problems of some images of an index chunk as their errors.

    These images come after all written records, so that written records keep their positions.
    """
    entries = read_entries(path)
    write_entries(
        path,
        [replace(entry, error=problems.get(entry.location.id, entry.error)) for entry in entries],
    )


def _filter_records(
    found: Sequence[tuple[IndexEntry, Record]], context: FilterContext
) -> Iterator[Record]:
    captions = dict.fromkeys(
        text
        for _, record in found
        for text in list_captions(record.annotations)
        if len(text) <= MAX_PARSED_CHARS
    )
    facts: dict[str, TextFacts] = (
        dict(zip(captions, parse_captions(captions), strict=True)) if captions else {}
    )
    for entry, record in found:
        own = replace(context, facts=facts, near_duplicate_of=entry.near_duplicate_of)
        yield replace(record, annotations=apply_filters(record.annotations, own))
