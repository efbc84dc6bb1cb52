"""Files that hold many images: PDF pages, video frames, pages of a TIFF, frames of animations."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .unit_names import PDF_SUFFIXES, VIDEO_SUFFIXES, Unit, parse_unit_name

if TYPE_CHECKING:
    from .decoder_process import DecoderError, DecoderLimits, DecoderProcess
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

_HOMES = {
    **dict.fromkeys(("DecoderError", "DecoderLimits", "DecoderProcess"), "decoder_process"),
    **dict.fromkeys(
        ("UnitReader", "find_container_kind", "list_units", "load_unit", "read_unit_png"),
        "unit_reader",
    ),
}


def __getattr__(name: str) -> Any:
    """Import on first use: names of units are parsed without the libraries that decode."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
