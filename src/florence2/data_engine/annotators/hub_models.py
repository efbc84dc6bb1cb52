"""Annotators from the Hub, through transformers: detection, grounding, masks, captions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from ...io.extras import optional_import
from ...processing.image import load_image
from ...results.records import Annotation, Annotator, Record
from ...results.types import Boxes, Polygons, Text
from ...synthetic.mask_polygons import trace_polygons
from ..caption_parsing import parse_caption
from .student import GROUNDING, SEGMENTATION, list_texts

_MAX_BOXES = 20


class _Hub:
    """A model and its processor from the Hub or a directory, on a device."""

    def __init__(self, source: str, model_class: str, name: str, device: str | None) -> None:
        from ...inference.predictor import default_device

        library = optional_import("transformers", "transformers")
        self.device = device or default_device()
        self.processor: Any = library.AutoProcessor.from_pretrained(source)
        loaded = getattr(library, model_class).from_pretrained(source)
        self.model: Any = loaded.to(self.device).eval()
        revision = getattr(self.model.config, "_commit_hash", None) or ""
        self.annotator = Annotator(name, str(source), revision)

    def images(self, records: Sequence[Record]) -> list[Image.Image]:
        return [load_image(record.image_bytes()) for record in records]

    def sizes(self, records: Sequence[Record]) -> list[tuple[int, int]]:
        """Heights and widths in pixels, as transformers takes them."""
        return [(record.height, record.width) for record in records]


class HubDetector(_Hub):
    """Detection by DETR, RT-DETR, D-FINE or another detector of transformers."""

    def __init__(self, source: str, *, min_score: float = 0.1, device: str | None = None) -> None:
        super().__init__(source, "AutoModelForObjectDetection", "detector", device)
        self._min_score = min_score

    def annotate(self, records: Sequence[Record]) -> list[tuple[Annotation, ...]]:
        """``<OD>`` for each record, with the model's class names."""
        inputs = self.processor(images=self.images(records), return_tensors="pt").to(self.device)
        with torch.inference_mode():
            outputs = self.model(**inputs)
        found = self.processor.post_process_object_detection(
            outputs, threshold=self._min_score, target_sizes=self.sizes(records)
        )
        names = self.model.config.id2label
        return [
            (
                Annotation(
                    "<OD>",
                    Boxes(
                        each["boxes"].float().cpu().numpy(),
                        [names[int(label)] for label in each["labels"]],
                        record.image_size,
                        scores=each["scores"].float().cpu().numpy(),
                    ),
                    annotator=self.annotator,
                ),
            )
            for record, each in zip(records, found, strict=True)
        ]


class GroundingDetector(_Hub):
    """Boxes for the noun phrases of earlier captions, by Grounding DINO and similar models."""

    def __init__(
        self,
        source: str,
        *,
        box_threshold: float = 0.3,
        text_threshold: float = 0.25,
        device: str | None = None,
    ) -> None:
        super().__init__(source, "AutoModelForZeroShotObjectDetection", "grounding", device)
        self._box_threshold, self._text_threshold = box_threshold, text_threshold

    def annotate(self, records: Sequence[Record]) -> list[tuple[Annotation, ...]]:
        """``<CAPTION_TO_PHRASE_GROUNDING>`` for each caption of each record."""
        return [
            tuple(self._ground(record, text) for text in list_texts(record.kept()))
            for record in records
        ]

    def _ground(self, record: Record, text: str) -> Annotation:
        facts = parse_caption(text)
        phrases = list(dict.fromkeys(phrase.lower() for phrase in facts.phrases if phrase))
        xyxy, labels, scores = np.zeros((0, 4), np.float32), [], np.zeros(0, np.float32)
        if phrases:
            prompt = ". ".join(phrases) + "."
            inputs = self.processor(
                images=load_image(record.image_bytes()), text=prompt, return_tensors="pt"
            ).to(self.device)
            with torch.inference_mode():
                outputs = self.model(**inputs)
            (found,) = self.processor.post_process_grounded_object_detection(
                outputs,
                inputs["input_ids"],
                threshold=self._box_threshold,
                text_threshold=self._text_threshold,
                target_sizes=self.sizes([record]),
            )
            xyxy, scores = found["boxes"].cpu().numpy(), found["scores"].cpu().numpy()
            labels = [_match_phrase(str(label), phrases) for label in found["text_labels"]]
        boxes = Boxes(xyxy, labels, record.image_size, scores=scores)
        return Annotation(GROUNDING, boxes, text=text, annotator=self.annotator)


class SamSegmenter(_Hub):
    """Polygons for earlier boxes, by SAM: grounded phrases first, then detected objects."""

    def __init__(self, source: str, *, device: str | None = None) -> None:
        super().__init__(source, "AutoModelForMaskGeneration", "masks", device)

    def annotate(self, records: Sequence[Record]) -> list[tuple[Annotation, ...]]:
        """``<REFERRING_EXPRESSION_SEGMENTATION>`` for phrases, ``<REGION_TO_SEGMENTATION>`` for
        the boxes of detection."""
        return [self._segment(record) for record in records]

    def _segment(self, record: Record) -> tuple[Annotation, ...]:
        prompts = _list_boxes(record)[:_MAX_BOXES]
        if not prompts:
            return ()
        image = load_image(record.image_bytes())
        inputs = self.processor(
            image, input_boxes=[[list(box) for _, box in prompts]], return_tensors="pt"
        ).to(self.device)
        with torch.inference_mode():
            outputs = self.model(**inputs, multimask_output=False)
        sizes = [inputs["original_sizes"].cpu()]
        if "reshaped_input_sizes" in inputs:
            sizes.append(inputs["reshaped_input_sizes"].cpu())
        (masks,) = self.processor.image_processor.post_process_masks(
            outputs.pred_masks.cpu(), *sizes
        )
        scores = outputs.iou_scores.float().cpu().reshape(len(prompts), -1)[:, 0].tolist()
        annotations = []
        for (phrase, box), mask, score in zip(prompts, masks[:, 0].numpy(), scores, strict=True):
            contours = trace_polygons(np.asarray(mask, bool))
            polygons = Polygons(
                [contours] if contours else [], [phrase] if contours else [], record.image_size
            )
            task = SEGMENTATION if phrase else "<REGION_TO_SEGMENTATION>"
            annotations.append(
                Annotation(
                    task,
                    polygons,
                    text=phrase,
                    region=None if phrase else box,
                    annotator=self.annotator,
                    score=score,
                )
            )
        return tuple(annotations)


class Captioner(_Hub):
    """Captions by BLIP or another image-to-text model of transformers."""

    def __init__(self, source: str, *, max_new_tokens: int = 40, device: str | None = None) -> None:
        super().__init__(source, "AutoModelForImageTextToText", "captioner", device)
        self._max_new_tokens = max_new_tokens

    def annotate(self, records: Sequence[Record]) -> list[tuple[Annotation, ...]]:
        """``<CAPTION>`` for each record."""
        inputs = self.processor(images=self.images(records), return_tensors="pt").to(self.device)
        with torch.inference_mode():
            ids = self.model.generate(**inputs, max_new_tokens=self._max_new_tokens)
        texts = self.processor.batch_decode(ids, skip_special_tokens=True)
        return [
            (Annotation("<CAPTION>", Text(text.strip()), annotator=self.annotator),)
            for text in texts
        ]


def _list_boxes(record: Record) -> list[tuple[str, tuple[float, float, float, float]]]:
    """The boxes to segment with their phrases; the phrase of a detected object is empty."""
    found = []
    for task in (GROUNDING, "<OD>"):
        for each in record.kept():
            if each.task == task and isinstance(each.answer, Boxes):
                for label, box in zip(each.answer.labels, each.answer.xyxy.tolist(), strict=True):
                    x0, y0, x1, y1 = box
                    found.append((label if task == GROUNDING else "", (x0, y0, x1, y1)))
    return found


def _match_phrase(label: str, phrases: Sequence[str]) -> str:
    """The phrase that a box belongs to: the model labels boxes with pieces of its prompt."""
    words = set(label.lower().split())
    best = max(phrases, key=lambda phrase: len(words & set(phrase.split())))
    return best if words & set(best.split()) else label
