"""Caches converted graphs on disk, because converting takes as long as many predictions.

An entry is a directory of graphs with a manifest of their sizes and hashes, written under a
temporary name and renamed when it is complete. Of several processes that convert at once, the first
one's entry stays. A cache that cannot be read or written costs time, but is not an error.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ...io.atomic import file_hash
from ...io.cache_dirs import cache_dir
from ...io.environment import cpu_name

if TYPE_CHECKING:
    import openvino

Graphs = Mapping[str, "openvino.Model"]

CACHE_DIR_VARIABLE = "FLORENCE2_GRAPHS"

_MANIFEST = "manifest.json"
# At this level a line is printed where no program configured logging.
_LOGGER = logging.getLogger("florence2")


def cache_key(files: Iterable[Path], *what: object) -> str:
    """The name of an entry: a hash of a checkpoint's files and other inputs of the graphs."""
    import openvino

    from ... import __version__

    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(f"{file.name} {file.stat().st_size}\n".encode())
        digest.update(file_hash(file).encode())
    digest.update(repr((__version__, openvino.get_version(), cpu_name(), what)).encode())
    return digest.hexdigest()[:32]


def graph_cache_dir() -> Path:
    """The directory of converted graphs: ``FLORENCE2_GRAPHS``, or else the platform's cache."""
    chosen = os.environ.get(CACHE_DIR_VARIABLE)
    return Path(chosen) if chosen else cache_dir("openvino")


def load_graphs(key: str, make: Callable[[], Graphs], folder: Path | None = None) -> Graphs:
    """The graphs under ``key``, from the cache, or else made by ``make``.

    ``folder`` is that of the cache: by default ``FLORENCE2_GRAPHS``, or else the platform's.
    """
    try:
        root = folder or graph_cache_dir()
    except OSError as error:
        _warn_unkept("a cache", error)
        return make()
    entry = root / key
    found = _read(entry)
    if found is not None:
        return found
    _LOGGER.warning(
        "converting the checkpoint for this processor, which takes seconds to a minute; the result "
        "is kept in %s",
        root,
    )
    graphs = make()
    try:
        _write(entry, graphs)
    except (OSError, RuntimeError) as error:
        _warn_unkept(str(root), error)
    return graphs


def _warn_unkept(where: str, error: Exception) -> None:
    warnings.warn(
        f"converted graphs are not kept in {where}, so they are made again next time: {error}",
        stacklevel=3,
    )


def _read(entry: Path) -> Graphs | None:
    """The graphs of a complete entry; a damaged entry is removed and ``None`` is returned."""
    from .core import get_core

    try:
        manifest = json.loads((entry / _MANIFEST).read_text(encoding="utf-8"))
        for name, (size, hashed) in manifest["files"].items():
            file = entry / name
            if file.stat().st_size != size or file_hash(file) != hashed:
                raise ValueError(f"{file} is not what was written")
        core = get_core()
        return {name: core.read_model(entry / f"{name}.xml") for name in manifest["graphs"]}
    except FileNotFoundError:
        if not entry.exists():
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError):
        pass
    shutil.rmtree(entry, ignore_errors=True)
    return None


def _write(entry: Path, graphs: Graphs) -> None:
    import openvino

    entry.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{entry.name}-", dir=entry.parent))
    try:
        for name, graph in graphs.items():
            openvino.save_model(graph, temporary / f"{name}.xml", compress_to_fp16=False)
        files = {
            file.name: (file.stat().st_size, file_hash(file))
            for file in sorted(temporary.iterdir())
        }
        manifest = {"graphs": list(graphs), "files": files}
        (temporary / _MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
        try:
            temporary.rename(entry)
        except OSError:
            # Another process was first; its entry is equal.
            if not (entry / _MANIFEST).is_file():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
