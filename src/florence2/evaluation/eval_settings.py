"""What a run was begun with: kept in its folder, so that it goes on with nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from ..io.atomic import replace_json
from ..io.messages import shorten
from .benchmark import BenchmarkExample
from .locking import exclusive

SETTINGS = "run.json"
_WEIGHTS = ("*.safetensors", "*.bin")
# The data may lie elsewhere when a run goes on; that its cases are the same is seen by "digest".
_FREE = frozenset({"data"})


def write_or_check_settings(folder: Path, settings: Mapping[str, Any]) -> bool:
    """Write ``settings`` into ``folder``, or compare them with those that are there.

    Gives whether they were written now. Raises ``ValueError`` that names the first difference.
    Several processes may call it at once.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out {folder} is a file; name a folder")
    path = folder / SETTINGS
    with exclusive(folder / f".{SETTINGS}.lock", wait=True):
        if path.exists():
            _compare(path, settings)
            return False
        replace_json(path, settings)
        return True


def read_settings(folder: Path) -> dict[str, Any]:
    """The settings of the run in ``folder``; ``FileNotFoundError`` when there is no run."""
    path = folder / SETTINGS
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: name the --out of an evaluation")
    try:
        settings = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}; choose another --out") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{path} holds no settings: {settings!r}; choose another --out")
    return settings


def cases_digest(cases: Iterable[BenchmarkExample]) -> str:
    """A digest of what is asked: the ids, the prompts and the questions."""
    digest = sha256()
    for case in cases:
        asked = (case.id, case.image_id, case.task.prompt, case.question)
        digest.update(json.dumps(asked).encode() + b"\n")
    return digest.hexdigest()


def weights_digest(folders: Sequence[Path]) -> str | None:
    """A digest of the weight files in ``folders``; None where there are none."""
    files = [
        path
        for folder in folders
        if folder.is_dir()
        for pattern in _WEIGHTS
        for path in sorted(folder.glob(pattern))
    ]
    digest = sha256()
    for path in files:
        with path.open("rb") as stream:
            digest.update(file_digest(stream, "sha256").digest())
    return digest.hexdigest() if files else None


def _compare(path: Path, settings: Mapping[str, Any]) -> None:
    before = read_settings(path.parent)
    # As JSON gives them back: tuples have become lists.
    now = json.loads(json.dumps(settings))
    # What was asked for comes before what follows from it: a limit before the number of cases.
    for name in [*now, *(before.keys() - now.keys())]:
        if name not in _FREE and before.get(name) != now.get(name):
            raise ValueError(
                f"{path.parent} was begun with {name} {shorten(str(before.get(name)))}, not "
                f"{shorten(str(now.get(name)))}; "
                "go on with the same, or choose another --out"
            )
