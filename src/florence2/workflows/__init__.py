"""Label a directory of images, tile large images, read documents and videos, export graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..io.lazy_imports import import_lazily

if TYPE_CHECKING:
    from ..inference.cascades import CASCADES, Cascade, find_cascade
    from .documents import PdfPages, load_page
    from .tiling import Tiling, tiled
    from .video import Frame, frames_of

__all__ = [
    "CASCADES",
    "Cascade",
    "Frame",
    "PdfPages",
    "Tiling",
    "find_cascade",
    "frames_of",
    "load_page",
    "tiled",
]

_HOMES = {
    **dict.fromkeys(("CASCADES", "Cascade", "find_cascade"), ".inference.cascades"),
    **dict.fromkeys(("PdfPages", "load_page"), "documents"),
    **dict.fromkeys(("Tiling", "tiled"), "tiling"),
    **dict.fromkeys(("Frame", "frames_of"), "video"),
}
__getattr__ = import_lazily(__name__, _HOMES)
