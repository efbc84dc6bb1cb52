"""A missing library is an error that says how to install it."""

from __future__ import annotations

import pytest

from florence2.libraries import needed


def test_a_missing_library_says_what_to_install() -> None:
    with pytest.raises(ImportError, match=r"needs something, .*pip install something$"):
        needed("no_such_library", "something")
    with pytest.raises(
        ImportError,
        match=r"needs something, .*pip install 'florence2\[more\]' \(.* -e '\.\[more\]'\)$",
    ):
        needed("no_such_library.at_all", "something", "florence2[more]")


def test_a_library_that_is_there() -> None:
    assert needed("json", "json").dumps([1]) == "[1]"
