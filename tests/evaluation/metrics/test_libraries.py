"""A missing library is an error that says how to install it."""

from __future__ import annotations

import pytest

from florence2.evaluation.metrics.libraries import load_library


def test_a_missing_library_names_the_extra() -> None:
    with pytest.raises(ImportError, match=r"pip install 'florence2\[evaluate\]'"):
        load_library("no_such_library.at_all")


def test_a_library_that_is_there() -> None:
    assert load_library("json").dumps([1]) == "[1]"
