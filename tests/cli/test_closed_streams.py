"""Commands that are started without standard streams, as daemons and cron jobs are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, sys
for number in map(int, sys.argv[1].split()):
    os.close(number)
os.execv(sys.executable, [sys.executable, "-m", "florence2", *sys.argv[2:]])
"""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="descriptors are inherited otherwise")


def run(closed: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, closed, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_nothing_is_lost_in_a_closed_output() -> None:
    ended = run("1", "--version")
    assert ended.returncode and "Traceback" not in ended.stderr
    assert "standard output is closed" in ended.stderr
    assert "florence2" in run("2", "--version").stdout


def test_files_are_written_without_any_stream(tmp_path: Path) -> None:
    sheet = tmp_path / "questions.csv"
    sheet.write_text("image,question,answer\n")
    for closed in ("0 1 2", "2"):
        ended = run(closed, "convert", sheet, "--format", "csv", "--out", tmp_path / "out")
        assert ended.returncode in (1, 2) and not ended.stderr
    # A message that took the number of a file would be in it.
    assert sheet.read_text() == "image,question,answer\n"
