"""Names of the files that a set has for its images, each once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath

from ...io.paths import safe_component


@dataclass
class UniqueFileNames:
    """A name of its own, without suffix, for every image: ``below/a`` for ``below/a.png``.

    Without ``folders`` it is ``below_a``: many readers of datasets look into one directory only.
    Images that differ in their suffix alone get it appended: ``a-png``. With ``by_split``, a name
    may come once in each split. Case makes no difference, as on file systems where it makes none.
    """

    folders: bool = True
    by_split: bool = False
    _taken: set[tuple[str, str]] = field(default_factory=set)
    _next: dict[tuple[str, str], int] = field(default_factory=dict)

    def assign(self, name: str, split: str | None = None) -> str:
        """The name of an image; never leads out of the directory that is written to."""
        path = PurePosixPath(decode_name(name).replace("\\", "/").replace("://", "/"))
        parts = [safe_component(part) for part in path.parts if part not in ("/", "..", ".")]
        path = PurePosixPath(*parts) if parts else PurePosixPath("picture")
        if not self.folders:
            path = PurePosixPath(safe_component("_".join(path.parts)))
        stem, suffix = str(path.with_suffix("")), path.suffix.lstrip(".")
        group = (split or "") if self.by_split else ""
        for candidate in (stem, f"{stem}-{suffix}" if suffix else stem):
            if self._take(group, candidate):
                return candidate
        # The numbers that were given before are not tried again.
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
    """A split's name as a file or directory is called."""
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
