"""What a run produces while it trains: evaluations, samples and loadable checkpoints."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel

from ..inference.predictor import Florence2
from ..io.atomic import replace_json
from ..model import Florence2Model
from ..model.checkpoint.state_dict_keys import layout_name
from ..model.checkpoint.tensor_files import write_tensors
from ..processing.processor import Processor
from ..runtime import TorchRuntime
from .auxiliary.objective import remove_heads, save_heads
from .distributed import DistributedContext
from .examples import TrainingRecords
from .logger import TrainingLogger
from .model_init import prepare_trainable
from .recipe import Lora, Recipe
from .run_directory import ADAPTER, BEST
from .sample_grid import choose_samples, save_samples
from .step import TrainSetup
from .streaming import IterableRecords
from .validation_loss import UnreadableValidationError, validation_loss

# The max number of new tokens of a sample's prediction.
SAMPLE_TOKENS = 256

# Evaluates a model; returns metrics by name.
Evaluator = Callable[[Florence2], Mapping[str, float]]
_LORA_FACTOR = re.compile(r"(.+)\.lora_(A|B)\.default\.weight")


@dataclass
class RunOutputs:
    """Evaluates, samples and saves the model of a run; every process calls every method.

    The main process alone has a ``logger``.
    """

    setup: TrainSetup
    processor: Processor
    out: Path
    records: TrainingRecords | IterableRecords
    validation: TrainingRecords | None = None
    evaluator: Evaluator | None = None
    logger: TrainingLogger | None = None

    def notify(self, step: int, text: str) -> None:
        """Log a sentence, on the main process."""
        if self.logger is not None:
            self.logger.note(step, text)

    def evaluate(self, step: int) -> dict[str, float]:
        """Metrics on the validation records; an improved model is saved as ``best``."""
        metrics: dict[str, float] = {}
        if self.validation is None and self.evaluator is None:
            return metrics
        gathered = self._gather()
        if gathered is not None:
            model = merge_lora_layers(gathered)
            if self.validation is not None:
                with suppress(UnreadableValidationError):  # readable when the run started
                    metrics["loss"] = validation_loss(
                        model, self.validation, self.processor, self.setup.recipe
                    )
            if self.evaluator is not None:
                metrics |= self.evaluator(self._make_predictor(model))
            value = metrics.get(self.setup.recipe.reporting.metric)
            if value is not None and self._is_improvement(value):
                self.setup.state.best = value
                self._write(model, BEST)
        self.setup.world.barrier()
        return metrics

    def draw_samples(self, step: int) -> None:
        """Write a grid of samples."""
        gathered = self._gather()
        if gathered is not None:
            path = self.out / "samples" / f"step-{step:08d}.png"
            predictor = self._make_predictor(merge_lora_layers(gathered))
            samples = choose_samples(self.records)
            for problem in save_samples(predictor, samples, path, SAMPLE_TOKENS):
                self.notify(step, f"not drawn: {problem}")
        self.setup.world.barrier()

    def save(self, name: str) -> None:
        """Write the loadable checkpoint ``name``, its heads, and the adapters if there are any."""
        gathered = self._gather()
        if gathered is not None:
            self._write(merge_lora_layers(gathered), name)
            save_heads(_unwrap(self.setup.model), self.out / name)
            if has_adapters(gathered):
                save_adapter(gathered, self.setup.recipe.lora, self.out / ADAPTER)
        self.setup.world.barrier()

    def _gather(self) -> Florence2Model | None:
        return gather_full_state(self.setup.model, self.setup.world, self.setup.recipe)

    def _write(self, model: Florence2Model, name: str) -> None:
        self._make_predictor(model).save(self.out / name, layout=self.setup.recipe.layout)

    def _make_predictor(self, model: Florence2Model) -> Florence2:
        return Florence2(self.setup.recipe.name, TorchRuntime(model), self.processor)

    def _is_improvement(self, value: float) -> bool:
        best = self.setup.state.best
        if not math.isfinite(value):
            return False
        if best is None or not math.isfinite(best):
            return True
        return value > best if self.setup.recipe.reporting.higher_is_better else value < best


def gather_full_state(
    model: nn.Module, world: DistributedContext, recipe: Recipe
) -> Florence2Model | None:
    """The model on the main process, ``None`` on the others; every process must call this.

    Adapters stay apart from the weights. Without sharding it is the model that trains, otherwise a
    copy on the CPU.
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
    return remove_heads(_unwrap(model)) if world.is_main else None


def _unwrap(model: nn.Module) -> nn.Module:
    return cast(nn.Module, model.module) if isinstance(model, DistributedDataParallel) else model


def merge_lora_layers(model: Florence2Model) -> Florence2Model:
    """A copy of the model with its low-rank adapters added to the weights; itself without any."""
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
    """Whether the model has low-rank adapters."""
    return any(".lora_A." in name for name, _ in model.named_parameters())


def save_adapter(model: nn.Module, lora: Lora, directory: Path) -> None:
    """Write the adapters as peft does, for ``load(..., adapter=)`` or for peft itself.

    Module names are those of transformers' layout. ``model`` is not merged.
    """
    tensors: dict[str, Tensor] = {}
    modules: set[str] = set()
    for name, value in model.state_dict().items():
        if match := _LORA_FACTOR.fullmatch(name):
            module, factor = match.groups()
            name = layout_name(f"{module}.weight", "transformers").removesuffix(".weight")
            modules.add(name)
            tensors[f"base_model.model.{name}.lora_{factor}.weight"] = value.detach().cpu()
    write_tensors(directory / "adapter_model.safetensors", tensors)
    config = {
        "peft_type": "LORA",
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "use_rslora": lora.rank_stabilized,
        "target_modules": sorted(modules),
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
    replace_json(directory / "adapter_config.json", config)
