"""An MCP server: captions, detection, grounding, OCR and segmentation as tools of an agent."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

import numpy as np
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from ..inference.predictor import Florence2
from ..io.fetch import UrlFetcher
from ..io.files import read_regular
from ..processing.containers import Unit, find_container_kind, load_unit, parse_unit_name
from ..processing.image import MAX_PIXELS, ImageSource, is_url, load_image
from ..results.reading_order import join_text
from ..results.types import Quads
from ..workflows.documents import load_page
from .uploaded_file import FilePosition, is_container_file, load_uploaded

_CAPTIONS = {"brief": "caption", "detailed": "detailed-caption", "full": "more-detailed-caption"}
_MAX_BYTES = 2**28
_SCHEMES = {"file", "data", "ftp", "ftps", "s3", "gs", "http", "https", "blob", "resource"}
_Text = Annotated[str, Field(min_length=1, max_length=16_384)]

Source = Annotated[
    str,
    Field(
        description="An image, or a page or frame of a file (report.pdf#page=2, clip.mp4#t=1.500): "
        "a path, a file: URI, or a URL where allowed."
    ),
]
Page = Annotated[
    int, Field(ge=1, description="The page of a PDF or TIFF, or the frame of an animation, from 1.")
]
Detail = Annotated[
    Literal["brief", "detailed", "full"], Field(description="How long the description is.")
]
Classes = Annotated[
    list[_Text] | None,
    Field(max_length=512, description="Names of the classes to find; all objects without them."),
]
Caption = Annotated[_Text, Field(description="A sentence about the image.")]
WithRegions = Annotated[bool, Field(description="Whether to return the corners of each line.")]
Expression = Annotated[
    _Text, Field(description="A phrase that names one object, such as 'red car'.")
]


class ImageSources:
    """Loads images by the names that agents use: paths, file: URIs, and URLs.

    Access is checked after links are followed. Relative paths are searched below the roots.

    Args:
        fetch: downloads URLs, which are refused without it.
        roots: directories that files may be read from; any if empty.
    """

    def __init__(self, fetch: Callable[[str], bytes] | None, roots: Sequence[str | Path]) -> None:
        self._fetch = fetch
        self._roots = [Path(root).expanduser().resolve() for root in roots]

    def get(self, source: str, page: int = 1) -> ImageSource:
        """The image, or a page of it. Raises ``ValueError`` or ``OSError``."""
        if page < 1:
            raise ValueError(f"page must be at least 1, got {page}")
        if is_url(source):
            if self._fetch is None:
                raise ValueError(
                    f"{_shorten(source)} is a URL; start with --allow-urls, or pass a path"
                )
            content = self._fetch(source)
            if page == 1 and not is_container_file(content):
                return content
            return load_uploaded(content, FilePosition(page if page > 1 else None), MAX_PIXELS)
        unit = self._find(source)
        if unit.page is not None or unit.seconds is not None:
            if page > 1:
                raise ValueError(
                    f"{_shorten(source)} already names a page or frame: leave page={page} out"
                )
            return load_unit(unit)
        kind = find_container_kind(unit.file)
        if kind == "video":
            raise ValueError(
                f"{_shorten(source)} is a video: name a frame of it, as in clip.mp4#t=1.000"
            )
        if kind is None:
            if page > 1:
                raise ValueError(f"{_shorten(source)} has one image: leave page={page} out")
            return read_regular(unit.file, _MAX_BYTES)
        return (
            load_page(unit.file, page) if kind == "pdf" else load_unit(Unit(unit.file, page=page))
        )

    def _find(self, source: str) -> Unit:
        """The file with page or frame that a path or a file: URI names, if it may be read."""
        path = Path(_to_path(source))
        # "~name" is a file name if there is no user of this name.
        with contextlib.suppress(RuntimeError):
            path = path.expanduser()
        is_anywhere = path.is_absolute() or not self._roots
        candidates = [path] if is_anywhere else [root / path for root in self._roots]
        try:
            found = [_resolve(str(each)) for each in candidates]
        except (ValueError, OSError) as error:
            raise ValueError(f"{_shorten(source)} is not a path that can be read") from error
        allowed = [each for each in found if self._may_read(Path(each.file))]
        if not allowed:
            roots = ", ".join(map(str, self._roots))
            raise ValueError(
                f"the path {_shorten(source)} is outside of the directories that may be read: "
                f"{roots}"
            )
        for readable in allowed:
            if os.path.exists(readable.file):
                return readable
        raise FileNotFoundError(f"{_shorten(source)} is missing: give the path of an image or PDF")

    def _may_read(self, path: Path) -> bool:
        return not self._roots or any(path.is_relative_to(root) for root in self._roots)


def _resolve(name: str) -> Unit:
    """The file, page and frame of a name, with links followed."""
    unit = parse_unit_name(name)
    return replace(unit, file=str(Path(unit.file).resolve()))


def _to_path(source: str) -> str:
    """The path of a source, which is a path or a file: URI. Raises ``ValueError``."""
    scheme, colon, _ = source[:20].partition(":")
    # One letter is a drive of Windows; "a: b.png" and "x:1.png" are file names.
    if not colon or scheme.lower() not in _SCHEMES:
        return source
    if scheme.lower() != "file":
        raise ValueError(f"{_shorten(source)} is not supported: pass the path of a file")
    parts = urlsplit(source, allow_fragments=False)
    if parts.netloc.lower() not in ("", "localhost", "127.0.0.1"):
        raise ValueError(f"{_shorten(source)} names another machine: pass the path of a local file")
    path = unquote(parts.path, errors="surrogateescape")
    if parts.query:
        raise ValueError(f"{_shorten(source)}: write a ? in a path as %3F")
    return url2pathname(parts.path) if os.name == "nt" else path


def _shorten(source: str) -> str:
    """A source for a message, shortened if it is long."""
    source = source.encode("utf-8", "backslashreplace").decode()
    return source if len(source) <= 100 else f"{source[:60]}... ({len(source)} characters)"


class _Tools:
    """The tools of the server; their docstrings are the descriptions that agents read."""

    def __init__(self, model: Florence2 | Callable[[], Florence2], sources: ImageSources) -> None:
        self._model, self._sources = model, sources
        # Agents call tools concurrently; the model runs one request at a time.
        self._lock = Lock()

    def caption(self, source: Source, detail: Detail = "brief", page: Page = 1) -> str:
        """Describe an image in words."""
        if detail not in _CAPTIONS:
            raise ToolError(f"detail is one of {', '.join(_CAPTIONS)}, got {detail!r}")
        return str(self._predict(source, page, _CAPTIONS[detail]).answer.plain_text)

    def detect(self, source: Source, classes: Classes = None, page: Page = 1) -> dict[str, Any]:
        """Find objects: boxes with labels and scores; with classes, those only."""
        if classes:
            return self._predict_regions(source, page, "open-vocabulary-detection", classes)
        return self._predict_regions(source, page, "object-detection")

    def ground(self, source: Source, caption: Caption, page: Page = 1) -> dict[str, Any]:
        """Find the phrases of a caption in an image: a box for each."""
        return self._predict_regions(source, page, "phrase-grounding", caption)

    def read_text(
        self, source: Source, regions: WithRegions = False, page: Page = 1
    ) -> dict[str, Any]:
        """Read the text in an image, in reading order; with regions, the corners of each line."""
        result = self._predict(source, page, "ocr-with-region")
        assert isinstance(result.answer, Quads)
        found: dict[str, Any] = {"text": join_text(result.answer)}
        if regions:
            found["lines"] = _round_values(result.data)
        return found

    def segment(self, source: Source, expression: Expression, page: Page = 1) -> dict[str, Any]:
        """Outline the one object that an expression names: polygons of x, y, x, y ..."""
        return self._predict_regions(source, page, "referring-expression-segmentation", expression)

    def _predict(self, source: str, page: int, task: str, text: Any = None) -> Any:
        try:
            with self._lock:
                model = self._model if isinstance(self._model, Florence2) else self._model()
                return model(load_image(self._sources.get(source, page)), task, text)
        except (ValueError, OSError, ImportError) as error:
            # The agent sees only errors of this type; these it can fix.
            raise ToolError(str(error)) from error

    def _predict_regions(
        self, source: str, page: int, task: str, text: Any = None
    ) -> dict[str, Any]:
        result = self._predict(source, page, task, text)
        width, height = result.image_size
        return _round_values({"image_size": [width, height], **result.data})


def create_mcp(
    model: Florence2 | Callable[[], Florence2],
    *,
    allow_urls: bool = False,
    roots: Sequence[str | Path] = (),
) -> MCPServer:
    """The MCP server; its ``run`` speaks over standard input and output.

    Args:
        model: the model, or a function that waits for it, called by the first tool.
        allow_urls: allow images from public URLs.
        roots: directories that files may be read from; any by default.
    """
    tools = _Tools(model, ImageSources(UrlFetcher() if allow_urls else None, roots))
    server = MCPServer(
        "florence2",
        instructions="Analyze images: captions, objects, phrases, text, polygons. Boxes are "
        "pixels x0, y0, x1, y1 of the upright image.",
    )
    for tool in (tools.caption, tools.detect, tools.ground, tools.read_text, tools.segment):
        server.tool()(tool)
    return server


def _round_values(found: dict[str, Any]) -> dict[str, Any]:
    """Round coordinates to a tenth of a pixel and scores to three digits."""
    return {name: _round(each, 3 if name.endswith("scores") else 1) for name, each in found.items()}


def _round(value: Any, digits: int) -> Any:
    if isinstance(value, list | tuple):
        return [_round(each, digits) for each in value]
    return round(float(value), digits) if isinstance(value, float | np.floating) else value
