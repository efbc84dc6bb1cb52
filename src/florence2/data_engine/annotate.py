"""Pictures to the files of their annotators: the index first, then every specialist in turn."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from ..durable import replace_json
from .index import Entry, read_entries, with_copies, write_entries
from .parts import RunFolder
from .pipeline import Executor, Needs
from .sources import list_pictures
from .specialists import SpecialistSpec
from .work import IndexWorker, PartDone, PartWorker

PART_SIZE = 64
_SUMMARY = "index.json"


@dataclass(frozen=True)
class IndexSummary:
    """How many pictures a run has, in how many parts, and how many will not be annotated."""

    pictures: int
    parts: int
    broken: int
    duplicates: int
    near_duplicates: int


def index_pictures(
    source: str,
    folder: RunFolder,
    executor: Executor,
    *,
    part_size: int = PART_SIZE,
    workers: int = 1,
) -> IndexSummary:
    """List, read and hash the pictures of a source; a second call finds what the first one did.

    What is at the source when it is first listed is what the run is about. Raises ``ValueError``
    when the folder holds a run over another source.
    """
    settings = {"source": source, "part_size": part_size}
    _check_same(folder, settings)
    summary = folder.path / _SUMMARY
    if summary.exists():
        return IndexSummary(**json.loads(summary.read_text("utf-8")))
    if not folder.listing.exists():
        write_entries(folder.listing, (Entry(place) for place in list_pictures(source)))
    count = len(read_entries(folder.listing))
    parts = range(-(-count // part_size))
    missing = [part for part in parts if not folder.looked_at(part).exists()]
    make = partial(IndexWorker, folder, part_size)
    for _ in executor.run(make, missing, Needs(workers)):
        pass
    entries = with_copies(entry for part in parts for entry in read_entries(folder.looked_at(part)))
    for part in parts:
        here = entries[part * part_size : (part + 1) * part_size]
        write_entries(folder.index_part(part), here)
    found = IndexSummary(
        len(entries),
        len(parts),
        sum(bool(each.error) for each in entries),
        sum(bool(each.duplicate_of) for each in entries),
        sum(bool(each.near_duplicate_of) for each in entries),
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
        for done in executor.run(make, missing, Needs(spec.workers, spec.cpus, spec.gpus)):
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


def entries_of(folder: RunFolder) -> Iterable[Entry]:
    """The pictures of a run, in order."""
    for part in range(folder.parts()):
        yield from read_entries(folder.index_part(part))


def _check_same(folder: RunFolder, settings: dict[str, object]) -> None:
    path = folder.path / "run.json"
    if not path.exists():
        replace_json(path, settings)
        return
    before = json.loads(path.read_text("utf-8"))
    if before != settings:
        raise ValueError(
            f"{folder.path} holds a run over {before}, not over {settings}: choose another folder"
        )
