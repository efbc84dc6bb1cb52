"""The list of finished shards: files of the directory that it does not list are ignored.

The manifest is replaced as a whole after each shard, so after a kill it lists exactly the shards
that were finished.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ...io.atomic import replace_json
from ...io.deprecation import rename_keys
from ...io.files import read_json
from ...results.records import Category, FilterDecision, Record
from .columns import SCHEMA_VERSION

MANIFEST_FILE = "manifest.json"
FREE_PROMPT = "(free prompt)"


@dataclass(frozen=True)
class Counts:
    """Numbers of annotations by task, by annotator and by filter decision.

    A decision counts as ``kept``, or as the reason for which an annotation was dropped.
    """

    task: Mapping[str, int] = field(default_factory=dict)
    annotator: Mapping[str, int] = field(default_factory=dict)
    decision: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, records: Iterable[Record]) -> Counts:
        """The counts over the annotations of ``records``."""
        annotations = [annotation for record in records for annotation in record.annotations]
        return cls(
            _sorted(Counter(annotation.task or FREE_PROMPT for annotation in annotations)),
            _sorted(Counter(annotation.annotator.name for annotation in annotations)),
            _sorted(Counter(_decision_name(annotation.decision) for annotation in annotations)),
        )

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            _sorted(Counter(self.task) + Counter(other.task)),
            _sorted(Counter(self.annotator) + Counter(other.annotator)),
            _sorted(Counter(self.decision) + Counter(other.decision)),
        )


@dataclass(frozen=True)
class Shard:
    """One finished file: its name in the directory, rows, bytes, SHA-256, and what it holds."""

    file: str
    rows: int
    bytes: int
    sha256: str
    counts: Counts = Counts()


@dataclass(frozen=True)
class Manifest:
    """The finished shards in order.

    ``origin`` is what the records were made from and how; ``complete`` is True when no more follow.
    ``categories`` are the classes that the source dataset lists, in its order.
    """

    shards: tuple[Shard, ...] = ()
    origin: Mapping[str, Any] = field(default_factory=dict)
    complete: bool = False
    categories: tuple[Category, ...] = ()

    @property
    def rows(self) -> int:
        """The number of records in all shards."""
        return sum(shard.rows for shard in self.shards)

    @property
    def counts(self) -> Counts:
        """The counts over all shards."""
        return sum((shard.counts for shard in self.shards), Counts())

    def adding(self, shard: Shard) -> Manifest:
        """The manifest with one more shard."""
        return replace(self, shards=(*self.shards, shard))


def write_manifest(manifest: Manifest, directory: Path) -> None:
    """Replace the manifest of ``directory``."""
    values = {"version": SCHEMA_VERSION, "rows": manifest.rows, **asdict(manifest)}
    for shard in values["shards"]:
        shard["counts"] = rename_keys(shard["counts"], {"decision": "verdict"}, "counts", 0)
    replace_json(directory / MANIFEST_FILE, values)


def read_manifest(directory: Path) -> Manifest | None:
    """The manifest of ``directory``; ``None`` when no shard was finished there yet.

    Raises ``ValueError`` when the file is damaged or of a version this code does not read.
    """
    path = directory / MANIFEST_FILE
    try:
        values = read_json(path)
        version = values["version"]
        if version == SCHEMA_VERSION:
            return Manifest(
                tuple(_shard(shard) for shard in values["shards"]),
                values["origin"],
                values["complete"],
                tuple(Category(**category) for category in values.get("categories", ())),
            )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}); make the shards again") from error
    raise ValueError(
        f"{path} has version {version}, this florence2 reads {SCHEMA_VERSION}: "
        "read it with the release that wrote it"
    )


def _shard(values: dict[str, Any]) -> Shard:
    counts = rename_keys(values["counts"], {"verdict": "decision"}, "counts", stacklevel=0)
    return Shard(**{**values, "counts": Counts(**counts)})


def _decision_name(decision: FilterDecision) -> str:
    return "kept" if decision.kept else decision.reason or "dropped"


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))
