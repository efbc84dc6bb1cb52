"""The contents of a directory: weights, exported graphs, or no checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from .tensor_files import CONFIG_FILE, WEIGHT_FILES

# Directories of graphs in an exported directory; the ONNX layout is the onnx-community's.
ONNX_FOLDER = "onnx"
OPENVINO_FOLDER = "openvino"

_ADAPTER_CONFIG = "adapter_config.json"
_MAX_LISTED = 3


def find_exported_graphs(directory: Path) -> Literal["onnx", "openvino"] | None:
    """The kind of graphs in a directory that has no weights: what ``florence2 export`` writes."""
    if has_weights(directory):
        return None
    if any((directory / ONNX_FOLDER).glob("decoder_model_merged*.onnx")):
        return "onnx"
    return "openvino" if (directory / OPENVINO_FOLDER / "decoder.xml").is_file() else None


def has_weights(directory: Path) -> bool:
    """Whether there is a file of weights, or the index of one in parts."""
    return any(
        (directory / f"{name}{suffix}").is_file()
        for name in WEIGHT_FILES
        for suffix in ("", ".index.json")
    )


def describe_directory(directory: Path) -> str | None:
    """Why a directory without a configuration is not a checkpoint, and what to pass instead.

    ``None`` for other directories.
    """
    if not directory.is_dir():
        return None
    if (directory / _ADAPTER_CONFIG).is_file():
        return (
            f"{directory} is a LoRA adapter: load its base model with adapter={str(directory)!r} "
            "(on the command line --adapter)"
        )
    found = _checkpoints_inside(directory)
    is_run = (directory / "log.jsonl").is_file() and (directory / "recipe.json").is_file()
    if found:
        kind = "a training run" if is_run or found[0].name in ("best", "last") else "a folder"
        return f"{directory} is {kind}; the checkpoint is in {' or '.join(map(str, found))}"
    if is_run or (directory / "recipe.json").is_file():
        return f"{directory} is a training run that has not written a checkpoint yet"
    return None


def _checkpoints_inside(directory: Path) -> list[Path]:
    """Checkpoints one level down, ``best`` before ``last`` before others."""
    places = (
        sorted(each for each in (directory / "snapshots").iterdir())
        if (directory / "snapshots").is_dir()
        else sorted(each for each in directory.iterdir() if not each.name.startswith("."))
    )
    found = [each for each in places if (each / CONFIG_FILE).is_file() and each.is_dir()]
    order = {"best": 0, "last": 1}
    return sorted(found, key=lambda each: order.get(each.name, 2))[:_MAX_LISTED]
