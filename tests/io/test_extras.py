"""A missing library is an error that says how to install it."""

from __future__ import annotations

import pytest

from florence2.io.extras import add_checkout_hint, find_extra, optional_import


def test_a_missing_library_says_what_to_install() -> None:
    with pytest.raises(ImportError, match=r"needs something, .*pip install something$"):
        optional_import("no_such_library", "something")
    with pytest.raises(
        ImportError,
        match=r"needs something, .*pip install 'florence2\[more\]' \(.* -e '\.\[more\]'\)$",
    ):
        optional_import("no_such_library.at_all", "something", "florence2[more]")


def test_a_library_that_is_there() -> None:
    assert optional_import("json", "json").dumps([1]) == "[1]"


def test_an_extra_is_found_by_the_module_it_brings() -> None:
    assert find_extra("fastapi") == "serve"
    assert find_extra("faster_coco_eval.core") == "evaluate"
    assert find_extra("cv2") == "scenes"
    assert find_extra("json") is None


def test_advice_names_the_command_for_a_checkout_once() -> None:
    told = add_checkout_hint('LoRA needs peft: pip install "florence2[train]"')
    assert told.endswith(
        "pip install 'florence2[train]' (in a checkout: pip install -e '.[train]')"
    )
    assert add_checkout_hint(told) == told
