"""Answers told more simply than the labels have them, for a small model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..geometry import evenly_spaced, shared_out
from ..results import Polygons

_FEWEST = 4


def with_even_corners(outlines: Polygons, corners: int) -> Polygons:
    """The outlines with ``corners`` vertices each, at even distances from the first on.

    The parts of one instance share them out by their lengths and get at least four. Every answer
    then has the same number of steps, so that how long a step is does not have to be guessed: with
    many and various short ones a model that says the likeliest next corner creeps.
    """
    polygons = [_instance(parts, corners) for parts in outlines.polygons]
    return Polygons(
        polygons, outlines.labels, outlines.image_size, outlines.scores, outlines.label_scores
    )


def _instance(parts: tuple[NDArray[np.float32], ...], corners: int) -> list[NDArray[np.float32]]:
    drawn = [part for part in parts if len(part)]
    shares = shared_out(corners, [_length(part) for part in drawn], _FEWEST)
    return [evenly_spaced(part, share) for part, share in zip(drawn, shares, strict=True)]


def _length(polygon: NDArray[np.float32]) -> float:
    """All round."""
    return float(np.hypot(*(np.roll(polygon, -1, axis=0) - polygon).T).sum())
