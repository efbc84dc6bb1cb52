"""Files that hold many images: PDF pages, video frames, pages of a TIFF, frames of animations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...io.file_types import PDF_SUFFIXES, VIDEO_SUFFIXES
from ...io.lazy_imports import import_lazily
from .unit_names import Unit, parse_unit_name

if TYPE_CHECKING:
    from .decoder_process import DecoderError, DecoderLimits, DecoderProcess
    from .unit_reader import UnitReader, find_container_kind, list_units, load_unit, read_unit_png

__all__ = [
    "PDF_SUFFIXES",
    "VIDEO_SUFFIXES",
    "DecoderError",
    "DecoderLimits",
    "DecoderProcess",
    "Unit",
    "UnitReader",
    "find_container_kind",
    "list_units",
    "load_unit",
    "parse_unit_name",
    "read_unit_png",
]

_HOMES = {
    **dict.fromkeys(("DecoderError", "DecoderLimits", "DecoderProcess"), "decoder_process"),
    **dict.fromkeys(
        ("UnitReader", "find_container_kind", "list_units", "load_unit", "read_unit_png"),
        "unit_reader",
    ),
}

# Names of units are parsed without the libraries that decode.
__getattr__ = import_lazily(__name__, _HOMES)
