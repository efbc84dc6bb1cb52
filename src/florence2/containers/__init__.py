"""Files that hold many images: PDF pages, video frames, pages of a TIFF, frames of animations."""

from .decoder_process import DecoderError, DecoderLimits, DecoderProcess
from .unit_names import PDF_SUFFIXES, VIDEO_SUFFIXES, Unit, parse_unit_name
from .unit_reader import (
    UnitReader,
    find_container_kind,
    list_units,
    load_unit,
    read_unit_png,
)

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
