"""Numbers on a report's page."""

from __future__ import annotations

from florence2.evaluation.markdown import figure_cells
from florence2.evaluation.report import ReportedFigure


def test_what_images_cannot_give_is_undefined() -> None:
    cells = figure_cells(ReportedFigure("CIDEr", 0.0, 0.0, 0.0, defined=False))
    assert cells[:3] == ("CIDEr", "undefined", "-")
