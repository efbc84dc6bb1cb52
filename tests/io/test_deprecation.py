"""Old names work and warn; both names at once are refused."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from types import ModuleType

import pytest

from florence2.io.deprecation import (
    rename_keys,
    renamed_arguments,
    renamed_attributes,
    renamed_fields,
)


def test_an_attribute_is_found_by_its_old_name(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("some_module")
    module.new = 1  # type: ignore[attr-defined]
    module.__getattr__ = renamed_attributes("some_module", {"old": "new"})  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "some_module", module)
    with pytest.warns(DeprecationWarning, match=r"some_module\.old is now new"):
        assert module.old == 1
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        _ = module.other


def test_an_argument_is_taken_under_its_old_name() -> None:
    @renamed_arguments(old="new")
    def double(new: int) -> int:
        return 2 * new

    with pytest.warns(DeprecationWarning, match="'old' is now 'new'"):
        assert double(old=2) == 4  # type: ignore[call-arg]
    assert double(new=3) == 6
    with pytest.raises(TypeError, match="both 'old' and 'new'"):
        double(old=1, new=2)  # type: ignore[call-arg]


def test_keys_of_a_file_are_renamed_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    assert rename_keys({"old": 1, "b": 2}, {"old": "new"}, "file", stacklevel=0) == {
        "new": 1,
        "b": 2,
    }
    assert not recwarn


def test_a_field_is_set_replaced_and_read_under_its_old_name() -> None:
    @renamed_fields(old="new")
    @dataclass(frozen=True)
    class Settings:
        new: int = 0

    with pytest.warns(DeprecationWarning, match=r"Settings\(\) .old. is now .new."):
        settings = Settings(old=1)  # type: ignore[call-arg]
    assert settings == Settings(1)
    with pytest.warns(DeprecationWarning):
        assert replace(settings, old=2).new == 2  # type: ignore[call-arg]
    with pytest.warns(DeprecationWarning):
        assert settings.old == 1  # type: ignore[attr-defined]
