"""More than one question, or more than one picture: cascades, tiles, documents, videos."""

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
