"""Pairs per second that the training input pipeline prepares, without a model.

    python benchmarks/bench_input.py SHARDS [--image-size 768] [--workers 2] [--batches 20]

``SHARDS`` is a folder made by ``florence2 convert``. Prints a line for people and one of JSON.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from datetime import date
from itertools import islice
from pathlib import Path

import torch

import florence2
from florence2.datasets.shards import ShardDataset
from florence2.training.batches import BatchStream
from florence2.training.distributed import DistributedContext
from florence2.training.examples import ExampleReader, FiniteSource, list_examples
from florence2.training.recipe import Recipe, override


def main() -> None:
    """Read shards as training does, and count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", type=Path)
    parser.add_argument("--image-size", type=int, default=768)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batches", type=int, default=20)
    options = parser.parse_args()
    records = ShardDataset(options.shards)
    recipe = override(Recipe(), ["batch.size=8"])
    nano = florence2.load("nano", device="cpu").processor
    # The size of the pictures is what costs; the positions only have to leave room for a prompt.
    processor = nano.with_image_size((options.image_size, options.image_size), 4096, 32)
    world = DistributedContext(0, 1, torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        stream = BatchStream(
            FiniteSource(ExampleReader(records, processor, recipe), list_examples(records), recipe),
            recipe,
            world,
            Path(folder) / "problems.jsonl",
            options.workers,
        ).steps(0)
        next(stream)
        begin = time.perf_counter()
        pairs = sum(len(batch) for step in islice(stream, options.batches) for batch in step)
        rate = pairs / (time.perf_counter() - begin)
    print(f"{rate:.1f} pairs/s at {options.image_size} pixels with {options.workers} threads")
    found = {
        "benchmark": "training input",
        "date": date.today().isoformat(),
        "pairs_per_second": rate,
        "image_size": options.image_size,
        "workers": options.workers,
        "cores": multiprocessing.cpu_count(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
