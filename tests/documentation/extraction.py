"""The commands and Python blocks of the README and the docs, as they stand there."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The log tells what was tried on past days; the command line's own page has no blocks of commands.
NOT_READ = {"docs/log.md"}
_BLOCK = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^ *```", re.M | re.S)
_INDENTED = re.compile(r"^    (?:florence2|python|make|pip|torchrun) (?:.*\\\n)*.*", re.M)


@dataclass(frozen=True)
class Snippet:
    """One command, or one block of Python, with the page and the line it stands at."""

    page: str
    line: int
    kind: str  # "sh" or "python"
    text: str
    # What the page says that it prints, from a block of text right below; "..." is any text.
    printed: str | None = None

    @property
    def words(self) -> list[str]:
        """The words of a command, as a shell reads them."""
        return shlex.split(self.text)

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text}"


def read_pages() -> list[str]:
    """The pages that are read, relative to the root."""
    pages = ["README.md", *(str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md"))]
    return sorted(set(pages) - NOT_READ)


def read_snippets(page: str) -> list[Snippet]:
    """What ``page`` tells its reader to type, in its order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found: list[Snippet] = []
    end = -1
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start()) + 2
        if match[2] == "sh":
            found += _commands(page, line, match[3])
        elif match[2] == "python":
            found.append(Snippet(page, line, "python", match[3]))
        elif match[2] == "text" and end >= 0 and not text[end : match.start()].strip():
            found[-1] = replace(found[-1], printed=textwrap.dedent(match[3]))
        end = match.end() if match[2] in ("sh", "python") else -1
    outside = _BLOCK.sub(lambda match: "\n" * match[0].count("\n"), text)
    for match in _INDENTED.finditer(outside):
        found += _commands(page, text.count("\n", 0, match.start()) + 1, match[0])
    return sorted(found, key=lambda snippet: snippet.line)


def read_mentions(page: str) -> Iterator[str]:
    """Every ``florence2 VERB ...`` in backquotes in the prose of ``page``."""
    text = _BLOCK.sub("", (ROOT / page).read_text(encoding="utf-8"))
    for match in re.finditer(r"`(florence2 [a-z][^`]*)`", text):
        yield " ".join(match[1].split())


def _commands(page: str, line: int, block: str) -> Iterator[Snippet]:
    joined = re.sub(r"\\\n\s*", " ", block)
    for command in joined.splitlines():
        words = shlex.split(command, comments=True)
        if words:
            yield Snippet(page, line, "sh", shlex.join(words))
