"""Loads a BART checkpoint into the language model."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..florence2 import Florence2Model
from .state_dict_keys import EMBEDDING, HEAD, bart_name
from .tensor_files import CheckpointError, read_tensors, weight_files


def load_bart_text(model: Florence2Model, directory: str | Path) -> None:
    """Replace the language model's weights by those of a BART checkpoint of the same shape.

    BART's rows fill the beginning of the embedding; rows of added tokens do not change.

    Raises:
        CheckpointError: for another kind or size of checkpoint.
    """
    directory = Path(directory)
    tensors: dict[str, Tensor] = {}
    for path in weight_files(directory):
        tensors |= read_tensors(path)
    # Checkpoints of the bare model have no "model." in front.
    prefix = "" if "model.shared.weight" in tensors else "model."
    state = model.state_dict()
    for ours, target in state.items():
        name = bart_name(ours)
        if name is None or ours == HEAD:
            continue
        name = name.removeprefix(prefix) if prefix else name
        if name not in tensors:
            raise CheckpointError(f"{directory} has no tensor {name}: it is not a BART checkpoint")
        source = tensors[name]
        fits = source.shape[1:] == target.shape[1:] and len(source) <= len(target)
        if not fits or (ours != EMBEDDING and len(source) != len(target)):
            raise CheckpointError(
                f"{directory}: {name} is {list(source.shape)}, the model's is {list(target.shape)}:"
                " take a BART of the model's size"
            )
        with torch.no_grad():
            target[: len(source)] = source
