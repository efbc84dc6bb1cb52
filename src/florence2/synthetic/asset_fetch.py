"""Fetching of free assets: emoji drawings of the categories and fonts, from npm packages."""

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
    """A Markdown table of the fetched packages with author and license."""
    rows = [
        f"| {package.contents} | `{package.name}` {package.version} | {package.author} "
        f"| {package.license} |"
        for package in ALL_PACKAGES
    ]
    return "\n".join(["| what | package | by | license |", "|---|---|---|---|", *rows]) + "\n"


def unpack_package(package: AssetPackage, directory: Path) -> Path:
    """Fetch a package with ``npm`` and unpack it below ``directory``; returns the directory.

    Raises ``FileNotFoundError`` without npm and ``RuntimeError`` when npm fails.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError(
            "npm was not found, and the assets come from npm packages: install Node.js with npm, "
            "or use --shapes, which needs no assets"
        )
    target = directory / package.name.replace("/", "_")
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
        output = (outcome.stderr or outcome.stdout).strip()[-500:]
        raise RuntimeError(f"npm pack {wanted} failed; is the registry reachable? npm: {output}")
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


def fetch_assets(directory: Path) -> dict[str, int]:
    """Fetch all assets into ``directory``; returns the number of drawings by source, and of fonts.

    Needs npm and a network. Existing assets are replaced once everything is fetched.
    Raises ``FileNotFoundError`` without npm, ``ModuleNotFoundError`` without the ``scenes``
    extra and ``RuntimeError`` when a package cannot be fetched or has another layout.
    """
    wanted = [emoji for category in load_categories().values() for emoji in category.emoji]
    drawings: list[Drawing] = []
    counts: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as scratch:
        work_dir = Path(scratch)
        names: dict[str, list[str]] = {}
        for source, package in _SOURCES.items():
            found = list(_read_icon_set(source, unpack_package(package, work_dir), wanted, names))
            drawings += found
            counts[source] = len(found)
        found = list(_read_image_set(unpack_package(FLUENT_3D, work_dir), wanted))
        drawings += found
        counts["fluent-3d"] = len(found)
        fonts = {name: data for package in FONTS for name, data in _read_fonts(package, work_dir)}
    counts["fonts"] = len(fonts)
    empty = [source for source, count in counts.items() if not count]
    if empty:
        raise RuntimeError(f"the packages of {', '.join(empty)} have another layout than expected")
    write_assets(directory, drawings, fonts, ALL_PACKAGES)
    return counts


def _read_icon_set(
    source: str, package: Path, wanted: list[str], names: dict[str, list[str]]
) -> Iterator[Drawing]:
    """The drawings of an icon set: a JSON file of SVG bodies, and one from code points to names.

    ``names`` has the names that earlier sets gave to each emoji. A set without a table of code
    points is searched for these, and for the character's Unicode name.
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
    """The numbered drawings of the first known name that has any: ``cactus-1``, ``cactus-2``."""
    for name in filter(None, known):
        numbered = [f"{name}-{number}" for number in range(1, _MAX_NUMBERED + 1)]
        found = [name for name in numbered if name in own]
        if found:
            return found
    return []


def _read_image_set(package: Path, wanted: list[str]) -> Iterator[Drawing]:
    """The drawings of a set of images that are named by code points."""
    by_points = {
        _strip_selector_points(path.stem): path for path in (package / "assets").glob("*.webp")
    }
    for emoji in wanted:
        path = by_points.get(_code_points(emoji))
        if path is not None:
            with Image.open(path) as image:
                yield Drawing(f"fluent-3d/{path.stem}", emoji, _crop_to_png(image.convert("RGBA")))


def _read_fonts(package: AssetPackage, work_dir: Path) -> Iterator[tuple[str, bytes]]:
    """The regular and, where it exists, the bold font of a family."""
    files = unpack_package(package, work_dir) / "files"
    family = package.name.rpartition("/")[2]
    for weight in (400, 700):
        path = files / f"{family}-latin-{weight}-normal.woff"
        if path.is_file():
            yield path.name, path.read_bytes()


def _code_points(emoji: str) -> str:
    """The code points of an emoji in hexadecimal, such as ``1f441-200d-1f5e8``."""
    return "-".join(f"{ord(character):x}" for character in strip_variation_selectors(emoji))


def _character_name(emoji: str) -> str:
    """The Unicode name of an emoji of one character without spaces: ``bactriancamel``; or ""."""
    character = strip_variation_selectors(emoji)
    name = unicodedata.name(character, "") if len(character) == 1 else ""
    return name.lower().replace(" ", "").replace("-", "")


def _strip_selector_points(points: str) -> str:
    """The code points without variation selectors."""
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


def _crop_to_png(image: Image.Image) -> bytes:
    """The drawing without its transparent border, resized, as PNG."""
    solid = image.getchannel("A").point([0] * 24 + [255] * 232)
    tight = image.crop(solid.getbbox())
    scale = _SIDE / max(tight.size)
    size = (max(1, round(tight.width * scale)), max(1, round(tight.height * scale)))
    stored = io.BytesIO()
    tight.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0).save(stored, "PNG")
    return stored.getvalue()
