"""One process or many: the process group, and the two ways to parallelize a model."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import (
    FSDPModule,
    fully_shard,
    register_fsdp_forward_method,
)
from torch.nn.parallel import DistributedDataParallel

from ..inference.predictor import default_device, resolve_device
from ..model import Florence2Model
from ..model.davit import Stage
from .train_config import Strategy

T = TypeVar("T")

# Parameters of mallopt(3), and the largest threshold it takes.
_TRIM_THRESHOLD = -1
_MMAP_MAX = -4
_NEVER = 2**31 - 1


@dataclass(frozen=True)
class DistributedContext:
    """This process among all: ``rank`` of ``size``, working on ``device``."""

    rank: int
    size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files of the run."""
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """The sum of ``values`` over all processes."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def from_main(self, call: Callable[[], T]) -> T:
        """Call ``call`` on the main process alone, and return its result on every process."""
        result: list[Any] = [call() if self.is_main else None]
        if self.size > 1:
            dist.broadcast_object_list(result, src=0, device=self.device)
        return cast(T, result[0])

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def init_distributed(device: str | None = None) -> Iterator[DistributedContext]:
    """Join the process group that ``torchrun`` describes; without it, a group of one process.

    CUDA processes communicate through NCCL, others through gloo. The group is destroyed at the end
    of the block. Raises ``ValueError`` for a device that cannot be used.
    """
    size, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    name = device or default_device()
    if name == "cuda":
        name = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    chosen = resolve_device(name)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    started = size > 1 and not dist.is_initialized()
    if started:
        backend = "nccl" if chosen.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=timedelta(minutes=30))
    try:
        yield DistributedContext(rank, size, chosen)
    finally:
        if started:
            dist.destroy_process_group()


def parallelize(model: nn.Module, world: DistributedContext, strategy: Strategy) -> nn.Module:
    """The model as the training loop calls it: unchanged, replicated (ddp) or sharded (fsdp).

    Both average gradients over processes. Sharding keeps fp32 weights and gathers them layer by
    layer.
    """
    if strategy not in ("ddp", "fsdp"):
        raise ValueError(f"strategy must be 'ddp' or 'fsdp', got {strategy!r}")
    if world.size == 1:
        return model
    if strategy == "ddp":
        devices = [world.device] if world.device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=devices, gradient_as_bucket_view=True)
    model = cast(Florence2Model, model)
    stages = cast(list[Stage], model.vision_encoder.stages)
    blocks = [block for stage in stages for block in stage.blocks]
    for block in [*blocks, *model.encoder.layers]:
        fully_shard(block)
    # The decoder's method ``cross_attention`` uses all its layers, so the decoder is one unit.
    fully_shard(model.decoder)
    register_fsdp_forward_method(model.decoder, "cross_attention")
    fully_shard(model)
    return model


@contextmanager
def no_sync(model: nn.Module, active: bool) -> Iterator[None]:
    """While ``active``, backward passes accumulate gradients without synchronizing processes."""
    if isinstance(model, DistributedDataParallel) and active:
        with model.no_sync():
            yield
        return
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(not active)
    yield


def keep_freed_memory() -> bool:
    """Make glibc keep freed memory in the process; whether that was possible.

    A training step allocates the same large buffers every time. By default glibc returns each to
    the system, which clears it page by page when it is allocated again: a quarter of a step of the
    base model on a CPU (``docs/log.md``). Does nothing without glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, _NEVER))
