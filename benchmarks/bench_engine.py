"""Overhead of the data engine over its annotators, and the speed-up of two workers.

    python benchmarks/bench_engine.py --images 1000 --json benchmarks/results/DATE-engine.json

The annotator sleeps 50 ms per image, like one that computes on another machine, so that workers do
not share a processor. Overhead is the run's time divided by the annotator's, minus one.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from florence2.data_engine.annotate import annotate, index_images
from florence2.data_engine.annotators import AnnotatorSpec
from florence2.data_engine.chunk_files import EngineFiles
from florence2.data_engine.chunk_workers import ChunkResult
from florence2.data_engine.executor import Executor, LocalExecutor, RayExecutor, Resources
from florence2.io.atomic import replace_json
from florence2.results.records import Annotation, Annotator, Record
from florence2.results.types import Text

SLEEP = 0.05


class Sleeper:
    """Sleeps 50 ms for each image, and gives all the same caption."""

    annotator = Annotator("sleeper", "1")

    def annotate(self, records: Sequence[Record]) -> list[tuple[Annotation, ...]]:
        """A caption for each record."""
        time.sleep(SLEEP * len(records))
        return [
            (Annotation("<CAPTION>", Text("An image."), annotator=self.annotator),) for _ in records
        ]


def main() -> None:
    """Run, print a table, write the metrics."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    metrics: dict[str, float] = {"images": options.images, "sleep": SLEEP}
    with tempfile.TemporaryDirectory() as directory:
        images = Path(directory) / "images"
        _make_images(images, options.images)
        ray = RayExecutor()
        for _ in ray.run(_EmptyWorker, [0], Resources()):
            pass  # the start of Ray is not measured
        for name, executor, workers in (
            ("local", LocalExecutor(), 1),
            ("ray, 1 worker", ray, 1),
            ("ray, 2 workers", ray, 2),
        ):
            metrics |= _measure(name, executor, workers, images, Path(directory))
    metrics["speed-up of two workers"] = metrics["ray, 1 worker: s"] / metrics["ray, 2 workers: s"]
    for name, value in metrics.items():
        print(f"{name:32} {value:10.3f}")
    print(json.dumps(metrics))
    if options.json:
        replace_json(options.json, metrics)


def _measure(
    name: str, executor: Executor, workers: int, images: Path, directory: Path
) -> dict[str, float]:
    run = EngineFiles(directory / name.replace(" ", "-"))
    start = time.perf_counter()
    index_images(str(images), run, executor, workers=workers)
    indexed = time.perf_counter()
    annotate(run, [AnnotatorSpec("sleeper", Sleeper, workers=workers)], 0, executor)
    seconds = time.perf_counter() - indexed
    annotator_seconds = SLEEP * len(list(images.iterdir())) / workers
    return {
        f"{name}: index, s": indexed - start,
        f"{name}: s": seconds,
        f"{name}: overhead": seconds / annotator_seconds - 1,
    }


class _EmptyWorker:
    is_stuck = False

    def __call__(self, chunk: int) -> ChunkResult:
        return ChunkResult(chunk)


def _make_images(directory: Path, count: int) -> None:
    directory.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        small = rng.integers(0, 255, (6, 8, 3), np.uint8)
        Image.fromarray(small).resize((320, 240)).save(directory / f"{number:06d}.jpg")


if __name__ == "__main__":
    main()
