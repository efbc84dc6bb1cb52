from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from florence2.cli import app
from florence2.evaluation.benchmarks import BENCHMARKS

SCRIPT = Path(__file__).with_name("stand_in_evaluation.py")
Command = Callable[..., Any]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module that stands in for the predictor, with ``colors`` among the benchmarks."""
    specification = importlib.util.spec_from_file_location("stand_in_evaluation", SCRIPT)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    known = dict(BENCHMARKS)
    predictor = module.predictor(module.load_stand_in())
    monkeypatch.setitem(sys.modules, "florence2.inference.predictor", predictor)
    yield predictor
    BENCHMARKS.clear()
    BENCHMARKS.update(known)


@pytest.fixture
def evaluate(stand_in: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs ``florence2 evaluate ARGUMENTS`` in a directory of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Any:
        return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])

    return run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    directory = tmp_path / "data"
    directory.mkdir()
    names = [f"{number:03}" for number in range(12)]
    for name in names:
        Image.new("RGB", (8, 6), "red").save(directory / f"{name}.png")
    for split in ("val", "hidden"):
        (directory / f"{split}.json").write_text(json.dumps(names))
    return directory


def test_metrics_are_printed_beside_the_papers(
    evaluate: Command, stand_in: Any, data: Path, tmp_path: Path
) -> None:
    result = evaluate(
        "colors", "--data", data, "--model", "some/model", "--device", "cpu", "--precision",
        "fp32", "--adapter", "lora", "--revision", "abc", "--beams", 1, "--max-new-tokens", 9,
        "--batch-size", 3,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "Colors, val: some/model" in result.stdout
    row = next(line.split() for line in result.stdout.splitlines() if "accuracy" in line)
    assert row[:2] == ["accuracy", "83.3"] and row[-4:] == ["50.0", "60.0", "-", "80.5"]
    out = Path("runs/evaluate/colors-val-some-model")
    assert f"written: {out / 'report.md'}" in result.stdout
    files = {path.name for path in (tmp_path / out).iterdir() if not path.name.startswith(".")}
    assert files == {
        "predictions-00000-of-00001.jsonl", "official", "examples.html", "report.json", "report.md",
        "run.json",
    }  # fmt: skip
    settings = json.loads((tmp_path / out / "run.json").read_text())
    assert settings["options"] == {"max_new_tokens": 9, "beams": 1}
    assert (settings["precision"], settings["adapter"]) == ("fp32", "lora")
    assert stand_in.loaded == {
        "source": "some/model", "device": "cpu", "precision": "fp32", "adapter": "lora",
        "revision": "abc",
    }  # fmt: skip


def test_limits_of_the_metrics_are_printed(evaluate: Command, data: Path) -> None:
    result = evaluate("colors", "--data", data, "--limit", 4)
    assert result.exit_code == 0
    assert "note: The model has random weights" in result.stdout
    assert "note: Only a part of val was evaluated: 4 of 12 images" in result.stdout
    assert "nano has random weights: its outputs are meaningless" in result.stderr
    assert "runs/evaluate/colors-val-nano-limit-4/report.md" in result.stdout


def test_hidden_truth_ends_in_a_file_for_the_server(evaluate: Command, data: Path) -> None:
    result = evaluate("colors", "--data", data, "--split", "hidden", "--out", "out")
    assert result.exit_code == 0
    assert "for the official scorer: out/official/results.json" in result.stdout
    assert "accuracy" not in result.stdout


def test_failed_examples_end_with_status_1(evaluate: Command, data: Path) -> None:
    result = evaluate("colors", "--data", data, "--model", "blind", "--out", "out")
    assert result.exit_code == 1
    assert "failed: colors 000-0: cannot be read as an image" in result.stderr
    assert "failed: 14 more" in result.stderr
    assert "accuracy" in result.stdout


def test_parts_by_hand_are_scored_by_the_last(evaluate: Command, data: Path) -> None:
    arguments = ("colors", "--data", data, "--out", "out", "--shard")
    first = evaluate(*arguments, "1/2")
    assert first.exit_code == 0 and "this part is complete" in first.stdout
    last = evaluate(*arguments, "0/2")
    assert last.exit_code == 0 and "accuracy" in last.stdout


def test_processes_share_a_run(data: Path, tmp_path: Path) -> None:
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, SCRIPT, "evaluate", "colors", "--data", data, "--device", "cpu"]
        return subprocess.run(
            [str(each) for each in (*command, *arguments)],
            capture_output=True, text=True, cwd=tmp_path, timeout=120,
        )  # fmt: skip

    result = run("--processes", 2, "--out", "out", "--prompt", "<A b>", "--model", "m")
    assert result.returncode == 0, result.stderr
    assert "83.3" in result.stdout and "The prompt is `<A b>`" in result.stdout
    files = sorted((tmp_path / "out").glob("predictions-*"))
    assert [path.read_bytes().count(b"\n") for path in files] == [12, 12]
    # What a process says when it cannot go on is said once.
    refused = run("--processes", 2, "--out", "out", "--prompt", "<A b>", "--model", "other")
    assert refused.returncode == 2
    assert "started with model m, not other" in refused.stderr and refused.stderr.count("\n") == 1


def test_two_runs_are_compared(evaluate: Command, data: Path) -> None:
    evaluate("colors", "--data", data, "--model", "one", "--out", "a")
    evaluate("colors", "--data", data, "--model", "blind", "--out", "b")
    result = evaluate("--compare", "a", "b", "--out", "both")
    assert result.exit_code == 0, result.stderr
    row = next(line for line in result.stdout.splitlines() if "accuracy" in line)
    assert row.split()[1:4] == ["83.33", "0.00", "-83.33"] and "A is better" in row
    assert json.loads(Path("both/comparison.json").read_text())["models"] == ["one", "blind"]
    assert "A is better" in Path("both/comparison.md").read_text()


def test_all_rows_are_run_or_told_why_not(evaluate: Command, data: Path, tmp_path: Path) -> None:
    (tmp_path / "common").mkdir()
    (tmp_path / "common/colors").symlink_to(data)
    result = evaluate("--all", "--data", "common", "--out", "out", "--model", "m")
    assert result.exit_code == 1
    assert any("Colors" in line and "83.3" in line for line in result.stdout.splitlines())
    assert "not run: coco-detection val2017: common has no annotations" in result.stderr
    page = Path("out/report.md").read_text()
    assert "| Colors | val | accuracy | 83.3 |" in page and "| RefCOCO | testB |" in page
    assert Path("out/colors-val/examples.html").exists()


def test_listing_tells_names_and_then_all_about_one(evaluate: Command) -> None:
    listed = evaluate("--list")
    assert listed.exit_code == 0
    assert all(name in listed.stdout for name in BENCHMARKS)
    one = evaluate("coco-detection", "--list")
    assert "splits: val2017, test-dev2017" in one.stdout
    assert "instances_val2017.json" in one.stdout and "How it is scored" in one.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["colors"], "--data is missing"),
        (["--data", "data"], "name a benchmark, or --all"),
        (["imagenet", "--data", "data"], "unknown benchmark 'imagenet'"),
        (["colors", "--data", "gone"], "val.json"),
        (["colors", "--data", "data", "--split", "tset"], "no split 'tset'; available: val"),
        (["colors", "--data", "data", "--model", "no-such/model"], "no checkpoint called"),
        (["colors", "--data", "data", "--shard", "1"], "--shard must be I/N"),
        (["colors", "--data", "data", "--shard", "2/2"], "I from 0 to N - 1, got 2/2"),
        (
            ["colors", "--data", "data", "--shard", "0/2", "--processes", "2"],
            "are mutually exclusive",
        ),
        (["colors", "--data", "data", "--prompt", "<CAPTION>"], "choose a prompt that fits"),
        (["colors", "--data", "data", "--limit", "0"], "--limit"),
        (["colors", "--all", "--data", "data"], "--all takes no benchmark"),
        (["--all", "--data", "gone"], "directory gone does not exist"),
        (["--compare", "data", "data"], "name the --out of an evaluation"),
        (["imagenet", "--list"], "unknown benchmark 'imagenet'"),
    ],
)
def test_unusable_arguments_end_with_status_2(
    evaluate: Command, data: Path, arguments: list[str], message: str
) -> None:
    result = evaluate(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_benchmark_by_its_old_name_is_accepted_with_a_message(evaluate: Command) -> None:
    result = evaluate("scenes", "--list")
    assert result.exit_code == 0 and "Synthetic images (synthetic)" in result.stdout
    assert "benchmark scenes is now synthetic" in result.stderr
