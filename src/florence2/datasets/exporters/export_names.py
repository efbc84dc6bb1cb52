"""Unique file names for the images of a dataset."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath

from ...io.paths import safe_component


@dataclass
class UniqueFileNames:
    """A unique name, without suffix, for every image: ``below/a`` for ``below/a.png``.

    Without ``directories`` it is ``below_a``: many readers of datasets read one flat directory.
    Images that differ in their suffix alone get it appended: ``a-png``. With ``by_split``, a name
    may occur once in each split. Case is ignored, as some file systems do.
    """

    directories: bool = True
    by_split: bool = False
    _taken: set[tuple[str, str]] = field(default_factory=set)
    _next: dict[tuple[str, str], int] = field(default_factory=dict)

    def assign(self, name: str, split: str | None = None) -> str:
        """Return the name of an image. It never leads out of the output directory."""
        path = PurePosixPath(decode_name(name).replace("\\", "/").replace("://", "/"))
        parts = [safe_component(part) for part in path.parts if part not in ("/", "..", ".")]
        path = PurePosixPath(*parts) if parts else PurePosixPath("picture")
        if not self.directories:
            path = PurePosixPath(safe_component("_".join(path.parts)))
        stem, suffix = str(path.with_suffix("")), path.suffix.lstrip(".")
        group = (split or "") if self.by_split else ""
        for candidate in (stem, f"{stem}-{suffix}" if suffix else stem):
            if self._take(group, candidate):
                return candidate
        # Numbers that were assigned before are not tried again.
        key = group, stem.casefold()
        number = self._next.get(key, 2)
        while not self._take(group, f"{stem}-{number}"):
            number += 1
        self._next[key] = number + 1
        return f"{stem}-{number}"

    def _take(self, group: str, name: str) -> bool:
        key = group, name.casefold()
        if key in self._taken:
            return False
        self._taken.add(key)
        return True


def split_file_name(split: str) -> str:
    """The name of a split as a file or directory name."""
    return safe_component(decode_name(split))


def decode_name(name: str) -> str:
    """A file name as UTF-8 can hold it: bytes that are no UTF-8 are taken for Latin-1."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        pass
    else:
        return name
    try:
        return name.encode("utf-8", "surrogateescape").decode("latin-1")
    except UnicodeEncodeError:
        return name.encode("utf-8", "replace").decode("utf-8")
