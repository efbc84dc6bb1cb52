"""Sizes that a weight file declares are compared with the file before memory is taken."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from florence2.model.checkpoint.tensor_files import CheckpointError, read_tensors

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4)}


def edited_header(path: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    """A safetensors file whose header went through ``edit``."""
    save_file(TENSORS, path)
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    edit(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
    return path


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda header: header["a"].update(shape=[2, 10**15]), "needs"),
        (lambda header: header["a"].update(data_offsets=[0, 16], shape=[4]), "begins at byte"),
        (lambda header: header["b"].update(data_offsets=[0, 24]), "needs"),
        (lambda header: header.pop("b"), "the file has"),
        (lambda header: header["a"].update(shape=[-2, -3]), "no usable shape"),
        (lambda header: header["a"].update(shape=[2.0, 3]), "no usable shape"),
        (lambda header: header["a"].update(dtype="F1024"), "dtype 'F1024'"),
        (lambda header: header.update({"c" * 5000: header.pop("b")}), "name of 5000 characters"),
    ],
)
def test_a_header_must_describe_its_file(
    tmp_path: Path, edit: Callable[[dict[str, Any]], object], words: str
) -> None:
    path = edited_header(tmp_path / "model.safetensors", edit)
    with pytest.raises(CheckpointError, match=words):
        read_tensors(path)


@pytest.mark.parametrize("length", [2**63, 2**32, 10**6])
def test_a_header_longer_than_its_file_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", length) + b"{}")
    with pytest.raises(CheckpointError, match="header declares"):
        read_tensors(path)


def test_a_compressed_archive_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    plain, bomb = tmp_path / "plain.bin", tmp_path / "bomb.bin"
    torch.save({"a": torch.zeros(2**21)}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(bomb, "w") as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry), zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < plain.stat().st_size / 100
    with pytest.raises(CheckpointError, match="compressed"):
        read_tensors(bomb)


def test_an_archive_has_nothing_behind_its_directory(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    torch.save(TENSORS, path)
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(CheckpointError, match="does not end"):
        read_tensors(path)


def test_many_names_for_one_storage_are_refused(tmp_path: Path) -> None:
    shared = torch.zeros(10_000)
    torch.save({f"name{index}": shared for index in range(200)}, tmp_path / "model.bin")
    with pytest.raises(CheckpointError, match="overlap"):
        read_tensors(tmp_path / "model.bin")


class _Runs:
    def __reduce__(self) -> Any:
        return os.mkdir, (str(Path(os.environ["PLANTED"])),)


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("payload", [_Runs(), bytearray(3), {"x": {1, 2}}])
def test_a_pickle_names_only_types_on_the_list(
    tmp_path: Path, archive: bool, payload: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted, path = tmp_path / "planted", tmp_path / "model.bin"
    monkeypatch.setenv("PLANTED", str(planted))
    torch.save({"a": torch.ones(2), "b": payload}, path, _use_new_zipfile_serialization=archive)
    with pytest.raises(CheckpointError, match="would run code"):
        read_tensors(path)
    assert not planted.exists()


def test_a_pickle_of_a_later_protocol_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted, path = tmp_path / "planted", tmp_path / "model.bin"
    monkeypatch.setenv("PLANTED", str(planted))
    path.write_bytes(pickle.dumps(_Runs(), protocol=5))
    with pytest.raises(CheckpointError):
        read_tensors(path)
    assert not planted.exists()


def test_files_of_old_torch_are_read(tmp_path: Path) -> None:
    torch.save(TENSORS, tmp_path / "model.bin", _use_new_zipfile_serialization=False)
    found = read_tensors(tmp_path / "model.bin")
    assert all(torch.equal(found[name], value) for name, value in TENSORS.items())
