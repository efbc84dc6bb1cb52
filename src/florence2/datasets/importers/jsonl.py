"""JSON lines: ``{"image": name, "prefix": prompt, "suffix": answer}``, a task token and text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...results.records import Record
from .grouped_rows import WrittenRow, grouped_records
from .image_files import is_hidden
from .json_files import parse_json_object, text_field
from .label_text import MAX_LINE_BYTES, stream_lines
from .problems import ImportContext, LabelError
from .splits import find_role, match_splits


def find_jsonl(source: Path, split: str | None = None) -> tuple[Path, ...]:
    """The line files of the dataset: ``source`` itself, or those in it and one directory down.

    ``split`` is a directory, or what a directory or file is called for
    (``valid/annotations.jsonl``, ``val.jsonl``). Raises ``FileNotFoundError`` when there are none,
    ``ValueError`` for a split of a single file.
    """
    if source.is_file():
        if split is not None and split_of_file(source) not in match_splits(split, _known(source)):
            raise ValueError(
                f"{source} is one file and has no split {split!r}; leave out --split, or name the "
                "directory of the dataset"
            )
        return (source,)
    if split is not None and (source / split).is_dir():
        files = _line_files(source / split)
    else:
        files = _line_files(source)
        if split is not None:
            names = dict.fromkeys(name for file in files if (name := split_of_file(file)))
            selected = match_splits(split, names)
            files = [file for file in files if split_of_file(file) in selected]
    if not files:
        of_split = f" of split {split!r}" if split is not None else ""
        raise FileNotFoundError(f"{source} holds no *.jsonl{of_split}; name the file itself")
    return tuple(files)


def split_of_file(file: Path) -> str | None:
    """The split of a line file, by its own name or its directory's; ``None`` for neither."""
    return next((name for name in (file.stem, file.parent.name) if find_role(name)), None)


def read_jsonl(
    file: Path, root: Path, context: ImportContext, images: Path | None = None
) -> Iterator[Record]:
    """A record for each image that the lines name; its id is its path from ``root``.

    Images are in ``images``, beside the file or in its image directory by default. Several lines
    may have the same image. Raises ``ValueError`` for a file that is one JSON array.
    """
    _refuse_array(file)
    rows = _rows(file, context)
    return grouped_records(rows, file, images, root, context, split_of_file(file))


def _known(source: Path) -> tuple[str, ...]:
    name = split_of_file(source)
    return () if name is None else (name,)


def _line_files(directory: Path) -> list[Path]:
    found = [*directory.glob("*.jsonl"), *directory.glob("*/*.jsonl")]
    return sorted(
        path for path in found if not is_hidden(path.name) and not is_hidden(path.parent.name)
    )


def _refuse_array(file: Path) -> None:
    for number, content in stream_lines(file):
        start = content.removeprefix(b"\xef\xbb\xbf").strip()
        if start.startswith(b"["):
            raise ValueError(
                f"{file}:{number}: the file holds a JSON array; write one object a line "
                f"(jq -c '.[]' {file.name})"
            )
        if start:
            return


def _rows(file: Path, context: ImportContext) -> Iterator[WrittenRow]:
    for number, content in stream_lines(file):
        if not content.removeprefix(b"\xef\xbb\xbf").strip():
            continue
        with context.collect_errors(file, number):
            if len(content) > MAX_LINE_BYTES:
                raise LabelError("too-long", f"the line has more than {MAX_LINE_BYTES:,} bytes")
            values = parse_json_object(content)
            image, prefix, suffix = (
                text_field(values, name) for name in ("image", "prefix", "suffix")
            )
            yield WrittenRow(image, prefix, suffix, number)
