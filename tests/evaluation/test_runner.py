"""Runs that are killed, resumed, shared and limited end in the metrics of an undisturbed one."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from florence2.evaluation.report import read_report
from florence2.evaluation.runner import evaluate
from florence2.results.types import Text

ACCURACY = 100 * 33 / 40  # seven of twenty shapes are wrong


def finding(out: Path) -> dict[str, Any]:
    """The report but for what tells when and where it was made."""
    found = read_report(out).to_json()
    for name in ("date", "seconds", "predicted", "asked", "machine"):
        del found[name]
    found["settings"].pop("shards")
    return found


def start(script: Path, data: Path, out: Path, shard: str, delay: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(script), str(data), str(out), shard],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "STAND_IN_DELAY": str(delay)},
    )


def wait_for_lines(out: Path, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        lines = sum(path.read_bytes().count(b"\n") for path in out.glob("predictions-*"))
        if lines >= count:
            return
        time.sleep(0.001)


def test_a_run_is_scored(stand_in: Any, model: Any, data: Path, tmp_path: Path) -> None:
    report = evaluate(stand_in.BENCHMARK, model, data, tmp_path / "out", beams=1, batch_size=4)
    assert report is not None
    (accuracy,) = report.metrics
    assert accuracy.value == pytest.approx(ACCURACY)
    assert accuracy.low < ACCURACY < accuracy.high
    assert accuracy.paper == stand_in.BENCHMARK.reported["val"]["accuracy"]
    assert model.options == {"max_new_tokens": 8, "beams": 1, "batch_size": 4}
    assert report.settings["options"] == {"max_new_tokens": 8, "beams": 1}
    assert (report.coverage.examples, report.coverage.images, report.predicted) == (40, 20, 40)
    assert report.truncated == 4 and report.failures == ()
    assert read_report(tmp_path / "out") == report
    results = json.loads((tmp_path / "out/official/results.json").read_text())
    assert report.official == ("official/results.json",) and len(results) == 40


def test_questions_about_a_image_are_neighbours(
    stand_in: Any, model: Any, data: Path, tmp_path: Path
) -> None:
    evaluate(stand_in.BENCHMARK, model, data, tmp_path / "out")
    assert model.asked[:4] == [
        ("000", "color?"), ("000", "shape?"), ("001", "color?"), ("001", "shape?"),
    ]  # fmt: skip


def test_a_killed_run_resumes_to_the_same_report(
    stand_in_script: Path, stand_in: Any, model: Any, data: Path, tmp_path: Path
) -> None:
    evaluate(stand_in.BENCHMARK, model, data, tmp_path / "whole")
    out = tmp_path / "killed"
    moments = random.Random(3)
    for lines in (7, 19):
        process = start(stand_in_script, data, out, "0/1", 0.01)
        wait_for_lines(out, lines, process)
        time.sleep(moments.random() * 0.01)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    answers = out / "predictions-00000-of-00001.jsonl"
    answers.write_bytes(answers.read_bytes() + b'{"id": "019-1", "ans')
    done = answers.read_bytes().count(b"\n")
    model.asked.clear()
    report = evaluate(stand_in.BENCHMARK, model, data, out)
    assert report is not None and report.predicted == len(model.asked) == 40 - done < 40 - 18
    assert answers.read_bytes().count(b"\n") == 40
    assert finding(out) == finding(tmp_path / "whole")
    model.asked.clear()
    assert evaluate(stand_in.BENCHMARK, model, data, out) is not None
    assert model.asked == []


def test_processes_that_share_a_run_end_in_the_same_report(
    stand_in_script: Path, stand_in: Any, model: Any, data: Path, tmp_path: Path
) -> None:
    evaluate(stand_in.BENCHMARK, model, data, tmp_path / "whole")
    out = tmp_path / "shared"
    processes = [start(stand_in_script, data, out, f"{part}/2", 0.002) for part in range(2)]
    for process in processes:
        _, messages = process.communicate(timeout=60)
        assert process.returncode == 0, messages
    assert finding(out) == finding(tmp_path / "whole")
    logs = sorted(out.glob("predictions-*"))
    assert [path.read_bytes().count(b"\n") for path in logs] == [20, 20]


def test_parts_alone_are_not_scored(stand_in: Any, model: Any, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert evaluate(stand_in.BENCHMARK, model, data, out, shard=(1, 3)) is None
    assert {name for name, _ in model.asked} == {f"{each:03}" for each in range(1, 20, 3)}
    assert not (out / "report.json").exists()
    assert evaluate(stand_in.BENCHMARK, model, data, out, shard=(0, 3)) is None
    report = evaluate(stand_in.BENCHMARK, model, data, out, shard=(2, 3))
    assert report is not None and report.metrics[0].value == pytest.approx(ACCURACY)
    for shard in ((3, 3), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match="shard must be I/N"):
            evaluate(stand_in.BENCHMARK, model, data, out, shard=shard)


def test_a_limit_takes_whole_images_at_even_distances(
    stand_in: Any, model: Any, data: Path, tmp_path: Path
) -> None:
    report = evaluate(stand_in.BENCHMARK, model, data, tmp_path / "out", limit=4)
    assert report is not None
    assert [name for name, _ in model.asked] == [
        name for name in ("000", "005", "010", "015") for _ in range(2)
    ]
    coverage = report.coverage
    assert (coverage.examples, coverage.images) == (8, 4)
    assert (coverage.split_examples, coverage.split_images, coverage.is_whole) == (40, 20, False)
    everything = evaluate(stand_in.BENCHMARK, model, data, tmp_path / "all", limit=99)
    assert everything is not None and everything.coverage.is_whole
    with pytest.raises(ValueError, match=r"limit must be .* got 0"):
        evaluate(stand_in.BENCHMARK, model, data, tmp_path / "none", limit=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "other"}, "started with split val, not other"),
        ({"limit": 3}, "started with limit None, not 3"),
        ({"beams": 2}, "started with options.beams \\(none\\), not 2"),
        ({"prompt": "<VQA2>"}, "started with prompt None, not <VQA2>"),
        ({"shard": (0, 2)}, "started with shards 1, not 2"),
        ({"settings": {"precision": "bf16"}}, r"started with precision \(none\), not bf16"),
    ],
)
def test_other_settings_are_refused(
    stand_in: Any, model: Any, data: Path, tmp_path: Path, change: Any, message: str
) -> None:
    evaluate(stand_in.BENCHMARK, model, data, tmp_path / "out")
    asked = len(model.asked)
    with pytest.raises(ValueError, match=f"{message}.*choose another --out"):
        evaluate(stand_in.BENCHMARK, model, data, tmp_path / "out", **change)
    assert len(model.asked) == asked


def test_another_model_is_refused_by_its_weights(
    stand_in: Any, model: Any, data: Path, tmp_path: Path
) -> None:
    def train(value: float) -> None:
        save_file({"w": np.full(3, value, np.float32)}, tmp_path / "checkpoint/model.safetensors")

    (tmp_path / "checkpoint").mkdir()
    model.name = str(tmp_path / "checkpoint")
    train(1)
    evaluate(stand_in.BENCHMARK, model, data, tmp_path / "out")
    evaluate(stand_in.BENCHMARK, model, data, tmp_path / "out", batch_size=2)
    train(2)
    with pytest.raises(ValueError, match="started with weights"):
        evaluate(stand_in.BENCHMARK, model, data, tmp_path / "out")


def test_data_that_moved_is_the_same_data(
    stand_in: Any, model: Any, data: Path, tmp_path: Path
) -> None:
    evaluate(stand_in.BENCHMARK, model, data, tmp_path / "out")
    data.rename(tmp_path / "moved")
    model.asked.clear()
    assert evaluate(stand_in.BENCHMARK, model, tmp_path / "moved", tmp_path / "out") is not None
    assert model.asked == []


def test_what_fails_counts_as_wrong_and_is_tried_again(
    stand_in: Any, model: Any, data: Path, tmp_path: Path
) -> None:
    def broken(image: Path, question: str) -> Text | None:
        return None if image.stem == "001" else stand_in.mostly_right(image, question)

    out = tmp_path / "out"
    report = evaluate(stand_in.BENCHMARK, stand_in.StandInModel(broken), data, out)
    assert report is not None
    assert report.metrics[0].value == pytest.approx(100 * 31 / 40)
    assert report.failures == (
        ("001-0", "cannot be read as an image"), ("001-1", "cannot be read as an image"),
    )  # fmt: skip
    again = evaluate(stand_in.BENCHMARK, model, data, out)
    assert model.asked == [("001", "color?"), ("001", "shape?")]
    assert again is not None and again.failures == ()
    assert again.metrics[0].value == pytest.approx(ACCURACY)


def test_hidden_truth_gives_files_and_no_metrics(
    stand_in: Any, model: Any, data: Path, tmp_path: Path
) -> None:
    def refuse(predictions: Any) -> Any:
        raise AssertionError("nothing is known to score by")

    benchmark = replace(stand_in.BENCHMARK, score=refuse)
    report = evaluate(benchmark, model, data, tmp_path / "out", split="hidden")
    assert report is not None and report.metrics == () and report.tables == ()
    assert report.official == ("official/results.json",)
    assert "hidden" in (tmp_path / "out/examples.html").read_text()


def test_a_prompt_takes_the_place_of_the_benchmarks_own(
    stand_in: Any, model: Any, data: Path, tmp_path: Path
) -> None:
    evaluate(stand_in.BENCHMARK, model, data, tmp_path / "out", prompt="<MY_VQA>")
    assert {(task.prompt, task.answer) for task in model.tasks} == {("<MY_VQA>", "text")}
    assert model.tasks[0].format_prompt("color?") == "<MY_VQA>color?"
    with pytest.raises(ValueError, match=r"<CAPTION> takes no input, but example 000-0"):
        evaluate(stand_in.BENCHMARK, model, data, tmp_path / "other", prompt="<CAPTION>")


def test_an_answer_that_is_not_a_number_ends_the_run(
    stand_in: Any, data: Path, tmp_path: Path
) -> None:
    model = stand_in.StandInModel(lambda image, question: Text("red", float("nan")))
    with pytest.raises(ValueError, match=r"example '000-0' cannot be scored: score .* nan"):
        evaluate(stand_in.BENCHMARK, model, data, tmp_path / "out")


def test_unusable_data_is_reported_before_any_request(
    stand_in: Any, model: Any, data: Path, tmp_path: Path
) -> None:
    def run(**options: Any) -> None:
        evaluate(stand_in.BENCHMARK, model, data, tmp_path / "out", **options)

    with pytest.raises(ValueError, match=r"no split 'tset'; available: val, hidden, other"):
        run(split="tset")
    for name in ("002", "005", "011", "013"):
        (data / f"{name}.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"4 of 20 images .*002\.png.* and 1 more"):
        run()
    (data / "val.json").write_text('["000", "000"]')
    with pytest.raises(ValueError, match=r"ids of the examples of colors must be unique.*000-0"):
        run()
    (data / "val.json").write_text("[]")
    with pytest.raises(ValueError, match="has no example of colors val"):
        run()
    assert model.asked == [] and not (tmp_path / "out").exists()
    (tmp_path / "out").write_text("")
    (data / "val.json").write_text('["000"]')
    with pytest.raises(ValueError, match="is a file; name a directory"):
        run()


def test_a_second_process_is_refused_with_the_first_ones_id(
    stand_in: Any, model: Any, data: Path, tmp_path: Path
) -> None:
    from florence2.io.run_lock import RunLockedError, lock_run_dir

    with lock_run_dir(tmp_path / "out"), pytest.raises(RunLockedError, match="in use by process"):
        evaluate(stand_in.BENCHMARK, model, data, tmp_path / "out")
    assert evaluate(stand_in.BENCHMARK, model, data, tmp_path / "out") is not None


def test_a_run_that_fails_before_its_first_answer_leaves_nothing(
    stand_in: Any, data: Path, tmp_path: Path
) -> None:
    class Broken:
        name = "broken"

        def stream(self, requests: Any, /, **options: Any) -> Any:
            raise OSError("its weights are damaged")

    with pytest.raises(OSError, match="damaged"):
        evaluate(stand_in.BENCHMARK, Broken(), data, tmp_path / "out")
    assert not (tmp_path / "out").exists()
