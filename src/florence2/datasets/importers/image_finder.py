"""From the image names in a label file to the image files of the dataset."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote, urlsplit

from ...io.file_types import IMAGE_SUFFIXES
from .image_files import is_hidden, name_in
from .problems import LabelError

# Directories beside a label file that tools put the images in.
IMAGE_DIRECTORIES = ("images", "data", "JPEGImages", "imgs", "img")
# A tree of more files than this is not searched to its end.
MAX_INDEXED = 5_000_000
MAX_NAME = 4096


class ImageFinder:
    """Finds images by name below the directories of one dataset, and nowhere else.

    A name is tried as it is written, then with forward slashes, without URL escapes and without
    spaces at its ends. A name that is in no directory is looked up in an index of the
    whole set, which ignores case and Unicode normal form; there, the image may be in another
    directory if its file name is unique. The index is built once, for the first such name.

    Args:
        root: The directory of the dataset, from which records are named.
        directories: Where to look before ``root`` and its ``IMAGE_DIRECTORIES``.
        images: The only directory to look in, when the user named it.
        allowed: Further directories that names may lead to.
    """

    def __init__(
        self,
        root: Path,
        directories: Sequence[Path] = (),
        images: Path | None = None,
        allowed: Sequence[Path] = (),
    ) -> None:
        usual = [root / name for name in IMAGE_DIRECTORIES]
        found = [images] if images is not None else [*directories, root, *usual]
        self._root = root
        self._directories = list(dict.fromkeys(found))
        self._allowed = [os.path.abspath(directory) for directory in (*self._directories, *allowed)]
        self._paths: dict[str, list[Path]] | None = None
        self._directory_names: set[str] = set()

    def find(self, name: str) -> Path:
        """Find the file of the image called ``name``. Raises ``LabelError`` without one."""
        if not name.strip():
            raise LabelError("missing-file", "the image name is empty")
        if "\0" in name or len(name) > MAX_NAME:
            raise LabelError("malformed", f"{name[:80]!r} is not a file name")
        outside = False
        for spelling in _spellings(name):
            for directory in self._directories:
                path = Path(os.path.normpath(directory / spelling))
                if not self._is_allowed(path):
                    outside = True
                elif os.path.isfile(path):
                    return path
        return self._search(name) or self._fail(name, outside)

    def name(self, path: Path) -> str:
        """Name the record of the image at ``path``: its path from the root of the dataset."""
        if path.is_relative_to(self._root):
            return name_in(self._root, path)
        absolute = Path(os.path.abspath(path))
        for directory in (os.path.abspath(self._root), *self._allowed):
            if absolute.is_relative_to(directory):
                return name_in(Path(directory), absolute)
        return path.name

    def name_among_images(self, path: Path) -> str:
        """Name the image at ``path`` by its path from the innermost searched directory."""
        absolute = Path(os.path.abspath(path))
        inside = [
            absolute.relative_to(directory).as_posix()
            for directory in map(os.path.abspath, self._directories)
            if absolute.is_relative_to(directory)
        ]
        return min(inside, key=len, default=path.name)

    def _is_allowed(self, path: Path) -> bool:
        absolute = os.path.abspath(path)
        return any(_is_below(absolute, directory) for directory in self._allowed)

    def _search(self, name: str) -> Path | None:
        """The one image of the index whose path ends as ``name`` does; None without one."""
        requested = [part for part in fold_name(_last_spelling(name)).split("/") if part.strip(".")]
        if not requested:
            return None
        found = self._index().get(requested[-1])
        if found is None:
            stem, suffix = os.path.splitext(requested[-1])
            found = [] if suffix in IMAGE_SUFFIXES else self._index().get(f"{stem}{suffix}.*", [])
        lengths = [_shared_length(path, requested) for path in found]
        max_length = max(lengths, default=0)
        best = [path for path, length in zip(found, lengths, strict=True) if length == max_length]
        best = [path for path in best if os.path.isfile(path)]
        if len(requested) > 1 and max_length < 2 and requested[-2] in self._directory_names:
            # The set has this directory, so the image of another directory is another image.
            return None
        if len(best) > 1:
            shown = ", ".join(repr(self.name(path)) for path in best[:3])
            raise LabelError(
                "missing-file",
                f"the image {name!r} is missing, and {len(best)} images are called so: {shown}; "
                "write the directory into the name",
            )
        return best[0] if best else None

    def _index(self) -> dict[str, list[Path]]:
        """The images by their file name, and by ``stem.*``, both folded."""
        if self._paths is None:
            self._paths = {}
            for path in self._walk():
                name = fold_name(path.name)
                for key in (name, f"{os.path.splitext(name)[0]}.*"):
                    self._paths.setdefault(key, []).append(path)
        return self._paths

    def _walk(self) -> Iterator[Path]:
        """The image files below the directories, each once."""
        walked: list[str] = []
        left = MAX_INDEXED
        for directory in sorted(self._directories, key=lambda path: len(os.path.abspath(path))):
            if any(_is_below(os.path.abspath(directory), parent) for parent in walked):
                continue
            walked.append(os.path.abspath(directory))
            for current, directories, files in os.walk(directory):
                directories[:] = sorted(name for name in directories if not is_hidden(name))
                self._directory_names.update(fold_name(name) for name in directories)
                left -= len(files)
                if left < 0:
                    return
                for file in sorted(files):
                    if os.path.splitext(file)[1].lower() in IMAGE_SUFFIXES and not is_hidden(file):
                        yield Path(current, file)

    def _fail(self, name: str, outside: bool) -> NoReturn:
        path = self._directories[0] / _last_spelling(name)
        if outside:
            raise LabelError(
                "missing-file",
                f"the image {name!r} is outside the dataset and is not read; name the directory "
                "of the images (--images)",
            )
        if os.path.exists(path) and not os.path.isfile(path):
            raise LabelError("missing-file", f"the image {name!r} is not a regular file")
        stem = os.path.splitext(fold_name(_last_spelling(name)).rsplit("/", 1)[-1])[0]
        near = self._index().get(f"{stem}.*", [])
        hint = f"; did you mean {self.name(near[0])!r}?" if len(near) == 1 else ""
        existing = [str(path) for path in self._directories if path.is_dir()]
        searched = ", ".join(existing) or self._directories[0]
        raise LabelError(
            "missing-file",
            f"the image {name!r} is missing; looked in {searched}{hint}; name "
            "the directory of the images (--images) if it is elsewhere",
        )


def fold_name(name: str) -> str:
    """``name`` without what file systems and tools differ in: case and Unicode normal form."""
    return unicodedata.normalize("NFC", name).casefold()


def _spellings(name: str) -> Iterator[str]:
    """``name`` as it is written, then in the spellings of other tools; each once."""
    decoded = _decoded(name)
    slashed = name.replace("\\", "/")
    yield from dict.fromkeys((name, slashed, slashed.strip(), decoded.replace("\\", "/").strip()))


def _last_spelling(name: str) -> str:
    return _decoded(name).replace("\\", "/").strip()


def _decoded(name: str) -> str:
    """``name`` without URL escapes; of a URL, its path."""
    if "://" in name:
        try:
            name = urlsplit(name).path
        except ValueError:
            return name
    return unquote(name, errors="surrogateescape")


def _shared_length(path: Path, requested: Sequence[str]) -> int:
    """The number of trailing parts that ``path`` and ``requested`` share, with the file name."""
    length = 1
    for part, want in zip(reversed(path.parts[:-1]), reversed(requested[:-1]), strict=False):
        if fold_name(part) != want:
            break
        length += 1
    return length


def _is_below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip(os.sep) + os.sep)
