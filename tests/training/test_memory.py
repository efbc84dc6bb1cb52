"""Freed memory stays in the process where glibc can be told so."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import resource
import torch
from florence2.training.distributed import keep_freed_memory
told = keep_freed_memory() if {keep} else True
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(20_000_000)
before = faults()
for _ in range(5):
    torch.ones(20_000_000)
print(int(told), faults() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is what is told")
def test_large_buffers_are_not_asked_for_again() -> None:
    found = {}
    for keep in (True, False):
        command = [sys.executable, "-c", SCRIPT.format(keep=keep)]
        told, faults = subprocess.check_output(command, text=True).split()
        assert told == "1"
        found[keep] = int(faults)
    assert found[True] < 1000 < found[False]
