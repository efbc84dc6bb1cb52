"""How a dataset is written in the format of another tool."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...io.deprecation import renamed_fields
from ...io.messages import suggest
from ...io.options import option
from ...results.tasks import CAPTIONS, find_task
from .capacity import RENAMED_TARGETS, TARGETS

if TYPE_CHECKING:
    from .class_map import ClassMap

_SIDECARS = frozenset({"sidecars"})
# Formats that have images beside their labels.
WITH_IMAGES = frozenset(TARGETS) - {"jsonl", "csv", "pdf"}
# The formats that each option applies to.
_APPLIES_TO = {
    "classes": frozenset(TARGETS) - {"jsonl", "hocr", "pdf"},
    "copy_images=False": frozenset(TARGETS) - {"pdf"},
    "link_images": WITH_IMAGES,
    "prefix": _SIDECARS,
    "suffix": _SIDECARS,
    "trigger": _SIDECARS,
    "caption": _SIDECARS,
}


def read_classes(classes: str) -> ClassMap:
    """The classes that ``classes`` lists, or those of the file that it names.

    A file lists one a line, or has ``names`` (YAML) or COCO's ``categories`` (JSON).
    """
    from .class_map import CLASS_FILES, ClassMap

    path = Path(classes)
    if path.suffix.lower() in CLASS_FILES:
        return ClassMap.read(path)
    return ClassMap.parse(classes)


@renamed_fields(pictures="copy_images")
@dataclass(frozen=True)
class ExportOptions:
    """How a dataset is written.

    ``classes`` are the only classes; by default they are those of the source, and else labels
    become classes in the order in which they occur. Raises ``ValueError`` for a ``caption`` that is
    not a caption task, and for ``link_images`` without ``copy_images``.
    """

    classes: ClassMap | None = option(
        None,
        parse=read_classes,
        metavar="PROMPT=CLASS,...|FILE",
        help="The classes of dataset files and the labels that belong to them; or a file that "
        "lists them: .txt, .names, data.yaml or .json. [default: the source's]",
    )
    copy_images: bool = option(
        True, old_flags=("--pictures/--no-pictures",), help="Copy images beside their labels."
    )
    link_images: bool = option(
        False, help="Hard links to the images instead of copies: a change of one changes both."
    )
    prefix: str = option("", help="Prefix of the text in a sidecar.")
    suffix: str = option("", help="Suffix of the text in a sidecar.")
    trigger: str = option("", help="First word of a sidecar, followed by a comma.")
    caption: str | None = option(
        None, help="Caption task whose text a sidecar holds. [default: the most detailed]"
    )

    def __post_init__(self) -> None:
        if self.link_images and not self.copy_images:
            raise ValueError("link_images=True and copy_images=False are mutually exclusive")
        if self.caption is not None and self.caption_token is None:
            names = [find_task(token).name for token in CAPTIONS]
            near = suggest(self.caption, names)
            raise ValueError(
                f"caption={self.caption!r} is not a caption task; available: "
                f"{', '.join(names)}{near}"
            )

    @property
    def caption_token(self) -> str | None:
        """The token of the ``caption`` task; ``None`` where it is not set or not a caption task."""
        try:
            token = find_task(self.caption or "").token
        except ValueError:
            return None
        return token if token in CAPTIONS else None

    @property
    def stored_text(self) -> str:
        """The options as the list of files of a conversion stores them, since release 0.1."""
        classes = repr(self.classes).replace("ClassMap(", "Ontology(")
        return (
            f"Options(classes={classes.replace('DatasetCategory(', 'Category(')}, "
            f"pictures={self.copy_images}, prefix={self.prefix!r}, suffix={self.suffix!r}, "
            f"trigger={self.trigger!r}, caption={self.caption!r}, link_images={self.link_images})"
        )

    def find_unused(self, formats: frozenset[str]) -> str | None:
        """The first option that is set and applies to none of ``formats``: ``"prefix"`` ..."""
        given = {
            "classes": self.classes is not None,
            "copy_images=False": not self.copy_images,
            "link_images": self.link_images,
            "prefix": self.prefix,
            "suffix": self.suffix,
            "trigger": self.trigger,
            "caption": self.caption is not None,
        }
        formats = frozenset(RENAMED_TARGETS.get(format, format) for format in formats)
        for name, is_given in given.items():
            if is_given and not formats & _APPLIES_TO[name]:
                return name
        return None
