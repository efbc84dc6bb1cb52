"""What of the options of a run can apply: the others are refused by name before any work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..datasets.exporters.capacity import TARGETS
from ..io.messages import suggest
from ..results.tasks import CAPTIONS, find_task
from ..workflows.labeling.label_requests import Question
from ..workflows.labeling.sources import Source

if TYPE_CHECKING:
    from ..workflows.tiling import Tiling

JSON_LINES = "jsonl"
# Formats that name classes, and those that have a place for images beside their labels.
_WITH_CLASSES = frozenset(TARGETS) - {JSON_LINES, "hocr", "pdf"}
_WITH_IMAGES = frozenset(TARGETS) - {JSON_LINES, "csv", "pdf"}
# What changes regions only.
_OF_REGIONS = ("min_score", "nms_iou", "fix_inverted_boxes", "clip", "ascii_labels")


def split_formats(values: Sequence[str] | None) -> list[str]:
    """The formats of ``--format``, given several times or separated by commas, each once.

    Raises ``ValueError`` with the nearest one for a format that there is not.
    """
    names = [name.strip() for value in values or (JSON_LINES,) for name in value.split(",")]
    for name in names:
        if name not in TARGETS:
            near = suggest(name, TARGETS)
            raise ValueError(f"--format {name!r} is none of {', '.join(TARGETS)}{near}")
    return list(dict.fromkeys(names))


def check_formats(
    formats: Sequence[str],
    *,
    has_out: bool,
    sidecars: bool,
    texts: dict[str, Any],
    caption: str | None,
    pictures: bool,
    link_images: bool,
    classes: str | None,
    asks_classes: bool,
) -> None:
    """Raise ``ValueError`` for options of writing that no format of the run takes.

    ``texts`` are prefix, suffix and trigger as given, ``asks_classes`` whether ``classes`` are
    asked for, too.
    """
    others = [name for name in formats if name != JSON_LINES]
    if others and not has_out:
        raise ValueError(f"--format {others[0]} needs a folder to write to; add --out DIR")
    if sidecars and "sidecars" in formats:
        raise ValueError(
            "--sidecars and --format sidecars write the same files; take one of them: --sidecars "
            "holds the words of all answers, --format sidecars one text for training"
        )
    if "sidecars" not in formats:
        for name, value in {**texts, "caption": caption}.items():
            if value is not None:
                raise ValueError(f"--{name} is of no use without --format sidecars")
    if not pictures and not _WITH_IMAGES & set(formats):
        raise ValueError("--no-pictures is of no use: no format of this run has images")
    if link_images and not _WITH_IMAGES & set(formats):
        raise ValueError("--link-images is of no use: no format of this run has images")
    if classes is not None and not asks_classes and not _WITH_CLASSES & set(formats):
        raise ValueError(
            "--classes is of no use: no format of this run has classes, and no task asks for them; "
            "add --format, for example yolo, or --task open-vocabulary-detection"
        )


def check_caption(caption: str | None, questions: Sequence[Question], resume: bool) -> None:
    """Raise ``ValueError`` for a ``--caption`` that is no caption task of the run."""
    if caption is None:
        return
    names = [find_task(token).name for token in CAPTIONS]
    try:
        token = find_task(caption).token
    except ValueError:
        token = ""
    if token not in CAPTIONS:
        near = suggest(caption, names)
        raise ValueError(f"--caption {caption!r} is none of {', '.join(names)}{near}")
    if not resume and token not in {each.task.token for each in questions}:
        raise ValueError(f"--caption {caption} is not asked for in this run; add --task {caption}")


def check_places(formats: Sequence[str], questions: Sequence[Question], resume: bool) -> None:
    """Raise ``ValueError`` for a format that has no place for any answer of the run.

    The lines of a run that is resumed may hold answers to other tasks.
    """
    from ..datasets.exporters.capacity import holds_answer, holds_images, name_contents

    tasks = [each.task for each in questions]
    for name in formats if not resume else ():
        held = any(holds_answer(name, each.token, each.answer) for each in tasks)
        if not held and not holds_images(name):
            task = "ocr-with-region" if name == "hocr" else "object-detection"
            raise ValueError(
                f"--format {name} holds {name_contents(name)}, and no task of this run answers "
                f"with any; add --task {task}, or take another format"
            )


def check_questions(
    questions: Sequence[Question], answering: dict[str, Any], tiling: Tiling | None
) -> None:
    """Raise ``ValueError`` for options that change nothing in the answers to ``questions``."""
    if all(each.task.answer == "text" for each in questions):
        for name in _OF_REGIONS:
            if name in answering:
                option = name.replace("_", "-")
                raise ValueError(f"--{option} is of no use: all tasks of this run answer with text")
    if tiling is not None and not any(_takes_tiles(each) for each in questions):
        raise ValueError(
            "--tiles is of no use: no task of this run finds regions in the whole image"
        )


def _takes_tiles(question: Question) -> bool:
    from ..inference.cascades import find_cascade

    return question.task.answer != "text" and find_cascade(question.task.token) is None


def check_every(given: bool, every: float, images: Sequence[Source]) -> None:
    """Raise ``ValueError`` for ``--every`` where nothing among the sources has moments."""
    if given and not any(each.is_timed for each in images):
        raise ValueError(f"--every {every:g} is of no use: no source is a video or an animation")


def check_decoding(options: dict[str, Any]) -> None:
    """Raise ``ValueError`` for values that decoding or the reading of answers does not take."""
    from ..inference.prepared import InferenceConfig

    InferenceConfig.of(options)
