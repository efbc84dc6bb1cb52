"""The packages that free art and type come in, and taking them from the package manager."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from .asset_cache import AssetPackage, Drawing, strip_variation_selectors, write_assets
from .categories import load_categories

_TIMEOUT_MINUTES = 10


NOTO = AssetPackage("@iconify-json/noto", "1.2.9", "Noto emoji", "Apache-2.0", "Google")
FLUENT_FLAT = AssetPackage(
    "@iconify-json/fluent-emoji-flat", "1.2.6", "Fluent emoji, flat", "MIT", "Microsoft"
)
FLUENT_3D = AssetPackage(
    "@lobehub/fluent-emoji-3d", "1.1.0", "Fluent emoji, 3D", "MIT", "Microsoft, packed by LobeHub"
)
NOTO_V1 = AssetPackage(
    "@iconify-json/noto-v1", "1.2.5", "Noto emoji of 2016", "Apache-2.0", "Google"
)
TWEMOJI = AssetPackage("@iconify-json/twemoji", "1.2.5", "Twemoji", "CC-BY-4.0", "Twitter, jdecked")
EMOJITWO = AssetPackage(
    "@iconify-json/emojione", "1.2.3", "EmojiTwo", "CC-BY-4.0", "Emoji One, EmojiTwo"
)
FXEMOJI = AssetPackage("@iconify-json/fxemoji", "1.2.2", "FxEmojis", "Apache-2.0", "Mozilla")
STREAMLINE = AssetPackage(
    "@iconify-json/streamline-emojis", "1.2.4", "Streamline emojis", "CC-BY-4.0", "Streamline"
)
FONTS = tuple(
    AssetPackage(
        f"@fontsource/{family}", "5.3.0", f"{family} type", "OFL-1.1", "the font's authors"
    )
    for family in (
        "roboto",
        "open-sans",
        "lora",
        "oswald",
        "merriweather",
        "montserrat",
        "playfair-display",
        "bebas-neue",
        "pacifico",
        "courier-prime",
    )
)
ALL_PACKAGES = (
    NOTO,
    FLUENT_FLAT,
    FLUENT_3D,
    NOTO_V1,
    TWEMOJI,
    EMOJITWO,
    FXEMOJI,
    STREAMLINE,
    *FONTS,
)


def format_license_table() -> str:
    """A Markdown table of what is fetched, by whom it is and under which license."""
    rows = [
        f"| {package.holds} | `{package.name}` {package.version} | {package.author} "
        f"| {package.license} |"
        for package in ALL_PACKAGES
    ]
    return "\n".join(["| what | package | by | license |", "|---|---|---|---|", *rows]) + "\n"


def unpack_package(package: AssetPackage, folder: Path) -> Path:
    """The folder with a package's files, fetched into ``folder`` with the user's own ``npm``.

    Raises ``FileNotFoundError`` when there is no npm and ``RuntimeError`` when npm fails.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError(
            "npm was not found, and the free art comes from npm packages: install Node.js with "
            "npm, or make scenes from shapes alone, which needs no art"
        )
    target = folder / package.name.replace("/", "_")
    target.mkdir(parents=True, exist_ok=True)
    wanted = f"{package.name}@{package.version}"
    try:
        outcome = subprocess.run(
            [npm, "pack", wanted, "--silent"],
            cwd=target,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_MINUTES * 60,
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"npm took over {_TIMEOUT_MINUTES} minutes to get {wanted}") from error
    archives = sorted(target.glob("*.tgz"))
    if outcome.returncode or not archives:
        said = (outcome.stderr or outcome.stdout).strip()[-500:]
        raise RuntimeError(f"npm pack {wanted} failed; is the registry reachable? npm says: {said}")
    with tarfile.open(archives[0]) as archive:
        archive.extractall(target, filter="data")
    return target / "package"


_SIDE = 160
_MAX_NUMBERED = 6
_SOURCES = {
    "noto": NOTO,
    "fluent-flat": FLUENT_FLAT,
    "twemoji": TWEMOJI,
    "noto-v1": NOTO_V1,
    "emojitwo": EMOJITWO,
    "fxemoji": FXEMOJI,
    "streamline": STREAMLINE,
}


def fetch_assets(folder: Path) -> dict[str, int]:
    """Put all art into ``folder`` and say how many drawings each source gave, and how many fonts.

    Needs npm and a network. What was there before stays until all is fetched, then is replaced.
    Raises ``FileNotFoundError`` without npm, ``ModuleNotFoundError`` without the ``scenes``
    extra and ``RuntimeError`` when a package cannot be had or is not as expected.
    """
    wanted = [emoji for category in load_categories().values() for emoji in category.emoji]
    drawings: list[Drawing] = []
    counts: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as scratch:
        workshop = Path(scratch)
        names: dict[str, list[str]] = {}
        for source, package in _SOURCES.items():
            found = list(_read_icon_set(source, unpack_package(package, workshop), wanted, names))
            drawings += found
            counts[source] = len(found)
        found = list(_read_image_set(unpack_package(FLUENT_3D, workshop), wanted))
        drawings += found
        counts["fluent-3d"] = len(found)
        fonts = {name: data for package in FONTS for name, data in _read_fonts(package, workshop)}
    counts["fonts"] = len(fonts)
    empty = [source for source, count in counts.items() if not count]
    if empty:
        raise RuntimeError(f"the packages of {', '.join(empty)} are not laid out as expected")
    write_assets(folder, drawings, fonts, ALL_PACKAGES)
    return counts


def _read_icon_set(
    source: str, package: Path, wanted: list[str], names: dict[str, list[str]]
) -> Iterator[Drawing]:
    """Drawings of an icon set: one JSON of SVG bodies, mostly another from code points to names.

    ``names`` has the names that the sets before gave every emoji: they are much the same in all
    sets, and a set without such a table is asked for these, and for the character's own name.
    """
    icons = json.loads((package / "icons.json").read_text("utf-8"))
    table = json.loads((package / "chars.json").read_text("utf-8"))
    for points, name in table.items():
        names.setdefault(_strip_selector_points(points), []).append(name)
    own = set(table.values()) or {*icons["icons"], *icons.get("aliases", {})}
    for emoji in wanted:
        known = [*names.get(_code_points(emoji), ()), _character_name(emoji)]
        found = [name for name in known if name in own][:1]
        for name in found or _find_numbered(known, own):
            yield Drawing(
                f"{source}/{name}", emoji, _crop_to_png(_render_svg(_build_svg(icons, name)))
            )


def _find_numbered(known: list[str], own: set[str]) -> list[str]:
    """The first known name that a set has several drawings of: ``cactus-1``, ``cactus-2``."""
    for name in filter(None, known):
        several = [f"{name}-{number}" for number in range(1, _MAX_NUMBERED + 1)]
        found = [each for each in several if each in own]
        if found:
            return found
    return []


def _read_image_set(package: Path, wanted: list[str]) -> Iterator[Drawing]:
    """Drawings that are pictures already, named by their code points."""
    by_points = {
        _strip_selector_points(path.stem): path for path in (package / "assets").glob("*.webp")
    }
    for emoji in wanted:
        path = by_points.get(_code_points(emoji))
        if path is not None:
            with Image.open(path) as picture:
                yield Drawing(
                    f"fluent-3d/{path.stem}", emoji, _crop_to_png(picture.convert("RGBA"))
                )


def _read_fonts(package: AssetPackage, workshop: Path) -> Iterator[tuple[str, bytes]]:
    """The regular and, where there is one, the bold face of a family."""
    files = unpack_package(package, workshop) / "files"
    family = package.name.rpartition("/")[2]
    for weight in (400, 700):
        path = files / f"{family}-latin-{weight}-normal.woff"
        if path.is_file():
            yield path.name, path.read_bytes()


def _code_points(emoji: str) -> str:
    """The code points of an emoji in hexadecimal, such as ``1f441-200d-1f5e8``."""
    return "-".join(f"{ord(character):x}" for character in strip_variation_selectors(emoji))


def _character_name(emoji: str) -> str:
    """The name of an emoji of one character, in letters alone: ``bactriancamel``; or nothing."""
    character = strip_variation_selectors(emoji)
    name = unicodedata.name(character, "") if len(character) == 1 else ""
    return name.lower().replace(" ", "").replace("-", "")


def _strip_selector_points(points: str) -> str:
    """The same code points less those that `strip_variation_selectors` leaves out."""
    return "-".join(point for point in points.lower().split("-") if point != "fe0f")


def _build_svg(icons: dict[str, Any], name: str) -> str:
    icon = icons["icons"].get(name) or icons["icons"][icons["aliases"][name]["parent"]]
    width = icon.get("width", icons.get("width", 16))
    height = icon.get("height", icons.get("height", 16))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {width} {height}">{icon["body"]}</svg>'
    )


def _render_svg(svg: str) -> Image.Image:
    import resvg_py

    png = resvg_py.svg_to_bytes(svg_string=svg, width=2 * _SIDE, skip_system_fonts=True)
    return Image.open(io.BytesIO(bytes(png))).convert("RGBA")


def _crop_to_png(picture: Image.Image) -> bytes:
    """The drawing without its clear rim, its longer side brought to size, as PNG."""
    solid = picture.getchannel("A").point([0] * 24 + [255] * 232)
    tight = picture.crop(solid.getbbox())
    scale = _SIDE / max(tight.size)
    size = (max(1, round(tight.width * scale)), max(1, round(tight.height * scale)))
    stored = io.BytesIO()
    tight.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0).save(stored, "PNG")
    return stored.getvalue()
