from __future__ import annotations

from pathlib import Path

import pytest

from florence2.datasets.importers.plain_yaml import read_plain_yaml

NAMES = ["no", "YES", "on", "off", "null", "~", "1:30", "1.10", "0x1F", "007", "1e3", "2024-01-01"]


@pytest.mark.parametrize("written", [", ".join(NAMES), ", ".join(f"'{name}'" for name in NAMES)])
def test_scalars_stay_the_text_that_was_written(tmp_path: Path, written: str) -> None:
    file = tmp_path / "data.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + f"names: [{written}]\r\nnc: 12\r\n".encode())
    assert read_plain_yaml(file) == {"names": NAMES, "nc": "12"}


def test_utf_16_and_empty_values(tmp_path: Path) -> None:
    file = tmp_path / "data.yaml"
    file.write_text("names: {0: käfer}\ntest:\n", encoding="utf-16")
    assert read_plain_yaml(file) == {"names": {"0": "käfer"}, "test": ""}


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(9)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "more than 1000000 values"),
        ("a: &a [*a]", "alias that contains itself"),
        ("names: " + "[" * 5000, "nested|YAML"),
        ("names: " + "[" * 40 + "]" * 40, "nested"),
        ("names: [a]\nnames: [b]", "data.yaml:2: key 'names' is given twice"),
        ("? [a]\n: b", "should be text"),
        ("names: [", "no YAML"),
        ("names: \x01", "no YAML"),
        ("- a", "should hold"),
        ("", "should hold"),
        ("x" * 3_000_000, "limit"),
    ],
)
def test_what_is_no_plain_mapping_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "data.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_plain_yaml(file)
