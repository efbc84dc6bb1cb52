"""Converted graphs on disk: used again, made again when damaged, never in the way."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest

from florence2.runtime.openvino.graph_cache import cache_key, load_graphs


@pytest.fixture
def graphs() -> dict[str, Any]:
    import numpy as np
    import openvino
    import openvino.opset13 as ops

    made = {}
    for name in ("one", "two"):
        given = ops.parameter([4], openvino.Type.f32, name="x")
        weights = ops.constant(np.arange(4, dtype=np.float32))
        made[name] = openvino.Model([ops.add(given, weights)], [given], name)
    return made


class Maker:
    """Counts how often graphs had to be made."""

    def __init__(self, graphs: dict[str, Any]) -> None:
        self.graphs, self.calls = graphs, 0

    def __call__(self) -> dict[str, Any]:
        self.calls += 1
        return self.graphs


def test_a_second_time_they_are_read(graphs: dict[str, Any], tmp_path: Path) -> None:
    make = Maker(graphs)
    load_graphs("key", make, tmp_path)
    again = load_graphs("key", make, tmp_path)
    assert make.calls == 1
    assert sorted(again) == ["one", "two"]
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
    load_graphs("other", make, tmp_path)
    assert make.calls == 2


@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "no manifest", "bad manifest"])
def test_damaged_entries_are_made_again(
    graphs: dict[str, Any], tmp_path: Path, damage: str
) -> None:
    make = Maker(graphs)
    load_graphs("key", make, tmp_path)
    file, manifest = tmp_path / "key" / "one.bin", tmp_path / "key" / "manifest.json"
    content = file.read_bytes()
    match damage:
        case "cut":
            file.write_bytes(content[:-1])
        case "changed":
            file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        case "gone":
            file.unlink()
        case "no manifest":
            manifest.unlink()
        case "bad manifest":
            manifest.write_text(json.dumps([1, 2]))
    load_graphs("key", make, tmp_path)
    assert make.calls == 2
    load_graphs("key", make, tmp_path)
    assert make.calls == 2
    assert file.read_bytes() == content


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), PermissionError("no")])
def test_what_cannot_be_written_costs_time_only(
    graphs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    import openvino

    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(openvino, "save_model", refuse)
    make = Maker(graphs)
    for calls in (1, 2):
        with pytest.warns(UserWarning, match="are not kept in"):
            assert load_graphs("key", make, tmp_path) is graphs
        assert make.calls == calls
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_in_nobodys_way(graphs: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.warns(UserWarning, match="are not kept"):
        assert load_graphs("key", Maker(graphs), tmp_path / "cache") is graphs


def test_the_key_is_that_of_the_content(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"weights")
    (one,), (other,) = ([tmp_path / name / "model.safetensors"] for name in "ab")
    assert cache_key([one], "fp32") == cache_key([other], "fp32") != cache_key([one], "int8")
    other.write_bytes(b"weighty")
    assert cache_key([one], "fp32") != cache_key([other], "fp32")


def _start(folder: Path, barrier: Any, found: Any) -> None:
    import numpy as np
    import openvino
    import openvino.opset13 as ops

    def make() -> dict[str, Any]:
        given = ops.parameter([4], openvino.Type.f32, name="x")
        weights = ops.constant(np.arange(4, dtype=np.float32))
        return {"one": openvino.Model([ops.add(given, weights)], [given], "one")}

    barrier.wait(60)
    found.put((os.getpid(), sorted(load_graphs("key", make, folder))))


def test_eight_processes_at_once_leave_one_good_entry(
    graphs: dict[str, Any], tmp_path: Path
) -> None:
    context = multiprocessing.get_context("fork")
    barrier, found = context.Barrier(8), context.Queue()
    started = [context.Process(target=_start, args=(tmp_path, barrier, found)) for _ in range(8)]
    for each in started:
        each.start()
    answers = [found.get(timeout=60) for _ in started]
    for each in started:
        each.join(60)
    assert len({process for process, _ in answers}) == 8
    assert all(names == ["one"] for _, names in answers)
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
    make = Maker(graphs)
    load_graphs("key", make, tmp_path)
    assert make.calls == 0
