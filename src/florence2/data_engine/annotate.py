"""Pictures to the files of their annotators: the index first, then every specialist in turn."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ..io.atomic import replace_json
from .annotators import SpecialistSpec
from .executor import Executor, Resources
from .image_sources import list_pictures
from .index import Entry, read_entries, with_copies, write_entries
from .part_files import RunFolder
from .part_workers import IndexWorker, PartDone, PartWorker
from .run_settings import SETTINGS_FILE, check_settings, write_settings

PART_SIZE = 64
_SUMMARY = "index.json"
_PASSED_OVER = "passed_over.json"


@dataclass(frozen=True)
class IndexSummary:
    """How many pictures a run has, in how many parts, and how many will not be annotated.

    ``passed_over`` counts the files of the source that are no pictures, by suffix.
    """

    pictures: int
    parts: int
    broken: int
    duplicates: int
    near_duplicates: int
    passed_over: Mapping[str, int] = field(default_factory=dict)


def index_pictures(
    source: str,
    folder: RunFolder,
    executor: Executor,
    *,
    part_size: int = PART_SIZE,
    workers: int = 1,
    settings: Mapping[str, Any] | None = None,
) -> IndexSummary:
    """List, read and hash the pictures of a source; a second call finds what the first one did.

    What is at the source when it is first listed is what the run is about. Raises ``ValueError``
    when the folder holds a run over another source, or one with other ``settings``.
    """
    settings = {"source": source, "part_size": part_size, **(settings or {})}
    check_settings(folder.path, settings)
    summary = folder.path / _SUMMARY
    if summary.exists():
        write_settings(folder.path, settings)
        return IndexSummary(**json.loads(summary.read_text("utf-8")))
    passed_over = _list(source, folder)
    write_settings(folder.path, settings)
    count = len(read_entries(folder.listing))
    parts = range(-(-count // part_size))
    missing = [part for part in parts if not folder.index_path(part).exists()]
    make = partial(IndexWorker, folder, part_size)
    for _ in executor.run(make, missing, Resources(workers)):
        pass
    entries = with_copies(
        entry for part in parts for entry in read_entries(folder.index_path(part))
    )
    for part in parts:
        here = entries[part * part_size : (part + 1) * part_size]
        write_entries(folder.index_part(part), here)
    found = IndexSummary(
        len(entries),
        len(parts),
        sum(bool(each.error) for each in entries),
        sum(bool(each.duplicate_of) for each in entries),
        sum(bool(each.near_duplicate_of) for each in entries),
        passed_over,
    )
    replace_json(summary, vars(found))
    return found


def annotate(
    folder: RunFolder,
    specs: Sequence[SpecialistSpec],
    round: int,
    executor: Executor,
    advance: Callable[[str, PartDone], None] = lambda name, done: None,
) -> None:
    """Have every specialist annotate every part that it has no file for yet, in a round.

    A specialist comes after those whose annotations it is given. ``advance`` is told each part.
    Raises ``ValueError`` when names repeat or specialists wait for each other.
    """
    parts = range(folder.parts())
    for spec in in_order(specs):
        missing = [part for part in parts if not folder.said(round, spec.name, part).exists()]
        make = partial(PartWorker, folder, spec, round)
        for done in executor.run(make, missing, Resources(spec.workers, spec.cpus, spec.gpus)):
            advance(spec.name, done)


def in_order(specs: Sequence[SpecialistSpec]) -> list[SpecialistSpec]:
    """The specialists, each behind those it comes ``after``, otherwise as they were given."""
    names = [spec.name for spec in specs]
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise ValueError(f"two specialists are called {', '.join(sorted(repeated))}: rename one")
    unknown = {need for spec in specs for need in spec.after} - set(names)
    if unknown:
        raise ValueError(f"specialists come after {sorted(unknown)}, which are not among {names}")
    ordered: list[SpecialistSpec] = []
    waiting = list(specs)
    while waiting:
        there = {spec.name for spec in ordered}
        ready = [spec for spec in waiting if there.issuperset(spec.after)]
        if not ready:
            raise ValueError(f"{[spec.name for spec in waiting]} wait for each other")
        ordered += ready[:1]
        waiting.remove(ready[0])
    return ordered


def _list(source: str, folder: RunFolder) -> dict[str, int]:
    """Write the places of a source, if no call before did; what was passed over, by suffix.

    Nothing is left behind when there is nothing to list.
    """
    counted = folder.path / _PASSED_OVER
    if not folder.listing.exists() or not (folder.path / SETTINGS_FILE).exists():
        passed_over: Counter[str] = Counter()
        listed = [Entry(each, error=each.error) for each in list_pictures(source, passed_over)]
        write_entries(folder.listing, listed)
        replace_json(counted, dict(passed_over))
    found: dict[str, int] = json.loads(counted.read_text("utf-8")) if counted.exists() else {}
    return found


def entries_of(folder: RunFolder) -> Iterable[Entry]:
    """The pictures of a run, in order."""
    for part in range(folder.parts()):
        yield from read_entries(folder.index_part(part))
