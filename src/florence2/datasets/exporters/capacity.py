"""What each export format can hold: regions with a class, captions, or lines of text."""

from __future__ import annotations

from ...io.deprecation import warn_renamed
from ...results.tasks import CAPTIONS, AnswerKind

# The keys of ``exporter_registry.EXPORTERS``, which need not be imported to show a help text.
TARGETS = (
    "coco",
    "yolo",
    "yolo-seg",
    "yolo-obb",
    "voc",
    "cvat",
    "label-studio",
    "jsonl",
    "csv",
    "sidecars",
    "hocr",
    "pdf",
)
# Names of release 0.1 -> names of today.
RENAMED_TARGETS = {"yolo-segments": "yolo-seg", "yolo-corners": "yolo-obb"}
_REGIONS = frozenset({"yolo", "yolo-seg", "yolo-obb", "voc"})
_REGIONS_AND_CAPTIONS = frozenset({"coco", "cvat", "label-studio"})
_LINES = frozenset({"hocr", "pdf"})
# The task whose text is the class of the given region.
_TEXT_OF_A_REGION = "<REGION_TO_CATEGORY>"


def current_target(format: str) -> str:
    """The name of today for an export format; a name of release 0.1 warns."""
    if format in RENAMED_TARGETS:
        warn_renamed(f"format {format!r}", repr(RENAMED_TARGETS[format]))
    return RENAMED_TARGETS.get(format, format)


def holds_answer(format: str, task: str, kind: AnswerKind) -> bool:
    """Whether ``format`` can hold answers of ``kind`` to the task with the token ``task``."""
    if format in _LINES:
        return kind == "quads"
    if kind != "text" or task == _TEXT_OF_A_REGION:
        return True
    if format in _REGIONS_AND_CAPTIONS:
        return task in CAPTIONS
    return format not in _REGIONS


def holds_objects(format: str) -> bool:
    """Whether ``format`` can hold the labeled objects of a dataset."""
    return format not in _LINES


def holds_images(format: str) -> bool:
    """Whether ``format`` holds the images themselves, as the pages of a PDF."""
    return format == "pdf"


def name_contents(format: str) -> str:
    """What ``format`` holds, for a message."""
    if format in _LINES:
        return "lines of text"
    return "regions" if format in _REGIONS else "regions and captions"
