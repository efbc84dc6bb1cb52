"""Checks of weight files before their tensors are read.

Each size that a file declares is compared with the file itself, so a small file cannot cause a
large allocation. Each type that a pickle names is compared with a list, so a pickle cannot run
code.
"""

from __future__ import annotations

import io
import json
import math
import pickletools
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from torch import Tensor

# A released header has 100 kB, a released pickle 150 kB.
MAX_HEADER_BYTES = 4 * 2**20
MAX_PICKLE_BYTES = 4 * 2**20
MAX_ARCHIVE_ENTRIES = 100_000
MAX_NAME_LENGTH = 1_000
# One tensor may be stored once and named four times: the tied embeddings and the output head.
_MAX_NAMES_PER_STORAGE = 4
_ZIP_MAGIC = b"PK\x03\x04"
_ZIP_END = b"PK\x05\x06"
_ZIP_END_BYTES = 22

_BYTES_PER_VALUE = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1,
    "U16": 2, "I16": 2, "F16": 2, "BF16": 2, "U32": 4, "I32": 4, "F32": 4,
    "U64": 8, "I64": 8, "F64": 8, "C64": 8,
}  # fmt: skip

# All types in pickled tensors. Tensors of unsupported kinds are refused later, by name;
# constructors that take a size and no data are not here.
ALLOWED_PICKLE_TYPES = frozenset(
    {
        "collections OrderedDict",
        "torch Size",
        "torch device",
        "torch.storage UntypedStorage",
        "torch.serialization _get_layout",
        *(
            f"torch._utils _rebuild_{kind}"
            for kind in ("tensor", "tensor_v2", "tensor_v3", "parameter", "sparse_tensor",
                         "nested_tensor", "qtensor", "meta_tensor_no_storage")
        ),
        *(
            f"torch {kind}Storage"
            for kind in ("BFloat16", "Half", "Float", "Double", "Char", "Byte", "Short", "Int",
                         "Long", "Bool", "ComplexFloat", "ComplexDouble", "QInt8", "QUInt8",
                         "QInt32")
        ),
        *(
            f"torch {kind}"
            for kind in ("float16", "bfloat16", "float32", "float64", "complex64", "complex128",
                         "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
                         "bool", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz",
                         "float8_e5m2fnuz", "qint8", "quint8", "qint32", "per_tensor_affine",
                         "per_channel_affine")
        ),
    }
)  # fmt: skip


class UnsafePickleError(ValueError):
    """A pickle that names a type which is not on the list."""


def check_safetensors(path: Path) -> None:
    """Compare the header of a ``.safetensors`` file with the file.

    Each tensor must follow the previous one, without gap or overlap, to the end of the file,
    and have as many bytes as its type and shape need. Raises ``ValueError``.
    """
    with path.open("rb") as file:
        size = path.stat().st_size
        prefix = file.read(8)
        if len(prefix) < 8:
            raise ValueError(f"the file has {size} bytes, too few for a header")
        (length,) = struct.unpack("<Q", prefix)
        if length > min(size - 8, MAX_HEADER_BYTES):
            raise ValueError(
                f"the header declares {length} bytes; the file has {size - 8} and the limit is "
                f"{MAX_HEADER_BYTES}"
            )
        header = json.loads(file.read(length).decode("utf-8"), object_pairs_hook=_unique)
    if not isinstance(header, dict):
        raise ValueError("the header is not a JSON object")
    spans = sorted(_span(name, entry) for name, entry in header.items() if name != "__metadata__")
    end = 0
    for begin, stop, name in spans:
        if begin != end:
            raise ValueError(f"{name} begins at byte {begin}, expected {end}")
        end = stop
    if end != size - 8 - length:
        raise ValueError(f"the tensors have {end} bytes, the file has {size - 8 - length} for them")


def check_torch_archive(path: Path) -> None:
    """Check a file of ``torch.save`` before it is read.

    In an archive each entry must be stored uncompressed, as torch writes it, within the file.
    Raises ``UnsafePickleError`` for a pickle that names a type outside ``ALLOWED_PICKLE_TYPES``,
    ``ValueError`` for other faults.
    """
    with path.open("rb") as file:
        if file.read(len(_ZIP_MAGIC)) != _ZIP_MAGIC:
            file.seek(0)
            _check_legacy_pickles(file)
            return
        size = path.stat().st_size
        file.seek(max(0, size - _ZIP_END_BYTES))
        # Readers of archives search for the end record in different ways: only one place is valid.
        if file.read(len(_ZIP_END)) != _ZIP_END:
            raise ValueError("the archive does not end with its directory")
        with zipfile.ZipFile(file) as archive:
            _check_entries(archive.infolist(), size)
            for entry in archive.infolist():
                if entry.filename.endswith(".pkl"):
                    _check_types(io.BytesIO(archive.read(entry)))


def check_total_size(tensors: Mapping[str, Tensor], file_bytes: int) -> None:
    """Refuse tensors that share storage so often that copies of them would take much memory."""
    total = sum(value.numel() * value.element_size() for value in tensors.values())
    if total > _MAX_NAMES_PER_STORAGE * file_bytes:
        raise ValueError(
            f"the tensors have {total} bytes in all, the file has only {file_bytes}: they overlap"
        )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice in the header")
    return found


def _span(name: str, entry: Any) -> tuple[int, int, str]:
    """Begin and end of a tensor in the data, checked against its type and shape."""
    if len(name) > MAX_NAME_LENGTH:
        raise ValueError(f"a name of {len(name)} characters; the limit is {MAX_NAME_LENGTH}")
    fields: Mapping[str, Any] = entry if isinstance(entry, dict) else {}
    kind, shape, offsets = fields.get("dtype"), fields.get("shape"), fields.get("data_offsets")
    if kind not in _BYTES_PER_VALUE:
        raise ValueError(f"{name} has dtype {str(kind)[:20]!r}; known are {[*_BYTES_PER_VALUE]}")
    if not _are_counts(shape) or not _are_counts(offsets) or len(offsets or ()) != 2:
        raise ValueError(f"{name} has no usable shape and data_offsets")
    assert shape is not None and offsets is not None
    begin, end = offsets
    expected = math.prod(shape) * _BYTES_PER_VALUE[kind]
    if end - begin != expected:
        raise ValueError(f"{name} {kind} {shape} needs {expected} bytes, it has {end - begin}")
    return begin, end, name


def _are_counts(values: Any) -> bool:
    return (
        isinstance(values, list)
        and len(values) <= 64
        and all(type(each) is int and 0 <= each < 2**63 for each in values)
    )


def _check_entries(entries: list[zipfile.ZipInfo], size: int) -> None:
    if len(entries) > MAX_ARCHIVE_ENTRIES:
        raise ValueError(f"the archive has {len(entries)} entries, more than {MAX_ARCHIVE_ENTRIES}")
    if not entries or min(entry.header_offset for entry in entries) != 0:
        raise ValueError("the archive does not begin with an entry")
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise ValueError(
                f"entry {entry.filename[:100]} is compressed to {entry.compress_size} of "
                f"{entry.file_size} bytes; torch.save does not compress"
            )
        if entry.filename.endswith(".pkl") and entry.file_size > MAX_PICKLE_BYTES:
            raise ValueError(f"{entry.filename[:100]} has {entry.file_size} bytes, too many")
    declared = sum(entry.file_size for entry in entries)
    if declared > size:
        raise ValueError(f"the entries have {declared} bytes in all, the file has {size}")


def _check_legacy_pickles(file: BinaryIO) -> None:
    """The five pickles before the tensors in a file of torch before 1.6."""
    # Magic number, protocol, system, the objects, and the keys of their storages.
    for _ in range(5):
        _check_types(file)


def _check_types(file: BinaryIO) -> None:
    """Refuse a pickle that names a type outside the list; it is read, not run."""
    start = file.tell()
    for opcode, argument, place in pickletools.genops(file):
        if (place or 0) - start > MAX_PICKLE_BYTES:
            raise ValueError(f"the pickle has more than {MAX_PICKLE_BYTES} bytes")
        if opcode.name == "GLOBAL" and argument not in ALLOWED_PICKLE_TYPES:
            raise UnsafePickleError(f"the pickle names {str(argument)[:100]!r}")
        if opcode.name in ("STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4", "NEWOBJ"):
            raise UnsafePickleError(f"the pickle has the operation {opcode.name}")
