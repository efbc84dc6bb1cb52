"""The files of a COCO dataset: the annotation files and the directories of their images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .image_files import is_hidden, name_in
from .image_finder import ImageFinder
from .splits import choose_splits, find_role, match_splits

_ROBOFLOW_FILE = "_annotations.coco.json"
# Directories of label files; the images are beside such a directory.
_LABEL_DIRECTORIES = ("annotations", "annotation", "labels", "label", "json")
_KINDS = ("instances", "captions")


@dataclass(frozen=True)
class CocoPart:
    """The annotation files of one split, and the directory of its images."""

    files: tuple[Path, ...]
    images: Path
    split: str | None = None


def find_coco(source: Path, split: str | None = None) -> tuple[CocoPart, ...]:
    """The parts of the dataset at ``source``.

    ``source`` is an annotation file with its images beside it, a directory with
    ``annotations/{instances,captions}_SPLIT.json`` (or without ``_SPLIT``) and a directory of
    images per split, a directory with ``SPLIT/_annotations.coco.json`` beside the images, or one
    with any JSON files in it or in ``annotations``. ``split`` is a name or what it is for:
    ``val`` finds ``val2017``. Raises ``FileNotFoundError`` when it is not one of these,
    ``ValueError`` when it has no such split.
    """
    if source.is_file():
        return (_single_file(source, split),)
    parts = _named_parts(source) or _other_parts(source)
    if not parts:
        raise FileNotFoundError(
            f"{source} holds no annotations/instances_*.json, annotations/captions_*.json or "
            f"{_ROBOFLOW_FILE}; name the annotation file itself"
        )
    names = sorted(parts)
    return tuple(
        parts[name] for name in (names if split is None else choose_splits(split, names, source))
    )


def find_coco_images(part: CocoPart, root: Path, images: Path | None) -> ImageFinder:
    """The finder of the images of a part; ``images`` is their directory when the user named it."""
    above = _dataset_directory(part.files[0])
    names = [part.split] if part.split else []
    names += [file.stem.removeprefix(f"{kind}_") for file in part.files for kind in _KINDS]
    directories = [above / name for name in names] + [above / "images" / name for name in names]
    beside = [file.parent for file in part.files]
    top = root if above.is_relative_to(root) else above
    return ImageFinder(top, [part.images, *beside, *directories, above, above / "images"], images)


def name_record(finder: ImageFinder, root: Path, path: Path) -> str:
    """What the record of the image at ``path`` is called: its path from ``root``."""
    return name_in(root, path) if path.is_relative_to(root) else finder.name(path)


def _single_file(source: Path, split: str | None) -> CocoPart:
    """An annotation file that was named itself, with the directory of its images."""
    name = _split_of(source)
    if split is not None and (name is None or not match_splits(split, (name,))):
        raise ValueError(
            f"{source} is one annotation file, not split {split!r}; leave out --split, or name the "
            "directory of the dataset"
        )
    if source.name == _ROBOFLOW_FILE or source.parent.name != "annotations":
        return CocoPart((source,), source.parent, name)
    directory = _image_directory(source.parent.parent, name)
    return CocoPart((source,), directory if directory.is_dir() else source.parent, name)


def _named_parts(source: Path) -> dict[str, CocoPart]:
    """The parts in the layouts of COCO itself and of Roboflow."""
    parts: dict[str, CocoPart] = {}
    for kind in _KINDS:
        for path in _visible(source / "annotations", f"{kind}*.json"):
            name = _split_of(path)
            if name is None and path.stem != kind:
                continue
            files = parts[name or ""].files if (name or "") in parts else ()
            parts[name or ""] = CocoPart((*files, path), _image_directory(source, name), name)
    for path in [*_visible(source, _ROBOFLOW_FILE), *_visible(source, f"*/{_ROBOFLOW_FILE}")]:
        split = None if path.parent == source else path.parent.name
        parts[path.parent.name] = CocoPart((path,), path.parent, split)
    return parts


def _other_parts(source: Path) -> dict[str, CocoPart]:
    """The parts of a directory of JSON files with any names; several files are splits."""
    for directory in (source / "annotations", source):
        files = _visible(directory, "*.json")
        if files:
            names = [
                path.stem if len(files) > 1 or find_role(path.stem) else None for path in files
            ]
            return {
                name or "": CocoPart((path,), _image_directory(source, name), name)
                for name, path in zip(names, files, strict=True)
            }
    return {}


def _split_of(path: Path) -> str | None:
    """The split that an annotation file is named for; ``None`` when its name has none."""
    for kind in _KINDS:
        if path.stem.startswith(f"{kind}_"):
            return path.stem.removeprefix(f"{kind}_")
    return None


def _visible(directory: Path, pattern: str) -> list[Path]:
    return sorted(
        path
        for path in directory.glob(pattern)
        if path.is_file() and not is_hidden(path.name) and not is_hidden(path.parent.name)
    )


def _image_directory(source: Path, name: str | None) -> Path:
    """The directory of the images of a split in the usual layouts."""
    named = () if name is None else (source / name, source / "images" / name)
    for directory in (*named, source / "images"):
        if directory.is_dir():
            return directory
    return source / (name or "")


def _dataset_directory(file: Path) -> Path:
    """The directory of the dataset that an annotation file belongs to."""
    directory = file.parent
    return directory.parent if directory.name.lower() in _LABEL_DIRECTORIES else directory
