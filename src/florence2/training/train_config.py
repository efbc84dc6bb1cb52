"""How a run is executed, without effect on its result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..io.options import option

Strategy = Literal["ddp", "fsdp"]


@dataclass(frozen=True)
class TrainConfig:
    """Options of ``train`` that are not part of the recipe.

    ``worker_processes`` reads endless records in processes instead of threads; a script then
    needs the usual ``if __name__ == "__main__"``.
    """

    device: str | None = option(None, help="cpu, cuda, cuda:1 ... [default: the best available]")
    strategy: Strategy = option(
        "ddp", help="Under torchrun: replicate the model (ddp), or shard it (fsdp)."
    )
    workers: int = option(
        2, min=1, max=1024, help="Threads that prepare batches; processes that make scenes."
    )
    allow_data_change: bool = option(
        False, help="Resume although the data or the start model has changed."
    )
    quiet: bool = option(False, flags=("--quiet", "-q"), help="Disable the progress bar.")
    worker_processes: bool = False
