"""What of a dataset is read, as options of the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..io.options import option

if TYPE_CHECKING:
    from .conversion import ImportOptions

# The keys of ``importer_registry.IMPORTERS`` without shards, which are not converted to shards. A
# help text lists them without the libraries of the importers.
FORMATS = (
    "coco",
    "yolo",
    "voc",
    "jsonl",
    "csv",
    "sidecars",
    "huggingface",
    "answers",
    "cvat",
    "label-studio",
)
SHARDS = "shards"
# Formats whose labels are text, which is read with the vocabulary of a model.
TEXT_FORMATS = ("jsonl", "csv", "sidecars", "huggingface")


@dataclass(frozen=True, kw_only=True)
class ImportConfig:
    """What of a dataset is read; ``for_format`` makes the options of its importer."""

    task: tuple[str, ...] = option(
        (),
        flags=("--task", "-t"),
        help="Task made from boxes, polygons or captions. Repeatable. [default: the format's]",
    )
    split: str | None = option(None, help="Split of the dataset: train, val ... [default: all]")
    prompt: str | None = option(None, help="Prompt of CSV rows and sidecar texts.")
    images: Path | None = option(
        None, help="Directory of the images. [default: where the format has them]"
    )
    column: tuple[str, ...] = option(
        (),
        metavar="NAME=COLUMN",
        help="Content of a column of csv or huggingface: image=photo, boxes=objects.bbox ...",
    )
    answer: tuple[str, ...] = option(
        (),
        metavar="COLUMN=PROMPT",
        help="A huggingface column that answers PROMPT. Repeatable.",
    )

    def for_format(self, format: str) -> ImportOptions:
        """The options of the importer of ``format``.

        Raises:
            ValueError: the format does not take an option, or has no such column.
        """
        from .conversion import ImportOptions, unused_options
        from .importers.csv import CsvColumns
        from .importers.huggingface import Columns

        options = ImportOptions(self.task or None, self.split, self.images, self.prompt)
        unused = unused_options(format, options)
        if unused:
            name = {"tasks": "task"}.get(unused[0], unused[0])
            raise ValueError(f"option {name!r} does not apply to a {format} source; leave it out")
        columns: dict[str, Any] = _split_pairs(self.column, "column")
        if format == "csv" and not self.answer:
            return replace(options, csv_columns=_make_columns(CsvColumns, columns))
        if format == "huggingface":
            if self.answer:
                columns["answers"] = _split_pairs(self.answer, "answer")
            if not columns:
                raise ValueError(
                    "the meaning of the columns is missing: add --column image=NAME, and --column "
                    "suffix=NAME with prefix, or boxes with labels, or --answer COLUMN=PROMPT"
                )
            return replace(options, columns=_make_columns(Columns, columns))
        if columns or self.answer:
            raise ValueError(f"--column and --answer are for csv and huggingface, not for {format}")
        return options


def _split_pairs(settings: Sequence[str], name: str) -> dict[str, str]:
    pairs = {}
    for setting in settings:
        key, separator, value = setting.partition("=")
        if not separator or not key or not value:
            raise ValueError(f"--{name} is written NAME=VALUE, got {setting!r}")
        pairs[key] = value
    return pairs


def _make_columns(kind: Any, columns: dict[str, Any]) -> Any:
    known = [column.name for column in fields(kind)]
    unknown = [name for name in columns if name not in known]
    if unknown:
        raise ValueError(f"unknown column {unknown[0]!r}; available: {', '.join(known)}")
    return kind(**columns)
