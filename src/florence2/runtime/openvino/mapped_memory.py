"""Frees the memory of mapped files that have been read."""

from __future__ import annotations

import ctypes
from pathlib import Path

_MAPS = Path("/proc/self/maps")
# From Linux's sys/mman.h: free the pages; they are read from the file again when accessed.
_DONT_NEED = 4


def drop_mapped_pages(folder: Path) -> int:
    """Free this process's pages of files under ``folder`` that are mapped read-only.

    The pages stay in the page cache of the system, and later reads get them from there. Returns
    the bytes of address space that were freed: 0 on systems other than Linux.
    """
    try:
        lines = _MAPS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        madvise = ctypes.CDLL(None, use_errno=True).madvise
    except (OSError, AttributeError):
        return 0
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    inside = f"{folder.resolve()}/"
    freed = 0
    for line in lines:
        # address range, rights, offset, device, inode, path
        fields = line.split(maxsplit=5)
        # Pages of writable mappings may differ from the file, and would be lost.
        if len(fields) < 6 or "w" in fields[1] or not fields[5].startswith(inside):
            continue
        begin, end = (int(address, 16) for address in fields[0].split("-"))
        if madvise(begin, end - begin, _DONT_NEED) == 0:
            freed += end - begin
    return freed
