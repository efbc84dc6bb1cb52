"""YOLO: ``data.yaml`` with the class names, and a text file of labels for each picture.

A line is ``class x y width height`` (the centre, as fractions of the picture) or ``class x y x y
...`` (a polygon). Labels lie where the picture does, with ``labels`` in place of the last
``images`` of the path (docs.ultralytics.com, "Detect" and "Segment dataset format").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..geometry import point_bounds
from ..records import Category, Record
from ..results import ImageSize
from .instances import (
    INSTANCE_TASKS,
    Instance,
    check_tasks,
    instance_annotations,
    label_objects,
)
from .pictures import SeenNames, find_pictures, name_in, read_picture
from .problems import Intake, LabelError
from .regions import checked_box, checked_polygon
from .splits import find_role, match_splits

TASKS = INSTANCE_TASKS
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class YoloSet:
    """What ``data.yaml`` says: class names by number, and the folders or lists of each split."""

    file: Path
    root: Path
    names: dict[int, str]
    splits: dict[str, tuple[Path, ...]]


def find_yolo(source: Path) -> YoloSet:
    """The data set whose ``data.yaml`` is ``source`` or lies in it.

    Raises ``FileNotFoundError`` when there is none, ``ValueError`` when it names no classes.
    """
    file = source / "data.yaml" if source.is_dir() else source
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing: it names the classes and the pictures")
    values = _load_yaml(file)
    root = file.parent / str(values.get("path") or "")
    names = values.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        raise ValueError(f"{file} should hold 'names', a list of classes, got {names!r}")
    splits = {}
    for split in SPLITS:
        entries = values.get(split) or []
        entries = [entries] if isinstance(entries, str) else entries
        splits[split] = tuple(_entry(root, file.parent, str(entry)) for entry in entries)
    return YoloSet(file, root, {int(key): str(name) for key, name in names.items()}, splits)


def read_yolo(
    data: YoloSet,
    intake: Intake,
    tasks: Sequence[str] = ("object-detection",),
    split: str | None = None,
) -> Iterator[Record]:
    """A record for each picture of the split (of all, by default) that can be read.

    ``tasks`` are those of ``TASKS``. An empty label file, and a missing one, say that nothing is
    there; where every label file is missing, that is listed and the records have no annotation. A
    folder that two splits name is read once.
    """
    tokens = check_tasks(tasks, TASKS)
    there = [name for name, entries in data.splits.items() if entries]
    matching = there if split is None else match_splits(split, there)
    if not matching:
        raise ValueError(f"{data.file} has no split {split!r}; it has {', '.join(there) or 'none'}")
    intake.declare([Category(data.names[number]) for number in sorted(data.names)])
    pictures, labels = SeenNames(), SeenNames()
    entries = list(_entries(data, matching))
    labeled = _has_labels(entries, data, intake)
    for name, entry in entries:
        for path in _pictures(entry, data, intake):
            label_file = label_path(path)
            with intake.listing(path):
                pictures.add(name_in(data.root, path), "picture")
                labels.add(label_file, "the label file of two pictures,")
                record = replace(
                    read_picture(path, name_in(data.root, path)),
                    split=name,
                    file_name=name_in(entry, path) if entry.is_dir() else path.name,
                )
                if labeled:
                    record = _labeled(label_file, record, data.names, tokens, intake)
                yield record


def _has_labels(entries: Sequence[tuple[str, Path]], data: YoloSet, intake: Intake) -> bool:
    """Whether any picture has a label file. If none has, they lie elsewhere: that is listed."""
    quiet = replace(intake, report=lambda problem: None)
    first: Path | None = None
    for _, entry in entries:
        for path in _pictures(entry, data, quiet):
            file = label_path(path)
            if file.exists():
                return True
            first = first or file
    if first is not None:
        with intake.listing(data.file):
            raise LabelError("missing-file", f"no image has a label file; expected {first}")
    return False


def _entries(data: YoloSet, splits: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """The folders and lists of ``splits``, each once, with the split that it is.

    Training tools want both ``train`` and ``val``: a set with one of them names its folder twice,
    and the folder's own name tells which it is.
    """
    named: dict[Path, list[str]] = {}
    for split in splits:
        for entry in data.splits[split]:
            named.setdefault(entry, []).append(split)
    for entry, names in named.items():
        role = find_role(entry.stem) or find_role(entry.parent.name)
        yield (role if role in names else names[0]), entry


def label_path(picture: Path) -> Path:
    """The label file of a picture."""
    parts = list(picture.with_suffix(".txt").parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return Path(*parts)


def _load_yaml(file: Path) -> dict[str, Any]:
    import yaml

    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is no YAML: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{file} should hold 'names' and 'train', got {values!r:.80}")
    return values


def _entry(root: Path, beside: Path, entry: str) -> Path:
    """A folder or list. Exporters write ``../train/images`` and mean the folder beside the file."""
    path = root / entry
    if not path.exists() and entry.startswith("../") and (beside / entry[3:]).exists():
        return beside / entry[3:]
    return path


def _pictures(entry: Path, data: YoloSet, intake: Intake) -> Iterator[Path]:
    """The pictures of a folder, or of a text file with one path a line."""
    if entry.is_dir():
        yield from find_pictures(entry)
        return
    with intake.listing(data.file):
        if not entry.is_file():
            raise LabelError("missing-file", f"{entry} is neither a folder nor a list of pictures")
        for _, line in _lines(entry):
            yield entry.parent / line if line.startswith("./") else data.root / line


def _labeled(
    file: Path, record: Record, names: dict[int, str], tokens: Sequence[str], intake: Intake
) -> Record:
    """The record with its labels, and with the annotations that are made from them."""
    instances: list[Instance] = []
    lines: list[tuple[int, str]] = []
    with intake.listing(file):
        lines = list(_lines(file)) if file.exists() else []
        # A file of bad lines only is not one that says nothing is there.
        for number, line in lines:
            with intake.listing(file, number):
                instances.append(_instance(line, names, record.image_size))
        if instances or not lines:
            made = instance_annotations(instances, record.image_size, tokens, intake.annotator)
            annotations = intake.checked(made, record.image_size, file)
            objects = label_objects(instances, intake.annotator)
            return replace(record, annotations=annotations, objects=objects)
    return record


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers."""
    try:
        content = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError("malformed", f"{file} cannot be read: {error}") from error
    for number, line in enumerate(content.splitlines(), start=1):
        if line.strip():
            yield number, line.strip()


def _instance(line: str, names: dict[int, str], image_size: ImageSize) -> Instance:
    try:
        fields = line.split()
        number, values = int(fields[0]), [float(field) for field in fields[1:]]
    except ValueError as error:
        raise LabelError(
            "malformed", f"a line is a class and numbers, got {line[:80]!r}"
        ) from error
    if len(values) < 4 or len(values) % 2:
        raise LabelError(
            "malformed",
            f"a class is followed by x y width height or by the points of a polygon, "
            f"got {len(values)} numbers",
        )
    if number not in names:
        raise LabelError("unknown-class", f"there is no class {number}; there are {len(names)}")
    width, height = image_size
    pixels = [value * (width, height)[index % 2] for index, value in enumerate(values)]
    if len(pixels) > 4:
        polygon = checked_polygon(pixels, image_size)
        box = checked_box(point_bounds(polygon).tolist(), image_size)
        return Instance(names[number], box, (polygon,))
    x, y, box_width, box_height = pixels
    corners = [x - box_width / 2, y - box_height / 2, x + box_width / 2, y + box_height / 2]
    return Instance(names[number], checked_box(corners, image_size))
