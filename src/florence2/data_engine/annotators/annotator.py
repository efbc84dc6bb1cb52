"""What a specialist is to the engine."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ...results.records import Annotation, Annotator, Record

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


class Specialist(Protocol):
    """Annotates pictures. ``annotator`` is who it says it is in every annotation."""

    annotator: Annotator

    def annotate(self, records: Sequence[Record]) -> Sequence[tuple[Annotation, ...]]:
        """What it says about each record, in order; none where it has nothing to say.

        A record holds its picture's bytes and what the specialists before have said. An exception
        is noted for the records that cause it, alone.
        """
        ...


@dataclass(frozen=True)
class SpecialistSpec:
    """A specialist that is made where it works, and what it needs there.

    ``make`` is called once in every worker, of which there are ``workers``, each with ``cpus`` and
    ``gpus``. ``batch_size`` pictures are given at a time; ``time_limit`` is in seconds for each
    picture. ``after`` names the specialists whose annotations it is given. ``identity`` tells it
    from another of its name, say by its model: a run resumes with the same only.
    """

    name: str
    make: Callable[[], Specialist]
    batch_size: int = 8
    workers: int = 1
    cpus: float = 1
    gpus: float = 0
    time_limit: float = 120.0
    after: tuple[str, ...] = ()
    identity: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"a specialist's name is a file name in small letters, got {self.name!r}"
            )
        if self.batch_size < 1 or self.workers < 1 or not self.time_limit > 0:
            raise ValueError(
                f"{self.name}: batch_size and workers are at least 1 and time_limit is above 0, "
                f"got {self.batch_size}, {self.workers} and {self.time_limit}"
            )
