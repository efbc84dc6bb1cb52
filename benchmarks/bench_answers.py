"""Images per second of a model on this machine.

    python benchmarks/bench_answers.py [--model MODEL] [--images N] [--tokens N]

Prints a table for people and, as its last line, one JSON document for scripts.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from importlib.resources import as_file, files

import torch

import florence2
from florence2.results.types import Failure

TASKS = ("<CAPTION>", "<OD>")
BATCH_SIZES = (1, 8)


def measure(
    model: florence2.Florence2, picture: bytes, task: str, batch_size: int, images: int, tokens: int
) -> float:
    """Images per second over ``images`` images; each is decoded, encoded and given a prediction."""
    # A picture given as bytes is known by its object: each copy is read and encoded by itself.
    copies = [bytes(bytearray(picture)) for _ in range(images)]
    options = {"batch_size": batch_size, "max_new_tokens": tokens}
    warm_up = model.batch([(copies[0], task)], **options)
    if any(isinstance(each, Failure) for each in warm_up):
        raise RuntimeError(f"the picture could not be answered: {warm_up}")
    start = time.perf_counter()
    model.batch([(copy, task) for copy in copies], **options)
    return images / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=32, help="longest answer")
    arguments = parser.parse_args()
    with as_file(files("florence2") / "nano" / "demo.png") as path:
        picture = path.read_bytes()
    model = florence2.load(arguments.model)
    rows = []
    print(f"{'task':<12}{'batch':>6}{'images/s':>10}")
    for task in TASKS:
        for batch_size in BATCH_SIZES:
            rate = measure(model, picture, task, batch_size, arguments.images, arguments.tokens)
            rows.append({"task": task, "batch_size": batch_size, "images_per_second": rate})
            print(f"{task:<12}{batch_size:>6}{rate:>10.2f}")
    setting = {
        **vars(arguments), "torch": torch.__version__, "threads": torch.get_num_threads(),
        "machine": platform.platform(), "cuda": torch.cuda.is_available(),
    }  # fmt: skip
    print(json.dumps({"setting": setting, "rows": rows}))


if __name__ == "__main__":
    main()
