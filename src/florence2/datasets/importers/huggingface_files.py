"""Opening a local Hugging Face dataset: damaged files are named, and nothing outside is read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ...io.files import FileRefusedError, open_regular, read_json, read_text
from .image_files import find_files
from .splits import choose_splits

_MAX_CARD_BYTES = 4 * 2**20
_MAX_STATE_BYTES = 64 * 2**20
# A Parquet file that becomes this many times its own size is a bomb if it is large as well.
_MAX_GROWTH = 1000
_MAX_UNPACKED = 8 * 2**30
_OUTSIDE = re.compile(r"""://|\.\./|["'\s:-]/""")


def open_huggingface_splits(source: Path, split: str | None = None) -> dict[str | None, Any]:
    """The parts of a dataset by their names: those that ``split`` means, all of them by default.

    A dataset without splits is one part without a name. Raises ``ValueError`` when it has no such
    split, and for a file that cannot be read.
    """
    found = _load(source)
    if not isinstance(found, dict):
        if split is not None:
            raise ValueError(f"{source} has no splits, so split {split!r} (--split) does not apply")
        return {None: found}
    names = tuple(found) if split is None else choose_splits(split, found, source)
    return {name: found[name] for name in names}


def open_huggingface(source: Path, split: str | None = None) -> Any:
    """The ``datasets.Dataset`` saved in the directory ``source`` or kept in files that load there.

    Raises ``ValueError`` when there are several splits and none is chosen, and for a file that
    cannot be read.
    """
    parts = open_huggingface_splits(source, split)
    if len(parts) > 1:
        names = ", ".join(map(str, parts))
        raise ValueError(f"{source} has the splits {names}; choose one, got {split!r}")
    return next(iter(parts.values()))


def _load(source: Path) -> Any:
    import datasets

    files = [source] if source.is_file() else find_files(source)
    saved = [path for path in files if path.name in ("state.json", "dataset_dict.json")]
    _check_files(source, files)
    try:
        if source.is_file():
            if source.suffix.lower() != ".parquet":
                raise ValueError(
                    f"{source} is not a Parquet file: name the directory of the dataset"
                )
            return datasets.load_dataset("parquet", data_files=str(source))
        if any(path.parent == source for path in saved):
            return datasets.load_from_disk(str(source))
        return datasets.load_dataset(str(source))
    # datasets wraps what its readers raise in its own errors, without the file name.
    except Exception as error:
        cause = error.__cause__ or error
        reason = str(cause).strip().split("\n")[0][:300] or type(cause).__name__
        raise ValueError(
            f"{source} cannot be opened as a Hugging Face dataset: {reason}"
        ) from error


def _check_files(source: Path, files: list[Path]) -> None:
    """Raise ``ValueError`` for a file that is damaged or that leads out of the dataset."""
    for path in files:
        if path.suffix.lower() == ".parquet":
            _check_parquet(path)
        elif path.suffix.lower() == ".arrow":
            open_regular(path).close()
        elif path.name == "state.json":
            _check_state(path)
        elif path.name == "README.md" and path.parent == source:
            _check_card(path)


def _check_parquet(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open_regular(path) as stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            metadata = pq.ParquetFile(stream).metadata
    except FileRefusedError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ValueError(
            f"{path} is not a whole Parquet file ({str(error)[:200]}); copy or download it again"
        ) from error
    unpacked = sum(
        metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups)
    )
    if unpacked > max(_MAX_UNPACKED, _MAX_GROWTH * size):
        raise ValueError(f"{path} has {size:,} bytes that become {unpacked:,}; it is not read")


def _check_state(path: Path) -> None:
    """Check that the files of a saved dataset are beside its state."""
    state = read_json(path, _MAX_STATE_BYTES)
    files = state.get("_data_files") if isinstance(state, dict) else None
    for file in files if isinstance(files, list) else ():
        name = file.get("filename") if isinstance(file, dict) else None
        if not isinstance(name, str) or Path(name).name != name:
            raise ValueError(
                f"{path} names the data file {json.dumps(name)[:80]}, which is not a file name"
            )


def _check_card(path: Path) -> None:
    """Check that the data files that a dataset card configures are in its directory."""
    text = read_text(path, _MAX_CARD_BYTES)
    header = text.split("---")[1] if text.startswith("---") and text.count("---") > 1 else ""
    lines = header.splitlines()
    named = any("data_files" in line or "data_dir" in line for line in lines)
    for line in lines if named else ():
        if re.search(r"\b(data_files|data_dir|path)\b|^\s*-", line) and _OUTSIDE.search(line):
            raise ValueError(f"{path} names data outside the directory ({line.strip()[:80]!r})")
