"""Training checkpoints that were damaged, or written by someone else."""

from __future__ import annotations

import errno
import io
import json
import os
import pickle
import random
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from florence2.io.atomic import DiskFullError
from florence2.model.checkpoint.weights import load_checkpoint
from florence2.training import Recipe, checkpoints, override, train
from florence2.training.checkpoint_reader import (
    DamagedCheckpointError,
    SafeCheckpointReader,
    load_metadata,
)
from florence2.training.checkpoints import CHECKSUMS_FILE, write_checksums
from florence2.training.distributed import DistributedContext
from florence2.training.optimizers import make_optimizers

SHORT = [
    "batch.size=2", "schedule.samples=6", "schedule.warmup_steps=1", "reporting.sample_every=0",
    "reporting.checkpoint_every=1", "reporting.log_every=1",
]  # fmt: skip


def run(records: Any, start: Path, out: Path, *settings: str) -> Any:
    recipe = override(Recipe(start=str(start)), [*SHORT, *settings])
    return train(recipe, records, out, device="cpu", quiet=True)


@pytest.fixture(scope="module")
def finished(records: Any, start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three steps; the checkpoints of the last two steps are there."""
    out = tmp_path_factory.mktemp("finished")
    run(records, start, out)
    return out


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A copy of the run, whose checkpoints a test may damage."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def newest(out: Path) -> Path:
    return max((out / "checkpoints").glob("step-*"))


class Payload:
    """Pickles to a call that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.path),)


def plant(checkpoint: Path, name: str, content: bytes) -> None:
    """Put a file into a checkpoint, with checksums that hold."""
    (checkpoint / name).write_bytes(content)
    write_checksums(checkpoint)


def test_a_payload_in_the_metadata_does_not_run(
    records: Any, start: Path, copied: Path, tmp_path: Path
) -> None:
    trap = tmp_path / "trap"
    for checkpoint in (copied / "checkpoints").glob("step-*"):
        plant(checkpoint, ".metadata", pickle.dumps(Payload(trap)))
    with pytest.raises(DamagedCheckpointError, match=r"posix\.mkdir is not allowed|nt\.mkdir"):
        run(records, start, copied)
    assert not trap.exists()


def test_a_payload_in_a_stored_value_does_not_run(
    records: Any, start: Path, copied: Path, tmp_path: Path
) -> None:
    """Values that are no tensors are pickles too: each of them is replaced by a payload."""
    trap = tmp_path / "trap"
    for checkpoint in (copied / "checkpoints").glob("step-*"):
        metadata = load_metadata(checkpoint / ".metadata")
        content = (checkpoint / "__0_0.distcp").read_bytes()
        stream = io.BytesIO()
        torch.save(Payload(trap), stream)
        for index, info in metadata.storage_data.items():
            if "param_groups" in index.fqn:
                info.offset, info.length = len(content), len(stream.getvalue())
        (checkpoint / "__0_0.distcp").write_bytes(content + stream.getvalue())
        plant(checkpoint, ".metadata", pickle.dumps(metadata))
    with pytest.raises(DamagedCheckpointError, match=r"Weights only load failed|weights_only"):
        run(records, start, copied)
    assert not trap.exists()


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "sub/../../x", ""])
def test_values_outside_the_directory_are_refused(copied: Path, name: str) -> None:
    checkpoint = newest(copied)
    metadata = load_metadata(checkpoint / ".metadata")
    next(iter(metadata.storage_data.values())).relative_path = name
    plant(checkpoint, ".metadata", pickle.dumps(metadata))
    with pytest.raises(DamagedCheckpointError, match="is missing, though"):
        SafeCheckpointReader(checkpoint)


def test_values_beyond_the_end_of_their_file_are_refused(copied: Path) -> None:
    checkpoint = newest(copied)
    metadata = load_metadata(checkpoint / ".metadata")
    next(iter(metadata.storage_data.values())).length = 10**15
    plant(checkpoint, ".metadata", pickle.dumps(metadata))
    with pytest.raises(DamagedCheckpointError, match="is truncated"):
        SafeCheckpointReader(checkpoint)


def test_a_compressed_value_is_refused_before_it_is_read(
    records: Any, start: Path, copied: Path
) -> None:
    for checkpoint in (copied / "checkpoints").glob("step-*"):
        metadata = load_metadata(checkpoint / ".metadata")
        content = (checkpoint / "__0_0.distcp").read_bytes()
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("archive/data/0", bytes(2**24))
        info = next(iter(metadata.storage_data.values()))
        info.offset, info.length = len(content), len(stream.getvalue())
        (checkpoint / "__0_0.distcp").write_bytes(content + stream.getvalue())
        plant(checkpoint, ".metadata", pickle.dumps(metadata))
    with pytest.raises(DamagedCheckpointError, match="is compressed"):
        run(records, start, copied)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x04r\xff\xff\xff\x7f.",  # a memo index of two billion
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\x00\x00\x00.",  # bytes of a terabyte
        b"\x80\x04N.",
        b"cposix\nsystem\n(S'true'\ntR.",
        b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.",
        b"\x80\x04\x8c\x05torch\x8c\x0bhub.os.mkdir\x93.",
    ],
)
def test_other_pickles_are_no_metadata(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".metadata").write_bytes(content)
    with pytest.raises(DamagedCheckpointError, match="metadata"):
        load_metadata(tmp_path / ".metadata")


def test_a_flipped_bit_is_found_and_the_older_checkpoint_is_used(
    records: Any, start: Path, finished: Path, copied: Path
) -> None:
    damaged = newest(copied)
    content = bytearray((damaged / "__0_0.distcp").read_bytes())
    content[len(content) // 2] ^= 4
    (damaged / "__0_0.distcp").write_bytes(content)
    message = r"__0_0.distcp is damaged: its SHA-256 .* resumes from step-00000002"
    with pytest.warns(UserWarning, match=message):
        outcome = run(records, start, copied)
    assert outcome.steps == 3
    assert (damaged.parent / f"damaged-{damaged.name}").is_dir()
    for name in ("checkpoints/step-00000003/__0_0.distcp", "last/model.safetensors"):
        assert (copied / name).read_bytes() == (finished / name).read_bytes()


def test_when_all_checkpoints_are_damaged_none_is_used_and_each_is_named(
    records: Any, start: Path, copied: Path
) -> None:
    for number, checkpoint in enumerate(sorted((copied / "checkpoints").iterdir())):
        if number:
            (checkpoint / "progress.json").unlink()
        else:
            (checkpoint / "__0_0.distcp").write_bytes(b"")
    log = (copied / "log.jsonl").read_bytes()
    with pytest.raises(DamagedCheckpointError) as error:
        run(records, start, copied)
    assert all(name in str(error.value) for name in ("step-00000002", "step-00000003"))
    assert "another --out" in str(error.value)
    assert (copied / "log.jsonl").read_bytes() == log


def test_a_checkpoint_of_an_earlier_release_is_used_with_a_warning(
    records: Any, start: Path, copied: Path
) -> None:
    for checkpoint in (copied / "checkpoints").iterdir():
        (checkpoint / CHECKSUMS_FILE).unlink()
        values = json.loads((checkpoint / "progress.json").read_text())
        for name in ("unreadable", "unreadable_in_a_row", "evaluation_pending"):
            del values[name]
        (checkpoint / "progress.json").write_text(json.dumps(values))
    with pytest.warns(UserWarning, match="step-00000003 has no checksums"):
        assert run(records, start, copied).steps == 3


def damage(checkpoint: Path, kind: str, generator: random.Random) -> None:
    files = sorted(each for each in checkpoint.iterdir() if each.is_file())
    file = generator.choice(files)
    content = bytearray(file.read_bytes())
    place = generator.randrange(len(content))
    if kind == "cut":
        file.write_bytes(content[:place])
    elif kind == "flipped":
        content[place] ^= 1 << generator.randrange(8)
        file.write_bytes(content)
    elif kind == "missing":
        file.unlink()
    elif kind == "swapped":
        other = generator.choice([each for each in files if each != file])
        content, swapped = file.read_bytes(), other.read_bytes()  # type: ignore[assignment]
        file.write_bytes(swapped)
        other.write_bytes(content)
    elif kind == "directory":
        file.unlink()
        file.mkdir()
    else:
        file.write_bytes(b"")


@pytest.mark.parametrize("checksums", [True, False])
@pytest.mark.filterwarnings("ignore")
def test_states_damaged_at_random_are_reported_or_passed_over(
    start: Path, finished: Path, tmp_path: Path, checksums: bool
) -> None:
    """With checksums every damage is found. Without, it is at least never another error."""
    generator = random.Random(checksums)
    model = load_checkpoint(start).train()
    optimizer = make_optimizers(model, Recipe().optimizer)
    world = DistributedContext(0, 1, torch.device("cpu"))
    kinds = ("cut", "flipped", "missing", "swapped", "directory", "empty")
    passed_over = 0
    for number in range(12):
        folder = Path(shutil.copytree(finished / "checkpoints", tmp_path / f"{number}"))
        if not checksums:
            for file in folder.glob(f"*/{CHECKSUMS_FILE}"):
                file.unlink()
        damaged = max(folder.glob("step-*"))
        damage(damaged, kinds[number % len(kinds)], generator)
        found = checkpoints.load_newest_state(folder, model, optimizer, world)
        assert found is not None
        if found[0] != damaged:
            passed_over += 1
            assert found[1].step == 2
            assert (folder / f"damaged-{damaged.name}").is_dir()
        elif checksums:
            assert not (damaged / CHECKSUMS_FILE).exists()
        shutil.rmtree(folder)
    assert passed_over >= (9 if checksums else 5)


def test_a_full_disk_ends_a_checkpoint_with_a_sentence(
    records: Any, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = checkpoints.save

    def full(state: Any, *, checkpoint_id: Path, **more: Any) -> None:
        original(state, checkpoint_id=checkpoint_id, **more)
        if checkpoint_id.name.endswith("2"):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints, "save", full)
    with pytest.raises(DiskFullError) as error:
        run(records, start, tmp_path)
    text = str(error.value)
    assert re.match(r"no space left on the disk that holds .*checkpoints \(.* MiB free\)", text)
    assert "step-00000001 is kept" in text and "same command again" in text
    assert [each.name for each in (tmp_path / "checkpoints").iterdir()] == ["step-00000001"]
    monkeypatch.undo()
    assert run(records, start, tmp_path).steps == 3
