"""The directory of a run: its settings, its lock, and ledgers that survive a kill.

``run``, ``evaluate`` and ``engine`` open their directories with ``RunDir``; ``train`` reads, writes
and compares its settings with the functions of this module.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .atomic import JsonlAppender, complete_lines, replace_json, truncate_partial_line
from .files import read_json
from .messages import shorten
from .run_lock import RunLockedError, lock_file, lock_run_dir

_MAX_SETTINGS_BYTES = 2**24
_NOT_SET = "(none)"


@dataclass(frozen=True)
class RunFormat:
    """What one kind of run stores in its directory, and how its settings are compared.

    Args:
        kind: Name of the kind, for messages. It is stored as ``"kind"``, and a directory of
            another kind is refused. Empty: the settings file has no such field.
        settings_file: Name of the JSON file with the settings.
        changeable: Settings that may differ when a run resumes, with the settings below them
            (``"data"`` includes ``"data.path"``).
        partial: A top-level setting that is missing in the stored or in the given settings may
            have any value. Otherwise a missing setting counts as ``None``.
        renamed: Old key -> new key of stored settings. A nested key is written with its parents'
            old keys: ``{"specialists": "annotators", "thresholds.overlap": "nms_iou"}``.
        upgrade: Called with stored settings after renaming; returns them in the current form.
        has_results: Whether a run in the directory produced anything. Settings without results
            are replaced. By default the settings file alone counts.
        allow_other_files: Accept a directory that has files but no settings file.
        remedy: How to fix different settings, for the error message.
    """

    kind: str = ""
    settings_file: str = "run.json"
    changeable: frozenset[str] = frozenset()
    partial: bool = False
    renamed: Mapping[str, str] = field(default_factory=dict)
    upgrade: Callable[[dict[str, Any]], dict[str, Any]] = dict
    has_results: Callable[[Path], bool] = lambda directory: True
    allow_other_files: bool = False
    remedy: str = "resume with the same settings, or choose another directory"


class RunDir:
    """An open run directory. ``open`` makes it; the directory is locked until the block ends."""

    def __init__(
        self, path: Path, settings: Mapping[str, Any], format: RunFormat, *, locked: bool
    ) -> None:
        self.path = path
        self._format = format
        self._settings = _to_json_values(settings)
        self._locked = locked
        self._replace = False
        self._stored: dict[str, Any] = {}
        self._stack = ExitStack()

    @classmethod
    @contextmanager
    def open(
        cls,
        path: Path,
        settings: Mapping[str, Any],
        format: RunFormat,
        *,
        resume: bool = True,
        replace: bool = False,
        lock: bool = True,
    ) -> Iterator[RunDir]:
        """Lock the directory and compare ``settings`` with the stored ones. Writes no settings.

        Args:
            path: The directory; made when it is missing, removed again when it stays empty.
            settings: What shapes the results of the run. Must be JSON values; others are stored
                as text.
            format: The kind of run.
            resume: Accept a directory that holds results of a run with the same settings.
            replace: Accept other settings than the stored ones; ``save`` replaces them.
            lock: Refuse a second process. Without it several processes share the directory; each
                ledger is then locked by itself.

        Raises:
            RunLockedError: Another process uses the directory. The message names its id.
            ValueError: The directory holds a run with other settings (each difference is named
                with both values), a run although ``resume`` is not set, a run of another kind, or
                other files.
        """
        with ExitStack() as stack:
            if lock:
                stack.enter_context(lock_run_dir(path))
            elif path.exists() and not path.is_dir():
                raise ValueError(f"{path} is a file; name a directory")
            run = cls(path, settings, format, locked=lock)
            stack.enter_context(run._stack)
            run._replace = replace
            run._load(resume, replace)
            yield run

    @property
    def is_resumed(self) -> bool:
        """Whether the directory held results of a run when it was opened."""
        return bool(self._stored)

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings of this call, with stored ones that only the earlier call had."""
        keep = self._format.partial
        changeable = self._format.changeable
        stored = {k: v for k, v in self._stored.items() if keep or k in changeable}
        return MappingProxyType({**stored, **self._settings})

    def save(self, **changes: Any) -> None:
        """Write the settings, with ``changes`` to them, where they differ from the stored ones.

        Raises ``ValueError`` when processes share the directory and another one has stored other
        settings meanwhile.
        """
        self._settings |= _to_json_values(changes)
        if self._locked:
            self._write()
            return
        with lock_file(self.path / f".{self._format.settings_file}.lock", wait=True):
            self._load(resume=True, replace=self._replace)
            self._write()

    def discard(self) -> None:
        """Remove the settings file: the run produced nothing."""
        (self.path / self._format.settings_file).unlink(missing_ok=True)

    def ledger(self, name: str, keep: Callable[[bytes], bool] = lambda line: True) -> JsonlAppender:
        """Open the JSON lines file ``name`` for appending, until the run directory is closed.

        A last line that a kill cut short is removed, and so are lines for which ``keep`` is false.
        Each ``append`` writes whole lines or nothing. Raises ``RunLockedError`` when processes
        share the directory and another one writes to this file.
        """
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not self._locked:
            lock = path.with_name(f".{path.name}.lock")
            if not self._stack.enter_context(lock_file(lock)):
                raise RunLockedError(f"another process writes to {path}; wait until it ends")
        truncate_partial_line(path, [line for line in complete_lines(path) if keep(line)])
        return self._stack.enter_context(JsonlAppender(path))

    def _load(self, resume: bool, replace: bool) -> None:
        self._stored = read_run_settings(self.path, self._format)
        if not self._stored:
            self._refuse_other_files()
            return
        if not resume and not replace:
            raise ValueError(
                f"{self.path} already holds a run; resume it (--resume), or choose another "
                "directory"
            )
        differences = compare_settings(self._stored, self._settings, self._format)
        if differences and not replace:
            raise ValueError(
                f"{self.path} was started with {'; '.join(differences)}: {self._format.remedy}"
            )

    def _refuse_other_files(self) -> None:
        settings_file = self.path / self._format.settings_file
        if self._format.allow_other_files or settings_file.exists() or not self.path.is_dir():
            return
        names = sorted(each.name for each in self.path.iterdir() if not each.name.startswith("."))
        if names:
            raise ValueError(
                f"{self.path} is not empty and holds no {self._format.kind} run "
                f"(it has {names[0]}): choose another directory"
            )

    def _write(self) -> None:
        kind = {"kind": self._format.kind} if self._format.kind else {}
        values = {**kind, **self.settings}
        path = self.path / self._format.settings_file
        if not path.exists() or read_json(path, _MAX_SETTINGS_BYTES) != values:
            replace_json(path, values)


def read_run_settings(directory: Path, format: RunFormat) -> dict[str, Any]:
    """The stored settings of the run in ``directory``, in the current form; empty without a run.

    Raises:
        ValueError: The settings file is damaged, or of another kind of run.
    """
    path = directory / format.settings_file
    if not path.exists() or not format.has_results(directory):
        return {}
    try:
        values = read_json(path, _MAX_SETTINGS_BYTES)
        if not isinstance(values, dict):
            raise ValueError(f"{path} is not a JSON object")
        kind = values.pop("kind", format.kind) if format.kind else ""
        stored = format.upgrade(_rename(values, format.renamed))
    except (ValueError, OSError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{path} is damaged ({error}): restore this file, or choose another directory"
        ) from error
    if kind != format.kind:
        raise ValueError(
            f"{directory} holds a {kind} run, not a {format.kind} run: choose another directory"
        )
    return stored


def compare_settings(
    stored: Mapping[str, Any], given: Mapping[str, Any], format: RunFormat
) -> list[str]:
    """Every setting that differs, as ``"batch.size 8, not 16"``; empty when they are equal."""
    missing = (stored.keys() ^ given.keys()) if format.partial else set()
    ignored = format.changeable | missing
    before, now = _flatten(stored), _flatten(_to_json_values(given))
    differences = []
    # The caller's settings precede derived ones, so the given order is kept.
    for name in dict.fromkeys((*now, *before)):
        if any(name == key or name.startswith(f"{key}.") for key in ignored):
            continue
        if before.get(name) != now.get(name):
            was, wanted = (shorten(str(each.get(name, _NOT_SET))) for each in (before, now))
            differences.append(f"{name} {was}, not {wanted}")
    return differences


def _to_json_values(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as JSON returns them: tuples become lists, paths text."""
    values: dict[str, Any] = json.loads(json.dumps(dict(settings), default=str))
    return values


def _rename(
    values: Mapping[str, Any], names: Mapping[str, str], parent: str = ""
) -> dict[str, Any]:
    return {
        names.get(parent + key, key): (
            _rename(value, names, f"{parent}{key}.") if isinstance(value, dict) else value
        )
        for key, value in values.items()
    }


def _flatten(values: Mapping[str, Any], parent: str = "") -> dict[str, Any]:
    """``{"batch": {"size": 8}}`` as ``{"batch.size": 8}``."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= _flatten(value, f"{parent}{key}.")
        else:
            flat[parent + key] = value
    return flat
