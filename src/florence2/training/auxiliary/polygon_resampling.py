"""Answers told more simply than the labels have them, for a small model."""

from __future__ import annotations

from ...results.geometry import resample_polygons
from ...results.types import Polygons


def resample_record_polygons(outlines: Polygons, corners: int) -> Polygons:
    """The outlines with ``corners`` vertices each, at even distances from the first on.

    The parts of one instance share them out by their lengths and get at least four. Every answer
    then has the same number of steps, so that how long a step is does not have to be guessed: with
    many and various short ones a model that says the likeliest next corner creeps.
    """
    polygons = [
        resample_polygons([part for part in parts if len(part)], corners)
        for parts in outlines.polygons
    ]
    return Polygons(
        polygons, outlines.labels, outlines.image_size, outlines.scores, outlines.label_scores
    )
