"""Paths that come from data: kept inside the directory they belong to."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path, PurePosixPath, PureWindowsPath

_MAX_COMPONENT_BYTES = 200
# Separators, control characters, and what Windows forbids in a file name.
_UNSAFE = re.compile(r'[\x00-\x1f\x7f/\\<>:"|?*]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def confine(directory: Path, name: str, *, follow_links: bool = False) -> Path:
    """Join ``name``, which came from data, to ``directory`` and keep it inside.

    Args:
        directory: Where the path must stay.
        name: A relative path with forward slashes.
        follow_links: Let links inside ``directory`` lead outside, as the owner of a dataset may
            have made them. Without it the resolved path must be inside, too.

    Raises:
        ValueError: The name is empty, absolute, holds a NUL, or leads outside ``directory``.
    """
    windows = PureWindowsPath(name)
    if not name or "\0" in name or PurePosixPath(name).is_absolute() or windows.anchor:
        raise ValueError(f"{name[:200]!r} is not a relative path below {directory}")
    path = Path(os.path.normpath(directory / name))
    root = Path(os.path.normpath(directory))
    inside = path != root and path.is_relative_to(root)
    if inside and not follow_links:
        inside = path.resolve().is_relative_to(root.resolve())
    if not inside:
        raise ValueError(f"{name[:200]!r} leads outside {directory}")
    return path


def safe_component(name: str) -> str:
    """Turn any text into one file name: same text, same name; other texts, nearly always others.

    Separators, control characters and characters that Windows forbids become ``_``. Leading dots,
    reserved names and names of more than 200 bytes are changed too; a name that was shortened ends
    in eight digits of its hash.
    """
    safe = _UNSAFE.sub("_", name).rstrip(" .").lstrip(".") or "_"
    if _RESERVED.fullmatch(safe):
        safe = f"_{safe}"
    encoded = safe.encode("utf-8", "surrogateescape")
    if len(encoded) <= _MAX_COMPONENT_BYTES:
        return safe
    stem, suffix = os.path.splitext(safe)
    suffix = suffix if len(suffix.encode("utf-8", "surrogateescape")) <= 16 else ""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    kept = stem.encode("utf-8", "surrogateescape")[: _MAX_COMPONENT_BYTES - 9 - len(suffix)]
    return f"{kept.decode('utf-8', 'ignore')}-{digest}{suffix}"
