"""The images of a run, from files, directories, patterns, URLs and lists."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from ...io.file_types import (
    ANIMATION_SUFFIXES,
    PDF_SUFFIXES,
    SINGLE_IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
)
from ...io.paths import safe_component
from ...processing.containers import Unit
from .source_files import (
    SOURCE_SUFFIXES,
    SkippedFiles,
    check_not_archive,
    count_unread,
    is_source_name,
    walk_directory,
)

if TYPE_CHECKING:
    from ...processing.containers import UnitReader

_TIMED_SUFFIXES = VIDEO_SUFFIXES | ANIMATION_SUFFIXES
MAX_LISTING_BYTES = 2**30


@dataclass(frozen=True)
class Source:
    """One image: its source, and its path relative to the directory that was given.

    ``page`` of a PDF or TIFF counts from 1; ``seconds`` is the sampled time of a frame in a video
    or animation and ``shown`` the frame's own time. ``image`` is then the file's name with the page
    or time (``a.pdf#page=2``), and ``file`` the file's name. ``error`` is why a file could not be
    read.
    """

    image: str
    relative: PurePosixPath
    file: str = ""
    page: int | None = None
    seconds: float | None = None
    shown: float | None = None
    error: str = ""

    @property
    def position(self) -> dict[str, Any]:
        """The page or time in the file, as fields of a prediction line."""
        values = {"page": self.page, "seconds": self.seconds}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def is_timed(self) -> bool:
        """Whether the file may have frames: a video, or a format of animations."""
        suffix = os.path.splitext(self.file or self.image)[1].lower()
        return self.seconds is not None or suffix in _TIMED_SUFFIXES

    @property
    def unit(self) -> Unit | None:
        """The page or frame; ``None`` for an image file."""
        if self.page is None and self.seconds is None:
            return None
        return Unit(self.file, self.page, self.seconds, self.shown)


def list_sources(
    arguments: Sequence[str],
    *,
    listing: Iterable[str] = (),
    allow_urls: bool = False,
    exclude: Collection[Path] = (),
    frame_interval: float = 1.0,
    skipped: SkippedFiles | None = None,
) -> list[Source]:
    """The images that ``arguments`` name, each once, in the order of the arguments.

    Args:
        arguments: files; directories, for the images below them, sorted by path, without hidden
            files and the outputs of earlier runs; patterns with ``*``, ``?``, ``[`` or ``**``, for
            the files and directories that match; URLs; ``-`` for ``listing``. A PDF or TIFF is
            one image for each page, a video or animation one for each sampled frame.
        listing: one image a line. A name that does not exist fails when it is predicted.
        allow_urls: accept http(s) URLs.
        exclude: directories that are skipped: those that the run writes images to.
        frame_interval: seconds between the frames of a video.
        skipped: counts the files and directories that are skipped.

    Raises:
        ValueError: an argument matches no file, or no image is found.
    """
    from ...processing.containers import UnitReader

    excluded = frozenset(directory.resolve() for directory in exclude)
    skipped = SkippedFiles() if skipped is None else skipped
    reader = UnitReader(frame_interval)
    found: dict[str, Source] = {}
    for argument in arguments:
        for file in _list_argument(argument, listing, allow_urls, excluded, skipped):
            # The same file twice is opened once.
            key = _key(file)
            if key in found:
                continue
            for source in _list_units(file, reader):
                found.setdefault(key if source is file else _key(source), source)
    if not found:
        suffixes = " ".join(sorted(SOURCE_SUFFIXES))
        reasons = "".join(f"; {each}" for each in skipped.sentences())
        raise ValueError(
            f"no image found in {' '.join(arguments)!r}; looked for {suffixes}{reasons}"
        )
    return list(found.values())


def _key(source: Source) -> str:
    return source.image if is_url(source.image) else os.path.abspath(source.image)


def _list_units(source: Source, reader: UnitReader) -> Iterator[Source]:
    """The pages or frames of a file with several; anything else as it is."""
    suffix = os.path.splitext(source.image)[1].lower()
    if is_url(source.image) or suffix in SINGLE_IMAGE_SUFFIXES or source.error:
        yield source
        return
    file = source.image
    try:
        units = reader.list_units(file)
    except FileNotFoundError:
        yield source  # it fails when it is predicted
        return
    except (ValueError, OSError, ImportError) as error:
        # It fails when it is predicted, and the run continues.
        first: dict[str, Any] = {}
        if suffix in PDF_SUFFIXES:
            first = {"page": 1}
        elif suffix in VIDEO_SUFFIXES:
            first = {"seconds": 0.0}
        yield Source(file, source.relative, file, error=str(error), **first)
        return
    for unit in units:
        if unit.page is None and unit.seconds is None:
            yield source
            continue
        suffix = unit.file_name[len(unit.file) :]
        yield Source(
            unit.name,
            PurePosixPath(f"{source.relative}{suffix}"),
            file,
            unit.page,
            unit.seconds,
            unit.shown,
        )


def read_listing() -> Iterator[str]:
    """The lines of standard input, without line ends; names that are not UTF-8 stay usable.

    A byte order mark is removed, UTF-16 (as PowerShell writes it) is read, and names may be
    separated by NUL. Raises ``ValueError`` for a list of more than ``MAX_LISTING_BYTES``.
    """
    content = sys.stdin.buffer.read(MAX_LISTING_BYTES + 1)
    if len(content) > MAX_LISTING_BYTES:
        raise ValueError(f"the list on standard input has more than {MAX_LISTING_BYTES} bytes")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        content = content.decode("utf-16", "replace").encode("utf-8", "replace")
    content = content.removeprefix(b"\xef\xbb\xbf")
    for line in content.split(b"\0" if b"\0" in content else b"\n"):
        yield os.fsdecode(line.rstrip(b"\r\n"))


def _list_argument(
    argument: str,
    listing: Iterable[str],
    allow_urls: bool,
    excluded: frozenset[Path],
    skipped: SkippedFiles,
) -> Iterator[Source]:
    if argument == "-":
        for line in listing:
            if line.strip():
                yield _listed(line, allow_urls)
        return
    argument = _without_file_scheme(argument)
    if is_url(argument):
        yield _from_url(argument, allow_urls)
    elif os.path.isdir(argument):
        yield from _walk(Path(argument), excluded, skipped)
    elif os.path.lexists(argument):
        check_not_archive(argument)
        yield Source(os.path.normpath(argument), PurePosixPath(os.path.basename(argument)))
    elif glob.has_magic(argument):
        yield from _match(argument, excluded, skipped)
    else:
        raise ValueError(f"no such file or directory: {argument!r}")


def _walk(root: Path, excluded: frozenset[Path], skipped: SkippedFiles) -> Iterator[Source]:
    """The images below ``root``, sorted by path."""
    for path in walk_directory(root, excluded, skipped):
        yield Source(str(path), PurePosixPath(path.relative_to(root).as_posix()))


def _match(pattern: str, excluded: frozenset[Path], skipped: SkippedFiles) -> Iterator[Source]:
    """The images that a pattern matches, with paths relative to its fixed part."""
    fixed = Path(pattern)
    while glob.has_magic(str(fixed)):
        fixed = fixed.parent
    for name in sorted(glob.glob(pattern, recursive=True)):
        path = Path(name)
        if _is_below(path, excluded):
            continue
        relative = PurePosixPath(path.relative_to(fixed).as_posix())
        if path.is_dir() and not pattern.endswith("**"):
            for source in _walk(path, excluded, skipped):
                yield Source(source.image, relative / source.relative)
        elif path.is_file() and is_source_name(path.name):
            yield Source(str(path), relative)
        elif path.is_file():
            count_unread(path.name, skipped)


def _listed(line: str, allow_urls: bool) -> Source:
    line = _without_file_scheme(line)
    if is_url(line):
        return _from_url(line, allow_urls)
    path = Path(os.path.normpath(line))
    parts = [part for part in path.parts if part not in (path.anchor, os.pardir)]
    return Source(str(path), PurePosixPath(*parts))


def _from_url(url: str, allow_urls: bool) -> Source:
    if not allow_urls:
        raise ValueError(f"{url!r} is a URL; add --allow-urls to let images be fetched")
    parts = urlsplit(url)
    # The path is untrusted: each part becomes a plain name below the host's.
    names = [unquote(part) for part in parts.path.split("/")]
    kept = [safe_component(name) for name in names if name not in ("", os.curdir, os.pardir)]
    return Source(url, PurePosixPath(safe_component(parts.netloc), *(kept or ["image"])))


def _without_file_scheme(name: str) -> str:
    """The path that a ``file:`` URI means; any other name as it is."""
    if name[:7].lower() != "file://" or os.path.lexists(name):
        return name
    parts = urlsplit(name)
    if parts.netloc not in ("", "localhost"):
        raise ValueError(f"{name!r} is on another machine; give a path on this one")
    return unquote(parts.path)


def is_url(name: str) -> bool:
    """Whether a source is an http(s) URL."""
    return name[:8].lower().startswith(("http://", "https://"))


def _is_below(path: Path, directories: frozenset[Path]) -> bool:
    if not directories:
        return False
    resolved = path.resolve()
    return any(resolved.is_relative_to(directory) for directory in directories)
