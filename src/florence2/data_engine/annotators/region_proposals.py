"""Region proposals without a model: areas of similar color at several levels."""

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
_COLOR_STEPS = (24, 48, 80)


class RegionProposals:
    """At most ``max_boxes`` boxes for each image, around connected areas of similar color."""

    annotator = Annotator("region-proposals", "1")

    def __init__(self, max_boxes: int = 30) -> None:
        self._cv2 = optional_import("cv2", "opencv-python-headless")
        self._max_boxes = max_boxes

    def annotate(self, records: Sequence[Record]) -> list[tuple[Annotation, ...]]:
        """``<REGION_PROPOSAL>`` for each record, highest score first."""
        return [(self._propose(record),) for record in records]

    def _propose(self, record: Record) -> Annotation:
        image = load_image(record.image_bytes())
        scale = _SIDE / max(image.size)
        small = image.resize([max(8, round(side * scale)) for side in image.size])
        colors = self._cv2.cvtColor(np.asarray(small), self._cv2.COLOR_RGB2LAB)
        smooth = self._cv2.pyrMeanShiftFiltering(colors, 6, 14)
        found = [box for step in _COLOR_STEPS for box in self._find_areas(smooth, step)]
        rows = np.asarray(found, np.float32).reshape(-1, 5)
        kept = non_maximum_suppression(rows[:, :4], rows[:, 4], 0.7)[: self._max_boxes]
        boxes = Boxes(
            rows[kept, :4] / scale, [""] * len(kept), record.image_size, scores=rows[kept, 4]
        )
        return Annotation("<REGION_PROPOSAL>", boxes, annotator=self.annotator)

    def _find_areas(self, colors: NDArray[np.uint8], step: int) -> list[list[float]]:
        """Boxes ``[x0, y0, x1, y1, score]`` of areas whose colors are equal when divided by
        ``step``."""
        height, width = colors.shape[:2]
        levels = colors.astype(np.int32) // step
        keys = levels[..., 0] * 4096 + levels[..., 1] * 64 + levels[..., 2]
        found = []
        for key in np.unique(keys):
            _, _, stats, _ = self._cv2.connectedComponentsWithStats(
                (keys == key).astype(np.uint8), connectivity=4
            )
            for x, y, box_width, box_height, area in stats[1:]:
                share = area / (width * height)
                fits = box_width < 0.97 * width and box_height < 0.97 * height
                if 0.003 < share < 0.6 and fits:
                    # An area that fills its box is more likely an object than a winding one.
                    score = float(area / (box_width * box_height)) * min(1.0, 4 * share**0.5)
                    found.append([x, y, x + box_width, y + box_height, score])
        return found
