"""The benchmarks, one file each; a module is imported when its benchmark is looked up."""

from __future__ import annotations

from importlib import import_module

from ...io.deprecation import warn_renamed
from ...io.messages import find_near_miss
from ..benchmark import Benchmark

# In the order of the paper's tables; those below the line are not in them.
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
    "refcoco-plus": "refcoco",
    "refcocog": "refcoco",
    "refcoco-segmentation": "refcoco_segmentation",
    # ---
    "docvqa": "docvqa",
    "icdar15": "icdar15",
    "visual-genome": "visual_genome",
    "synthetic": "synthetic_benchmark",
    "records": "validation_records",
}
_RENAMED = {"scenes": "synthetic"}


def find_benchmark(name: str) -> Benchmark:
    """The benchmark called ``name``; ``ValueError`` with the names for an unknown one."""
    key = name.strip().lower().replace("_", "-")
    if key in _RENAMED:
        warn_renamed(f"benchmark {key}", _RENAMED[key])
        key = _RENAMED[key]
    module = BENCHMARKS.get(key)
    if module is None:
        near = find_near_miss(key, BENCHMARKS)
        hint = "" if near is None else f" (did you mean {near!r}?)"
        raise ValueError(f"unknown benchmark {name!r}{hint}; available: {', '.join(BENCHMARKS)}")
    found: Benchmark | dict[str, Benchmark] = import_module(f".{module}", __name__).BENCHMARK
    return found[key] if isinstance(found, dict) else found


def current_name(name: str) -> str:
    """The name of a benchmark today, also for that of release 0.1."""
    return _RENAMED.get(name, name)
