"""Which pictures a run is about: files, folders, patterns, addresses and lists become images."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

IMAGE_SUFFIXES = frozenset({
    ".avif", ".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm",
    ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp",
})  # fmt: skip


@dataclass(frozen=True)
class Source:
    """One image: where it is read from, and its place in the tree below the argument it is from."""

    image: str
    relative: PurePosixPath


def expand(
    arguments: Sequence[str],
    *,
    listing: Iterable[str] = (),
    allow_urls: bool = False,
    leave_out: Path | None = None,
) -> list[Source]:
    """The images that ``arguments`` name, each once, in the order of the arguments.

    A folder stands for the pictures below it, sorted by path; hidden files and the folder
    ``leave_out`` (where the run writes pictures) are passed over. A pattern with ``*``, ``?``,
    ``[`` or ``**`` stands for the files and folders that match. ``-`` stands for ``listing``, one
    image a line: a name on it that does not exist fails later, by itself, not the whole run.
    ``ValueError`` for an argument that names nothing, or when no image is found at all.
    """
    skipped = None if leave_out is None else leave_out.resolve()
    found: dict[str, Source] = {}
    for argument in arguments:
        for source in _expand_one(argument, listing, allow_urls, skipped):
            key = source.image if _is_url(source.image) else os.path.abspath(source.image)
            found.setdefault(key, source)
    if not found:
        suffixes = " ".join(sorted(IMAGE_SUFFIXES))
        raise ValueError(f"no image found in {' '.join(arguments)!r}; looked for {suffixes}")
    return list(found.values())


def read_listing() -> Iterator[str]:
    """The lines of standard input, without line ends; names that are not UTF-8 stay usable."""
    for line in sys.stdin.buffer:
        yield os.fsdecode(line.rstrip(b"\r\n"))


def _expand_one(
    argument: str, listing: Iterable[str], allow_urls: bool, skipped: Path | None
) -> Iterator[Source]:
    if argument == "-":
        for line in listing:
            if line.strip():
                yield _listed(line, allow_urls)
    elif _is_url(argument):
        yield _from_url(argument, allow_urls)
    elif os.path.isdir(argument):
        yield from _walk(Path(argument), skipped)
    elif os.path.exists(argument):
        yield Source(os.path.normpath(argument), PurePosixPath(os.path.basename(argument)))
    elif glob.has_magic(argument):
        yield from _match(argument, skipped)
    else:
        raise ValueError(f"no such file or folder: {argument!r}")


def _walk(folder: Path, skipped: Path | None) -> Iterator[Source]:
    """The pictures below ``folder`` in the order of their paths."""
    found: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and Path(parent, name).resolve() != skipped
        ]
        found += [Path(parent, name) for name in names if _looks_like_image(name)]
    for path in sorted(found):
        yield Source(str(path), PurePosixPath(path.relative_to(folder).as_posix()))


def _match(pattern: str, skipped: Path | None) -> Iterator[Source]:
    """The pictures a pattern matches, placed relative to the part of it that is fixed."""
    fixed = Path(pattern)
    while glob.has_magic(str(fixed)):
        fixed = fixed.parent
    for name in sorted(glob.glob(pattern, recursive=True)):
        path = Path(name)
        if _is_below(path, skipped):
            continue
        place = PurePosixPath(path.relative_to(fixed).as_posix())
        if path.is_dir() and not pattern.endswith("**"):
            for source in _walk(path, skipped):
                yield Source(source.image, place / source.relative)
        elif path.is_file() and _looks_like_image(path.name):
            yield Source(str(path), place)


def _listed(line: str, allow_urls: bool) -> Source:
    if _is_url(line):
        return _from_url(line, allow_urls)
    path = Path(os.path.normpath(line))
    parts = [part for part in path.parts if part not in (path.anchor, os.pardir)]
    return Source(str(path), PurePosixPath(*parts))


def _from_url(url: str, allow_urls: bool) -> Source:
    if not allow_urls:
        raise ValueError(f"{url!r} is an address; add --allow-urls to let pictures be fetched")
    parts = urlsplit(url)
    return Source(url, PurePosixPath(parts.netloc, parts.path.strip("/") or "picture"))


def _is_url(name: str) -> bool:
    return name.startswith(("http://", "https://"))


def _is_below(path: Path, folder: Path | None) -> bool:
    return folder is not None and path.resolve().is_relative_to(folder)


def _looks_like_image(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES
