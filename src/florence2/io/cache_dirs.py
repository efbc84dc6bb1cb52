"""Cache directories, for files that can be made or fetched again."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
import warnings
from functools import cache
from pathlib import Path


def cache_dir(name: str) -> Path:
    """The directory ``name`` in the platform's cache for this package. Nothing is created.

    A variable that is empty or holds a relative path counts as unset. Where neither a variable nor
    the account names a place, a temporary directory is used until the process ends, with a warning.
    Raises ``OSError`` where there is no place for temporary files either.
    """
    base = _cache_base()
    return (_temporary_base() if base is None else base / "florence2") / name


def home_directory() -> Path | None:
    """The user's home, or ``None`` for an account without one."""
    try:
        home = Path.home()
    except RuntimeError:  # no HOME, and a user id without an account
        return None
    return home if home.is_absolute() else None


def prepare_environment() -> None:
    """Let other libraries find a place for their caches where their own rule would fail.

    They write into the working directory, or raise, for an account without a home and for a
    variable that is empty or holds a relative path. Variables that are set well stay as they are.
    """
    for variable in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        if variable in os.environ and _variable_directory(variable) is None:
            del os.environ[variable]
    if home_directory() is None and sys.platform != "win32":
        try:
            home = _temporary_base()
        except OSError:  # no directory for temporary files: calls that need none still work
            return
        os.environ["HOME"] = str(home)
        # Inductor asks for the user's name, which such an account may not have.
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(home / "torchinductor"))


def _cache_base() -> Path | None:
    if sys.platform == "win32":
        found, below_home = _variable_directory("LOCALAPPDATA"), ("AppData", "Local")
    elif sys.platform == "darwin":
        found, below_home = None, ("Library", "Caches")
    else:
        found, below_home = _variable_directory("XDG_CACHE_HOME"), (".cache",)
    if found is not None:
        return found
    home = home_directory()
    return None if home is None else home.joinpath(*below_home)


def _variable_directory(name: str) -> Path | None:
    path = Path(os.environ.get(name) or ".")
    return path if path.is_absolute() else None


@cache
def _temporary_base() -> Path:
    """A directory of this process: one with a fixed name could belong to another user."""
    parent = tempfile.gettempdir()
    if os.path.realpath(parent) == os.path.realpath(os.curdir) and "TMPDIR" not in os.environ:
        # The last resort of ``tempfile``; caches do not belong into the working directory.
        raise FileNotFoundError("there is no directory for temporary files: set TMPDIR")
    folder = Path(tempfile.mkdtemp(prefix="florence2-", dir=parent))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    warnings.warn(
        f"this account has no home directory: caches are kept in {folder} until this process ends; "
        "set HOME or XDG_CACHE_HOME to keep them",
        stacklevel=2,
    )
    return folder
