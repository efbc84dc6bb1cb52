"""XML with line numbers, and without entities: a file cannot grow in the reading."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

from ...io.files import FileRefusedError, read_regular
from .problems import LabelError

MAX_XML_BYTES = 64 * 2**20
MAX_DEPTH = 200


@dataclass
class Node:
    """An element: its line, its text without white space at the ends, children and attributes."""

    tag: str
    line: int
    text: str = ""
    children: list[Node] = field(default_factory=list)
    attributes: dict[str, str] = field(default_factory=dict)

    def find_all(self, tag: str) -> list[Node]:
        """The children called ``tag``."""
        return [child for child in self.children if child.tag == tag]

    def find(self, tag: str) -> Node | None:
        """The first child called ``tag``."""
        return next(iter(self.find_all(tag)), None)

    def text_of(self, tag: str) -> str:
        """The text of the first child called ``tag``; ``""`` where there is none."""
        found = self.find(tag)
        return "" if found is None else found.text

    def number_of(self, tag: str) -> float:
        """The number in the first child called ``tag``. Raises ``LabelError`` without one."""
        try:
            if "_" in self.text_of(tag):
                raise ValueError(self.text_of(tag))
            return float(self.text_of(tag))
        except ValueError as error:
            raise LabelError(
                "malformed",
                f"<{self.tag}> needs a number in <{tag}>, got {self.text_of(tag)!r:.80}",
            ) from error


def read_xml(path: Path) -> Node:
    """The root of the file. Raises ``LabelError`` when it is no XML or declares entities."""
    parser = expat.ParserCreate()
    top = Node("", 0)
    open_nodes = [top]

    pieces: list[list[str]] = [[]]

    def start(tag: str, attributes: dict[str, str]) -> None:
        if len(open_nodes) > MAX_DEPTH:
            raise LabelError("malformed", f"elements are nested more than {MAX_DEPTH} deep")
        pieces.append([])
        node = Node(tag, parser.CurrentLineNumber, attributes=attributes)
        open_nodes[-1].children.append(node)
        open_nodes.append(node)

    def end(tag: str) -> None:
        open_nodes.pop().text = "".join(pieces.pop()).strip()

    def text(data: str) -> None:
        pieces[-1].append(data)

    def refuse(name: str, *declaration: Any) -> None:
        raise LabelError("malformed", f"entity {name!r} is declared; entities are not read")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.EntityDeclHandler = refuse
    parser.buffer_text = True
    try:
        parser.Parse(read_regular(path, MAX_XML_BYTES), True)
    except FileNotFoundError as error:
        raise LabelError("missing-file", f"{path} is missing") from error
    except FileRefusedError as error:
        raise LabelError("malformed", str(error)) from error
    except (expat.ExpatError, OSError, ValueError, LookupError) as error:
        if isinstance(error, LabelError):
            raise
        raise LabelError("malformed", f"not XML: {error}") from error
    return top.children[0]
