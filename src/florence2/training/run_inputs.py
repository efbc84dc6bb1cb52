"""The data and models of a run, identified by content, so that a resumed run uses the same.

Data is identified by the checksums of its shards, a start model by those of its files; their paths
do not matter.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, cast

import numpy as np

from ..datasets.shards import ShardDataset
from ..inference.predictor import resolve_checkpoint
from ..io.atomic import file_hash
from .examples import TrainingRecords
from .model_init import SCRATCH
from .recipe import Recipe
from .streaming import IterableRecords

Description = dict[str, Any]

_MODEL_FILES = ("config.json", "tokenizer.json", "preprocessor_config.json")
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_NAMES = {
    "data": "the training data",
    "validation": "the validation data",
    "start": "the start model",
    "text_from": "the model of text_from",
}


def describe_inputs(
    recipe: Recipe, records: TrainingRecords | IterableRecords, validation: TrainingRecords | None
) -> Description:
    """The identity of the data, the validation data and the models that a run starts from."""
    return {
        "version": 1,
        "data": describe_records(records),
        "validation": None if validation is None else describe_records(validation),
        "start": _describe_model(recipe.start),
        "text_from": None if recipe.text_from is None else _describe_model(recipe.text_from),
    }


def describe_records(records: TrainingRecords | IterableRecords) -> Description:
    """The number of records, their tasks, and a digest of their content."""
    if isinstance(records, ShardDataset):
        manifest = records.manifest
        digest = hashlib.sha256("\n".join(each.sha256 for each in manifest.shards).encode())
        tasks = dict(manifest.counts.task)
        return {"records": manifest.rows, "tasks": tasks, "sha256": digest.hexdigest()}
    if not hasattr(records, "__len__"):
        return {"records": None, "source": type(records).__name__}
    finite = cast(TrainingRecords, records)
    digest = hashlib.sha256()
    for group in finite.annotations():
        _update_digest(digest, group)
    return {"records": len(finite), "sha256": digest.hexdigest()}


def compare_inputs(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Sentences that describe how the inputs of a run differ from those it was started with."""
    differences = []
    for key, name in _NAMES.items():
        old, new = before.get(key), now.get(key)
        if _identity(old) == _identity(new):
            continue
        if not isinstance(old, Mapping) or not isinstance(new, Mapping):
            had = "did not have" if not isinstance(old, Mapping) else "had"
            differences.append(f"the run {had} {name.removeprefix('the ')}")
        elif key in ("data", "validation"):
            differences.append(f"{name} differs: {_compare_records(old, new)}")
        else:
            changed = _changed_files(old, new)
            differences.append(f"{name} differs: {', '.join(changed)}")
    return differences


def count_shared_images(
    records: TrainingRecords | IterableRecords, validation: TrainingRecords
) -> int:
    """The number of validation images that are training images too; 0 without checksums."""
    if not isinstance(records, ShardDataset) or not isinstance(validation, ShardDataset):
        return 0
    training = set(records.image_hashes())
    return sum(each in training for each in validation.image_hashes())


def warn_of_shared_images(
    records: TrainingRecords | IterableRecords, validation: TrainingRecords
) -> None:
    """Warn when validation images are training images, by the checksums of their files."""
    shared = count_shared_images(records, validation)
    if shared:
        warnings.warn(
            f"{shared:,} of {len(validation):,} validation images are training images too: "
            "the metrics will be too good",
            stacklevel=2,
        )


def _describe_model(source: str) -> Description:
    """The checksums of a model's files; fresh weights have none."""
    if source.startswith(SCRATCH):
        return {"name": source, "files": {}}
    directory = resolve_checkpoint(source)
    weights = next((found for each in _WEIGHTS if (found := sorted(directory.glob(each)))), [])
    files = [*(directory / name for name in _MODEL_FILES), *weights]
    return {
        "name": source,
        "files": {each.name: file_hash(each) for each in files if each.is_file()},
    }


def _identity(description: Any) -> Any:
    """The values that must be equal: the files of a model, or its name if it has none."""
    if isinstance(description, Mapping) and description.get("files"):
        return description["files"]
    return description


def _compare_records(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    if old.get("records") != new.get("records"):
        return f"it has {_count(new)} now and had {_count(old)}"
    if old.get("tasks") != new.get("tasks"):
        return f"it has the annotations {new.get('tasks')} now and had {old.get('tasks')}"
    return f"it has {_count(new)} as before, but with other content"


def _count(description: Mapping[str, Any]) -> str:
    number = description.get("records")
    return "endless records" if number is None else f"{number:,} records"


def _changed_files(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    before, now = old.get("files") or {}, new.get("files") or {}
    if not isinstance(before, Mapping) or not before or not now:
        return [f"it was {old.get('name')} and is {new.get('name')}"]
    changed = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    return changed or [f"it was {old.get('name')} and is {new.get('name')}"]


def _update_digest(digest: Any, value: Any) -> None:
    """Add a value to a digest: arrays by their values, dataclasses and lists by their members."""
    if isinstance(value, np.ndarray):
        digest.update(f"{value.dtype}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif is_dataclass(value) and not isinstance(value, type):
        digest.update(type(value).__name__.encode())
        for each in fields(value):
            _update_digest(digest, getattr(value, each.name))
    elif isinstance(value, list | tuple):
        digest.update(f"[{len(value)}".encode())
        for member in value:
            _update_digest(digest, member)
    else:
        digest.update(repr(value).encode("utf-8", "surrogatepass") + b"\0")
