"""Which pictures a run is about: files, folders, patterns, addresses and lists become images."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

IMAGE_SUFFIXES = frozenset({
    ".avif", ".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm",
    ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp",
})  # fmt: skip


PDF_SUFFIXES = frozenset({".pdf"})
VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})


@dataclass(frozen=True)
class Source:
    """One image: where it is read from, and its place in the tree below the argument it is from.

    ``page`` of a PDF counts from 1, ``seconds`` are the place of a frame in a video; ``image`` is
    then the file's name with the place behind it (``a.pdf#page=2``), and ``file`` the file's.
    """

    image: str
    relative: PurePosixPath
    file: str = ""
    page: int | None = None
    seconds: float | None = None

    @property
    def place(self) -> dict[str, Any]:
        """What a line tells of a page or frame besides the name of its image."""
        values = {"page": self.page, "seconds": self.seconds}
        return {name: value for name, value in values.items() if value is not None}


def expand(
    arguments: Sequence[str],
    *,
    listing: Iterable[str] = (),
    allow_urls: bool = False,
    leave_out: Collection[Path] = (),
    every: float = 1.0,
) -> list[Source]:
    """The images that ``arguments`` name, each once, in the order of the arguments.

    A folder stands for the pictures below it, sorted by path; hidden files and the folders
    ``leave_out`` (where the run writes pictures) are passed over. A pattern with ``*``, ``?``,
    ``[`` or ``**`` stands for the files and folders that match. ``-`` stands for ``listing``, one
    image a line: a name on it that does not exist fails later, by itself, not the whole run. A PDF
    stands for its pages, a video for a frame every ``every`` seconds. ``ValueError`` for an
    argument that names nothing, or when no image is found at all.
    """
    skipped = frozenset(folder.resolve() for folder in leave_out)
    found: dict[str, Source] = {}
    for argument in arguments:
        parts = _expand_one(argument, listing, allow_urls, skipped)
        for source in (part for whole in parts for part in _places(whole, every)):
            key = source.image if _is_url(source.image) else os.path.abspath(source.image)
            found.setdefault(key, source)
    if not found:
        suffixes = " ".join(sorted(IMAGE_SUFFIXES | PDF_SUFFIXES | VIDEO_SUFFIXES))
        raise ValueError(f"no image found in {' '.join(arguments)!r}; looked for {suffixes}")
    return list(found.values())


def _places(source: Source, every: float) -> Iterator[Source]:
    """The pages of a PDF, the frames of a video; anything else as it is."""
    suffix = os.path.splitext(source.image)[1].lower()
    if _is_url(source.image) or suffix not in PDF_SUFFIXES | VIDEO_SUFFIXES:
        yield source
        return
    file, relative = source.image, str(source.relative)
    try:
        yield from (
            _pages(file, relative) if suffix in PDF_SUFFIXES else _frames(file, relative, every)
        )
    except (ValueError, OSError, ImportError):
        # It fails by itself when it is its turn, and the others go on.
        first = {"page": 1} if suffix in PDF_SUFFIXES else {"seconds": 0.0}
        yield Source(file, source.relative, file, **first)


def _pages(file: str, relative: str) -> list[Source]:
    from ..workflows.documents import page_count

    return [
        Source(f"{file}#page={page}", PurePosixPath(f"{relative}-page-{page:04}"), file, page=page)
        for page in range(1, page_count(file) + 1)
    ]


def _frames(file: str, relative: str, every: float) -> list[Source]:
    from ..workflows.video import times_of

    return [
        Source(
            f"{file}#t={seconds:.3f}", PurePosixPath(f"{relative}-{seconds:09.3f}s"), file,
            seconds=seconds,
        )
        for seconds in times_of(file, every)
    ]  # fmt: skip


def read_listing() -> Iterator[str]:
    """The lines of standard input, without line ends; names that are not UTF-8 stay usable."""
    for line in sys.stdin.buffer:
        yield os.fsdecode(line.rstrip(b"\r\n"))


def _expand_one(
    argument: str, listing: Iterable[str], allow_urls: bool, skipped: frozenset[Path]
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


def _walk(folder: Path, skipped: frozenset[Path]) -> Iterator[Source]:
    """The pictures below ``folder`` in the order of their paths."""
    found: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and Path(parent, name).resolve() not in skipped
        ]
        found += [Path(parent, name) for name in names if _looks_like_image(name)]
    for path in sorted(found):
        yield Source(str(path), PurePosixPath(path.relative_to(folder).as_posix()))


def _match(pattern: str, skipped: frozenset[Path]) -> Iterator[Source]:
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


def _is_below(path: Path, folders: frozenset[Path]) -> bool:
    resolved = path.resolve()
    return any(resolved.is_relative_to(folder) for folder in folders)


def _looks_like_image(name: str) -> bool:
    suffix = os.path.splitext(name)[1].lower()
    return not name.startswith(".") and suffix in IMAGE_SUFFIXES | PDF_SUFFIXES | VIDEO_SUFFIXES
