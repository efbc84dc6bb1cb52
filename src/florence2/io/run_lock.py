"""Locks: one process at a time in a run directory or at a file."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK_FILE = ".lock"
_NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


class RunLockedError(ValueError):
    """Another process works in the directory; the message names it."""


@contextmanager
def lock_run_dir(directory: Path) -> Iterator[None]:
    """Hold ``directory`` while the block runs; it is made when it is missing.

    A second process is refused at once. The lock of a killed process is free. The lock file is
    removed at the end, and so is a directory that was made here and is still empty. On file
    systems without locks, and on Windows, no process is refused.

    Raises:
        RunLockedError: Another process holds the directory.
        ValueError: ``directory`` is a file, or its lock file is a link or no file.
    """
    if directory.exists() and not directory.is_dir():
        raise ValueError(f"{directory} is a file; name a directory")
    made = _make_directory(directory)
    descriptor = None
    try:
        descriptor = _acquire(directory / LOCK_FILE, directory)
        yield
    finally:
        if descriptor is not None:
            with suppress(OSError):
                (directory / LOCK_FILE).unlink()
            os.close(descriptor)
        for path in reversed(made):
            with suppress(OSError):
                path.rmdir()


def read_lock_holder(directory: Path) -> int | None:
    """The process id in the lock file of ``directory``; None where there is none."""
    try:
        return int((directory / LOCK_FILE).read_text())
    except (OSError, ValueError):
        return None


@contextmanager
def lock_file(path: Path, *, wait: bool = False) -> Iterator[bool]:
    """Lock the file at ``path`` while the block runs, and give whether this process has the lock.

    With ``wait`` the call blocks until the lock is free. The lock of a killed process is free.
    Windows has no locks of this kind: every process gets it.
    """
    try:
        import fcntl
    except ImportError:
        yield True
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            acquired = True
        except BlockingIOError:
            acquired = False
        yield acquired
    finally:
        os.close(descriptor)


def _make_directory(directory: Path) -> list[Path]:
    """Make ``directory`` and its missing parents; those that were made, outermost first."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    return missing[::-1]


def _acquire(path: Path, directory: Path) -> int | None:
    try:
        import fcntl
    except ImportError:
        return None
    # A link or a pipe in a directory that came from elsewhere is not a lock file.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    while True:
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(os.lstat(path).st_mode):
                raise ValueError(f"{path} is not a regular file; remove it")
        descriptor = os.open(path, flags, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if error.errno in _NO_LOCKS:
                return None
            if not isinstance(error, BlockingIOError):
                raise
            holder = read_lock_holder(directory)
            by = f"process {holder}" if holder else "another process"
            raise RunLockedError(
                f"{directory} is in use by {by}; wait until it ends, or choose another directory"
            ) from None
        # The last holder removes the file: what was locked may no longer be what has the name.
        if _is_still_named(descriptor, path):
            with suppress(OSError):  # on a full disk the lock holds, only without the process id
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            return descriptor
        os.close(descriptor)


def _is_still_named(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False
