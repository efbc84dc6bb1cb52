"""A choice of records and of their answers: by task and by split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ...results.records import Record
from ...results.tasks import find_task
from .instances import INSTANCE_TASKS
from .splits import choose_splits, match_splits


def select_records(
    records: Iterable[Record],
    source: Path,
    tasks: Sequence[str] | None = None,
    split: str | None = None,
) -> Iterator[Record]:
    """The records of a split that have answers to ``tasks``, with these answers only.

    The objects of a dataset answer the tasks about objects; if only outlines are requested, the
    objects that have some. Raises ``ValueError`` for an unknown task, and at the end when
    ``source`` has no such split or no answer to any of the tasks.
    """
    tokens = None if not tasks else tuple(find_task(task).token for task in tasks)
    return _select(records, source, tokens, split)


def _select(
    records: Iterable[Record], source: Path, tokens: tuple[str, ...] | None, split: str | None
) -> Iterator[Record]:
    splits: dict[str, None] = {}
    found_tasks: dict[str, None] = {}
    found_split = found_task = False
    for record in records:
        if split is not None:
            if record.split is not None:
                splits[record.split] = None
            if record.split is None or not match_splits(split, (record.split,)):
                continue
            found_split = True
        if tokens is not None:
            found_tasks |= dict.fromkeys(annotation.task for annotation in record.annotations)
            record = choose_tasks(record, tokens)
            # An image without predictions of these tasks is not an image without objects.
            if not record.annotations and record.objects is None:
                continue
            found_task = True
        yield record
    if split is not None and not found_split:
        choose_splits(split, splits, source)
    if tokens is not None and not found_task:
        raise ValueError(
            f"{source} has no answer to {', '.join(tokens)}; "
            f"it has {', '.join(found_tasks) or 'none'}"
        )


def choose_tasks(record: Record, tokens: Sequence[str]) -> Record:
    """The record with the answers to the tasks ``tokens`` only."""
    annotations = tuple(
        annotation for annotation in record.annotations if annotation.task in tokens
    )
    requested = [token for token in tokens if token in INSTANCE_TASKS]
    objects = record.objects if requested else None
    if objects is not None and requested == ["<REGION_TO_SEGMENTATION>"]:
        objects = tuple(labeled for labeled in objects if labeled.outlines)
    return replace(record, annotations=annotations, objects=objects)
