"""The interface of an annotator, and its specification for the engine."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ...results.records import Annotation, Annotator, Record

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


class ImageAnnotator(Protocol):
    """Annotates images. ``annotator`` is the identity that its annotations carry."""

    annotator: Annotator

    def annotate(self, records: Sequence[Record]) -> Sequence[tuple[Annotation, ...]]:
        """The annotations of each record, in order; an empty tuple where there are none.

        A record has its image's bytes and the annotations of the annotators in ``after``. An
        exception is recorded as a failure of the records that cause it.
        """
        ...


@dataclass(frozen=True)
class AnnotatorSpec:
    """How a worker makes an annotator, and the resources that it needs.

    Args:
        name: Name of its files: lower-case letters, digits, ``.``, ``_`` and ``-``.
        make: Called once in every worker.
        batch_size: Images for each call of ``annotate``.
        workers: Number of workers.
        cpus: CPUs of each worker.
        gpus: GPUs of each worker.
        time_limit: Seconds for each image.
        after: Names of the annotators whose annotations it is given.
        identity: Distinguishes it from others of its name, for example by the model. A run
            resumes only with annotators of the same identity.

    Raises:
        ValueError: A value is out of range.
    """

    name: str
    make: Callable[[], ImageAnnotator]
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
                f"the name of an annotator must be a file name in lower case, got {self.name!r}"
            )
        if self.batch_size < 1 or self.workers < 1 or not self.time_limit > 0:
            raise ValueError(
                f"{self.name}: batch_size and workers must be at least 1 and time_limit above 0, "
                f"got {self.batch_size}, {self.workers} and {self.time_limit}"
            )
