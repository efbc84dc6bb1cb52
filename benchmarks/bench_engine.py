"""What the engine's pipeline costs beside its specialists, and whether two workers are two.

    python benchmarks/bench_engine.py --pictures 1000 --json benchmarks/results/DATE-engine.json

A specialist that sleeps 50 ms a picture stands for one that computes elsewhere, so that workers do
not share a processor. Overhead is the run's time over the specialist's own, less one.
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
from florence2.data_engine.executor import Executor, LocalExecutor, RayExecutor
from florence2.io.atomic import replace_json
from florence2.results.records import Annotation, Annotator, Record
from florence2.results.types import Text

SLEEP = 0.05


class Sleeper:
    """Takes 50 ms for each picture, and says the same about all."""

    annotator = Annotator("sleeper", "1")

    def annotate(self, records: Sequence[Record]) -> list[tuple[Annotation, ...]]:
        """A caption of each record."""
        time.sleep(SLEEP * len(records))
        return [(Annotation("<CAPTION>", Text("A picture."), annotator=self.annotator),)
                for _ in records]  # fmt: skip


def main() -> None:
    """Run, print a table, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    found: dict[str, float] = {"pictures": chosen.pictures, "sleep": SLEEP}
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures"
        _make(pictures, chosen.pictures)
        ray = RayExecutor()
        for _ in ray.run(_Nothing, [0], _one()):
            pass  # the start of Ray is told apart from its work
        for name, executor, workers in (("here", LocalExecutor(), 1), ("ray, 1 worker", ray, 1),
                                        ("ray, 2 workers", ray, 2)):  # fmt: skip
            found |= _measure(name, executor, workers, pictures, Path(folder))
    found["two workers over one"] = found["ray, 1 worker: s"] / found["ray, 2 workers: s"]
    for name, value in found.items():
        print(f"{name:32} {value:10.3f}")
    print(json.dumps(found))
    if chosen.json:
        replace_json(chosen.json, found)


def _measure(
    name: str, executor: Executor, workers: int, pictures: Path, folder: Path
) -> dict[str, float]:
    run = EngineFiles(folder / name.replace(" ", "-"))
    began = time.perf_counter()
    index_images(str(pictures), run, executor, workers=workers)
    indexed = time.perf_counter()
    annotate(run, [AnnotatorSpec("sleeper", Sleeper, workers=workers)], 0, executor)
    seconds = time.perf_counter() - indexed
    own = SLEEP * len(list(pictures.iterdir())) / workers
    return {
        f"{name}: index, s": indexed - began,
        f"{name}: s": seconds,
        f"{name}: overhead": seconds / own - 1,
    }


class _Nothing:
    stuck = False

    def __call__(self, chunk: int):
        from florence2.data_engine.chunk_workers import ChunkResult

        return ChunkResult(chunk)


def _one():
    from florence2.data_engine.executor import Resources

    return Resources()


def _make(folder: Path, count: int) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        small = rng.integers(0, 255, (6, 8, 3), np.uint8)
        Image.fromarray(small).resize((320, 240)).save(folder / f"{number:06d}.jpg")


if __name__ == "__main__":
    main()
