"""An MCP server: captions, detection, grounding, reading and segmentation as tools of an agent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from ..image import ImageSource, is_address, load_image
from ..io.fetch import UrlFetcher
from ..predictor import Florence2
from ..reading_order import joined_text
from ..results import Quads
from ..workflows.documents import load_page

_CAPTIONS = {"brief": "caption", "detailed": "detailed-caption", "full": "more-detailed-caption"}
_PDF = b"%PDF-"


class Pictures:
    """Pictures as agents name them: paths below ``roots`` (any, without them), addresses with
    ``fetch``; of a PDF a page."""

    def __init__(self, fetch: Callable[[str], bytes] | None, roots: Sequence[str | Path]) -> None:
        self._fetch = fetch
        self._roots = [Path(root).resolve() for root in roots]

    def get(self, source: str, page: int = 1) -> ImageSource:
        """The picture. Raises ``ValueError`` or ``OSError`` that says what to change."""
        if is_address(source):
            if self._fetch is None:
                raise ValueError(f"{source} is an address; start with --allow-urls, or give a path")
            content = self._fetch(source)
        else:
            path = Path(source).expanduser().resolve()
            if self._roots and not any(path.is_relative_to(root) for root in self._roots):
                allowed = ", ".join(map(str, self._roots))
                raise ValueError(
                    f"{source} lies outside of the folders that may be read: {allowed}"
                )
            if not path.is_file():
                raise FileNotFoundError(f"{source} is missing: give the path of a picture or PDF")
            content = path.read_bytes()
        if content[:5] != _PDF:
            return content
        return load_page(content, page)


def create_mcp(
    model: Florence2, *, allow_urls: bool = False, roots: Sequence[str | Path] = ()
) -> MCPServer:
    """The server; its ``run`` speaks over standard input and output."""
    pictures = Pictures(UrlFetcher() if allow_urls else None, roots)
    server = MCPServer(
        "florence2",
        instructions="Look at pictures: captions, objects, phrases, text, outlines. Boxes are "
        "pixels x0, y0, x1, y1 of the upright picture.",
    )
    # Agents call tools side by side; the model answers one at a time.
    alone = Lock()

    def ask(source: str, page: int, task: str, text: Any = None) -> Any:
        try:
            with alone:
                return model(load_image(pictures.get(source, page)), task, text)
        except (ValueError, OSError, ImportError) as error:
            # Errors of other kinds are hidden from agents; these they can mend.
            raise ToolError(str(error)) from error

    def told(source: str, page: int, task: str, text: Any = None) -> dict[str, Any]:
        result = ask(source, page, task, text)
        width, height = result.image_size
        return {"image_size": [width, height], **result.value}

    @server.tool()
    def caption(source: str, detail: str = "brief", page: int = 1) -> str:
        """Describe a picture in words. source: path, address (if allowed) or PDF; page: of a PDF,
        from 1; detail: brief, detailed or full."""
        if detail not in _CAPTIONS:
            raise ToolError(f"detail is one of {', '.join(_CAPTIONS)}, got {detail!r}")
        return str(ask(source, page, _CAPTIONS[detail]).answer.plain)

    @server.tool()
    def detect(source: str, classes: list[str] | None = None, page: int = 1) -> dict[str, Any]:
        """Find objects: boxes with labels and scores; with classes, those only."""
        if classes:
            return told(source, page, "open-vocabulary-detection", classes)
        return told(source, page, "object-detection")

    @server.tool()
    def ground(source: str, caption: str, page: int = 1) -> dict[str, Any]:
        """Find the phrases of a caption in a picture: a box for each."""
        return told(source, page, "phrase-grounding", caption)

    @server.tool()
    def read_text(source: str, regions: bool = False, page: int = 1) -> dict[str, Any]:
        """Read the text in a picture, in reading order; with regions, the corners of each line."""
        result = ask(source, page, "ocr-with-region")
        assert isinstance(result.answer, Quads)
        found: dict[str, Any] = {"text": joined_text(result.answer)}
        if regions:
            found["lines"] = result.value
        return found

    @server.tool()
    def segment(source: str, expression: str, page: int = 1) -> dict[str, Any]:
        """Outline the one thing that an expression names: polygons of x, y, x, y ..."""
        return told(source, page, "referring-expression-segmentation", expression)

    return server
