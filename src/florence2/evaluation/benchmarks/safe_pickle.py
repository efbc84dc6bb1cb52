"""Pickles that hold plain values only; a pickle that names anything to import is refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any


def read_plain_pickle(path: Path) -> Any:
    """What the file holds: lists, tuples, dictionaries, strings, bytes and numbers.

    Files of Python 2 are read too. Raises ``ValueError`` for a damaged file, and for one that
    asks for a class or a function by name: reading such a file could run any program.
    """
    try:
        with path.open("rb") as file:
            return _PlainUnpickler(file, encoding="utf-8", errors="replace").load()
    # A damaged pickle raises whatever the instruction it was cut at runs into.
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read as a pickle of plain values: {error}; get it again"
        ) from error


# The library's own reader in Python: the one in C takes memory by the numbers under which a file
# stores its values, so that a file of ten bytes can take gigabytes.
class _PlainUnpickler(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Refuse: plain values need nothing from any module."""
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which a plain file never does")
