"""Numbers on a report's page."""

from __future__ import annotations

import pytest

from florence2.evaluation.markdown import cell, figure_cells, fixed
from florence2.evaluation.report import ReportedFigure


@pytest.mark.parametrize(
    ("value", "shown"), [(-0.04, "0.0"), (-0.0, "0.0"), (-0.06, "-0.1"), (12.34, "12.3")]
)
def test_no_zero_has_a_sign(value: float, shown: str) -> None:
    assert fixed(value, 1) == shown
    assert not cell(-0.001).startswith("-")


def test_what_images_cannot_give_is_undefined() -> None:
    cells = figure_cells(ReportedFigure("CIDEr", 0.0, 0.0, 0.0, defined=False))
    assert cells[:3] == ("CIDEr", "undefined", "-")
