"""What a format has a place for: regions with a class, captions, or lines of text."""

from __future__ import annotations

from ...results.tasks import CAPTIONS, AnswerKind

# The keys of ``exporter_registry.WRITERS``, which need not be imported to show a help text.
TARGETS = (
    "coco",
    "yolo",
    "yolo-segments",
    "yolo-corners",
    "voc",
    "cvat",
    "label-studio",
    "jsonl",
    "csv",
    "sidecars",
    "hocr",
    "pdf",
)
_REGIONS = frozenset({"yolo", "yolo-segments", "yolo-corners", "voc"})
_REGIONS_AND_CAPTIONS = frozenset({"coco", "cvat", "label-studio"})
_LINES = frozenset({"hocr", "pdf"})
# Its text is the class of the region that was asked about.
_TEXT_OF_A_REGION = "<REGION_TO_CATEGORY>"


def holds_answer(format: str, task: str, kind: AnswerKind) -> bool:
    """Whether ``format`` has a place for answers of ``kind`` to a task, known by its token."""
    if format in _LINES:
        return kind == "quads"
    if kind != "text" or task == _TEXT_OF_A_REGION:
        return True
    if format in _REGIONS_AND_CAPTIONS:
        return task in CAPTIONS
    return format not in _REGIONS


def holds_objects(format: str) -> bool:
    """Whether ``format`` has a place for the objects that a dataset labels."""
    return format not in _LINES


def holds_images(format: str) -> bool:
    """Whether what ``format`` writes is of use without any answer: the pages of a PDF."""
    return format == "pdf"


def name_contents(format: str) -> str:
    """What ``format`` holds, in the words of a message."""
    if format in _LINES:
        return "lines of text"
    return "regions" if format in _REGIONS else "regions and captions"
