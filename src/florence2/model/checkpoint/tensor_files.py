"""Checkpoint files: reads tensors without running code in a file, and writes them atomically."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ...io.atomic import atomic_write
from ...io.files import read_json as read_limited_json
from .tensor_checks import (
    MAX_NAME_LENGTH,
    UnsafePickleError,
    check_safetensors,
    check_torch_archive,
    check_total_size,
)

CONFIG_FILE = "config.json"
# The largest is the index of a model in parts, of less than 1 MB.
MAX_JSON_BYTES = 16 * 2**20
# Narrower types are quantized and need scales, which no layout here has.
STORED_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names the file, the tensor and the remedy."""


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file."""
    try:
        values = read_limited_json(path, MAX_JSON_BYTES)
    except FileNotFoundError:
        raise CheckpointError(
            f"{path} is missing: a checkpoint is a folder with {CONFIG_FILE} and its weights"
        ) from None
    except (ValueError, OSError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({first_line(error)}): download it again"
        ) from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} holds no JSON object: download it again")
    return values


def weight_files(directory: Path) -> tuple[Path, ...]:
    """The files that hold a checkpoint's tensors: safetensors before pickle, parts by index."""
    for name in WEIGHT_FILES:
        # A single file is newer than an index next to it: saving over parts leaves their index.
        if (directory / name).is_file():
            return (directory / name,)
        index = directory / f"{name}.index.json"
        if index.is_file():
            parts = read_json(index).get("weight_map")
            if not isinstance(parts, dict) or not all(isinstance(v, str) for v in parts.values()):
                raise CheckpointError(f"{index} has no weight_map: download it again")
            found = tuple(directory / Path(part).name for part in sorted(set(parts.values())))
            missing = [path.name for path in found if not path.is_file()]
            if missing:
                raise CheckpointError(
                    f"{index} names {', '.join(missing)}, which are missing: download them"
                )
            return found
    raise CheckpointError(
        f"{directory} holds neither {WEIGHT_FILES[0]} nor {WEIGHT_FILES[1]}: download the weights"
    )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a ``.safetensors`` or ``.bin`` file, by name, on the CPU.

    A pickle that would run code is refused unopened.
    """
    return _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        check_safetensors(path)
        with safe_open(str(path), framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (
        SafetensorError,
        OSError,
        ValueError,
        RuntimeError,
        KeyError,
        TypeError,
        AttributeError,
        MemoryError,
        RecursionError,
    ) as error:
        raise CheckpointError(
            f"{path} is truncated or damaged ({first_line(error)}): download it again"
        ) from error


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        check_torch_archive(path)
        values = torch.load(path, map_location="cpu", weights_only=True)
    except UnsafePickleError as error:
        raise CheckpointError(
            f"{path} holds more than tensors and would run code when loaded ({error}): have its "
            "author save it as safetensors"
        ) from error
    except Exception as error:  # a damaged zip or pickle raises errors of any type
        raise CheckpointError(
            f"{path} is truncated or damaged ({first_line(error)}): download it again"
        ) from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} holds a {type(values).__name__}, not named tensors")
    for name, value in values.items():
        if not isinstance(value, Tensor) or not isinstance(name, str):
            raise CheckpointError(
                f"{path}: {str(name)[:MAX_NAME_LENGTH]!r} is a {type(value).__name__}, not a tensor"
            )
        if not _is_plain(value):
            raise CheckpointError(
                f"{path}: {name} is not a dense tensor with all its values: have its author save "
                "it as safetensors"
            )
    try:
        check_total_size(values, path.stat().st_size)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}: download it again") from error
    return {name: value.detach() for name, value in values.items()}


def first_line(error: BaseException, limit: int = 300) -> str:
    """The first line of an error's message, at most ``limit`` characters long."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if len(line) <= limit else f"{line[:limit]}..."


def _is_plain(value: Tensor) -> bool:
    """Whether a tensor is dense and stores every element that its shape promises.

    A pickle can promise terabytes over a few bytes by strides of zero.
    """
    if value.layout is not torch.strided or value.is_nested or value.device.type != "cpu":
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a ``.safetensors`` file, whole or not at all."""
    with atomic_write(path) as temporary:
        plain = {name: value.contiguous() for name, value in tensors.items()}
        save_file(plain, temporary, metadata={"format": "pt"})
