"""Giving back the memory of mapped files that have been read."""

from __future__ import annotations

import ctypes
from pathlib import Path

_MAPS = Path("/proc/self/maps")
# From Linux's sys/mman.h: not needed for now, to be read from the file again if it is.
_DONT_NEED = 4


def drop_mapped_pages(folder: Path) -> int:
    """Give back what this process holds of the files under ``folder`` that it has mapped to read.

    The pages stay in the system's cache, and whoever reads them again gets them from there.
    Returns the bytes of address space they were of; does nothing and returns 0 where the system
    has no list of a process's mappings, as outside Linux.
    """
    try:
        lines = _MAPS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        give_back = ctypes.CDLL(None, use_errno=True).madvise
    except (OSError, AttributeError):
        return 0
    give_back.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    inside = f"{folder.resolve()}/"
    given = 0
    for line in lines:
        # address range, rights, offset, device, inode, path
        fields = line.split(maxsplit=5)
        # What may be written might differ from its file, and would be lost.
        if len(fields) < 6 or "w" in fields[1] or not fields[5].startswith(inside):
            continue
        begin, end = (int(address, 16) for address in fields[0].split("-"))
        if give_back(begin, end - begin, _DONT_NEED) == 0:
            given += end - begin
    return given
