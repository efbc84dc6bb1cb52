"""The start model of a run, and which of its parameters are trained."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from ..inference.predictor import BUNDLED, model_configs, read_model, resolve_checkpoint
from ..model import Florence2Config, Florence2Model
from ..model.bart import Attention, Decoder, DecoderLayer, Encoder, EncoderLayer
from ..model.checkpoint.bart_weights import load_bart_text
from ..model.checkpoint.state_dict_keys import LOGITS_BIAS, layout_name
from ..model.checkpoint.weights import read_config
from ..model.layers import DropPath, FeedForward
from ..processing.processor import TOKENIZER_FILE, Processor
from ..processing.tokenizer import Tokenizer
from .recipe import Layout, Lora, Recipe, Regularization, Trainable

SCRATCH = "scratch:"
# The linear layers that get adapters. Depthwise convolutions and norms have none.
_LORA_TARGETS = (
    r"attention\.(qkv|out)",
    r"feed_forward\.(up|down)",
    r"(self_attention|cross_attention)\.(query|key|value|out)",
)


def build_model(recipe: Recipe) -> tuple[Florence2Model, Processor]:
    """The model with fp32 weights, and its processor, of ``recipe.start``.

    ``scratch:base``, ``scratch:large`` and ``scratch:nano`` have random weights
    from ``recipe.seed``. The vocabulary is that of ``recipe.text_from``, a BART or Florence-2
    checkpoint, or else the bundled one. Weights of ``text_from`` replace the language model.
    """
    processor, config = build_processor(recipe)
    if recipe.start.startswith(SCRATCH):
        model = Florence2Model(config)
        model.initialize(recipe.seed)
    else:
        model, _ = read_model(recipe.start, resolve_checkpoint(recipe.start))
    if recipe.text_from is not None:
        load_bart_text(model, resolve_checkpoint(recipe.text_from))
    set_dropout(model, recipe.regularization)
    return model.float(), processor


def build_processor(recipe: Recipe) -> tuple[Processor, Florence2Config]:
    """The processor of ``build_model`` and the config of its model, without loading weights."""
    if recipe.start.startswith(SCRATCH):
        directory = resolve_checkpoint(recipe.text_from or BUNDLED)
        vocabulary = Tokenizer.from_file(directory / TOKENIZER_FILE).vocab_size
        config = _fresh_config(recipe.start).with_vocabulary(vocabulary)
    else:
        directory = resolve_checkpoint(recipe.start)
        config = read_config(directory)
    positions, stride = config.text.max_position_embeddings, config.vision.stride
    processor = Processor.from_directory(directory, positions, stride)
    if recipe.image_size is not None:
        processor = processor.with_image_size(recipe.image_size, positions, stride)
    return processor, config


def _fresh_config(start: str) -> Florence2Config:
    sizes = model_configs()
    size = start.removeprefix(SCRATCH)
    if size not in sizes:
        raise ValueError(f"start {start!r}: scratch is one of {', '.join(sizes)}")
    return sizes[size]


def set_dropout(model: Florence2Model, rates: Regularization) -> None:
    """Set the rates of dropout and drop path; ``None`` keeps the checkpoint's.

    Drop path rises linearly from 0 at the vision encoder's first block to its rate at the last.
    """
    paths = [each for each in model.modules() if isinstance(each, DropPath)]
    if rates.drop_path is not None:
        for path, rate in zip(paths, torch.linspace(0, rates.drop_path, len(paths)), strict=True):
            path.rate = float(rate)
    for part in (model.encoder, model.decoder):
        for module in part.modules():
            if isinstance(module, Attention):
                _set_rate(module, "dropout", rates.attention_dropout)
            elif isinstance(module, FeedForward):
                _set_rate(module, "activation_dropout", rates.activation_dropout)
            elif isinstance(module, Encoder | Decoder | EncoderLayer | DecoderLayer):
                _set_rate(module, "dropout", rates.dropout)


def _set_rate(module: nn.Module, name: str, rate: float | None) -> None:
    if rate is not None:
        setattr(module, name, rate)


def prepare_trainable(model: Florence2Model, trainable: Trainable, lora: Lora) -> None:
    """Freeze the parameters that ``trainable`` excludes, or add adapters for LoRA.

    A frozen parameter has no ``requires_grad``: no gradient, no optimizer state, no weight decay.
    """
    if trainable == "lora":
        _add_adapters(model, lora)
        return
    frozen = _FROZEN[trainable]
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not frozen(name))


def check_layout(model: Florence2Model, layout: Layout) -> None:
    """Raise ``ValueError`` when the model cannot be saved in a layout, before it is trained."""
    for name, value in model.state_dict().items():
        if layout == "transformers" and name == LOGITS_BIAS:
            if bool(value.any()):
                raise ValueError(
                    "the start model has a logits bias that is not zero, which the transformers "
                    "layout cannot hold: --set layout=microsoft"
                )
        else:
            layout_name(name, layout)


def _add_adapters(model: Florence2Model, lora: Lora) -> None:
    unknown = set(lora.parts) - {"vision_encoder", "encoder", "decoder"}
    if unknown or not lora.parts:
        raise ValueError(
            f"lora.parts must be some of vision_encoder, encoder, decoder; got {lora.parts}"
        )
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ImportError('LoRA needs peft: pip install "florence2[train]"') from error
    pattern = rf"({'|'.join(lora.parts)})\..*({'|'.join(_LORA_TARGETS)})"
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        use_rslora=lora.rank_stabilized,
        target_modules=pattern,
    )
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    inject_adapter_in_model(config, model)


_FROZEN: dict[str, Callable[[str], bool]] = {
    "full": lambda name: False,
    # The paper's transfer table: freezing the first two stages costs 0.3 box AP of 53.6.
    "vision-stages-1-2-frozen": lambda name: name.startswith(
        ("vision_encoder.stages.0.", "vision_encoder.stages.1.")
    ),
    # The same table: freezing all four costs 5.3.
    "vision-frozen": lambda name: name.startswith("vision_encoder."),
    # For a first phase with the dense loss alone.
    "vision_encoder": lambda name: not name.startswith("vision_encoder."),
}
