"""Whose threads work when: PyTorch's stay out of the way of another library's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def single_torch_thread() -> Iterator[None]:
    """PyTorch on one thread, as long as this lasts.

    Its idle threads wait by spinning, for a while: between the steps of another library, whose
    threads need the same cores, they cost more than they give.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
