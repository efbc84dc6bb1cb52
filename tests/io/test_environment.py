"""What the processor is called, also where the system does not say."""

from __future__ import annotations

from pathlib import Path

import pytest

from florence2.io import environment as hardware


def test_the_name_is_what_the_system_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "cpuinfo"
    told.write_text("processor\t: 0\nmodel name\t: Fast: One\nmodel name\t: Other\n")
    monkeypatch.setattr(hardware, "Path", lambda _: told)
    assert hardware.cpu_name() == "Fast: One"
    assert hardware.cpu_field("flags") == ""


def test_without_such_a_file_there_is_a_name_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "Path", lambda _: tmp_path / "absent")
    monkeypatch.setattr(hardware.platform, "processor", lambda: "")
    monkeypatch.setattr(hardware.platform, "machine", lambda: "made-up-64")
    assert hardware.cpu_name() == "made-up-64"
