"""OCR engines from packages: RapidOCR and Tesseract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...io.extras import optional_import
from ...processing.image import load_image
from ...results.records import Annotation, Annotator, Record
from ...results.types import Quads, Text


class RapidOcr:
    """Text lines as quads, by RapidOCR with the ONNX models of its package (Apache-2.0)."""

    def __init__(self, min_score: float = 0.0) -> None:
        module = optional_import("rapidocr", "rapidocr onnxruntime")
        self.annotator = Annotator("rapidocr", _version("rapidocr"))
        self._engine = module.RapidOCR(
            params={
                "Global.log_level": "critical",
                "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            }
        )
        self._min_score = min_score

    def annotate(self, records: Sequence[Record]) -> list[tuple[Annotation, ...]]:
        """``<OCR_WITH_REGION>`` and ``<OCR>`` for each record; no lines without text."""
        return [self._read(record) for record in records]

    def _read(self, record: Record) -> tuple[Annotation, ...]:
        pixels = np.asarray(load_image(record.image_bytes()))
        found = self._engine(np.ascontiguousarray(pixels[..., ::-1]), text_score=self._min_score)
        corners = [] if found.boxes is None else [np.asarray(box) for box in found.boxes]
        texts = () if found.txts is None else found.txts
        scores = () if found.scores is None else found.scores
        return make_line_annotations(corners, texts, scores, record, self.annotator)


class Tesseract:
    """Text lines by Tesseract, through ``tesserocr``; ``data`` is the directory of its models."""

    def __init__(self, data: str = "", language: str = "eng") -> None:
        module = optional_import("tesserocr", "tesserocr")
        self.annotator = Annotator("tesseract", module.tesseract_version().split()[1], language)
        options = {"path": data} if data else {}
        self._module = module
        self._engine = module.PyTessBaseAPI(lang=language, **options)

    def annotate(self, records: Sequence[Record]) -> list[tuple[Annotation, ...]]:
        """``<OCR_WITH_REGION>`` and ``<OCR>`` for each record, from axis-aligned line boxes."""
        return [self._read(record) for record in records]

    def _read(self, record: Record) -> tuple[Annotation, ...]:
        self._engine.SetImage(load_image(record.image_bytes()))
        self._engine.Recognize()
        corners, texts, scores = [], [], []
        level = self._module.RIL.TEXTLINE
        found = self._engine.GetIterator()
        # Reading the text of an empty line is an error.
        lines = () if found is None else self._module.iterate_level(found, level)
        for line in lines:
            box, text = line.BoundingBox(level), _read_text(line, level)
            if box is not None and text:
                x0, y0, x1, y1 = box
                corners.append(np.asarray([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]))
                texts.append(text)
                scores.append(line.Confidence(level) / 100)
        return make_line_annotations(corners, texts, scores, record, self.annotator)


def make_line_annotations(
    corners: Sequence[NDArray[Any]],
    texts: Sequence[str],
    scores: Sequence[float],
    record: Record,
    annotator: Annotator,
) -> tuple[Annotation, ...]:
    """Text lines as ``<OCR_WITH_REGION>`` and ``<OCR>``, sorted from top to bottom."""
    order = sorted(
        range(len(texts)), key=lambda index: (corners[index][:, 1].mean(), corners[index][0, 0])
    )
    quads = Quads(
        np.asarray([corners[index] for index in order], np.float32).reshape(-1, 4, 2),
        [texts[index] for index in order],
        record.image_size,
        scores=[float(scores[index]) for index in order],
    )
    score = float(np.mean([scores[index] for index in order])) if order else None
    text = Text("\n".join(texts[index] for index in order), score)
    annotations = [Annotation("<OCR_WITH_REGION>", quads, annotator=annotator, score=score)]
    if order:
        annotations.append(Annotation("<OCR>", text, annotator=annotator, score=score))
    return tuple(annotations)


def _read_text(line: Any, level: int) -> str:
    return "" if line.Empty(level) else line.GetUTF8Text(level).strip()


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)
