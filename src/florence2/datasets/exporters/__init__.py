"""Exporters: one file a format of other tools, each takes records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...io.lazy_imports import import_lazily

if TYPE_CHECKING:
    from .class_map import ClassMap
    from .export_options import ExportOptions
    from .exporter_registry import EXPORTERS, write_records
    from .output import Written

__all__ = ["EXPORTERS", "ClassMap", "ExportOptions", "Written", "write_records"]

# The names of the formats are known without the libraries that write them.
__getattr__ = import_lazily(
    __name__,
    {
        "EXPORTERS": "exporter_registry",
        "write_records": "exporter_registry",
        "ClassMap": "class_map",
        "ExportOptions": "export_options",
        "Written": "output",
    },
    renamed={"Options": "ExportOptions", "WRITERS": "EXPORTERS"},
)
