"""What the runtimes of other libraries on the CPU have in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch


class CpuRuntime:
    """The part of ``Runtime`` that is the same for all graphs on the CPU."""

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of inputs and outputs."""
        return torch.float32

    def inference_context(self) -> AbstractContextManager[None]:
        """PyTorch on one thread: the other cores are for this runtime's threads."""
        return single_torch_thread()

    def make_static_buffers(
        self, num_slots: int, num_beams: int, source_len: int, capacity: int
    ) -> None:
        """``None``: this runtime takes any number of rows."""


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
