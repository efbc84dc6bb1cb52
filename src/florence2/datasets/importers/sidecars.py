"""Sidecars: a directory of images, each with its text in a ``.txt`` of the same name."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ...results.records import Annotation, Record
from .image_files import UniqueNameCheck, find_files, find_images, list_passed_over, read_listed
from .image_finder import fold_name
from .label_text import read_label_text
from .problems import MAX_TEXT_LENGTH, ImportContext, LabelError
from .prompts import written_annotation

# A character has at most four bytes; a longer file is far too long whatever is in it.
_MAX_TEXT_BYTES = 4 * MAX_TEXT_LENGTH


def read_sidecars(
    directory: Path, context: ImportContext, prompt: str = "<CAPTION>"
) -> Iterator[Record]:
    """A record for each image in ``directory`` and below that can be read.

    The text answers ``prompt``. An image without a text is listed and has no annotation; a text
    without an image is listed. Raises ``ValueError`` when ``directory`` is a file.
    """
    if not directory.is_dir():
        raise ValueError(f"{directory} is a file: name the directory of the images and their texts")
    return _read(directory, context, prompt)


def _read(directory: Path, context: ImportContext, prompt: str) -> Iterator[Record]:
    files = find_files(directory)
    list_passed_over(files, directory, context)
    texts: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        if file.suffix.lower() == ".txt":
            texts[_stem(file)].append(file)
    unique_texts, used = UniqueNameCheck(), set[Path]()
    for path, record in read_listed(find_images(directory), directory, context):
        file = _find_text(path, texts)
        used.add(file)
        annotations: tuple[Annotation, ...] = ()
        with context.collect_errors(file):
            unique_texts.add(file, "the text of two images,")
            suffix = _text(file, record)
            annotation = written_annotation(prompt, suffix, record.image_size, context)
            annotations = context.keep_valid([annotation], record.image_size, file)
        yield replace(record, annotations=annotations)
    images = {_stem(path) for path in find_images(directory)}
    for file in (path for path in files if path.suffix.lower() == ".txt" and path not in used):
        with context.collect_errors(file):
            if _stem(file) not in images:
                raise LabelError("unknown-image", "there is no image of this name")


def _stem(file: Path) -> str:
    """What an image and its text share, whatever the case and Unicode form of their names."""
    return fold_name(os.path.splitext(str(file))[0])


def _find_text(image: Path, texts: dict[str, list[Path]]) -> Path:
    """The text of an image: of the same name, or the one whose name differs in case or form."""
    exact = image.with_suffix(".txt")
    found = texts.get(_stem(image), [])
    return found[0] if len(found) == 1 and exact not in found else exact


def _text(file: Path, record: Record) -> str:
    try:
        text = read_label_text(file, _MAX_TEXT_BYTES).strip()
    except LabelError as error:
        if error.kind == "missing-file":
            raise LabelError("missing-file", f"{record.id} has no text") from error
        raise
    if not text:
        raise LabelError("empty-text", "the text is empty")
    return text
