"""Numbers on a report's page."""

from __future__ import annotations

from florence2.evaluation.report import ReportedMetric
from florence2.evaluation.report_page import metric_cells


def test_what_images_cannot_give_is_undefined() -> None:
    cells = metric_cells(ReportedMetric("CIDEr", 0.0, 0.0, 0.0, defined=False))
    assert cells[:3] == ("CIDEr", "undefined", "-")
