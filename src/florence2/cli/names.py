"""Names of the files a run makes for its images, without collisions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256

from .sources import Source


def name_outputs(sources: Sequence[Source], taken: Mapping[str, str]) -> dict[str, str]:
    """For each image the path, relative and without ending, of the files made for it.

    The place in the source tree is kept: ``a/b.jpg`` becomes ``a/b``. Where another image wants
    the same name it becomes ``a/b.jpg``, and where that is wanted too ``a/b.jpg-1f3a9c2e``.
    ``taken`` holds the names of an earlier run with their images; an image keeps its name. Case
    makes no difference, as on the file systems where it makes none.
    """
    kept = {image: name for name, image in taken.items()}
    owners = {name.casefold(): image for name, image in taken.items()}
    wanted = Counter(
        name.casefold()
        for source in sources
        for name in {str(source.relative.with_suffix("")), str(source.relative)}
    )
    names: dict[str, str] = {}
    for source in sources:
        if source.image in kept:
            names[source.image] = kept[source.image]
            continue
        digest = sha256(source.image.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        full = str(source.relative)
        for name in (str(source.relative.with_suffix("")), full):
            if wanted[name.casefold()] == 1 and name.casefold() not in owners:
                break
        else:
            name = f"{full}-{digest}"
        names[source.image] = name
    return names
