"""Label a directory of images, tile large images, read documents and videos, export graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..io.lazy_imports import import_lazily

if TYPE_CHECKING:
    from ..inference.cascades import CASCADES, Cascade, find_cascade
    from .documents import PdfPages, load_page
    from .tiling import Tiling, predict_tiles
    from .video import Frame, sample_frames

__all__ = [
    "CASCADES",
    "Cascade",
    "Frame",
    "PdfPages",
    "Tiling",
    "find_cascade",
    "load_page",
    "predict_tiles",
    "sample_frames",
]

_HOMES = {
    **dict.fromkeys(("CASCADES", "Cascade", "find_cascade"), ".inference.cascades"),
    **dict.fromkeys(("PdfPages", "load_page"), "documents"),
    **dict.fromkeys(("Tiling", "predict_tiles"), "tiling"),
    **dict.fromkeys(("Frame", "sample_frames"), "video"),
}
__getattr__ = import_lazily(
    __name__, _HOMES, renamed={"frames_of": "sample_frames", "tiled": "predict_tiles"}
)
