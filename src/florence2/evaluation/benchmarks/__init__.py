"""The benchmarks: one file each. A name leads to its module, which is imported when asked for."""

from __future__ import annotations

from importlib import import_module

from ...io.messages import find_near_miss
from ..benchmark import Benchmark

# In the order of the paper's tables; those beneath the line are not in them.
BENCHMARKS = {
    "coco-caption": "coco_caption",
    "nocaps": "nocaps",
    "textcaps": "textcaps",
    "vqav2": "vqav2",
    "textvqa": "textvqa",
    "vizwiz": "vizwiz",
    "coco-detection": "coco_detection",
    "flickr30k-entities": "flickr30k_entities",
    "refcoco": "refcoco",
    "refcoco-plus": "refcoco_plus",
    "refcocog": "refcocog",
    "refcoco-segmentation": "refcoco_segmentation",
    # ---
    "docvqa": "docvqa",
    "icdar15": "icdar15",
    "visual-genome": "visual_genome",
    "scenes": "synthetic_benchmark",
    "records": "validation_records",
}


def find_benchmark(name: str) -> Benchmark:
    """The benchmark called ``name``; ``ValueError`` with the names there are for another."""
    asked = name.strip().lower().replace("_", "-")
    module = BENCHMARKS.get(asked)
    if module is None:
        near = find_near_miss(asked, BENCHMARKS)
        hint = "" if near is None else f" (did you mean {near!r}?)"
        raise ValueError(f"unknown benchmark {name!r}{hint}; there are {', '.join(BENCHMARKS)}")
    benchmark: Benchmark = import_module(f".{module}", __name__).BENCHMARK
    return benchmark
