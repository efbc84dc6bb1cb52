"""The packages that free art and type come in, and taking them from the package manager."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

_TIMEOUT_MINUTES = 10


@dataclass(frozen=True)
class AssetPackage:
    """One npm package: exact version, what it holds, its license and who made it."""

    name: str
    version: str
    holds: str
    license: str
    author: str


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
