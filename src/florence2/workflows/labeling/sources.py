"""Which images a run is about: files, directories, patterns, URLs and lists become images."""

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
    PassedOver,
    check_not_archive,
    is_source_name,
    note_unread,
    walk_directory,
)

if TYPE_CHECKING:
    from ...processing.containers import UnitReader

_TIMED_SUFFIXES = VIDEO_SUFFIXES | ANIMATION_SUFFIXES
MAX_LISTING_BYTES = 2**30


@dataclass(frozen=True)
class Source:
    """One image: where it is read from, and its place in the tree below the argument it is from.

    ``page`` of a PDF or TIFF counts from 1, ``seconds`` are the place of a frame in a video or
    animation (``shown`` its own time); ``image`` is then the file's name with the place behind it
    (``a.pdf#page=2``), and ``file`` the file's. ``error`` is why a file could not be looked into.
    """

    image: str
    relative: PurePosixPath
    file: str = ""
    page: int | None = None
    seconds: float | None = None
    shown: float | None = None
    error: str = ""

    @property
    def place(self) -> dict[str, Any]:
        """What a line tells of a page or frame besides the name of its image."""
        values = {"page": self.page, "seconds": self.seconds}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def is_timed(self) -> bool:
        """Whether the file may have moments: a video, or a format of animations."""
        suffix = os.path.splitext(self.file or self.image)[1].lower()
        return self.seconds is not None or suffix in _TIMED_SUFFIXES

    @property
    def unit(self) -> Unit | None:
        """The page or frame; ``None`` for an image file."""
        if self.page is None and self.seconds is None:
            return None
        return Unit(self.file, self.page, self.seconds, self.shown)


def expand(
    arguments: Sequence[str],
    *,
    listing: Iterable[str] = (),
    allow_urls: bool = False,
    leave_out: Collection[Path] = (),
    every: float = 1.0,
    passed_over: PassedOver | None = None,
) -> list[Source]:
    """The images that ``arguments`` name, each once, in the order of the arguments.

    A directory stands for the images below it, sorted by path; hidden files, the directories
    ``leave_out`` (where the run writes images) and what earlier runs wrote are passed over, and
    what is not read is counted in ``passed_over``. A pattern with ``*``, ``?``, ``[`` or ``**``
    stands for the files and directories that match. ``-`` stands for ``listing``, one image a
    line: a name on it that does not exist fails later, by itself, not the whole run. A PDF or TIFF
    stands for its pages, a video or animation for a frame every ``every`` seconds. ``ValueError``
    for an argument that names nothing, or when no image is found at all.
    """
    from ...processing.containers import UnitReader

    left_out = frozenset(folder.resolve() for folder in leave_out)
    noted = PassedOver() if passed_over is None else passed_over
    reader = UnitReader(every)
    found: dict[str, Source] = {}
    for argument in arguments:
        for whole in _expand_one(argument, listing, allow_urls, left_out, noted):
            # The same file twice is looked into once.
            key = whole.image if is_url(whole.image) else os.path.abspath(whole.image)
            if key in found:
                continue
            for source in _places(whole, reader):
                found.setdefault(key if source is whole else _key(source), source)
    if not found:
        suffixes = " ".join(sorted(SOURCE_SUFFIXES))
        told = "".join(f"; {each}" for each in noted.sentences())
        raise ValueError(f"no image found in {' '.join(arguments)!r}; looked for {suffixes}{told}")
    return list(found.values())


def _key(source: Source) -> str:
    return source.image if is_url(source.image) else os.path.abspath(source.image)


def _places(source: Source, reader: UnitReader) -> Iterator[Source]:
    """The pages or frames of a file with several; anything else as it is."""
    suffix = os.path.splitext(source.image)[1].lower()
    if is_url(source.image) or suffix in SINGLE_IMAGE_SUFFIXES or source.error:
        yield source
        return
    file = source.image
    try:
        units = reader.list_units(file)
    except FileNotFoundError:
        yield source  # it fails as an image does
        return
    except (ValueError, OSError, ImportError) as error:
        # It fails by itself when it is its turn, and the others go on.
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
        behind = unit.file_name[len(unit.file) :]
        yield Source(
            unit.name,
            PurePosixPath(f"{source.relative}{behind}"),
            file,
            unit.page,
            unit.seconds,
            unit.shown,
        )


def read_listing() -> Iterator[str]:
    """The lines of standard input, without line ends; names that are not UTF-8 stay usable.

    A byte order mark is taken off, UTF-16 (as PowerShell writes it) is read, and names may be
    separated by NUL. Raises ``ValueError`` for a list that does not end.
    """
    content = sys.stdin.buffer.read(MAX_LISTING_BYTES + 1)
    if len(content) > MAX_LISTING_BYTES:
        raise ValueError(f"the list on standard input has more than {MAX_LISTING_BYTES} bytes")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        content = content.decode("utf-16", "replace").encode("utf-8", "replace")
    content = content.removeprefix(b"\xef\xbb\xbf")
    for line in content.split(b"\0" if b"\0" in content else b"\n"):
        yield os.fsdecode(line.rstrip(b"\r\n"))


def _expand_one(
    argument: str,
    listing: Iterable[str],
    allow_urls: bool,
    left_out: frozenset[Path],
    passed_over: PassedOver,
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
        yield from _walk(Path(argument), left_out, passed_over)
    elif os.path.lexists(argument):
        check_not_archive(argument)
        yield Source(os.path.normpath(argument), PurePosixPath(os.path.basename(argument)))
    elif glob.has_magic(argument):
        yield from _match(argument, left_out, passed_over)
    else:
        raise ValueError(f"no such file or folder: {argument!r}")


def _walk(folder: Path, left_out: frozenset[Path], passed_over: PassedOver) -> Iterator[Source]:
    """The images below ``folder`` in the order of their paths."""
    for path in walk_directory(folder, left_out, passed_over):
        yield Source(str(path), PurePosixPath(path.relative_to(folder).as_posix()))


def _match(pattern: str, left_out: frozenset[Path], passed_over: PassedOver) -> Iterator[Source]:
    """The images a pattern matches, placed relative to the part of it that is fixed."""
    fixed = Path(pattern)
    while glob.has_magic(str(fixed)):
        fixed = fixed.parent
    for name in sorted(glob.glob(pattern, recursive=True)):
        path = Path(name)
        if _is_below(path, left_out):
            continue
        place = PurePosixPath(path.relative_to(fixed).as_posix())
        if path.is_dir() and not pattern.endswith("**"):
            for source in _walk(path, left_out, passed_over):
                yield Source(source.image, place / source.relative)
        elif path.is_file() and is_source_name(path.name):
            yield Source(str(path), place)
        elif path.is_file():
            note_unread(path.name, passed_over)


def _listed(line: str, allow_urls: bool) -> Source:
    line = _without_file_scheme(line)
    if is_url(line):
        return _from_url(line, allow_urls)
    path = Path(os.path.normpath(line))
    parts = [part for part in path.parts if part not in (path.anchor, os.pardir)]
    return Source(str(path), PurePosixPath(*parts))


def _from_url(url: str, allow_urls: bool) -> Source:
    if not allow_urls:
        raise ValueError(f"{url!r} is an address; add --allow-urls to let pictures be fetched")
    parts = urlsplit(url)
    # The path is whatever a stranger wrote: each part becomes a plain name below the host's.
    names = [unquote(part) for part in parts.path.split("/")]
    kept = [safe_component(name) for name in names if name not in ("", os.curdir, os.pardir)]
    return Source(url, PurePosixPath(safe_component(parts.netloc), *(kept or ["picture"])))


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


def _is_below(path: Path, folders: frozenset[Path]) -> bool:
    if not folders:
        return False
    resolved = path.resolve()
    return any(resolved.is_relative_to(folder) for folder in folders)
