"""The model a run starts from: a checkpoint, fresh weights, or the text half of a BART."""

from __future__ import annotations

import torch
from torch import nn

from ..inference.predictor import BUNDLED, model_configs, read_model, resolve_checkpoint
from ..model import Florence2Config, Florence2Model
from ..model.bart import Attention, Decoder, DecoderLayer, Encoder, EncoderLayer
from ..model.checkpoint.weights import load_bart_text, read_config
from ..model.layers import DropPath, FeedForward
from ..processing.processor import TOKENIZER_FILE, Processor
from ..processing.tokenizer import Tokenizer
from .recipe import Recipe, Regularization

SCRATCH = "scratch:"


def build_model(recipe: Recipe) -> tuple[Florence2Model, Processor]:
    """The model with fp32 weights, and its processor, as ``recipe.start`` says.

    ``scratch:base``, ``scratch:large`` and ``scratch:nano`` draw fresh weights from
    ``recipe.seed``. The vocabulary is that of ``recipe.text_from``, a BART or Florence-2
    checkpoint, or else the bundled one. Weights of ``text_from`` replace the text half.
    """
    processor, config = starting_processor(recipe)
    if recipe.start.startswith(SCRATCH):
        model = Florence2Model(config)
        model.initialize(recipe.seed)
    else:
        model, _ = read_model(recipe.start, resolve_checkpoint(recipe.start))
    if recipe.text_from is not None:
        load_bart_text(model, resolve_checkpoint(recipe.text_from))
    set_dropout(model, recipe.regularization)
    return model.float(), processor


def starting_processor(recipe: Recipe) -> tuple[Processor, Florence2Config]:
    """The processor of ``build_model``, and the shape of its model, without any weights."""
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
    """Give dropout and drop path the rates of a recipe; ``None`` keeps the checkpoint's.

    Drop path rises evenly from 0 at the first block of the tower to its rate at the last.
    """
    paths = [each for each in model.modules() if isinstance(each, DropPath)]
    if rates.drop_path is not None:
        for path, rate in zip(paths, torch.linspace(0, rates.drop_path, len(paths)), strict=True):
            path.rate = float(rate)
    for part in (model.encoder, model.decoder):
        for module in part.modules():
            if isinstance(module, Attention):
                _set(module, "dropout", rates.attention_dropout)
            elif isinstance(module, FeedForward):
                _set(module, "activation_dropout", rates.activation_dropout)
            elif isinstance(module, Encoder | Decoder | EncoderLayer | DecoderLayer):
                _set(module, "dropout", rates.dropout)


def _set(module: nn.Module, name: str, rate: float | None) -> None:
    if rate is not None:
        setattr(module, name, rate)
