"""Keeps PyTorch's threads from competing with those of another library."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def single_torch_thread() -> Iterator[None]:
    """A context in which PyTorch uses one thread.

    PyTorch's idle threads spin for a while. Between the steps of another library, whose threads
    need the same cores, that costs more than they gain.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
