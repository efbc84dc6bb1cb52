"""Names of the files a run makes for its images, without collisions."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path, PurePosixPath

from ...io.paths import confine, safe_component
from .sources import Source

# A name, the task and a digest behind it, and the suffix of a partial file fit 255 bytes.
_MAX_NAME_BYTES = 150
_MAX_PATH_BYTES = 1000


def name_outputs(sources: Sequence[Source], taken: Mapping[str, str]) -> dict[str, str]:
    """For each image the path, relative and without ending, of the files made for it.

    The place in the source tree is kept: ``a/b.jpg`` becomes ``a/b``. Where another image wants
    the same name it becomes ``a/b.jpg``, and where that is wanted too ``a/b.jpg-1f3a9c2e``. Parts
    that are too long for a file name are shortened and carry a digest. ``taken`` holds the names of
    an earlier run with their images; an image keeps its name. Case makes no difference, as on the
    file systems where it makes none.
    """
    kept = {image: name for name, image in taken.items()}
    owners = {name.casefold(): image for name, image in taken.items()}
    places = {source.image: _fitting(source.relative) for source in sources}
    wanted = Counter(
        name.casefold()
        for place in places.values()
        for name in {str(place.with_suffix("")), str(place)}
    )
    names: dict[str, str] = {}
    for source in sources:
        if source.image in kept:
            names[source.image] = kept[source.image]
            continue
        place = places[source.image]
        full = str(place)
        for name in (str(place.with_suffix("")), full):
            if wanted[name.casefold()] == 1 and name.casefold() not in owners:
                break
        else:
            digest = sha256(source.image.encode("utf-8", "surrogateescape")).hexdigest()[:8]
            name = f"{full}-{digest}"
        names[source.image] = name
    return names


def check_output_name(name: object, folder: Path) -> str:
    """``name`` as an earlier run wrote it, a path below ``folder``. ``ValueError`` otherwise."""
    if not isinstance(name, str):
        raise ValueError(f"the name of an output is text, got {name!r:.80}")
    confine(folder, name, follow_links=True)
    return name


def _fitting(place: PurePosixPath) -> PurePosixPath:
    """``place`` with parts that a file system takes."""
    if len(os.fsencode(str(place))) > _MAX_PATH_BYTES:
        digest = sha256(os.fsencode(str(place))).hexdigest()[:16]
        place = PurePosixPath(f"{digest}-{place.name}")
    parts = [
        part if len(os.fsencode(part)) <= _MAX_NAME_BYTES else _cut(part)
        for part in place.parts
        if part not in (os.pardir, os.curdir, "/")
    ]
    return PurePosixPath(*parts) if parts else PurePosixPath("picture")


def _cut(part: str) -> str:
    digest = sha256(os.fsencode(part)).hexdigest()[:8]
    stem, suffix = os.path.splitext(safe_component(part))
    suffix = suffix if len(os.fsencode(suffix)) <= 16 else ""
    cut = os.fsencode(stem)[: _MAX_NAME_BYTES - 9 - len(os.fsencode(suffix))].decode(
        "utf-8", "ignore"
    )
    return f"{cut}-{digest}{suffix}"
