"""Whose directory it is: locks, other data, other models, failed starts."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from florence2.datasets.shards import ShardDataset, ShardWriter
from florence2.io.run_lock import RunLockedError, lock_run_dir
from florence2.results.types import Text
from florence2.training import Recipe, override, train
from florence2.training.run_directory import INPUTS_FILE, RECIPE_FILE
from florence2.training.run_inputs import count_shared_images, describe_records

SHORT = [
    "batch.size=2", "schedule.samples=4", "schedule.warmup_steps=1", "reporting.sample_every=0",
    "reporting.checkpoint_every=1", "max_target_tokens=100",
]  # fmt: skip


def run(records: Any, start: Path, out: Path, *settings: str, **more: Any) -> Any:
    recipe = override(Recipe(start=str(start)), [*SHORT, *settings])
    return train(recipe, records, out, device="cpu", quiet=True, **more)


def write_shards(records: Any, folder: Path) -> ShardDataset:
    with ShardWriter(folder) as writer:
        for record in records:
            writer.write(record)
    return ShardDataset(folder)


@pytest.fixture(scope="module")
def begun(records: Any, start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with shards ``a``, and a run on them with its own validation records."""
    folder = tmp_path_factory.mktemp("begun")
    shards = write_shards(records[:6], folder / "a")
    run(shards, start, folder / "run", validation=write_shards(records[6:8], folder / "held"))
    return folder


@pytest.fixture
def out(begun: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(begun / "run", tmp_path / "run"))


def test_other_data_is_refused_with_what_differs(
    records: Any, start: Path, begun: Path, out: Path, tmp_path: Path
) -> None:
    held = ShardDataset(begun / "held")
    grown = write_shards(records[:9], tmp_path / "grown")
    with pytest.raises(ValueError, match="the training data differs: it has 9 records now and had"):
        run(grown, start, out, validation=held)
    edited = [replace(records[0], id="other"), *records[1:6]]
    other = write_shards(edited, tmp_path / "other")
    with pytest.raises(ValueError, match="6 records as before, but with other content"):
        run(other, start, out, validation=held)
    shards = ShardDataset(begun / "a")
    with pytest.raises(ValueError, match="the validation data differs: it has 1 records now"):
        run(shards, start, out, validation=write_shards(records[9:10], tmp_path / "one"))
    with pytest.raises(ValueError, match="the run had validation data"):
        run(shards, start, out)
    with pytest.warns(UserWarning, match="resuming with changed inputs: the training data differs"):
        run(grown, start, out, validation=held, allow_data_change=True)
    run(grown, start, out, validation=held)


def test_the_same_data_at_another_place_is_the_same(
    start: Path, begun: Path, out: Path, tmp_path: Path
) -> None:
    moved = shutil.copytree(begun / "a", tmp_path / "moved")
    assert run(ShardDataset(moved), start, out, validation=ShardDataset(begun / "held")).steps == 2


def test_changed_weights_of_the_start_model_are_refused(
    records: Any, start: Path, tmp_path: Path
) -> None:
    own = Path(shutil.copytree(start, tmp_path / "start"))
    run(records, own, tmp_path / "run")
    weights = load_file(own / "model.safetensors")
    first = min(weights)
    save_file({**weights, first: weights[first] + 1}, own / "model.safetensors")
    with pytest.raises(ValueError, match=r"the start model differs: model\.safetensors"):
        run(records, own, tmp_path / "run")


def test_records_in_memory_are_known_by_their_annotations(records: Any) -> None:
    same, other = type(records)(records), type(records)(records)
    changed = replace(records[0].annotations[0], answer=Text("other words"), task="<CAPTION>")
    other[0] = replace(records[0], annotations=(changed,))
    assert describe_records(same) == describe_records(records)
    assert describe_records(other) != describe_records(records)


def test_a_run_of_an_earlier_release_resumes_with_a_warning(
    start: Path, begun: Path, out: Path
) -> None:
    (out / INPUTS_FILE).unlink()
    shards, held = ShardDataset(begun / "a"), ShardDataset(begun / "held")
    with pytest.warns(UserWarning, match="did not store a description of its data"):
        run(shards, start, out, validation=held)
    assert (out / INPUTS_FILE).is_file()


@pytest.mark.parametrize("name", [RECIPE_FILE, INPUTS_FILE])
@pytest.mark.parametrize("content", [b"", b"[]", b'{"batch": 3}', b"\xff", b"[" * 100_000])
def test_damaged_notes_of_a_run_are_named(
    start: Path, begun: Path, out: Path, name: str, content: bytes
) -> None:
    (out / name).write_bytes(content)
    shards, held = ShardDataset(begun / "a"), ShardDataset(begun / "held")
    with pytest.raises(ValueError, match=r"recipe|inputs"):
        run(shards, start, out, validation=held)


def test_a_failed_start_leaves_nothing_and_another_recipe_may_follow(
    records: Any, start: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with pytest.raises((ValueError, OSError)):
        run(records, tmp_path / "nowhere", out)
    assert not out.exists()
    broken = type(records)([replace(records[0], image=b"no image")])
    with pytest.raises(ValueError, match="no validation example can be read"):
        run(records, start, out, validation=broken)
    assert not out.exists()
    run(records, start, out, "seed=3")


def test_a_run_without_a_checkpoint_may_begin_again_with_another_recipe(
    records: Any, start: Path, tmp_path: Path
) -> None:
    run(records, start, tmp_path)
    for name in ("checkpoints", "last"):
        shutil.rmtree(tmp_path / name)
    run(records, start, tmp_path, "seed=3")
    assert json.loads((tmp_path / RECIPE_FILE).read_text())["seed"] == 3


def test_a_second_run_in_the_directory_is_refused(
    records: Any, start: Path, tmp_path: Path
) -> None:
    with lock_run_dir(tmp_path / "run"), pytest.raises(RunLockedError, match=str(os.getpid())):
        run(records, start, tmp_path / "run")
    assert run(records, start, tmp_path / "run").steps == 2


def test_validation_images_that_are_learned_are_counted(
    records: Any, start: Path, begun: Path, tmp_path: Path
) -> None:
    shards, held = ShardDataset(begun / "a"), write_shards(records[4:8], tmp_path / "held")
    assert count_shared_images(shards, held) == 2
    with pytest.warns(UserWarning, match="2 of 4 validation images are training images too"):
        run(shards, start, tmp_path / "run", validation=held)
