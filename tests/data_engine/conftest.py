"""Images with known ground truth, and annotators with scripted behavior."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from florence2.data_engine.annotators import AnnotatorSpec
from florence2.data_engine.chunk_files import EngineFiles
from florence2.datasets.shards import ShardDataset, ShardWriter
from florence2.results.records import Annotation, Annotator, Record
from florence2.results.types import Boxes, Text

NAMES = ("square", "bar", "tile", "slab")
SIZE = (96, 64)


def make_image(seed: int) -> tuple[bytes, Boxes]:
    """A PNG of some boxes on noise, and the boxes."""
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(0, 255, (8, 12, 3), np.uint8)).resize(SIZE)
    draw = ImageDraw.Draw(image)
    boxes, labels = [], []
    for _ in range(int(rng.integers(1, 4))):
        x, y = rng.integers(0, 60), rng.integers(0, 36)
        wide, high = rng.integers(14, 34), rng.integers(14, 26)
        draw.rectangle((x, y, x + wide, y + high), fill=tuple(rng.integers(0, 255, 3).tolist()))
        boxes.append([x, y, x + wide, y + high])
        labels.append(NAMES[int(rng.integers(4))])
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue(), Boxes(boxes, labels, SIZE)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A directory of ten images."""
    folder = tmp_path / "images"
    folder.mkdir()
    for seed in range(10):
        (folder / f"{seed:02d}.png").write_bytes(make_image(seed)[0])
    return folder


@pytest.fixture
def truth(tmp_path: Path, images: Path) -> Path:
    """Shards with the boxes and a caption of each image."""
    from florence2.datasets.importers.image_files import load_record

    folder = tmp_path / "truth"
    with ShardWriter(folder) as writer:
        for seed, path in enumerate(sorted(images.iterdir())):
            record = load_record(path, path.name)
            boxes = make_image(seed)[1]
            text = "A photo of a " + " and a ".join(boxes.labels) + "."
            annotations = (Annotation("<OD>", boxes), Annotation("<CAPTION>", Text(text)))
            writer.write(
                Record(
                    record.id,
                    record.width,
                    record.height,
                    record.sha256,
                    record.image,
                    record.path,
                    annotations,
                )
            )
    return folder


@dataclass
class Plain:
    """Captions every image with its size; raises, hangs or sleeps at the given images."""

    name: str = "plain"
    raises: tuple[str, ...] = ()
    hangs: tuple[str, ...] = ()
    seconds: float = 0.0
    log: Path | None = None

    @property
    def annotator(self) -> Annotator:
        return Annotator(self.name, "1")

    def annotate(self, records: Sequence[Record]) -> list[tuple[Annotation, ...]]:
        given = []
        for record in records:
            if record.id in self.raises:
                raise RuntimeError(f"will not look at {record.id}")
            if record.id in self.hangs:
                time.sleep(60)
            time.sleep(self.seconds)
            if self.log is not None:
                with self.log.open("a") as file:
                    file.write(f"{record.id}\n")
            earlier = "+".join(sorted(each.annotator.name for each in record.annotations))
            text = Text(f"A red box of {record.width} by {record.height} stands here {earlier}.")
            box = Boxes([[5, 5, 60, 50]], ["box"], record.image_size, scores=[0.9])
            given.append(
                (
                    Annotation("<CAPTION>", text, annotator=self.annotator),
                    Annotation("<OD>", box, annotator=self.annotator),
                )
            )
        return given


def spec_of(annotator: Plain, **options: object) -> AnnotatorSpec:
    """A specification that makes the annotator."""
    return AnnotatorSpec(annotator.name, lambda: annotator, **{"batch_size": 3, **options})


def table_of(folder: EngineFiles, round: int = 0) -> list[tuple[str, tuple[Annotation, ...]]]:
    """The images and annotations of a round's shards, in order."""
    return [(record.id, record.annotations) for record in ShardDataset(folder.shards(round))]
