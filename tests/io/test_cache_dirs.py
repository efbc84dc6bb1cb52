"""Caches of accounts without a home, and variables that are empty or relative."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from florence2.io import cache_dirs as folders

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the rule of Linux")


def homeless() -> Path:
    raise RuntimeError("Could not determine home directory.")


@LINUX
@pytest.mark.parametrize("value", ["", "relative/folder", None])
def test_an_empty_or_relative_variable_counts_as_unset(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str | None
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    if value is None:
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert folders.cache_dir("graphs") == tmp_path / ".cache" / "florence2" / "graphs"


@LINUX
def test_an_account_without_a_home_gets_a_folder_for_this_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(folders.Path, "home", homeless)
    folders._temporary_base.cache_clear()
    with pytest.warns(UserWarning, match="no home directory"):
        first = folders.cache_dir("graphs")
    assert folders.cache_dir("graphs") == first and first.parent.is_dir()
    monkeypatch.setenv("HOME", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/kept")
    folders.prepare_environment()
    assert Path(os.environ["HOME"]) == first.parent
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "/kept"
    assert "XDG_CACHE_HOME" not in os.environ
    folders._temporary_base.cache_clear()


@LINUX
def test_a_model_answers_without_a_home_and_leaves_the_working_directory_empty(
    tmp_path: Path,
) -> None:
    code = (
        "import pwd\n"
        "def unknown(uid): raise KeyError(uid)\n"
        "pwd.getpwuid = unknown\n"
        "import numpy, florence2\n"
        "model = florence2.load('nano')\n"
        "found = model(numpy.zeros((9, 9, 3), 'uint8'), 'caption', max_new_tokens=2)\n"
        "print('answered')"
    )
    source = Path(folders.__file__).resolve().parents[2]
    names = {"HOME", "USER", "LOGNAME", "FLORENCE2_RUNTIME", "FLORENCE2_GRAPHS"}
    kept = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False,
        env=kept | {"PYTHONPATH": str(source), "XDG_CACHE_HOME": ""},
    )  # fmt: skip
    assert done.stdout == "answered\n", done.stderr
    assert "no home directory" in done.stderr and "converting the checkpoint" in done.stderr
    assert list(tmp_path.iterdir()) == []
