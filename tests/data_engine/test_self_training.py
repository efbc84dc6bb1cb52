"""The loop from images to shards, a report and a page, with and without kills."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from florence2.data_engine import self_training as refine
from florence2.data_engine.annotation_page import make_annotation_page
from florence2.data_engine.annotators import AnnotatorSpec
from florence2.data_engine.annotators.noisy import Noise, NoisyAnnotator
from florence2.data_engine.chunk_files import EngineFiles
from florence2.data_engine.engine_config import EngineConfig, StudentConfig, Thresholds
from florence2.data_engine.executor import LocalExecutor, RayExecutor
from florence2.data_engine.self_training import StudentError, open_round, run_engine
from florence2.data_engine.statistics import compute_statistics, draw_statistics
from florence2.datasets.shards import ShardDataset
from florence2.results.records import Annotation
from florence2.results.types import Boxes, Text

from .conftest import Plain, spec_of, table_of


def run(images: Path, out: Path, *specs: AnnotatorSpec, **settings):
    config = EngineConfig(chunk_size=4, **settings)
    return run_engine(str(images), out, specs, LocalExecutor(), config)


def test_a_run_writes_shards_and_a_report_and_opens_in_datasets(images: Path, truth: Path) -> None:
    out = images.parent / "out"
    noisy = AnnotatorSpec("noisy", lambda: NoisyAnnotator(truth))
    found = run(images, out, noisy, spec_of(Plain()))
    (report,) = found.reports
    assert report.images == 10 and found.index.images == 10
    assert report.annotators["noisy"]["kept"] > 0
    assert report.reasons["merged with others"] == 20
    (pair,) = report.agreements
    assert (pair.first, pair.second, pair.second_boxes) == ("noisy", "plain", 10)
    written = json.loads((out / "round-00" / "report.json").read_text())
    assert written == json.loads(json.dumps(report.to_dict()))
    page = (out / "round-00" / "report.md").read_text()
    assert "| merged with others | 20 |" in page

    import datasets

    opened = datasets.load_dataset(
        "parquet",
        data_files=str(out / "round-00" / "shards" / "*.parquet"),
        split="train",
        cache_dir=str(images.parent / "cache"),
    )
    assert len(opened) == 10 and opened[0]["image"].size == (96, 64)
    assert {each["annotator"]["name"] for each in opened[0]["annotations"]} >= {"plain", "fusion"}


def test_captions_that_came_with_images_become_annotations(images: Path) -> None:
    (images / "03.txt").write_text("A red square on a table.")
    out = images.parent / "out"
    run(images, out)
    by_id = {record.id: record for record in open_round(out)}
    (one,) = by_id["03.png"].annotations
    assert one.annotator.name == "found-text" and one.answer == Text("A red square on a table.")


def test_an_interrupted_run_resumes_to_the_same_result(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = images.parent / "whole"
    run(images, whole, spec_of(Plain()), spec_of(Plain("other")))
    broken = images.parent / "broken"
    calls = [0]
    annotate = Plain.annotate

    def now_and_then(self, records):
        calls[0] += 1
        if calls[0] % 3 == 0:
            raise KeyboardInterrupt
        return annotate(self, records)

    class Interrupted(Plain):
        annotate = now_and_then

    monkeypatch.setattr(
        "florence2.data_engine.chunk_workers.AnnotationWorker._call_annotator",
        lambda self, records: self._get_annotator().annotate(records),
    )
    for _ in range(30):
        try:
            run(images, broken, spec_of(Interrupted()), spec_of(Interrupted("other")))
            break
        except KeyboardInterrupt:
            continue
    assert table_of(EngineFiles(broken)) == table_of(EngineFiles(whole))


def test_other_thresholds_need_another_directory(images: Path) -> None:
    out = images.parent / "out"
    run(images, out, spec_of(Plain()))
    with pytest.raises(ValueError, match="choose another directory"):
        run(images, out, spec_of(Plain()), thresholds=Thresholds(min_confidence=0.5))


def test_filters_raise_precision(images: Path, truth: Path) -> None:
    specs = [
        AnnotatorSpec(
            name, lambda name=name, seed=seed: NoisyAnnotator(truth, Noise(), name=name, seed=seed)
        )
        for seed, name in enumerate(("one", "two", "three"))
    ]
    out = images.parent / "out"
    run(images, out, *specs, thresholds=Thresholds(min_agreement=2))
    right = {record.id: record for record in ShardDataset(truth)}

    def precision(record_annotations) -> float:
        from florence2.data_engine.merge import count_agreement

        pairs = boxes = 0
        for id, answer in record_annotations:
            (truth_boxes,) = [each for each in right[id].annotations if each.task == "<OD>"]
            found, mine, _ = count_agreement(answer, truth_boxes.answer)
            pairs, boxes = pairs + found, boxes + mine
        return pairs / boxes

    rows = list(open_round(out))
    raw = [
        (row.id, each.answer)
        for row in rows
        for each in row.annotations
        if each.task == "<OD>" and each.annotator.name == "one"
    ]
    kept = [(row.id, each.answer) for row in rows for each in row.kept() if each.task == "<OD>"]
    assert precision(kept) > precision(raw) + 0.1


def test_self_training_rounds_train_annotate_and_supersede(
    images: Path, truth: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = images.parent / "out"
    commands = []

    def trained(command, stdout, stderr):
        commands.append(command)
        folder = Path(command[command.index("--out") + 1])
        (folder / "last").mkdir()
        lines = [{"kind": "step", "step": 1}, {"kind": "evaluation", "step": 1, "od/map50": 0.25}]
        (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", trained)
    monkeypatch.setattr(
        refine, "make_student_spec", lambda checkpoint, round, config: spec_of(Plain("student"))
    )
    noisy = AnnotatorSpec("noisy", lambda: NoisyAnnotator(truth))
    config = StudentConfig("fine-tune", ("seed=3",), truth)
    found = run(images, out, noisy, rounds=2, student=config)
    assert [report.round for report in found.reports] == [0, 1, 2]
    assert found.reports[1].student == {"od/map50": 0.25}
    assert commands[1][3:6] == ["train", "fine-tune", "--data"]
    assert commands[1][6] == str(out / "round-01" / "shards")
    assert ["--set", "seed=3", "--validation", str(truth)] == commands[0][-4:]
    last = open_round(out)
    students = [
        each
        for record in last
        for each in record.annotations
        if each.annotator.name == "student" and each.task == "<CAPTION>"
    ]
    assert {each.round for each in students if each.decision.kept} <= {2}
    old = {each.decision.reason for each in students if each.round == 1}
    assert old == {"superseded by a later round"}
    run(images, out, noisy, rounds=2, student=config)
    assert len(commands) == 2


def test_a_failed_training_names_its_log(images: Path, truth: Path) -> None:
    noisy = AnnotatorSpec("noisy", lambda: NoisyAnnotator(truth))
    config = StudentConfig("no-such-recipe")
    with pytest.raises(StudentError, match=r"ended with 2; its log is .*training.txt"):
        run(images, images.parent / "out", noisy, rounds=1, student=config)


def test_statistics_count_what_was_kept(images: Path, truth: Path, tmp_path: Path) -> None:
    found = compute_statistics(record.annotations for record in ShardDataset(truth))
    assert found.images == 10
    assert found.texts["<CAPTION>"].texts == 10
    objects = [
        len(each.answer)
        for record in ShardDataset(truth)
        for each in record.annotations
        if isinstance(each.answer, Boxes)
    ]
    assert found.regions["<OD>"].regions == sum(objects)
    assert found.regions["<OD>"].regions_per_image == pytest.approx(sum(objects) / 10)
    header, *rows = found.rows()[0]
    assert header == ("mean per caption", "<CAPTION>", "paper") and rows[1][2] == "7.95"
    draw_statistics(found, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_shows_and_escapes_annotations(images: Path) -> None:
    out = images.parent / "out"
    run(images, out, spec_of(Plain()))
    record = open_round(out)[0]
    bad = Annotation("<CAPTION>", Text("<script>alert(1)</script>"))
    from dataclasses import replace

    page = make_annotation_page("A & B", [replace(record, annotations=(*record.annotations, bad))])
    assert "A &amp; B" in page and "<script" not in page
    assert page.count("<polygon") == 1 and "A red box of 96 by 64" in page


SCRIPT = """
import sys
from pathlib import Path
from conftest import Plain, spec_of
from florence2.data_engine.engine_config import EngineConfig
from florence2.data_engine.executor import LocalExecutor, RayExecutor
from florence2.data_engine.self_training import run_engine

images, out, executor = sys.argv[1:]
specs = [spec_of(Plain(name, seconds=0.05), workers=2) for name in ("plain", "other")]
chosen = LocalExecutor() if executor == "here" else RayExecutor()
run_engine(images, Path(out), specs, chosen, EngineConfig(chunk_size=2))
print("finished", flush=True)
"""


def start(images: Path, out: Path, executor: str) -> subprocess.Popen[str]:
    here = str(Path(__file__).parent)
    paths = os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(images), str(out), executor],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def test_a_killed_run_resumes_to_the_same_result(images: Path) -> None:
    generator = random.Random(7)
    whole, killed = images.parent / "whole", images.parent / "killed"
    specs = [spec_of(Plain(name), workers=2) for name in ("plain", "other")]
    run_engine(str(images), whole, specs, LocalExecutor(), EngineConfig(chunk_size=2))
    kills = 0
    while kills < 3:
        process = start(images, killed, "here")
        deadline = time.monotonic() + 60
        parts = len(list(killed.rglob("part-*.parquet")))
        wanted = parts + generator.randint(1, 3)
        while process.poll() is None and time.monotonic() < deadline:
            if len(list(killed.rglob("part-*.parquet"))) >= wanted:
                os.killpg(process.pid, signal.SIGKILL)
                break
        if process.wait() == 0:
            break
        assert process.returncode == -signal.SIGKILL
        kills += 1
    run_engine(str(images), killed, specs, LocalExecutor(), EngineConfig(chunk_size=2))
    assert kills and table_of(EngineFiles(killed)) == table_of(EngineFiles(whole))


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes in which Ray runs annotators, without its agents, which the run needs."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
        return [each for each in family if "ray::MapWorker" in " ".join(each.cmdline()[:1])]
    return []


def kill_a_worker(process: subprocess.Popen[str], generator: random.Random) -> bool:
    """Kill one at a random moment, once there are any; returns whether there were."""
    deadline = time.monotonic() + 60
    while process.poll() is None and not workers_of(process) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(generator.uniform(0, 2))
    workers = workers_of(process)
    for each in generator.sample(workers, min(1, len(workers))):
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    return bool(workers)


def kill_everything(process: subprocess.Popen[str], generator: random.Random) -> None:
    time.sleep(generator.uniform(4, 8))
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        for each in [parent, *parent.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
    process.wait()


@pytest.mark.slow
def test_ten_kills_of_workers_and_of_whole_runs_on_ray(images: Path) -> None:
    generator = random.Random(3)
    whole, killed = images.parent / "whole", images.parent / "killed"
    specs = [spec_of(Plain(name, seconds=0.05), workers=2) for name in ("plain", "other")]
    run_engine(str(images), whole, specs, LocalExecutor(), EngineConfig(chunk_size=2))
    hit = 0
    for kill in range(10):
        # Work is left for every kill: some parts and the table of the round are not there.
        parts = sorted(killed.rglob("round-00/annotators/*/*"))
        for path in generator.sample(parts, min(4, len(parts))):
            path.unlink()
        for path in (killed / "round-00" / "shards").glob("*"):
            path.unlink()
        process = start(images, killed, "ray")
        if kill % 2 == 0:
            hit += kill_a_worker(process, generator)
            assert process.wait(timeout=180) == 0
        else:
            kill_everything(process, generator)
    assert hit >= 3
    run_engine(str(images), killed, specs, LocalExecutor(), EngineConfig(chunk_size=2))
    assert table_of(EngineFiles(killed)) == table_of(EngineFiles(whole))


@pytest.fixture(scope="module")
def ray_session():
    """Ray for this module's tests, which ends with them."""
    import ray
    from ray import cloudpickle

    from . import conftest

    cloudpickle.register_pickle_by_value(conftest)
    yield
    ray.shutdown()


def test_ray_does_what_one_process_does(images: Path, ray_session: None) -> None:
    """A worker that hangs exits after its chunk and is replaced."""
    whole, spread = images.parent / "whole", images.parent / "spread"
    make = [
        spec_of(Plain("plain", raises=("01.png",)), workers=2),
        spec_of(Plain("hanging", hangs=("04.png",)), workers=1, time_limit=0.3),
    ]
    run_engine(str(images), whole, make, LocalExecutor(), EngineConfig(chunk_size=4))
    found = run_engine(
        str(images), spread, make, RayExecutor(), EngineConfig(chunk_size=4, workers=2)
    )
    assert table_of(EngineFiles(spread)) == table_of(EngineFiles(whole))
    assert found.reports[0].reasons["failed"] == 2
