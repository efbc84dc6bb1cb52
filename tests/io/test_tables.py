"""Tables in Markdown and in the terminal."""

from __future__ import annotations

import pytest

from florence2.io.tables import format_fixed, markdown_cell, markdown_table, print_table


@pytest.mark.parametrize(
    ("value", "shown"), [(-0.04, "0.0"), (-0.0, "0.0"), (-0.06, "-0.1"), (12.34, "12.3")]
)
def test_no_zero_has_a_sign(value: float, shown: str) -> None:
    assert format_fixed(value, 1) == shown
    assert not markdown_cell(-0.001).startswith("-")


def test_cells_are_safe() -> None:
    table = markdown_table(("a|b", "n"), [("<b>`x`\n*y*", 12345), ("[z](w)", 0.5)])
    assert table.splitlines() == [
        "| a\\|b | n |",
        "| --- | ---: |",
        "| \\<b>\\`x\\` \\*y\\* | 12,345 |",
        "| \\[z](w) | 0.50 |",
    ]


def test_brackets_are_printed_and_a_pipe_breaks_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "what"), [("[bold]x[/bold]", "word " * 30)])
    lines = capsys.readouterr().out.splitlines()
    assert any("[bold]x[/bold]" in line and "word " * 29 in line for line in lines)
