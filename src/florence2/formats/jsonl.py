"""JSON lines: ``{"image": name, "prefix": prompt, "suffix": answer}``, a task token and text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..records import Record
from .grouped import WrittenRow, grouped_records
from .json_files import parse_json_object, text_field
from .problems import Intake


def find_jsonl(source: Path, split: str | None = None) -> tuple[Path, ...]:
    """The line files of the data set: ``source`` itself, or those in it and one folder down.

    Raises ``FileNotFoundError`` when there are none.
    """
    if source.is_file():
        return (source,)
    folder = source if split is None else source / split
    files = sorted([*folder.glob("*.jsonl"), *folder.glob("*/*.jsonl")])
    if not files:
        raise FileNotFoundError(f"{folder} holds no *.jsonl; name the file itself")
    return tuple(files)


def read_jsonl(
    file: Path, root: Path, intake: Intake, images: Path | None = None
) -> Iterator[Record]:
    """A record for each picture that the lines name; its id is its path from ``root``.

    Pictures lie in ``images``, beside the file by default. Several lines may ask about one
    picture.
    """
    yield from grouped_records(_rows(file, intake), file, images or file.parent, root, intake)


def _rows(file: Path, intake: Intake) -> Iterator[WrittenRow]:
    with file.open("rb") as stream:
        for number, content in enumerate(stream, start=1):
            if not content.strip():
                continue
            with intake.listing(file, number):
                values = parse_json_object(content)
                image, prefix, suffix = (
                    text_field(values, name) for name in ("image", "prefix", "suffix")
                )
                yield WrittenRow(image, prefix, suffix, number)
