"""Conversion of datasets to shards: labels are checked, and every problem is reported."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from ..io.atomic import atomic_write
from ..io.file_types import IMAGE_SUFFIXES
from ..io.files import open_regular
from ..io.run_lock import lock_run_dir
from ..processing.processor import Processor
from ..results.records import HUMAN, Annotator, Record
from . import ImportContext, ImportProblem
from .conversion_report import PROBLEMS_FILE, ConversionReport
from .exporters.export_names import decode_name
from .import_config import FORMATS
from .importers.class_list import ClassList
from .importers.image_files import UniqueNameCheck
from .importers.importer_registry import ImportOptions, read_records, unused_options
from .label_checks import LabelChecker
from .shards import ShardDataset, ShardWriter
from .shards.columns import with_bytes
from .shards.manifest import Manifest, read_manifest
from .shards.writer import remove_shards

__all__ = [
    "FORMATS",
    "PROBLEMS_FILE",
    "ConversionConfig",
    "ConversionReport",
    "ImportOptions",
    "convert",
    "fingerprint_source",
    "is_same_origin",
    "origin_of",
    "read_records",
    "unused_options",
]

# Label files are hashed; of images and of larger files the size and the time of change count.
_MAX_HASHED = 1024**3
_BY_TIME = frozenset((*IMAGE_SUFFIXES, ".parquet", ".arrow", ".tar", ".zip"))
# A directory with one of these files is an output of florence2 below the dataset.
_RESULTS = frozenset(("manifest.json", "recipe.json", "answers.jsonl", ".florence2-files.jsonl"))


@dataclass(frozen=True)
class ConversionConfig:
    """How a dataset is converted to shards.

    Attributes:
        max_answer_tokens: Longer labels are skipped: the positions of the model.
        annotator: The annotator of all labels.
        max_records: A shard is closed at so many records,
        max_bytes: or at so many bytes of images.
        overwrite: Replace a finished conversion.
    """

    max_answer_tokens: int = 1024
    annotator: Annotator = HUMAN
    max_records: int = 2048
    max_bytes: int = 128 * 1024**2
    overwrite: bool = False


def convert(
    source: str | Path,
    destination: str | Path,
    format: str,
    *,
    processor: Processor,
    reading: ImportOptions | None = None,
    config: ConversionConfig | None = None,
    **options: Any,
) -> ConversionReport:
    """Convert a dataset to shards. A killed conversion resumes when called with the same arguments.

    Args:
        source: The dataset's directory or file.
        destination: The directory of the shards.
        format: One of ``FORMATS``.
        processor: Labels that its model cannot be trained on are skipped and reported, also in
            ``problems.jsonl`` beside the shards.
        reading: What is read.
        config: How shards are written.
        options: Fields of ``config``.

    Raises:
        ValueError: The format is unknown, or ``destination`` is finished (without ``overwrite``)
            or holds something else.
        FileNotFoundError: There is no such source.
    """
    config = replace(config or ConversionConfig(), **options)
    source, destination, reading = Path(source), Path(destination), reading or ImportOptions()
    problems: list[ImportProblem] = []
    classes = ClassList()
    checker = LabelChecker(processor, config.max_answer_tokens)
    context = ImportContext(
        problems.append, checker.check, checker.read_suffix, config.annotator, classes.declare
    )
    records = read_records(source, format, reading, context)
    with lock_run_dir(destination):
        if not config.overwrite:
            _refuse_finished(destination)
        origin = _resumed_origin(destination, origin_of(source, format, reading), config.overwrite)
        # An error of the whole source is raised before the first record and before any file.
        first = next(records, None)
        if first is None:
            if problems:
                _write_problems(problems, destination)
            return ConversionReport(Manifest(origin=origin), tuple(problems), 0, 0)
        if config.overwrite:
            remove_shards(destination)
        with ShardWriter(
            destination,
            max_records=config.max_records,
            max_bytes=config.max_bytes,
            origin=origin,
        ) as writer:
            known = set(ShardDataset(destination).ids()) if writer.manifest.rows else set[str]()
            unique = _skip_duplicates(chain([first], records), context, source)
            bare = _write_new(unique, known, writer, classes)
            _write_problems(problems, destination)
        return ConversionReport(writer.manifest, tuple(problems), bare, len(known))


def _write_new(
    records: Iterable[Record], known: set[str], writer: ShardWriter, classes: ClassList
) -> int:
    """Write the records that are not ``known``; the number of all without annotations."""
    bare = 0
    for record in records:
        bare += not record.annotations
        if record.id not in known:
            writer.declare(classes.categories)
            writer.write(record)
    writer.declare(classes.categories)
    writer.flush()
    return bare


def _skip_duplicates(
    records: Iterable[Record], context: ImportContext, source: Path
) -> Iterator[Record]:
    """The records with names in UTF-8; a second record of a name is reported as a problem."""
    unique_ids = UniqueNameCheck()
    for record in map(_with_utf8_names, records):
        with context.collect_errors(source):
            unique_ids.add(record.id, "a record called")
            yield record


def _with_utf8_names(record: Record) -> Record:
    """The record with names as Parquet can hold them; a file's name need not be UTF-8."""
    names = {"id": record.id, "path": record.path, "file_name": record.file_name}
    decoded = {key: None if name is None else decode_name(name) for key, name in names.items()}
    changed = {key: name for key, name in decoded.items() if name != names[key]}
    if not changed:
        return record
    # The bytes are taken before the path is no longer that of the file.
    return replace(with_bytes(record), **changed)  # type: ignore[arg-type]


def origin_of(source: Path, format: str, reading: ImportOptions) -> dict[str, Any]:
    """The origin that the manifest stores: source, format, options and a fingerprint."""
    others = [reading.images] if reading.images is not None else []
    return {
        "format": format,
        "source": source.as_posix(),
        "reading": _plain(reading),
        "content": fingerprint_source(source, others),
    }


def fingerprint_source(source: Path, others: Iterable[Path] = ()) -> str:
    """The fingerprint of the file or directory ``source``, and of ``others``.

    Args:
        source: The dataset. Hidden files in it do not count, nor do directories of results.
        others: Further files and directories that are read, such as one of images.

    Returns:
        64 hexadecimal digits. Other label files, and other images, give other digits.
    """
    digest = hashlib.sha256()
    for root in (source, *others):
        # A single label file is hashed alone: its images may be anywhere.
        for path in _walk(root) if root.is_dir() else (root,):
            name = os.fsencode(os.path.relpath(path, root))
            digest.update(len(name).to_bytes(4, "big") + name + _fingerprint_file(path))
    return digest.hexdigest()


def _walk(directory: Path) -> Iterator[Path]:
    for parent, directories, files in os.walk(directory):
        if Path(parent) != directory and not _RESULTS.isdisjoint(files):
            directories.clear()
            continue
        directories[:] = sorted(name for name in directories if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(parent, name)


def _fingerprint_file(path: Path) -> bytes:
    try:
        status = path.stat()
        if path.suffix.lower() in _BY_TIME or status.st_size > _MAX_HASHED:
            return f"{status.st_size} {status.st_mtime_ns}".encode()
        digest = hashlib.sha256()
        with open_regular(path) as stream:
            while piece := stream.read(1 << 20):
                digest.update(piece)
        return digest.digest()
    except (OSError, ValueError):
        return b"unreadable"


def is_same_origin(found: Mapping[str, Any], origin: Mapping[str, Any]) -> bool:
    """Whether shards of the origin ``found`` are those that ``origin`` would give.

    Shards of earlier releases do not store the fingerprint of their source: it is not compared.
    """
    keys = origin.keys() if "content" in found else origin.keys() - {"content"}
    return set(found) == set(keys) and all(found[key] == origin[key] for key in keys)


def _resumed_origin(
    destination: Path, origin: Mapping[str, Any], overwrite: bool
) -> Mapping[str, Any]:
    """The origin that the shards of a killed conversion store, or else ``origin``.

    Raises ``ValueError`` when they are shards of something else.
    """
    manifest = read_manifest(destination)
    if manifest is None or overwrite:
        return origin
    if is_same_origin(manifest.origin, origin):
        return manifest.origin
    found = {name: value for name, value in manifest.origin.items() if name != "content"}
    requested = {name: value for name, value in origin.items() if name != "content"}
    what = (
        f"from {found}, not from {requested}"
        if found != requested
        else f"before {found} was changed"
    )
    raise ValueError(
        f"{destination} holds shards made {what}; choose another directory, or convert again with "
        "overwrite=True"
    )


def _refuse_finished(destination: Path) -> None:
    manifest = read_manifest(destination)
    if manifest is not None and manifest.complete:
        raise ValueError(
            f"{destination} holds a finished set of {manifest.rows} records; choose another "
            "directory, or convert again with overwrite=True"
        )


def _plain(reading: ImportOptions) -> dict[str, Any]:
    """The values that were set, as JSON keeps them."""
    set_values = {name: value for name, value in asdict(reading).items() if value is not None}
    plain: dict[str, Any] = json.loads(json.dumps(set_values, default=str))
    return plain


def _write_problems(problems: list[ImportProblem], destination: Path) -> None:
    with (
        atomic_write(destination / PROBLEMS_FILE) as temporary,
        temporary.open("w", encoding="utf-8") as stream,
    ):
        for problem in problems:
            stream.write(json.dumps(asdict(problem), ensure_ascii=False) + "\n")
