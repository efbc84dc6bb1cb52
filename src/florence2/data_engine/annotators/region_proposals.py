"""Regions without a model: what stands out from its surroundings by colour and edges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...io.extras import optional_import
from ...processing.image import load_image
from ...results.geometry import non_maximum_suppression
from ...results.records import Annotation, Annotator, Record
from ...results.types import Boxes

_SIDE = 256
_LEVELS = (24, 48, 80)


class RegionProposals:
    """At most ``most`` boxes a picture, of connected areas of like colour at several grains."""

    annotator = Annotator("colour-regions", "1")

    def __init__(self, most: int = 30) -> None:
        self._cv2 = optional_import("cv2", "opencv-python-headless")
        self._most = most

    def annotate(self, records: Sequence[Record]) -> list[tuple[Annotation, ...]]:
        """``<REGION_PROPOSAL>`` of each record, those that stand out most first."""
        return [(self._propose(record),) for record in records]

    def _propose(self, record: Record) -> Annotation:
        image = load_image(record.image_bytes())
        scale = _SIDE / max(image.size)
        small = image.resize([max(8, round(side * scale)) for side in image.size])
        colours = self._cv2.cvtColor(np.asarray(small), self._cv2.COLOR_RGB2LAB)
        smooth = self._cv2.pyrMeanShiftFiltering(colours, 6, 14)
        found = [box for level in _LEVELS for box in self._areas(smooth, level)]
        rows = np.asarray(found, np.float32).reshape(-1, 5)
        kept = non_maximum_suppression(rows[:, :4], rows[:, 4], 0.7)[: self._most]
        boxes = Boxes(
            rows[kept, :4] / scale, [""] * len(kept), record.image_size, scores=rows[kept, 4]
        )
        return Annotation("<REGION_PROPOSAL>", boxes, annotator=self.annotator)

    def _areas(self, colours: NDArray[np.uint8], step: int) -> list[list[float]]:
        """Boxes ``[x0, y0, x1, y1, score]`` of areas whose colours agree to ``step`` levels."""
        height, width = colours.shape[:2]
        levels = colours.astype(np.int32) // step
        names = levels[..., 0] * 4096 + levels[..., 1] * 64 + levels[..., 2]
        found = []
        for name in np.unique(names):
            _, _, measures, _ = self._cv2.connectedComponentsWithStats(
                (names == name).astype(np.uint8), connectivity=4
            )
            for x, y, wide, high, area in measures[1:]:
                share = area / (width * height)
                if 0.003 < share < 0.6 and wide < 0.97 * width and high < 0.97 * height:
                    # An area that fills its box is likelier a thing than one that winds about.
                    score = float(area / (wide * high)) * min(1.0, 4 * float(share) ** 0.5)
                    found.append([x, y, x + wide, y + high, score])
        return found
