"""One process in a run directory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from florence2.io.run_lock import LOCK_FILE, RunLockedError, lock_run_dir

HOLD = """
import sys, time
from pathlib import Path
from florence2.io.run_lock import lock_run_dir
with lock_run_dir(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_process_is_refused_with_the_first_ones_id(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunLockedError, match=f"process {holder.pid}"), lock_run_dir(tmp_path):
            pass
        holder.kill()
    # A process that was killed lets go.
    with lock_run_dir(tmp_path):
        assert (tmp_path / LOCK_FILE).read_text() == str(os.getpid())
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    with pytest.raises(KeyError), lock_run_dir(tmp_path / "a" / "b"):
        raise KeyError
    assert not (tmp_path / "a").exists()
    with lock_run_dir(tmp_path / "a"):
        (tmp_path / "a" / "file").touch()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["file"]


def test_one_process_does_not_hold_a_directory_twice(tmp_path: Path) -> None:
    with lock_run_dir(tmp_path), pytest.raises(RunLockedError), lock_run_dir(tmp_path):
        pass


def test_a_file_is_no_run_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file"), lock_run_dir(tmp_path / "file"):
        pass


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX only")
@pytest.mark.parametrize("kind", ["link", "dangling", "directory", "pipe"])
def test_what_is_not_a_lock_file_is_left_alone(tmp_path: Path, kind: str) -> None:
    directory, other = tmp_path / "run", tmp_path / "other"
    directory.mkdir()
    other.write_text("kept")
    lock = directory / ".lock"
    if kind in ("link", "dangling"):
        lock.symlink_to(other if kind == "link" else tmp_path / "absent")
    elif kind == "directory":
        lock.mkdir()
    else:
        os.mkfifo(lock)
    with pytest.raises(ValueError, match="not a regular file; remove it"), lock_run_dir(directory):
        pass
    assert other.read_text() == "kept" and os.path.lexists(lock)
    assert not (tmp_path / "absent").exists()


def test_a_full_disk_does_not_keep_the_lock_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", refuse)
    with lock_run_dir(tmp_path), pytest.raises(RunLockedError), lock_run_dir(tmp_path):
        pass
