"""RefCOCO: expressions of a guessing game, places allowed."""

from __future__ import annotations

from ..benchmark import Benchmark, Reported
from .referring_accuracy import PROTOCOL, read_for_boxes, score_boxes
from .referring_expressions import source_of

FOLDER, PARTITION = "refcoco", "unc"
SIZES = """\
Split of UNC: val has 10,834 expressions on 1,500 pictures, testA (people) 5,657 on 750, testB
(other things) 5,095 on 750."""

BENCHMARK = Benchmark(
    name="refcoco",
    title="RefCOCO",
    splits=("val", "testA", "testB"),
    protocol=f"{SIZES}\n\n{PROTOCOL}",
    source=source_of(FOLDER, PARTITION),
    read=lambda data, split: read_for_boxes(data, FOLDER, PARTITION, split),
    score=score_boxes,
    reported={
        "val": {"accuracy": Reported(53.9, 56.3, 92.6, 93.4)},
        "testA": {"accuracy": Reported(58.4, 61.6, 94.8, 95.3)},
        "testB": {"accuracy": Reported(49.7, 51.4, 91.5, 92.0)},
    },
)
