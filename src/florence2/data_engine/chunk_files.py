"""Files of an engine run: one file per annotator and chunk of images.

A chunk is a range of images of the index. Its file is written atomically and has every image of
the chunk exactly once, so a killed run repeats only the chunks that have no file.
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
from .engine_config import OLD_ANNOTATOR_NAMES

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
class ImageAnnotations:
    """The annotations of one annotator for one image; ``size`` is (width, height) in pixels."""

    id: str
    size: tuple[int, int]
    annotations: tuple[Annotation, ...]


@dataclass(frozen=True)
class EngineFiles:
    """Paths below the run directory ``path``. The names are those of release 0.1."""

    path: Path

    @property
    def listing(self) -> Path:
        """Locations of all images, as they were listed at the start of the run."""
        return self.path / "places.parquet"

    def index_chunk(self, chunk: int) -> Path:
        """Index entries of a chunk."""
        return self.path / "index" / f"part-{chunk:06d}.parquet"

    def unmarked_index_chunk(self, chunk: int) -> Path:
        """Index entries of a chunk before duplicates are marked."""
        return self.path / "looking" / f"part-{chunk:06d}.parquet"

    def annotations(self, round: int, annotator: str, chunk: int) -> Path:
        """Annotations of one annotator for a chunk."""
        directory = self.annotators(round) / annotator
        for old, new in OLD_ANNOTATOR_NAMES.items():
            if annotator == new and (self.annotators(round) / old).is_dir():
                directory = self.annotators(round) / old
        return directory / f"part-{chunk:06d}.parquet"

    def annotators(self, round: int) -> Path:
        """A directory for each annotator of a round."""
        return self.round(round) / "annotators"

    def round(self, round: int) -> Path:
        """Everything that belongs to a round."""
        return self.path / f"round-{round:02d}"

    def shards(self, round: int) -> Path:
        """The result of a round: kept and dropped annotations of all annotators."""
        return self.round(round) / "shards"

    def num_chunks(self) -> int:
        """Number of chunks of the index."""
        return len(list((self.path / "index").glob("part-*.parquet")))


def make_failure(annotator: Annotator, message: str) -> Annotation:
    """A dropped annotation that records why an annotator could not annotate an image."""
    reason = f"{FAILED}: {' '.join(message.split())[:400]}"
    return Annotation("", Text(""), annotator=annotator, decision=FilterDecision(False, reason))


def is_failure(annotation: Annotation) -> bool:
    """Whether ``make_failure`` made the annotation."""
    return not annotation.decision.kept and annotation.decision.reason.startswith(f"{FAILED}: ")


def write_chunk(path: Path, chunk: Sequence[ImageAnnotations]) -> None:
    """Write the annotations of a chunk to ``path``, atomically."""
    rows = [
        {
            "id": image.id,
            "width": image.size[0],
            "height": image.size[1],
            "annotations": annotation_rows(image.annotations),
        }
        for image in chunk
    ]
    with atomic_write(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, _SCHEMA), temporary, compression="zstd")


def read_chunk(path: Path) -> list[ImageAnnotations]:
    """Read what ``write_chunk`` wrote."""
    return [
        ImageAnnotations(row["id"], (row["width"], row["height"]), annotations_from_row(row))
        for row in pq.read_table(path).to_pylist()
    ]
