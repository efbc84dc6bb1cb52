"""Any dataset to shards: read by its format, validated, and every problem listed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from ..io.atomic import atomic_write
from ..io.run_lock import lock_run_dir
from ..processing.processor import Processor
from ..results.records import HUMAN, Annotator, Record, content_hash
from . import ImportContext, ImportProblem, LabelError
from .conversion_report import PROBLEMS_FILE, ConversionReport
from .exporters.export_names import decode_name
from .importers.class_list import ClassList
from .importers.coco import find_coco, read_coco
from .importers.csv import CsvColumns, read_csv_prompts
from .importers.cvat import find_cvat, read_cvat
from .importers.fingerprint import fingerprint_source
from .importers.huggingface import Columns, open_huggingface_splits, read_huggingface
from .importers.image_files import UniqueNameCheck
from .importers.jsonl import find_jsonl, read_jsonl
from .importers.label_studio import find_label_studio, read_label_studio
from .importers.prediction_lines import find_prediction_file, is_prediction_file, read_predictions
from .importers.prediction_rows import CSV_FILE, is_prediction_csv, read_prediction_csv
from .importers.record_selection import select_records
from .importers.sidecars import read_sidecars
from .importers.voc import find_voc, read_voc
from .importers.yolo import find_yolo, read_yolo
from .label_checks import LabelChecker
from .shards import ShardDataset, ShardWriter
from .shards.columns import with_bytes
from .shards.manifest import Manifest, read_manifest
from .shards.writer import remove_shards


@dataclass(frozen=True)
class ImportOptions:
    """What of a dataset is read. A format refuses options that it does not take.

    Attributes:
        tasks: Tasks made from boxes, polygons and captions (COCO, YOLO, VOC, CVAT, Label Studio,
            boxes of Hugging Face datasets), or taken from shards and predictions.
        split: One split of the dataset; all by default.
        images: The directory of the images; by default where the format has them.
        prompt: The prompt of CSV questions and sidecar texts.
        csv_columns: The columns of a CSV file.
        columns: The columns of a Hugging Face dataset.
    """

    tasks: tuple[str, ...] | None = None
    split: str | None = None
    images: Path | None = None
    prompt: str | None = None
    csv_columns: CsvColumns = field(default_factory=CsvColumns)
    columns: Columns | None = None


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
    overwrite = config.overwrite
    source, destination, reading = Path(source), Path(destination), reading or ImportOptions()
    problems: list[ImportProblem] = []
    classes = ClassList()
    checker = LabelChecker(processor, config.max_answer_tokens)
    context = ImportContext(
        problems.append, checker.check, checker.read_suffix, config.annotator, classes.declare
    )
    records = read_records(source, format, reading, context)
    with lock_run_dir(destination):
        if not overwrite:
            _refuse_finished(destination)
        origin = _resumed_origin(destination, origin_of(source, format, reading), overwrite)
        # An error of the whole source is raised before the first record and before any file.
        first = next(records, None)
        if first is None:
            if problems:
                _write_problems(problems, destination)
            return ConversionReport(Manifest(origin=origin), tuple(problems), 0, 0)
        if overwrite:
            remove_shards(destination)
        with ShardWriter(
            destination,
            max_records=config.max_records,
            max_bytes=config.max_bytes,
            origin=origin,
        ) as writer:
            known = set(ShardDataset(destination).ids()) if writer.manifest.rows else set[str]()
            bare = 0
            for record in _skip_duplicates(chain([first], records), context, source):
                bare += not record.annotations
                if record.id not in known:
                    writer.declare(classes.categories)
                    writer.write(record)
            writer.declare(classes.categories)
            writer.flush()
            _write_problems(problems, destination)
        return ConversionReport(writer.manifest, tuple(problems), bare, len(known))


def _skip_duplicates(
    records: Iterable[Record], context: ImportContext, source: Path
) -> Iterator[Record]:
    """The records with names in UTF-8; a second record of a name is reported as a problem."""
    seen = UniqueNameCheck()
    for record in map(_with_utf8_names, records):
        with context.collect_errors(source):
            seen.add(record.id, "a record called")
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


def read_records(
    source: Path, format: str, reading: ImportOptions, context: ImportContext
) -> Iterator[Record]:
    """The records of a dataset in one of ``FORMATS``, or of ``"shards"``.

    Its problems go to ``context``. Raises ``ValueError`` for an unknown format, and for what of
    ``reading`` was set and the format does not take.
    """
    if format not in _READERS:
        raise ValueError(f"unknown format {format!r}; formats are {', '.join(FORMATS)}")
    unused = unused_options(format, reading)
    if unused:
        raise ValueError(f"{unused[0]!r} does not apply to format {format!r}: leave it out")
    if not source.exists():
        raise FileNotFoundError(f"{source} does not exist: name a dataset's directory or file")
    if reading.images is not None and not reading.images.is_dir():
        raise ValueError(f"{reading.images} (--images) is not a directory: name that of the images")
    return _READERS[format](source, reading, context)


def unused_options(format: str, reading: ImportOptions) -> tuple[str, ...]:
    """What of ``reading`` was set although ``format`` does not take it."""
    given = [name for name in _TAKEN_BY if getattr(reading, name)]
    return tuple(name for name in given if format not in _TAKEN_BY[name])


def origin_of(source: Path, format: str, reading: ImportOptions) -> dict[str, Any]:
    """The origin that the manifest stores: source, format, options and a fingerprint."""
    others = [reading.images] if reading.images is not None else []
    return {
        "format": format,
        "source": source.as_posix(),
        "reading": _plain(reading),
        "content": fingerprint_source(source, others),
    }


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
    asked = {name: value for name, value in origin.items() if name != "content"}
    what = f"from {found}, not from {asked}" if found != asked else f"before {found} was changed"
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


def _tasks(reading: ImportOptions) -> dict[str, Any]:
    """The argument ``tasks``, where it was chosen: each reader has a default of its own."""
    return {} if reading.tasks is None else {"tasks": reading.tasks}


def _prompt(reading: ImportOptions) -> dict[str, Any]:
    return {} if reading.prompt is None else {"prompt": reading.prompt}


def _coco(source: Path, reading: ImportOptions, context: ImportContext) -> Iterator[Record]:
    root = source.parent if source.is_file() else source
    parts = find_coco(source, reading.split)
    return read_coco(parts, root, context, images=reading.images, **_tasks(reading))


def _yolo(source: Path, reading: ImportOptions, context: ImportContext) -> Iterator[Record]:
    return read_yolo(
        find_yolo(source), context, split=reading.split, images=reading.images, **_tasks(reading)
    )


def _voc(source: Path, reading: ImportOptions, context: ImportContext) -> Iterator[Record]:
    files = find_voc(source, reading.split)
    return read_voc(files, source, context, images=reading.images, **_tasks(reading))


def _jsonl(source: Path, reading: ImportOptions, context: ImportContext) -> Iterator[Record]:
    root = source.parent if source.is_file() else source
    read: list[Iterator[Record]] = []
    for file in find_jsonl(source, reading.split):
        if is_prediction_file(file):
            read.append(_answers(file, ImportOptions(), context))
        else:
            read.append(read_jsonl(file, root, context, reading.images))
    return chain.from_iterable(read)


def _csv(source: Path, reading: ImportOptions, context: ImportContext) -> Iterator[Record]:
    rows = source / CSV_FILE if source.is_dir() else source
    if is_prediction_csv(rows):
        return read_prediction_csv(rows, context)
    if source.is_dir():
        raise ValueError(f"{source} is a directory: name the CSV file in it")
    return read_csv_prompts(
        source,
        source.parent,
        context,
        columns=reading.csv_columns,
        images=reading.images,
        split=reading.split,
        **_prompt(reading),
    )


def _sidecars(source: Path, reading: ImportOptions, context: ImportContext) -> Iterator[Record]:
    return read_sidecars(source, context, **_prompt(reading))


def _huggingface(source: Path, reading: ImportOptions, context: ImportContext) -> Iterator[Record]:
    if reading.columns is None:
        raise ValueError("say what the columns hold: reading=ImportOptions(columns=Columns(...))")
    if reading.tasks is not None and reading.columns.boxes is None:
        raise ValueError("--task is asked of boxes: name their column (--column boxes=NAME)")
    root = source.parent if source.is_file() else source
    parts = open_huggingface_splits(source, reading.split)
    read = []
    for split, dataset in parts.items():
        prefix = f"{split}/" if len(parts) > 1 else ""
        read.append(
            read_huggingface(
                dataset,
                source,
                reading.columns,
                context,
                split=split,
                prefix=prefix,
                root=root,
                **_tasks(reading),
            )
        )
    return chain.from_iterable(read)


def _cvat(source: Path, reading: ImportOptions, context: ImportContext) -> Iterator[Record]:
    return read_cvat(
        find_cvat(source), context, split=reading.split, images=reading.images, **_tasks(reading)
    )


def _label_studio(source: Path, reading: ImportOptions, context: ImportContext) -> Iterator[Record]:
    return read_label_studio(
        find_label_studio(source),
        context,
        split=reading.split,
        images=reading.images,
        **_tasks(reading),
    )


def _shards(source: Path, reading: ImportOptions, context: ImportContext) -> Iterator[Record]:
    dataset = ShardDataset(source)
    context.declare(dataset.manifest.categories)
    return select_records(dataset, source, reading.tasks, reading.split)


def _answers(source: Path, reading: ImportOptions, context: ImportContext) -> Iterator[Record]:
    found = read_predictions(find_prediction_file(source), context)
    for record in select_records(found, source, reading.tasks, reading.split):
        with context.collect_errors(source, item=record.id):
            if not record.sha256:
                raise LabelError("missing-file", f"the image {record.path} is missing")
            try:
                content = record.image_bytes()
            except (OSError, ValueError) as error:
                raise LabelError("broken-image", f"the image cannot be read: {error}") from error
            yield replace(record, image=content, path=record.id, sha256=content_hash(content))


_READERS: dict[str, Callable[[Path, ImportOptions, ImportContext], Iterator[Record]]] = {
    "coco": _coco,
    "yolo": _yolo,
    "voc": _voc,
    "jsonl": _jsonl,
    "csv": _csv,
    "sidecars": _sidecars,
    "huggingface": _huggingface,
    "answers": _answers,
    "cvat": _cvat,
    "label-studio": _label_studio,
    "shards": _shards,
}
# Shards are no source of shards.
FORMATS = tuple(name for name in _READERS if name != "shards")
_OBJECTS = ("coco", "yolo", "voc", "cvat", "label-studio", "huggingface")
_TAKEN_BY: dict[str, tuple[str, ...]] = {
    "tasks": (*_OBJECTS, "answers", "shards"),
    "split": (*_OBJECTS, "jsonl", "csv", "answers", "shards"),
    "images": ("coco", "yolo", "voc", "jsonl", "csv", "cvat", "label-studio"),
    "prompt": ("csv", "sidecars"),
}
