"""Tables from rows: in Markdown for reports, in columns for the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

# As wide as a table may get where standard output is a file or a pipe.
PIPE_WIDTH = 200
_MARKUP = "\\|<`*["


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table with escaped cells.

    Args:
        columns: the titles.
        rows: cells as ``markdown_cell`` takes them. A column of numbers alone is right-aligned.
    """
    listed = [list(row) for row in rows]
    numeric = [
        bool(listed) and all(isinstance(row[index], int | float) for row in listed)
        for index in range(len(columns))
    ]
    rule = ["---:" if right else "---" for right in numeric]
    lines = [
        list(map(markdown_cell, columns)),
        rule,
        *([markdown_cell(value) for value in row] for row in listed),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def markdown_cell(value: object) -> str:
    """One cell: floats with two decimals, integers with separators, text on one line, escaped."""
    if isinstance(value, float):
        return format_fixed(value, 2)
    if isinstance(value, int):
        return f"{value:,}"
    text = " ".join(str(value).split())
    for character in _MARKUP:
        text = text.replace(character, f"\\{character}")
    return text


def format_fixed(value: float, digits: int) -> str:
    """``value`` with ``digits`` decimals; zero has no sign."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table on standard output; in a pipe no line is broken below ``PIPE_WIDTH``."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column)
    for row in rows:
        # As Text, brackets in names are not markup.
        table.add_row(*map(Text, row))
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    Console(file=sys.stdout, width=width, highlight=False).print(table)
