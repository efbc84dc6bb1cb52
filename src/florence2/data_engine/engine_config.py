"""The settings of an engine run, and how they are stored in its directory."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..io.deprecation import renamed_fields, warn_renamed
from ..io.messages import suggest
from ..io.options import check_options, option
from ..io.run_dir import RunFormat
from ..results.tasks import CAPTIONS, find_task

if TYPE_CHECKING:
    from .annotators import AnnotatorSpec
    from .chunk_files import EngineFiles

CHUNK_SIZE = 64
REGION_TASKS = (
    "<OD>",
    "<DENSE_REGION_CAPTION>",
    "<REGION_PROPOSAL>",
    "<OCR>",
    "<OCR_WITH_REGION>",
)
# Names of release 0.1.
OLD_ANNOTATOR_NAMES = {"colour-regions": "region-proposals"}
OLD_THRESHOLDS = {
    "least_confidence": "min_confidence",
    "object_complexity": "min_object_complexity",
    "action_complexity": "min_action_complexity",
    "most_objects": "max_objects",
    "same_text": "max_text_similarity",
    "least_area": "min_area",
    "least_side": "min_side",
    "overlap": "nms_iou",
    "named_shown": "min_mentioned_detected",
    "agreeing": "min_agreement",
}


@renamed_fields(**OLD_THRESHOLDS)
@dataclass(frozen=True)
class Thresholds:
    """The thresholds of all filters.

    Args:
        confidence: Minimum confidence by annotator. The defaults have the highest F1, of detectors
            on COCO photographs and of text lines on synthetic images; docs/engine.md has the
            curves.
        min_confidence: Minimum confidence of the other annotators.
        min_object_complexity: Minimum mean degree of a text's objects in the dependency parse.
        min_action_complexity: The same for its actions; 0 turns the filter off.
        max_objects: Maximum number of objects in a text.
        max_text_similarity: Two texts that share this fraction of their words are the same.
        min_area: Minimum area of a region, as a fraction of the image's.
        min_side: Minimum side of a region, in pixels.
        nms_iou: IoU above which the lower-scoring of two boxes of a class is dropped.
        min_mentioned_detected: Minimum fraction of the objects in a text that are detected, among
            those that the detectors know.
        min_agreement: Minimum number of detectors that find an object.

    Raises:
        ValueError: A threshold is out of range.
    """

    confidence: Mapping[str, float] = field(
        default_factory=lambda: {
            "ssd-mobilenet": 0.3,
            "ssd-mobilenet-mirrored": 0.3,
            "rapidocr": 0.8,
        }
    )
    min_confidence: float = 0.0
    min_object_complexity: float = 1.0
    min_action_complexity: float = 0.0
    max_objects: int = 40
    max_text_similarity: float = 0.9
    min_area: float = 0.0004
    min_side: float = 4.0
    nms_iou: float = 0.6
    min_mentioned_detected: float = 0.5
    min_agreement: int = 1

    def __post_init__(self) -> None:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        confidence = values.pop("confidence")
        values |= {f"confidence.{name}": value for name, value in confidence.items()}
        for name, value in values.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
                raise ValueError(f"threshold {name} must be a number of at least 0, got {value!r}")
        for name, minimum in (("min_agreement", 1), ("max_objects", 0)):
            if values[name] % 1 != 0 or values[name] < minimum:
                raise ValueError(
                    f"threshold {name} must be a whole number of at least {minimum}, got "
                    f"{values[name]!r}"
                )
        fractions = ("max_text_similarity", "min_area", "nms_iou", "min_mentioned_detected")
        for name in (*fractions, "min_confidence", *(each for each in values if "." in each)):
            if values[name] > 1:
                raise ValueError(f"threshold {name} must be from 0 to 1, got {values[name]!r}")

    @classmethod
    def from_settings(cls, settings: Sequence[str]) -> Thresholds:
        """The default thresholds with ``NAME=VALUE`` changes.

        ``confidence.ANNOTATOR=VALUE`` sets the threshold of one annotator.

        Raises:
            ValueError: A setting is not written so, has an unknown name or is out of range.
        """
        thresholds = cls()
        names = [each.name for each in fields(cls) if each.name != "confidence"]
        for setting in settings:
            name, _, text = setting.partition("=")
            try:
                value = json.loads(text)
                number = float(value)
            except (ValueError, TypeError) as error:
                raise ValueError(f"a threshold is written NAME=NUMBER, got {setting!r}") from error
            group, _, annotator = name.partition(".")
            if name in OLD_THRESHOLDS:
                warn_renamed(f"threshold {name!r}", repr(OLD_THRESHOLDS[name]))
                name = OLD_THRESHOLDS[name]
            if group == "confidence" and annotator:
                annotator = OLD_ANNOTATOR_NAMES.get(annotator, annotator)
                confidence = {**thresholds.confidence, annotator: number}
                thresholds = replace(thresholds, confidence=confidence)
            elif name in names:
                thresholds = replace(thresholds, **{name: value})
            else:
                raise ValueError(
                    f"unknown threshold {name!r}; available: {', '.join(names)} and "
                    f"confidence.ANNOTATOR{suggest(name, names)}"
                )
        return thresholds

    def confidence_of(self, annotator: str) -> float:
        """The minimum confidence of an annotator."""
        name = OLD_ANNOTATOR_NAMES.get(annotator, annotator)
        return self.confidence.get(name, self.min_confidence)


@dataclass(frozen=True)
class StudentConfig:
    """How students are trained, and what they predict.

    Args:
        recipe: Recipe of ``florence2 train``.
        settings: Its ``--set`` values.
        validation: Shards with ground truth, whose metrics go into the report.
        tasks: Tasks that the student predicts.
        workers: Number of workers that run the student.
        cpus: CPUs of each worker.
        gpus: GPUs of each worker.
        batch_size: Images for each call of the student.

    Raises:
        ValueError: A task is unknown.
    """

    recipe: str = option("fine-tune", help="Recipe that trains the students.")
    settings: tuple[str, ...] = option(
        (), flags=("--set",), metavar="NAME=VALUE", help="Change a recipe field. Repeatable."
    )
    validation: Path | None = option(None, help="Validation shards with ground truth.")
    tasks: tuple[str, ...] = option(
        (*CAPTIONS, *REGION_TASKS),
        flags=("--student-task",),
        shown_default="captions and regions",
        help="Task that the student predicts. Repeatable.",
    )
    workers: int = 1
    cpus: float = 1
    gpus: float = 0
    batch_size: int = 16

    def __post_init__(self) -> None:
        object.__setattr__(self, "tasks", tuple(find_task(task).token for task in self.tasks))

    def to_dict(self) -> dict[str, Any]:
        """The values that shape the students, as the run stores them."""
        return {
            "recipe": self.recipe,
            "settings": list(self.settings),
            "validation": None if self.validation is None else str(self.validation),
            "tasks": list(self.tasks),
        }


@dataclass(frozen=True)
class EngineConfig:
    """Settings of ``run_engine``.

    Args:
        rounds: Number of self-training rounds after the first annotation.
        student: How students are trained; used with ``rounds``.
        thresholds: Thresholds of the filters.
        chunk_size: Images for each file.
        workers: Number of workers that index images.

    Raises:
        ValueError: A number is out of range.
    """

    rounds: int = option(0, min=0, max=1000, help="Number of self-training rounds.")
    student: StudentConfig = field(default_factory=StudentConfig)
    thresholds: Thresholds = field(default_factory=Thresholds)
    chunk_size: int = option(
        CHUNK_SIZE, min=1, max=1_000_000, old_flags=("--part-size",), help="Images per chunk."
    )
    workers: int = 1

    def __post_init__(self) -> None:
        check_options(self)


_RUN_FORMAT = RunFormat(
    kind="data engine",
    partial=True,
    renamed={
        "part_size": "chunk_size",
        "specialists": "annotators",
        **{f"specialists.{old}": new for old, new in OLD_ANNOTATOR_NAMES.items()},
        **{f"thresholds.{old}": new for old, new in OLD_THRESHOLDS.items()},
        **{f"thresholds.confidence.{old}": new for old, new in OLD_ANNOTATOR_NAMES.items()},
    },
    remedy="call it with the same settings, or choose another directory",
)


def make_settings(
    source: str, specs: Sequence[AnnotatorSpec], config: EngineConfig
) -> dict[str, Any]:
    """What a run stores of its settings: everything that shapes the annotations.

    More ``rounds`` are not another run. The student's settings are stored once it is trained.
    """
    settings: dict[str, Any] = {
        "source": _resolve_source(source),
        "chunk_size": config.chunk_size,
        "annotators": {spec.name: spec.identity or spec.name for spec in specs},
        "thresholds": asdict(config.thresholds),
    }
    if config.rounds:
        settings["student"] = config.student.to_dict()
    return settings


def make_run_format(files: EngineFiles, settings: dict[str, Any]) -> RunFormat:
    """How the stored settings of the run in ``files`` are read, release 0.1's included."""
    annotators = {path.name for path in files.annotators(0).glob("*")}
    upgrade = functools.partial(_upgrade, annotators, settings["annotators"])
    return replace(_RUN_FORMAT, upgrade=upgrade)


def _upgrade(
    annotators: set[str], requested: dict[str, str], stored: dict[str, Any]
) -> dict[str, Any]:
    """Settings of an earlier release in the current form.

    Some have a relative source. The oldest have no annotators: these are known by their files.
    """
    if "source" not in stored:
        raise ValueError("it is not of a data engine run")
    stored = {**stored, "source": _resolve_source(stored["source"])}
    names = {OLD_ANNOTATOR_NAMES.get(name, name) for name in annotators}
    if "annotators" in stored:
        stored["annotators"] = {
            name: OLD_ANNOTATOR_NAMES.get(identity, identity)
            for name, identity in stored["annotators"].items()
        }
    elif not names <= requested.keys():
        stored["annotators"] = {name: requested.get(name, name) for name in names}
    return stored


def _resolve_source(source: str) -> str:
    return source if "://" in source else os.path.abspath(source)
