"""A round's end: all that was said about every picture, judged, in shards.

The same files give the same shards, to the byte of every answer, however often the work was
interrupted: a picture's verdicts hang on its own annotations, and pictures keep their order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..datasets.shards import ShardDataset, ShardWriter
from ..io.messages import shorten
from ..results.records import Annotation, Annotator, Record
from ..results.types import Boxes, Text
from .apply_filters import FilterContext, judged, texts_of
from .caption_parsing import MAX_PARSED_CHARS, TextFacts, parse_captions
from .filters import Thresholds
from .image_sources import read_pictures
from .index import Entry, read_entries, write_entries
from .part_files import RunFolder, read_said

# Texts that came with the pictures, as the web's image and text pairs have them.
FOUND = Annotator("found-text")


def finish_round(
    folder: RunFolder,
    round: int,
    limits: Thresholds,
    *,
    records_per_shard: int = 512,
    advance: Callable[[int], None] = lambda count: None,
    tell: Callable[[str], None] = lambda line: None,
) -> ShardDataset:
    """Write the shards of a round, or the rest of them, and open them.

    A picture that has gone or changed since the run began is left out: it is broken in the index
    from then on, and ``tell`` is called with its name. Raises ``ValueError`` when the shards there
    were judged by other thresholds.
    """
    names = annotators_until(folder, round)
    superseded = _superseded(names)
    known = known_names(folder, names)
    origin = {
        "maker": "data engine",
        "round": round,
        "annotators": _plain(names),
        "thresholds": asdict(limits),
    }
    with ShardWriter(
        folder.shards(round), max_records=records_per_shard, origin=json.loads(json.dumps(origin))
    ) as writer:
        done = writer.manifest.rows
        for part in range(folder.parts()):
            entries = [each for each in read_entries(folder.index_part(part)) if each.wanted]
            if done >= len(entries):
                done -= len(entries)
                continue
            found = _records(folder, names, part, entries[done:], tell)
            for record in _judged(found, limits, known, superseded):
                writer.write(record)
            advance(len(found))
            done = 0
    return ShardDataset(folder.shards(round))


def annotators_until(folder: RunFolder, round: int) -> list[tuple[int, str]]:
    """The rounds and names of all that was said up to a round, in that order."""
    return [
        (number, path.name)
        for number in range(round + 1)
        for path in sorted((folder.round(number) / "annotators").glob("*"))
    ]


def known_names(folder: RunFolder, names: Sequence[tuple[int, str]]) -> frozenset[str]:
    """What detectors said anywhere: the categories they can be said to know."""
    found: set[str] = set()
    for round, name in names:
        for part in range(folder.parts()):
            for said in read_said(folder.said(round, name, part)):
                for each in said.annotations:
                    if each.task == "<OD>" and isinstance(each.answer, Boxes):
                        found.update(each.answer.labels)
    return frozenset(found)


def _records(
    folder: RunFolder,
    names: Sequence[tuple[int, str]],
    part: int,
    entries: Sequence[Entry],
    tell: Callable[[str], None],
) -> list[tuple[Entry, Record]]:
    """The pictures with everything that was said about them, without those that are gone."""
    said: dict[str, list[Annotation]] = {each.place.id: [] for each in entries}
    for round, name in names:
        for one in read_said(folder.said(round, name, part)):
            if one.id in said:
                said[one.id] += one.annotations
    contents = read_pictures([each.place for each in entries])
    found, gone = [], {}
    for entry, content in zip(entries, contents, strict=True):
        id = entry.place.id
        problem = entry.problem_with(content)
        if problem or not isinstance(content, bytes):
            gone[id] = f"{problem}, and was whole when the run began"
            continue
        own = _own_texts(entry)
        record = Record(id, entry.width, entry.height, entry.sha256, content, id, (*own, *said[id]))
        found.append((entry, record))
    if gone:
        _mark_broken(folder.index_part(part), gone)
        for id, problem in gone.items():
            tell(shorten(f"left out: {id}: {problem}"))
    return found


def _mark_broken(path: Path, problems: Mapping[str, str]) -> None:
    """Note in an index part what is wrong with some of its pictures.

    These come after all that is written, so that what is written keeps its number.
    """
    entries = read_entries(path)
    write_entries(
        path,
        [replace(each, error=problems.get(each.place.id, each.error)) for each in entries],
    )


def _own_texts(entry: Entry) -> tuple[Annotation, ...]:
    return tuple(Annotation("<CAPTION>", Text(text), annotator=FOUND) for text in entry.place.texts)


def _judged(
    found: Sequence[tuple[Entry, Record]],
    limits: Thresholds,
    known: frozenset[str],
    superseded: dict[str, int],
) -> Iterator[Record]:
    texts = dict.fromkeys(
        text
        for _, record in found
        for text in texts_of(record.annotations)
        if len(text) <= MAX_PARSED_CHARS
    )
    facts: dict[str, TextFacts] = (
        dict(zip(texts, parse_captions(texts), strict=True)) if texts else {}
    )
    judging = FilterContext(limits, facts, known, superseded)
    for entry, record in found:
        annotations = judged(record.annotations, judging, entry.near_duplicate_of)
        yield Record(
            record.id,
            record.width,
            record.height,
            record.sha256,
            record.image,
            record.path,
            annotations,
        )


def _superseded(names: Sequence[tuple[int, str]]) -> dict[str, int]:
    """The last round of each annotator that spoke in several."""
    return {name: round for round, name in names}


def _plain(names: Sequence[tuple[int, str]]) -> list[Any]:
    return [list(each) for each in names]
