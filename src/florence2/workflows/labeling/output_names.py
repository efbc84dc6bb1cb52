"""Names of the output files of a run, without collisions."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path, PurePosixPath

from ...io.paths import confine, safe_component
from .sources import Source

# With the task, a digest and the suffix of a partial file, a name has fewer than 255 bytes.
_MAX_NAME_BYTES = 150
_MAX_PATH_BYTES = 1000


def name_outputs(sources: Sequence[Source], taken: Mapping[str, str]) -> dict[str, str]:
    """The output path of each image, relative and without suffix.

    The path in the source tree is kept: ``a/b.jpg`` becomes ``a/b``. If another image would get
    the same name it becomes ``a/b.jpg``, and if that is not unique ``a/b.jpg-1f3a9c2e``. Parts
    that are too long for a file name are shortened and end in a digest. Names are unique without
    regard to case, for file systems that ignore it.

    Args:
        sources: the images.
        taken: name -> image of an earlier run; an image keeps its name.
    """
    kept = {image: name for name, image in taken.items()}
    owners = {name.casefold(): image for name, image in taken.items()}
    paths = {source.image: _fit_path(source.relative) for source in sources}
    counts = Counter(
        name.casefold()
        for path in paths.values()
        for name in {str(path.with_suffix("")), str(path)}
    )
    names: dict[str, str] = {}
    for source in sources:
        if source.image in kept:
            names[source.image] = kept[source.image]
            continue
        path = paths[source.image]
        full = str(path)
        for name in (str(path.with_suffix("")), full):
            if counts[name.casefold()] == 1 and name.casefold() not in owners:
                break
        else:
            digest = sha256(source.image.encode("utf-8", "surrogateescape")).hexdigest()[:8]
            name = f"{full}-{digest}"
        names[source.image] = name
    return names


def check_output_name(name: object, directory: Path) -> str:
    """``name`` from an earlier run, a path below ``directory``. ``ValueError`` otherwise."""
    if not isinstance(name, str):
        raise ValueError(f"the name of an output must be a string, got {name!r:.80}")
    confine(directory, name, follow_links=True)
    return name


def _fit_path(path: PurePosixPath) -> PurePosixPath:
    """``path`` with parts that are short enough for a file system."""
    if len(os.fsencode(str(path))) > _MAX_PATH_BYTES:
        digest = sha256(os.fsencode(str(path))).hexdigest()[:16]
        path = PurePosixPath(f"{digest}-{path.name}")
    parts = [
        part if len(os.fsencode(part)) <= _MAX_NAME_BYTES else _shorten_part(part)
        for part in path.parts
        if part not in (os.pardir, os.curdir, "/")
    ]
    return PurePosixPath(*parts) if parts else PurePosixPath("image")


def _shorten_part(part: str) -> str:
    digest = sha256(os.fsencode(part)).hexdigest()[:8]
    stem, suffix = os.path.splitext(safe_component(part))
    suffix = suffix if len(os.fsencode(suffix)) <= 16 else ""
    cut = os.fsencode(stem)[: _MAX_NAME_BYTES - 9 - len(os.fsencode(suffix))].decode(
        "utf-8", "ignore"
    )
    return f"{cut}-{digest}{suffix}"
