"""Datasets: importers and exporters of other tools' formats, shards, conversion, label checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..io.lazy_imports import import_lazily

if TYPE_CHECKING:
    from .importers.problems import ImportContext, ImportProblem, LabelError, ProblemKind

__all__ = ["ImportContext", "ImportProblem", "LabelError", "ProblemKind"]

__getattr__ = import_lazily(__name__, dict.fromkeys(__all__, "importers.problems"))
