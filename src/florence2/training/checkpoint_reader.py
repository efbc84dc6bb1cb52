"""Reads a training checkpoint without executing anything in it.

``torch.distributed.checkpoint`` unpickles its own files without limits. Here the metadata is
unpickled with a list of allowed types, its paths must be in the checkpoint's directory, and values
are loaded with ``weights_only``.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import torch
from torch.distributed.checkpoint import metadata as dcp
from torch.distributed.checkpoint._traverse import set_element
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
from torch.distributed.checkpoint.filesystem import FileSystemReader, _StorageInfo
from torch.distributed.checkpoint.planner import ReadItem

from ..model.checkpoint.state_dict_keys import current_key

METADATA_FILE = ".metadata"
# A checkpoint of a billion parameters has a few megabytes of metadata.
_MAX_METADATA_BYTES = 256 * 2**20
_MEMO_OPCODES = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})


class DamagedCheckpointError(ValueError):
    """A training checkpoint that cannot be used; the message has the file and the reason."""


class SafeCheckpointReader(FileSystemReader):
    """A storage reader for a directory from an untrusted source.

    Reads and checks the metadata on construction. Raises ``DamagedCheckpointError``.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._sizes = {
            each.name: each.stat().st_size for each in directory.iterdir() if each.is_file()
        }
        self._metadata = load_metadata(directory / METADATA_FILE)
        self._check_storage(directory)
        self._rename_keys()

    def read_metadata(self) -> dcp.Metadata:
        """The metadata. Without ``kwargs`` torch does not look for that of a single rank."""
        if self._metadata.storage_meta is None:
            self._metadata.storage_meta = dcp.StorageMeta()
        self._metadata.storage_meta.load_id = self.load_id
        return self._metadata

    def _slice_file(self, file: Any, sinfo: _StorageInfo) -> IO[bytes]:
        """One stored value; a compressed one is refused, as it may expand to any size."""
        file.seek(sinfo.offset)
        part = io.BytesIO(file.read(sinfo.length))  # torch's own view cannot seek from its end
        with zipfile.ZipFile(part) as archive:
            for each in archive.infolist():
                if each.compress_type != zipfile.ZIP_STORED or each.file_size > sinfo.length:
                    raise DamagedCheckpointError(
                        f"{sinfo.relative_path}: {each.filename!r} is compressed"
                    )
        part.seek(0)
        return part

    def _rename_keys(self) -> None:
        """Rename the keys of stored values to the current ones."""
        metadata = self._metadata
        metadata.state_dict_metadata = {
            current_key(key): value for key, value in metadata.state_dict_metadata.items()
        }
        metadata.storage_data = {
            replace(index, fqn=current_key(index.fqn)): info
            for index, info in metadata.storage_data.items()
        }

    def _check_storage(self, directory: Path) -> None:
        """Refuse values outside their files, and files outside the directory."""
        storage = self._metadata.storage_data
        if not isinstance(storage, dict):
            raise DamagedCheckpointError(f"{directory / METADATA_FILE} lists no stored values")
        for info in storage.values():
            if not isinstance(info, _StorageInfo) or info.transform_descriptors:
                raise DamagedCheckpointError(f"{directory / METADATA_FILE} has an unknown entry")
            size = self._sizes.get(info.relative_path)
            if size is None:
                raise DamagedCheckpointError(
                    f"{directory / str(info.relative_path)!s} is missing, though the metadata "
                    "lists it"
                )
            begin, length = info.offset, info.length
            if not (isinstance(begin, int) and isinstance(length, int)) or not (
                0 <= begin <= begin + length <= size
            ):
                raise DamagedCheckpointError(f"{directory / info.relative_path} is truncated")


class SafeLoadPlanner(DefaultLoadPlanner):
    """Loads values other than tensors with ``weights_only``."""

    def load_bytes(self, read_item: ReadItem, value: io.BytesIO) -> None:
        loaded = torch.load(value, weights_only=True)
        name = read_item.dest_index.fqn
        if self.flatten_state_dict:
            set_element(self.original_state_dict, self.mappings[name], loaded)
        else:
            self.state_dict[name] = loaded


def load_metadata(path: Path) -> dcp.Metadata:
    """The metadata of a checkpoint, unpickled with a list of allowed types.

    Raises ``DamagedCheckpointError`` for anything else, before any of it is called.
    """
    if not path.is_file():
        raise DamagedCheckpointError(f"{path} is missing")
    if path.stat().st_size > _MAX_METADATA_BYTES:
        raise DamagedCheckpointError(f"{path} is larger than {_MAX_METADATA_BYTES:,} bytes")
    content = path.read_bytes()
    try:
        _check_opcodes(content)
        loaded = _MetadataUnpickler(io.BytesIO(content)).load()
    except DamagedCheckpointError as error:
        raise DamagedCheckpointError(f"{path}: {error}") from None
    except Exception as error:  # a damaged pickle raises errors of any type
        raise DamagedCheckpointError(f"{path} is damaged: {error}") from None
    if not isinstance(loaded, dcp.Metadata):
        raise DamagedCheckpointError(f"{path} holds {type(loaded).__name__}, not metadata")
    return loaded


class _MetadataUnpickler(pickle.Unpickler):
    """Finds only the types that the metadata of a checkpoint is made of."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        allowed = _ALLOWED.get((module, name))
        if allowed is None:
            raise DamagedCheckpointError(
                f"{module}.{name} is not allowed in the metadata of a checkpoint; "
                "do not use this checkpoint"
            )
        return allowed

    def persistent_load(self, pid: Any) -> Any:
        raise DamagedCheckpointError("persistent ids are not allowed in the metadata")


def _check_opcodes(content: bytes) -> None:
    """Refuse a truncated stream, and one that allocates more than it has bytes."""
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name in _MEMO_OPCODES and int(argument or 0) > len(content):
            raise DamagedCheckpointError("the pickle has an index beyond its own length")


def _path(*parts: str) -> Path:
    """The directory that a checkpoint was written to, on any operating system; it is not used."""
    return Path(*parts)


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    **{
        (dcp.__name__, each.__name__): each
        for each in (
            dcp.Metadata,
            dcp.TensorStorageMetadata,
            dcp.BytesStorageMetadata,
            dcp.ChunkStorageMetadata,
            dcp.TensorProperties,
            dcp.StorageMeta,
            dcp.MetadataIndex,
            dcp._MEM_FORMAT_ENCODING,
        )
    },
    (_StorageInfo.__module__, _StorageInfo.__name__): _StorageInfo,
    ("torch", "Size"): torch.Size,
    ("torch.serialization", "_get_layout"): torch.serialization._get_layout,
    **{
        (module, name): _path
        for module in ("pathlib", "pathlib._local")
        for name in ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
    },
    ("collections", "OrderedDict"): dict,
}
