"""The directory of fetched assets: drawings in one file, and font files.

``art.npz`` holds all drawings as PNG, one after another, and an index with the emoji, the name,
the source and the offset of each, the licenses, and checksums of everything. It is written last, so
a directory with this file is complete.
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
"""The environment variable that names another directory for the assets."""

_FILE = "art.npz"
_FONTS = "fonts"
_FORMAT = 1


@dataclass(frozen=True)
class AssetPackage:
    """One npm package: exact version, contents, license and author."""

    name: str
    version: str
    contents: str
    license: str
    author: str


@dataclass(frozen=True)
class Drawing:
    """A stored drawing: its name, the emoji that it shows, and its PNG."""

    asset: str
    emoji: str
    png: bytes


def assets_dir() -> Path:
    """The default directory of the assets: ``FLORENCE2_ART``, or in the platform's cache."""
    chosen = os.environ.get(CACHE_DIR_VARIABLE)
    if chosen:
        return Path(chosen)
    return cache_dir("scenes")


def strip_variation_selectors(characters: str) -> str:
    """An emoji without variation selectors, in which the sources differ."""
    return characters.replace("\ufe0f", "")


def write_assets(
    directory: Path,
    drawings: Sequence[Drawing],
    fonts: Mapping[str, bytes],
    packages: Sequence[AssetPackage],
) -> None:
    """Write drawings and font files (by file name) to a directory, all or nothing."""
    for name, content in fonts.items():
        atomic_replace(directory / _FONTS / name, content)
    pngs = b"".join(drawing.png for drawing in drawings)
    ends = np.cumsum([len(drawing.png) for drawing in drawings]).tolist()
    index = {
        "format": _FORMAT,
        "pictures_sha256": _hash(pngs),
        "drawings": [
            {"art": drawing.asset, "emoji": strip_variation_selectors(drawing.emoji), "end": end}
            for drawing, end in zip(drawings, ends, strict=True)
        ],
        "fonts": {name: _hash(content) for name, content in fonts.items()},
        "packages": [asdict(package) for package in packages],
    }
    with atomic_write(directory / _FILE) as temporary, temporary.open("wb") as file:
        np.savez(file, index=_to_array(json.dumps(index).encode()), pictures=_to_array(pngs))


def read_sprites(directory: Path) -> list[Sprite]:
    """Read the drawings of all emoji that belong to a category.

    Raises ``FileNotFoundError`` for a directory without assets, and ``ValueError`` for damaged
    ones.
    """
    index, pngs = _load_file(directory)
    by_emoji = {
        strip_variation_selectors(emoji): category
        for category in load_categories().values()
        for emoji in category.emoji
    }
    sprites = []
    start = 0
    for entry in index["drawings"]:
        category, end = by_emoji.get(entry["emoji"]), entry["end"]
        if category is not None:
            image = _decode_png(pngs[start:end])
            sprites.append(Sprite.from_image(category.name, entry["art"], image))
        start = end
    return sprites


def read_font_paths(directory: Path) -> tuple[Path, ...]:
    """The font files of an assets directory, sorted by name; errors as in `read_sprites`."""
    index, _ = _load_file(directory)
    paths = tuple(directory / _FONTS / name for name in sorted(index["fonts"]))
    for path in paths:
        if not path.is_file() or _hash(path.read_bytes()) != index["fonts"][path.name]:
            raise _damage_error(directory, f"{path.name} is missing or has changed")
    return paths


def _load_file(directory: Path) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    path = directory / _FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{directory} has no assets: run `florence2 scenes fetch`, or use --shapes, which "
            "needs none"
        )
    try:
        with np.load(path, allow_pickle=False) as stored:
            pngs = stored["pictures"]
            index: dict[str, Any] = json.loads(stored["index"].tobytes())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise _damage_error(directory, str(error)) from error
    if index.get("format") != _FORMAT:
        raise _damage_error(
            directory, f"its format is {index.get('format')}, this version reads {_FORMAT}"
        )
    if _hash(pngs.tobytes()) != index["pictures_sha256"]:
        raise _damage_error(directory, "the checksum of the drawings is wrong")
    return index, pngs


def _damage_error(directory: Path, reason: str) -> ValueError:
    return ValueError(
        f"the assets in {directory} are damaged ({reason}): run `florence2 scenes fetch` again"
    )


def _decode_png(png: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = cv2.imdecode(png, cv2.IMREAD_UNCHANGED)
    return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _to_array(content: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(content, np.uint8)
