"""RefCOCO+: expressions of a guessing game in which places were forbidden."""

from __future__ import annotations

from ..benchmark import Reported
from .referring_accuracy import accuracy_benchmark

SIZES = """\
Split of UNC: val has 10,758 expressions on 1,500 pictures, testA (people) 5,726 on 750, testB
(other things) 4,889 on 750."""

BENCHMARK = accuracy_benchmark(
    "refcoco-plus",
    "RefCOCO+",
    folder="refcoco+",
    partition="unc",
    sizes=SIZES,
    reported={
        "val": Reported(51.5, 53.6, 86.8, 88.3),
        "testA": Reported(56.4, 57.9, 91.7, 92.9),
        "testB": Reported(47.9, 49.9, 82.2, 83.6),
    },
)
