"""Paths from data stay where they belong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from florence2.io.paths import confine, safe_component


@pytest.mark.parametrize("name", ["a.jpg", "a/b.jpg", "a/../b.jpg", "./a", "..a/b", "ä ö#%+&.jpg"])
def test_names_inside(tmp_path: Path, name: str) -> None:
    assert confine(tmp_path, name).is_relative_to(tmp_path)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../a", "a/../../b", "/etc/passwd", "a\0b", "C:/a", "C:a", "\\\\host\\a"],
)
def test_names_that_lead_out(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"not a relative path|leads outside"):
        confine(tmp_path, name)


def test_links_that_lead_out_are_for_the_owner(tmp_path: Path) -> None:
    inside = tmp_path / "set"
    inside.mkdir()
    (inside / "out").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="leads outside"):
        confine(inside, "out/secret")
    assert confine(inside, "out/secret", follow_links=True) == inside / "out" / "secret"


@given(st.text())
def test_any_text_becomes_one_file_name(name: str) -> None:
    safe = safe_component(name)
    assert safe == safe_component(name)
    assert safe not in ("", ".", "..")
    assert not set(safe) & set('/\\\0<>:"|?*')
    assert len(safe.encode("utf-8", "surrogatepass")) <= 200
    assert not safe.startswith(".")


def test_long_names_stay_different() -> None:
    first, second = safe_component("a" * 300 + "1.jpg"), safe_component("a" * 300 + "2.jpg")
    assert first != second
    assert first.endswith(".jpg")
