"""The files of a run: one for what one specialist said about one part of the pictures.

A part is a run of pictures of the index. Its file is there whole or not at all, and holds every
picture of the part exactly once, so a run that was killed does again only what has no file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..datasets.shards.columns import ANNOTATIONS, annotation_rows, annotations_from_row
from ..io.atomic import atomic_write
from ..results.records import Annotation, Annotator, FilterDecision
from ..results.types import Text

_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("annotations", ANNOTATIONS),
    ]
)
FAILED = "failed"


@dataclass(frozen=True)
class PartOutput:
    """What one specialist said about one picture."""

    id: str
    size: tuple[int, int]
    annotations: tuple[Annotation, ...]


@dataclass(frozen=True)
class RunFolder:
    """Where the files of a run lie."""

    path: Path

    @property
    def listing(self) -> Path:
        """The places of all pictures, as they were found when the run began."""
        return self.path / "places.parquet"

    def index_part(self, part: int) -> Path:
        """The entries of the pictures of a part."""
        return self.path / "index" / f"part-{part:06d}.parquet"

    def index_path(self, part: int) -> Path:
        """The same before copies are marked."""
        return self.path / "looking" / f"part-{part:06d}.parquet"

    def said(self, round: int, specialist: str, part: int) -> Path:
        """What a specialist said in a round about the pictures of a part."""
        return self.round(round) / "annotators" / specialist / f"part-{part:06d}.parquet"

    def round(self, round: int) -> Path:
        """Everything that belongs to a round."""
        return self.path / f"round-{round:02d}"

    def shards(self, round: int) -> Path:
        """The table a round comes to: kept and dropped annotations of all annotators."""
        return self.round(round) / "shards"

    def parts(self) -> int:
        """How many parts the index has."""
        return len(list((self.path / "index").glob("part-*.parquet")))


def failure(annotator: Annotator, message: str) -> Annotation:
    """What stands where a specialist could not annotate a picture: dropped, with the reason."""
    reason = f"{FAILED}: {' '.join(message.split())[:400]}"
    return Annotation("", Text(""), annotator=annotator, decision=FilterDecision(False, reason))


def is_failure(annotation: Annotation) -> bool:
    """Whether it stands for a picture that could not be annotated."""
    return not annotation.decision.kept and annotation.decision.reason.startswith(f"{FAILED}: ")


def write_part(path: Path, said: Sequence[PartOutput]) -> None:
    """Put a part's file at ``path``."""
    rows = [
        {
            "id": each.id,
            "width": each.size[0],
            "height": each.size[1],
            "annotations": annotation_rows(each.annotations),
        }
        for each in said
    ]
    with atomic_write(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, _SCHEMA), temporary, compression="zstd")


def read_said(path: Path) -> list[PartOutput]:
    """What ``write_part`` put there."""
    return [
        PartOutput(row["id"], (row["width"], row["height"]), annotations_from_row(row))
        for row in pq.read_table(path).to_pylist()
    ]
