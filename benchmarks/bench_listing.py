"""Seconds that a run over many images spends on everything but the model.

    python benchmarks/bench_listing.py [--images 100000]

Makes that many small images and an answer for each, then times listing them, opening a finished run
to continue it, and exporting it as COCO, YOLO and CSV without images: once for half of them, once
for all. A ratio near 2 means that the work grows with the number of images and no faster.
Prints a table for people and a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

from PIL import Image

from florence2.datasets.dataset_export import export_dataset
from florence2.datasets.exporters import ExportOptions
from florence2.io.environment import cpu_name
from florence2.workflows.labeling.label_requests import build_requests
from florence2.workflows.labeling.output_directory import LabelDirectory
from florence2.workflows.labeling.sources import list_sources

SETTINGS = {"model": "nano", "draw": False, "sidecars": False}
FORMATS = ("coco", "yolo", "csv")
BOXES = {"bboxes": [[1.0, 1.0, 6.0, 6.0]], "labels": ["cat"], "scores": [0.5]}


def main() -> None:
    """Time half of the images, then all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000)
    count = parser.parse_args().images
    with tempfile.TemporaryDirectory() as folder:
        half, whole = (time_run(Path(folder) / f"{n}", n) for n in (count // 2, count))
    for name, seconds in whole.items():
        print(f"{name:8} {seconds:8.1f} s for {count:,} images, {seconds / half[name]:.2f} x half")
    measured = {"images": count, "half": half, "whole": whole}
    machine = {"date": date.today().isoformat(), "processor": cpu_name()}
    print(json.dumps({**machine, **measured}))


def time_run(folder: Path, count: int) -> dict[str, float]:
    """Seconds of each part for ``count`` images below ``folder``."""
    images = make_images(folder / "images", count)
    out = folder / "out"
    times: dict[str, float] = {}
    sources = timed(times, "list", lambda: list_sources([str(images)]))
    requests = build_requests(["od"])
    with LabelDirectory.open(out, sources, requests, settings=SETTINGS):
        pass
    lines = (
        {"image": source.image, "task": "<OD>", "image_size": [8, 8], "answer": BOXES,
         "truncated": False}
        for source in sources
    )  # fmt: skip
    (out / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    timed(times, "resume", lambda: resume(out, sources, requests))
    for target in FORMATS:
        options = ExportOptions(copy_images=False)
        timed(
            times,
            target,
            lambda target=target, options=options: export_dataset(
                out, "answers", target, folder / target, options
            ),
        )
    return times


def resume(out: Path, sources: list, requests: list) -> None:
    """Open a run that is done, and list what is left of it."""
    with LabelDirectory.open(out, sources, requests, settings=SETTINGS, resume=True) as run:
        left = [source for source in sources if run.pending(source)]
    assert not left, f"{len(left)} of {len(sources)} images are left"


def make_images(folder: Path, count: int) -> Path:
    """``count`` images of 8 x 8 pixels, a thousand to a directory."""
    folder.mkdir(parents=True)
    Image.new("RGB", (8, 8), "red").save(folder.parent / "one.jpg")
    content = (folder.parent / "one.jpg").read_bytes()
    for number in range(count):
        place = folder / f"{number // 1000:04}" / f"{number:07}.jpg"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(content)
    return folder


def timed(times: dict[str, float], name: str, work: Callable[[], object]) -> object:
    """What ``work`` returns; its seconds go into ``times``."""
    start = time.perf_counter()
    found = work()
    times[name] = time.perf_counter() - start
    return found


if __name__ == "__main__":
    main()
