"""Recipes with a name, and the source of each of their values.

The paper is Xiao et al. 2023, "Florence-2: Advancing a Unified Representation for a Variety of
Vision Tasks". Values that it does not give are marked as ours: weight decay, betas, the weight of
each task, and all learning rates of fine-tuning.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from ..io.messages import suggest
from .recipe import Batch, Optimizer, Recipe, Regularization, Reporting, Schedule

# The published language models that the paper starts from.
BART_BASE, BART_LARGE = "facebook/bart-base", "facebook/bart-large"
DROPOUT = Regularization(drop_path=0.1, dropout=0.1)
SPARSE_REPORTING = Reporting(
    log_every=50, checkpoint_every=1000, sample_every=5000, evaluate_every=5000, keep_checkpoints=3
)


def pretrain_base_stage1() -> Recipe:
    """The base model from random weights and BART's language model, on images of 384 x 384.

    Paper, section 5.1: AdamW, cosine, peak 1e-4, 5,000 steps of warm-up, batch 2,048, 3 B
    effective samples. Its vision encoder starts from UniCL, which is not published: ours has
    random weights. Drop path 0.1 is the released config's, dropout 0.1 BART's.
    """
    return Recipe(
        name="pretrain-base-stage1",
        start="scratch:base",
        text_from=BART_BASE,
        image_size=(384, 384),
        precision="bf16",
        batch=Batch(size=2048, micro=16),
        optimizer=Optimizer(learning_rate=1e-4),
        schedule=Schedule(samples=3_000_000_000, warmup_steps=5000),
        regularization=DROPOUT,
        reporting=SPARSE_REPORTING,
    )


def pretrain_base_stage2() -> Recipe:
    """The base model of stage 1 on images of 768 x 768.

    Paper, section 5.1: 0.5 B effective samples, everything else as in stage 1. It starts from what
    stage 1 wrote to ``runs/pretrain-base-stage1``; elsewhere, ``--set start=DIR/last``.
    """
    return replace(
        pretrain_base_stage1(),
        name="pretrain-base-stage2",
        start="runs/pretrain-base-stage1/last",
        text_from=None,
        image_size=(768, 768),
        batch=Batch(size=2048, micro=8),
        schedule=Schedule(samples=500_000_000, warmup_steps=5000),
    )


def pretrain_large_stage1() -> Recipe:
    """The large model from random weights and BART's language model, on images of 384 x 384.

    Paper, section 5.1: peak 1e-5, batch 3,072, 3 B effective samples; the rest as for base.
    """
    return replace(
        pretrain_base_stage1(),
        name="pretrain-large-stage1",
        start="scratch:large",
        text_from=BART_LARGE,
        gradient_checkpointing=True,
        batch=Batch(size=3072, micro=16),
        optimizer=Optimizer(learning_rate=1e-5),
    )


def pretrain_large_stage2() -> Recipe:
    """The large model of stage 1 on images of 768 x 768.

    Paper, section 5.1: 0.1 B effective samples, everything else as in stage 1. It starts from what
    stage 1 wrote to ``runs/pretrain-large-stage1``; elsewhere, ``--set start=DIR/last``.
    """
    return replace(
        pretrain_large_stage1(),
        name="pretrain-large-stage2",
        start="runs/pretrain-large-stage1/last",
        text_from=None,
        image_size=(768, 768),
        batch=Batch(size=3072, micro=8),
        schedule=Schedule(samples=100_000_000, warmup_steps=5000),
    )


def fine_tune() -> Recipe:
    """All weights of a released checkpoint.

    Ours, as the paper has no rate for it: a tenth of its peak for base, that peak for large.
    """
    return Recipe(name="fine-tune", optimizer=Optimizer(learning_rate=1e-5))


def fine_tune_stages_1_2_frozen() -> Recipe:
    """All weights except those of the first two of the vision encoder's four stages.

    Paper, table 8: COCO box AP 53.3 with these frozen and 53.6 without. The rate is ours, that of
    ``fine-tune``: what is trained is nearly the whole model.
    """
    return Recipe(
        name="fine-tune-stages-1-2-frozen",
        trainable="vision-stages-1-2-frozen",
        optimizer=Optimizer(learning_rate=1e-5),
    )


def fine_tune_vision_frozen() -> Recipe:
    """The projector and the encoder-decoder; the vision encoder is frozen.

    Paper, table 8: box AP 48.3 with it frozen and 53.6 without, so this is for texts. The
    rate is ours: twice that of ``fine-tune``, as the vision encoder cannot be damaged by it.
    """
    return Recipe(
        name="fine-tune-vision-frozen",
        trainable="vision-frozen",
        optimizer=Optimizer(learning_rate=2e-5),
    )


def fine_tune_lora() -> Recipe:
    """Low-rank adapters on the vision encoder, the encoder and the decoder; weights are frozen.

    Ours, as LoRA is not in the paper: rate 1e-4, ten times that of ``fine-tune``,
    since adapters start at zero; rank and alpha 16 with the rank-stabilized scale; no weight
    decay, which would pull the model back to the checkpoint.
    """
    return Recipe(
        name="fine-tune-lora",
        trainable="lora",
        optimizer=Optimizer(learning_rate=1e-4, weight_decay=0.0),
    )


PRESETS: Mapping[str, Callable[[], Recipe]] = {
    "pretrain-base-stage1": pretrain_base_stage1,
    "pretrain-base-stage2": pretrain_base_stage2,
    "pretrain-large-stage1": pretrain_large_stage1,
    "pretrain-large-stage2": pretrain_large_stage2,
    "fine-tune": fine_tune,
    "fine-tune-stages-1-2-frozen": fine_tune_stages_1_2_frozen,
    "fine-tune-vision-frozen": fine_tune_vision_frozen,
    "fine-tune-lora": fine_tune_lora,
}


def load_recipe(name_or_path: str) -> Recipe:
    """The recipe of a preset, or the recipe that a function in a file returns.

    A file is written ``path/to/file.py`` when it defines one public function, else
    ``path/to/file.py:function``. Raises ``ValueError`` for an unknown name and for a
    file that gives no recipe, ``FileNotFoundError`` for a file that does not exist.
    """
    if name_or_path in PRESETS:
        return PRESETS[name_or_path]()
    file, colon, function = name_or_path.rpartition(":")
    if not colon or not file.endswith(".py"):
        file, function = name_or_path, ""
    if not file.endswith(".py"):
        raise ValueError(
            f"unknown recipe {name_or_path!r}: name a file (recipe.py or recipe.py:function), "
            f"or one of {', '.join(PRESETS)}{suggest(name_or_path, PRESETS)}"
        )
    module = _load_file(Path(file))
    function = function or _only_function(module, file)
    make = getattr(module, function, None)
    if not callable(make):
        raise ValueError(f"{file} has no function {function!r}; it has {_list_functions(module)}")
    made = _call_user_code(lambda: make(), f"{file}:{function}")
    if not isinstance(made, Recipe):
        raise ValueError(f"{file}:{function} should return a Recipe, got {type(made).__name__}")
    return made


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise FileNotFoundError(
            f"recipe file {path} does not exist; presets are {', '.join(PRESETS)}"
        )
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    loader = specification.loader
    _call_user_code(lambda: loader.exec_module(module), str(path))
    return module


def _call_user_code(call: Callable[[], object], what: str) -> object:
    """What the user's code returns; any error in it is raised as a ``ValueError``."""
    try:
        return call()
    except Exception as error:
        raise ValueError(f"{what} failed: {type(error).__name__}: {error}") from error


def _list_functions(module: ModuleType) -> list[str]:
    """The public functions that the file itself defines."""
    return [
        name
        for name, value in vars(module).items()
        if callable(value)
        and not name.startswith("_")
        and getattr(value, "__module__", None) == module.__name__
    ]


def _only_function(module: ModuleType, file: str) -> str:
    functions = _list_functions(module)
    if len(functions) != 1:
        raise ValueError(
            f"name the function of {file} that returns the recipe, as in {file}:function; "
            f"it has {functions}"
        )
    return functions[0]
