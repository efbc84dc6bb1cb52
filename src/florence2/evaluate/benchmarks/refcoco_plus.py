"""RefCOCO+: expressions of a guessing game in which places were forbidden."""

from __future__ import annotations

from ..benchmark import Benchmark, Reported
from .referring_accuracy import PROTOCOL, read_for_boxes, score_boxes
from .referring_expressions import source_of

FOLDER, PARTITION = "refcoco+", "unc"
SIZES = """\
Split of UNC: val has 10,758 expressions on 1,500 pictures, testA (people) 5,726 on 750, testB
(other things) 4,889 on 750."""

BENCHMARK = Benchmark(
    name="refcoco-plus",
    title="RefCOCO+",
    splits=("val", "testA", "testB"),
    protocol=f"{SIZES}\n\n{PROTOCOL}",
    source=source_of(FOLDER, PARTITION),
    read=lambda data, split: read_for_boxes(data, FOLDER, PARTITION, split),
    score=score_boxes,
    reported={
        "val": {"accuracy": Reported(51.5, 53.6, 86.8, 88.3)},
        "testA": {"accuracy": Reported(56.4, 57.9, 91.7, 92.9)},
        "testB": {"accuracy": Reported(47.9, 49.9, 82.2, 83.6)},
    },
)
