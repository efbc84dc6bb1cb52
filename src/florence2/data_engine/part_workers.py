"""One part of the pictures through one specialist: what a worker does.

A specialist that raises or hangs costs the pictures that make it do so, and no others.
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
from .annotators import Specialist, SpecialistSpec
from .image_sources import Place, read_pictures
from .index import Entry, look_at, read_entries, write_entries
from .part_files import PartOutput, RunFolder, failure, is_failure, read_said, write_part

_CALLS: WeakSet[threading.Thread] = WeakSet()


@dataclass(frozen=True)
class PartDone:
    """A part that is done: its number, its pictures, how many failed, seconds of the specialist."""

    part: int
    pictures: int = 0
    failures: int = 0
    seconds: float = 0.0


class IndexWorker:
    """Looks at the pictures of a part: sizes, hashes, and what is broken."""

    stuck = False

    def __init__(self, folder: RunFolder, part_size: int) -> None:
        self.folder, self.part_size = folder, part_size
        # A long list is read where it is needed instead of being sent there.
        self._places: Sequence[Place] | None = None

    def __call__(self, part: int) -> PartDone:
        path = self.folder.index_path(part)
        if path.exists():
            return PartDone(part)
        if self._places is None:
            listed = read_entries(self.folder.listing)
            self._places = [replace(each.place, error=each.error) for each in listed]
        begin = part * self.part_size
        entries = look_at(self._places[begin : begin + self.part_size])
        write_entries(path, entries)
        return PartDone(part, len(entries), sum(bool(each.error) for each in entries))


def calls_in_progress() -> int:
    """How many calls of specialists have not come back, in this process."""
    return sum(each.is_alive() for each in _CALLS)


def _check_text(annotation: Annotation) -> None:
    """Raise ``ValueError`` for words that no file can hold: halves of surrogate pairs."""
    answer = annotation.answer
    labels = (answer.text,) if isinstance(answer, Text) else answer.labels
    for text in (annotation.text, *labels):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{annotation.task}: a text is not Unicode: {error}") from error


class PartWorker:
    """Has a specialist annotate parts; the specialist is made when the first one comes.

    ``stuck`` tells that a call of the specialist never came back: the process still carries it.
    """

    def __init__(self, folder: RunFolder, spec: SpecialistSpec, round: int) -> None:
        self.folder, self.spec, self.round = folder, spec, round
        self.stuck = False
        self._specialist: Specialist | None = None

    def __call__(self, part: int) -> PartDone:
        path = self.folder.said(self.round, self.spec.name, part)
        if path.exists():
            return PartDone(part)
        entries = [each for each in read_entries(self.folder.index_part(part)) if each.wanted]
        earlier = self._earlier(part)
        began = time.perf_counter()
        said: list[PartOutput] = []
        for begin in range(0, len(entries), self.spec.batch_size):
            said += self._annotate(entries[begin : begin + self.spec.batch_size], earlier)
        seconds = time.perf_counter() - began
        write_part(path, said)
        failures = sum(any(map(is_failure, each.annotations)) for each in said)
        return PartDone(part, len(said), failures, seconds)

    def _earlier(self, part: int) -> dict[str, tuple[Annotation, ...]]:
        """What the specialists before have said about the part, by picture."""
        found: dict[str, tuple[Annotation, ...]] = {}
        for name in self.spec.after:
            for each in read_said(self.folder.said(self.round, name, part)):
                usable = tuple(one for one in each.annotations if not is_failure(one))
                found[each.id] = found.get(each.id, ()) + usable
        return found

    def _annotate(
        self, entries: Sequence[Entry], earlier: dict[str, tuple[Annotation, ...]]
    ) -> list[PartOutput]:
        records: list[Record] = []
        answers: dict[str, tuple[Annotation, ...]] = {}
        contents = read_pictures([each.place for each in entries])
        for entry, content in zip(entries, contents, strict=True):
            id = entry.place.id
            problem = entry.problem_with(content)
            if not problem and isinstance(content, bytes):
                records.append(
                    Record(
                        id,
                        entry.width,
                        entry.height,
                        entry.sha256,
                        content,
                        id,
                        earlier.get(id, ()),
                    )
                )
            else:
                answers[id] = (failure(self._annotator(), problem),)
        for record, given in zip(records, self._ask_all(records), strict=True):
            answers[record.id] = given
        return [
            PartOutput(
                each.place.id,
                (each.width, each.height),
                tuple(replace(one, round=self.round) for one in answers[each.place.id]),
            )
            for each in entries
        ]

    def _ask_all(self, records: Sequence[Record]) -> list[tuple[Annotation, ...]]:
        """The answers about records; where the whole batch fails they are asked about singly."""
        if not records:
            return []
        try:
            return self._ask(records)
        except Exception as error:
            if len(records) == 1:
                return [(failure(self._annotator(), f"{type(error).__name__}: {error}"),)]
        return [answer for record in records for answer in self._ask_all([record])]

    def _ask(self, records: Sequence[Record]) -> list[tuple[Annotation, ...]]:
        specialist = self._made()
        answers: SimpleQueue[list[tuple[Annotation, ...]] | Exception] = SimpleQueue()

        def call() -> None:
            try:
                answers.put([tuple(each) for each in specialist.annotate(records)])
            except Exception as error:  # whatever it raises belongs to these records
                answers.put(error)

        limit = self.spec.time_limit * len(records)
        thread = threading.Thread(target=call, daemon=True, name=self.spec.name)
        _CALLS.add(thread)
        thread.start()
        try:
            answered = answers.get(timeout=limit)
        except Empty:
            # The call may hold what the next one needs: go on with another specialist.
            self.stuck, self._specialist = True, None
            raise TimeoutError(f"no answer within {limit:g} seconds") from None
        if isinstance(answered, Exception):
            raise answered
        if len(answered) != len(records):
            raise ValueError(f"{len(answered)} answers to {len(records)} pictures")
        for record, given in zip(records, answered, strict=True):
            replace(record, annotations=given)  # sizes that do not belong raise here
            for annotation in given:
                _check_text(annotation)
        return answered

    def _made(self) -> Specialist:
        if self._specialist is None:
            self._specialist = self.spec.make()
        return self._specialist

    def _annotator(self) -> Annotator:
        return self._made().annotator
