"""Results: what the model predicts, an annotator reports, a shard stores, a metric compares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..io.lazy_imports import import_lazily

if TYPE_CHECKING:
    from .types import (
        Answer,
        Boxes,
        Failure,
        ImageSize,
        Polygons,
        Quads,
        Regions,
        Result,
        Scores,
        Text,
    )

__all__ = [
    "Answer",
    "Boxes",
    "Failure",
    "ImageSize",
    "Polygons",
    "Quads",
    "Regions",
    "Result",
    "Scores",
    "Text",
]

# Tasks are looked up without numpy.
__getattr__ = import_lazily(__name__, dict.fromkeys(__all__, "types"))
