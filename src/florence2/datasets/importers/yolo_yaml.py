"""The ``data.yaml`` of a YOLO dataset: class names, splits, and where the images are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .label_text import read_label_text, split_lines
from .plain_yaml import read_plain_yaml
from .problems import LabelError
from .splits import choose_splits, find_role

SPLITS = ("train", "val", "test")
_FILES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_CLASS_FILES = ("classes.txt", "obj.names")
_NOTHING = ("", "~", "null", "Null", "NULL")


@dataclass(frozen=True)
class YoloSet:
    """The content of ``data.yaml``: class names by number, the directories or lists of each split.

    ``kpt_shape`` is the number of keypoints of an object and of the values of each (2 or 3), in
    pose sets; ``task`` is the task that the file names, or ``""``.
    """

    file: Path
    root: Path
    names: dict[int, str]
    splits: dict[str, tuple[Path, ...]]
    kpt_shape: tuple[int, int] | None = None
    task: str = ""

    def choose_entries(self, split: str | None) -> list[tuple[str, Path]]:
        """The directories and lists of the splits that ``split`` means (all by default), each once.

        Training tools want both ``train`` and ``val``: a set with one of them names its directory
        twice, and the directory's own name tells which it is. Raises ``ValueError`` for a split
        that the set does not have.
        """
        splits = [name for name, entries in self.splits.items() if entries]
        if not splits:
            raise ValueError(f"{self.file} names no images: add 'train: images/train'")
        named: dict[Path, list[str]] = {}
        for name in splits if split is None else choose_splits(split, splits, self.file):
            for entry in self.splits[name]:
                named.setdefault(entry, []).append(name)
        found = []
        for entry, names in named.items():
            role = find_role(entry.stem) or find_role(entry.parent.name)
            found.append((role if role in names else names[0], entry))
        return found


def find_yolo(source: Path) -> YoloSet:
    """The dataset whose ``data.yaml`` is ``source`` or is in it.

    A directory without one may have ``classes.txt``, a class a line, as labeling tools write it.
    Raises ``FileNotFoundError`` when there is none, ``ValueError`` when it names no classes.
    """
    file = _find_file(source) if source.is_dir() else source
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing: it names the classes and the images")
    if file.name in _CLASS_FILES:
        return _find_listed(file)
    values = read_plain_yaml(file)
    names = _class_names(file, values.get("names"))
    _check_count(file, values.get("nc"), names)
    root = _find_root(file, values)
    splits = {}
    for split in SPLITS:
        entries = values.get(split) or []
        entries = [entries] if isinstance(entries, str) else entries
        if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
            raise ValueError(
                f"{file}: {split!r} should be a directory or a list, got {entries!r:.80}"
            )
        found = [_entry(root, file, entry) for entry in entries if entry not in _NOTHING]
        splits[split] = tuple(found)
    task = values.get("task")
    return YoloSet(
        file, root, names, splits, _kpt_shape(file, values), task if isinstance(task, str) else ""
    )


def _find_listed(file: Path) -> YoloSet:
    """The dataset of a ``classes.txt``: its images are in ``images``, or beside it."""
    root = file.parent
    try:
        lines = [line for _, line in split_lines(read_label_text(file))]
    except LabelError as error:
        raise ValueError(str(error)) from error
    images = root / "images" if (root / "images").is_dir() else root
    splits: dict[str, tuple[Path, ...]] = dict.fromkeys(SPLITS, ())
    for directory in sorted(images.iterdir()):
        role = find_role(directory.name) if directory.is_dir() else None
        if role is not None:
            splits[role] = (*splits[role], directory)
    if not any(splits.values()):
        splits["train"] = (images,)
    return YoloSet(file, root, _class_names(file, lines), splits)


def _find_file(directory: Path) -> Path:
    """The description of the dataset in ``directory``: ``data.yaml``, or the one file like it."""
    found = [path for path in sorted(directory.iterdir()) if not path.name.startswith(".")]
    for name in _FILES:
        for path in found:
            if path.name.lower() == name:
                return path
    others = [path for path in found if path.suffix.lower() in (".yaml", ".yml")]
    if len(others) > 1:
        shown = ", ".join(path.name for path in others)
        raise ValueError(f"{directory} has no data.yaml but {shown}; name the one that is meant")
    if not others:
        others = [path for path in found if path.name in _CLASS_FILES]
    return others[0] if others else directory / "data.yaml"


def _find_root(file: Path, values: dict[str, Any]) -> Path:
    """The directory that ``path`` names; the file's own when that is on another machine."""
    path = values.get("path") or ""
    if not isinstance(path, str) or path in _NOTHING:
        return file.parent
    root = Path(os.path.normpath(file.parent / path.replace("\\", "/")))
    if not Path(path).is_absolute():
        _check_inside(root, file, "path", path)
    return root if os.path.isdir(root) else file.parent


def _entry(root: Path, file: Path, entry: str) -> Path:
    """A directory or list; ``../train/images`` of some exporters is beside the file.

    A path of another machine is looked for by its end.
    """
    entry = entry.strip().replace("\\", "/")
    path = Path(os.path.normpath(root / entry))
    if not Path(entry).is_absolute():
        _check_inside(path, file, "an entry", entry, root)
    if os.path.exists(path):
        return path
    parts = [part for part in Path(entry).parts if part not in ("..", ".", "/")]
    for start in range(len(parts)):
        for directory in dict.fromkeys((root, file.parent)):
            found = directory.joinpath(*parts[start:])
            if os.path.exists(found):
                return found
    return path


def _check_inside(path: Path, file: Path, what: str, text: str, *more: Path) -> None:
    absolute = Path(os.path.abspath(path))
    for directory in (file.parent.parent, file.parent, *more):
        if absolute.is_relative_to(os.path.abspath(directory)):
            return
    # A relative file name has no parent to speak of.
    if absolute.is_relative_to(os.path.dirname(os.path.dirname(os.path.abspath(file)))):
        return
    raise ValueError(f"{file}: {what} {text!r} leads out of the dataset; write an absolute path")


def _class_names(file: Path, names: Any) -> dict[int, str]:
    if isinstance(names, list):
        numbered: Sequence[tuple[Any, Any]] = list(enumerate(names))
    elif isinstance(names, dict):
        numbered = list(names.items())
    else:
        numbered = ()
    if not numbered:
        raise ValueError(f"{file} should hold 'names', a list of classes, got {names!r:.80}")
    found: dict[int, str] = {}
    for key, name in numbered:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"{file}: 'names' {key!r} should be a class name, got {name!r:.80}")
        number = int(key) if str(key).strip().isascii() and str(key).strip().isdigit() else None
        if number is None or len(str(key)) > 9:
            raise ValueError(f"{file}: 'names' has {key!r:.80} where a class number is meant")
        if number in found:
            raise ValueError(f"{file}: 'names' gives class {number} twice; keep one of them")
        found[number] = name
    return found


def _check_count(file: Path, count: Any, names: dict[int, str]) -> None:
    """Raise ``ValueError`` when ``nc`` is not the number of the names."""
    if not isinstance(count, str) or count in _NOTHING:
        return
    if count not in (str(len(names)), str(max(names) + 1)):
        raise ValueError(
            f"{file}: nc is {count[:20]}, but 'names' has {len(names)} classes; correct one of them"
        )


def _kpt_shape(file: Path, values: dict[str, Any]) -> tuple[int, int] | None:
    shape = values.get("kpt_shape")
    if shape is None or (isinstance(shape, str) and shape in _NOTHING):
        return None
    if isinstance(shape, list) and len(shape) == 2:
        points, dimensions = (str(value).strip() for value in shape)
        known = points.isascii() and points.isdigit() and len(points) < 5
        if known and int(points) and dimensions in ("2", "3"):
            return int(points), int(dimensions)
    raise ValueError(f"{file}: kpt_shape should be [keypoints, 2 or 3], got {shape!r:.80}")
