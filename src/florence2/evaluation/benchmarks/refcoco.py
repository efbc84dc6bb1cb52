"""RefCOCO: expressions of a guessing game, places allowed."""

from __future__ import annotations

from ..benchmark import Reported
from .referring_accuracy import accuracy_benchmark

SIZES = """\
Split of UNC: val has 10,834 expressions on 1,500 pictures, testA (people) 5,657 on 750, testB
(other things) 5,095 on 750."""

BENCHMARK = accuracy_benchmark(
    "refcoco",
    "RefCOCO",
    folder="refcoco",
    partition="unc",
    sizes=SIZES,
    reported={
        "val": Reported(53.9, 56.3, 92.6, 93.4),
        "testA": Reported(58.4, 61.6, 94.8, 95.3),
        "testB": Reported(49.7, 51.4, 91.5, 92.0),
    },
)
