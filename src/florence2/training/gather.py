"""A run's model as a plain one: gathered from all processes, adapters merged."""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel

from ..model import Florence2Model
from .auxiliary.dense import DenseHeadModel
from .distributed import DistributedContext
from .param_groups import prepare_trainable
from .recipe import Recipe


def gather_full_state(
    model: nn.Module, world: DistributedContext, recipe: Recipe
) -> Florence2Model | None:
    """The model on the main process, ``None`` on the others; every process must call this.

    Adapters stay apart from the weights. Without sharding it is the very model that trains;
    otherwise a copy on the CPU.
    """
    if isinstance(model, FSDPModule):
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        state = get_model_state_dict(model, options=options)
        if not world.is_main:
            return None
        gathered = Florence2Model(cast(Florence2Model, model).config)
        prepare_trainable(gathered, recipe.trainable, recipe.lora)
        gathered.load_state_dict(state)
        return gathered
    if not world.is_main:
        return None
    plain = model.module if isinstance(model, DistributedDataParallel) else model
    return plain.model if isinstance(plain, DenseHeadModel) else cast(Florence2Model, plain)


def merged_model(model: Florence2Model) -> Florence2Model:
    """The model with its low-rank adapters added into the weights; itself when it has none."""
    if not has_adapters(model):
        return model
    from peft.tuners.lora import LoraLayer

    merged = copy.deepcopy(model)
    for name, module in list(merged.named_modules()):
        if isinstance(module, LoraLayer):
            base = module.get_base_layer()
            with torch.no_grad():
                for adapter in module.active_adapters:
                    base.weight += module.get_delta_weight(adapter)  # type: ignore[attr-defined]
            parent, _, child = name.rpartition(".")
            setattr(merged.get_submodule(parent), child, base)
    return merged


def has_adapters(model: nn.Module) -> bool:
    """Whether low-rank adapters were put on."""
    return any(".lora_A." in name for name, _ in model.named_parameters())
