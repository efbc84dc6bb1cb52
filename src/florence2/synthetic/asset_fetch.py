"""Fetching free art: emoji drawings of the categories and type faces, out of npm packages."""

from __future__ import annotations

import io
import json
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from .asset_cache import Drawing, plain_emoji, write_art
from .asset_packs import (
    ALL_PACKAGES,
    EMOJITWO,
    FLUENT_3D,
    FLUENT_FLAT,
    FONTS,
    FXEMOJI,
    NOTO,
    NOTO_V1,
    STREAMLINE,
    TWEMOJI,
    Package,
    unpack,
)
from .categories import categories

_SIDE = 160
_MOST_OF_ONE = 6
_SOURCES = {
    "noto": NOTO,
    "fluent-flat": FLUENT_FLAT,
    "twemoji": TWEMOJI,
    "noto-v1": NOTO_V1,
    "emojitwo": EMOJITWO,
    "fxemoji": FXEMOJI,
    "streamline": STREAMLINE,
}


def fetch(folder: Path) -> dict[str, int]:
    """Put all art into ``folder`` and say how many drawings each source gave, and how many fonts.

    Needs npm and a network. What was there before stays until all is fetched, then is replaced.
    Raises ``FileNotFoundError`` without npm, ``ModuleNotFoundError`` without the ``scenes``
    extra and ``RuntimeError`` when a package cannot be had or is not as expected.
    """
    wanted = [emoji for category in categories().values() for emoji in category.emoji]
    drawings: list[Drawing] = []
    counts: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as scratch:
        workshop = Path(scratch)
        names: dict[str, list[str]] = {}
        for source, package in _SOURCES.items():
            found = list(_vector_drawings(source, unpack(package, workshop), wanted, names))
            drawings += found
            counts[source] = len(found)
        found = list(_painted_drawings(unpack(FLUENT_3D, workshop), wanted))
        drawings += found
        counts["fluent-3d"] = len(found)
        fonts = {name: data for package in FONTS for name, data in _faces(package, workshop)}
    counts["fonts"] = len(fonts)
    empty = [source for source, count in counts.items() if not count]
    if empty:
        raise RuntimeError(f"the packages of {', '.join(empty)} are not laid out as expected")
    write_art(folder, drawings, fonts, ALL_PACKAGES)
    return counts


def _vector_drawings(
    source: str, package: Path, wanted: list[str], names: dict[str, list[str]]
) -> Iterator[Drawing]:
    """Drawings of an icon set: one JSON of SVG bodies, mostly another from code points to names.

    ``names`` has the names that the sets before gave every emoji: they are much the same in all
    sets, and a set without such a table is asked for these, and for the character's own name.
    """
    icons = json.loads((package / "icons.json").read_text("utf-8"))
    table = json.loads((package / "chars.json").read_text("utf-8"))
    for points, name in table.items():
        names.setdefault(_without_marks(points), []).append(name)
    own = set(table.values()) or {*icons["icons"], *icons.get("aliases", {})}
    for emoji in wanted:
        known = [*names.get(_points(emoji), ()), _character_name(emoji)]
        found = [name for name in known if name in own][:1]
        for name in found or _numbered(known, own):
            yield Drawing(f"{source}/{name}", emoji, _cropped(_rendered(_svg(icons, name))))


def _numbered(known: list[str], own: set[str]) -> list[str]:
    """The first known name that a set has several drawings of: ``cactus-1``, ``cactus-2``."""
    for name in filter(None, known):
        several = [f"{name}-{number}" for number in range(1, _MOST_OF_ONE + 1)]
        found = [each for each in several if each in own]
        if found:
            return found
    return []


def _painted_drawings(package: Path, wanted: list[str]) -> Iterator[Drawing]:
    """Drawings that are pictures already, named by their code points."""
    by_points = {_without_marks(path.stem): path for path in (package / "assets").glob("*.webp")}
    for emoji in wanted:
        path = by_points.get(_points(emoji))
        if path is not None:
            with Image.open(path) as picture:
                yield Drawing(f"fluent-3d/{path.stem}", emoji, _cropped(picture.convert("RGBA")))


def _faces(package: Package, workshop: Path) -> Iterator[tuple[str, bytes]]:
    """The regular and, where there is one, the bold face of a family."""
    files = unpack(package, workshop) / "files"
    family = package.name.rpartition("/")[2]
    for weight in (400, 700):
        path = files / f"{family}-latin-{weight}-normal.woff"
        if path.is_file():
            yield path.name, path.read_bytes()


def _points(emoji: str) -> str:
    """The code points of an emoji in hexadecimal, such as ``1f441-200d-1f5e8``."""
    return "-".join(f"{ord(character):x}" for character in plain_emoji(emoji))


def _character_name(emoji: str) -> str:
    """The name of an emoji of one character, in letters alone: ``bactriancamel``; or nothing."""
    character = plain_emoji(emoji)
    name = unicodedata.name(character, "") if len(character) == 1 else ""
    return name.lower().replace(" ", "").replace("-", "")


def _without_marks(points: str) -> str:
    """The same code points less those that `plain_emoji` leaves out."""
    return "-".join(point for point in points.lower().split("-") if point != "fe0f")


def _svg(icons: dict[str, Any], name: str) -> str:
    icon = icons["icons"].get(name) or icons["icons"][icons["aliases"][name]["parent"]]
    width = icon.get("width", icons.get("width", 16))
    height = icon.get("height", icons.get("height", 16))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {width} {height}">{icon["body"]}</svg>'
    )


def _rendered(svg: str) -> Image.Image:
    import resvg_py

    png = resvg_py.svg_to_bytes(svg_string=svg, width=2 * _SIDE, skip_system_fonts=True)
    return Image.open(io.BytesIO(bytes(png))).convert("RGBA")


def _cropped(picture: Image.Image) -> bytes:
    """The drawing without its clear rim, its longer side brought to size, as PNG."""
    solid = picture.getchannel("A").point([0] * 24 + [255] * 232)
    tight = picture.crop(solid.getbbox())
    scale = _SIDE / max(tight.size)
    size = (max(1, round(tight.width * scale)), max(1, round(tight.height * scale)))
    stored = io.BytesIO()
    tight.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0).save(stored, "PNG")
    return stored.getvalue()
