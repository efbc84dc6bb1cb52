"""The folder of fetched art: drawings in one file, type faces beside it.

``art.npz`` holds all drawings as PNG, one after another, and an index with the emoji, the name,
the source and the place of each, the licenses, and check sums of everything. It is written last:
where it is, the rest is.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..io.atomic import atomic_replace, atomic_write
from ..io.cache_dirs import cache_dir
from .categories import load_categories
from .sprites import Sprite

CACHE_DIR_VARIABLE = "FLORENCE2_ART"
"""The environment variable that names another folder for the art."""

_FILE = "art.npz"
_FONTS = "fonts"
_FORMAT = 1


@dataclass(frozen=True)
class AssetPackage:
    """One npm package: exact version, what it holds, its license and who made it."""

    name: str
    version: str
    holds: str
    license: str
    author: str


@dataclass(frozen=True)
class Drawing:
    """A drawing as it is stored: whose it is, which emoji it draws, and its PNG."""

    asset: str
    emoji: str
    png: bytes


def assets_dir() -> Path:
    """Where art is kept unless told otherwise: the platform's cache, or ``FLORENCE2_ART``."""
    chosen = os.environ.get(CACHE_DIR_VARIABLE)
    if chosen:
        return Path(chosen)
    return cache_dir("scenes")


def strip_variation_selectors(characters: str) -> str:
    """An emoji without the marks that only ask for color, as sources differ in these."""
    return characters.replace("\ufe0f", "")


def write_assets(
    folder: Path,
    drawings: Sequence[Drawing],
    fonts: Mapping[str, bytes],
    packages: Sequence[AssetPackage],
) -> None:
    """Put drawings and font files (by file name) into a folder, whole or not at all."""
    for name, content in fonts.items():
        atomic_replace(folder / _FONTS / name, content)
    pictures = b"".join(drawing.png for drawing in drawings)
    ends = np.cumsum([len(drawing.png) for drawing in drawings]).tolist()
    index = {
        "format": _FORMAT,
        "pictures_sha256": _hash(pictures),
        "drawings": [
            {"art": drawing.asset, "emoji": strip_variation_selectors(drawing.emoji), "end": end}
            for drawing, end in zip(drawings, ends, strict=True)
        ],
        "fonts": {name: _hash(content) for name, content in fonts.items()},
        "packages": [asdict(package) for package in packages],
    }
    with atomic_write(folder / _FILE) as temporary, temporary.open("wb") as file:
        np.savez(file, index=_to_array(json.dumps(index).encode()), pictures=_to_array(pictures))


def read_sprites(folder: Path) -> list[Sprite]:
    """The drawings of all emoji that a category names.

    Raises ``FileNotFoundError`` when the folder holds no art and ``ValueError`` when it is damaged.
    """
    index, pictures = _load_file(folder)
    shown = {
        strip_variation_selectors(emoji): category
        for category in load_categories().values()
        for emoji in category.emoji
    }
    sprites = []
    start = 0
    for entry in index["drawings"]:
        category, end = shown.get(entry["emoji"]), entry["end"]
        if category is not None:
            image = _decode_png(pictures[start:end])
            sprites.append(Sprite.from_image(category.name, entry["art"], image))
        start = end
    return sprites


def read_font_paths(folder: Path) -> tuple[Path, ...]:
    """The font files in a folder of art, sorted by name; errors as in `read_sprites`."""
    index, _ = _load_file(folder)
    paths = tuple(folder / _FONTS / name for name in sorted(index["fonts"]))
    for path in paths:
        if not path.is_file() or _hash(path.read_bytes()) != index["fonts"][path.name]:
            raise _damage_error(folder, f"{path.name} is missing or not what was fetched")
    return paths


def licenses(folder: Path) -> list[dict[str, str]]:
    """Name, version, contents, license and author of every package the art came from."""
    index, _ = _load_file(folder)
    packages: list[dict[str, str]] = index["packages"]
    return packages


def _load_file(folder: Path) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    path = folder / _FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} holds no art: get it with `florence2 scenes fetch`, or make scenes from "
            "shapes alone, which needs none"
        )
    try:
        with np.load(path, allow_pickle=False) as stored:
            pictures = stored["pictures"]
            index: dict[str, Any] = json.loads(stored["index"].tobytes())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise _damage_error(folder, str(error)) from error
    if index.get("format") != _FORMAT:
        raise _damage_error(
            folder, f"its format is {index.get('format')}, this version reads {_FORMAT}"
        )
    if _hash(pictures.tobytes()) != index["pictures_sha256"]:
        raise _damage_error(folder, "the check sum of the drawings is wrong")
    return index, pictures


def _damage_error(folder: Path, why: str) -> ValueError:
    return ValueError(
        f"the art in {folder} is damaged ({why}): get it anew with `florence2 scenes fetch`"
    )


def _decode_png(png: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = cv2.imdecode(png, cv2.IMREAD_UNCHANGED)
    return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _to_array(content: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(content, np.uint8)
