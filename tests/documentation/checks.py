"""Checks of what commands wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

PHOTOS = {"photos/0.png", "photos/1.png", "photos/scene.jpg"}


@dataclass(frozen=True)
class Outcome:
    """What a command came to, and the folder it ran in."""

    folder: Path
    status: int
    stdout: str
    stderr: str

    def lines(self, path: str | None = None) -> list[dict[str, Any]]:
        """JSON lines: of a file, or of standard output."""
        text = self.stdout if path is None else (self.folder / path).read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]


Check = Callable[[Outcome], None]


def check_answers(*tasks: str, images: set[str]) -> Check:
    """A line on standard output for every task about every image."""

    def check(outcome: Outcome) -> None:
        lines = outcome.lines()
        assert {line["image"] for line in lines} == images
        assert {line["task"] for line in lines} == set(tasks)
        assert all("answer" in line for line in lines), lines

    return check


def check_run_folder(outcome: Outcome) -> None:
    """Lines and drawings of two tasks about three images."""
    lines = outcome.lines("answers/answers.jsonl")
    assert {(line["image"], line["task"]) for line in lines} == {
        (image, task) for image in PHOTOS for task in ("<CAPTION>", "<OD>")
    }
    drawings = [*(outcome.folder / "answers/pictures").rglob("*.jpg")]
    assert len(drawings) == 6
    for path in drawings:
        with Image.open(path) as drawing:
            drawing.load()


def check_doctor(outcome: Outcome) -> None:
    """The verdict on the checkpoint."""
    assert "valid" in outcome.stdout and "parameters" in outcome.stdout


def check_sidecars(outcome: Outcome) -> None:
    """A text beside a copy of every image, beginning with the trigger."""
    folder = outcome.folder / "captioned/sidecars"
    texts = [*folder.rglob("*.txt")]
    assert {path.stem for path in texts} == {"0", "1", "scene"}
    for path in texts:
        assert path.read_text().startswith("ohwx, ") and len(path.read_text()) > 8
    assert len([path for path in folder.rglob("*") if path.suffix in (".png", ".jpg")]) == 3


def check_yolo(outcome: Outcome) -> None:
    """The classes in the order they were named, a label file for every image."""
    import yaml

    folder = outcome.folder / "labeled/yolo"
    names = yaml.safe_load((folder / "data.yaml").read_text())["names"]
    assert [*(names.values() if isinstance(names, dict) else names)] == ["truck", "person"]
    images = [path for path in (folder / "images").rglob("*") if path.is_file()]
    assert {path.stem for path in images} == {"0", "1", "scene"}
    labels = [line for path in (folder / "labels").rglob("*.txt")
              for line in path.read_text().splitlines()]  # fmt: skip
    assert labels and all(len(line.split()) == 5 for line in labels)


def check_pdf(outcome: Outcome) -> None:
    """One searchable PDF with both pages, of the size that they have."""
    import pypdfium2

    (path,) = (outcome.folder / "read/pdf").rglob("*.pdf")
    document = pypdfium2.PdfDocument(path)
    try:
        sizes = [tuple(map(round, page.get_size())) for page in document]
        found = [page.get_textpage().get_text_bounded() for page in document]
    finally:
        document.close()
    assert sizes == [(306, 396)] * 2
    answered = [line["answer"]["labels"] for line in outcome.lines("read/answers.jsonl")]
    assert len(answered) == 2
    for labels, text in zip(answered, found, strict=True):
        assert all(label.strip() in text for label in labels if label.strip()), (labels, text)


def check_frames(task: str, seconds: tuple[float, ...]) -> Check:
    """A line for a frame every two seconds."""

    def check(outcome: Outcome) -> None:
        lines = outcome.lines()
        assert tuple(line["seconds"] for line in lines) == seconds
        assert {line["task"] for line in lines} == {task}
        assert all("answer" in line for line in lines)

    return check


def check_shards(folder: str, records: int, *tasks: str) -> Check:
    """Whole shards of so many records, with annotations of these tasks."""

    def check(outcome: Outcome) -> None:
        from florence2.datasets.shards import ShardDataset

        dataset = ShardDataset(outcome.folder / folder)
        assert len(dataset) == records
        counts = dataset.manifest.counts.task
        assert {task for task, count in counts.items() if count} == set(tasks), counts
        assert "no problems" in outcome.stdout

    return check


def check_training(outcome: Outcome) -> None:
    """Checkpoints that load, and the command that comes next."""
    for name in ("last", "best"):
        assert (outcome.folder / "runs/mine" / name / "model.safetensors").stat().st_size > 10**6
    assert "next: florence2 run" in outcome.stdout


def check_list(*names: str) -> Check:
    """Names on standard output."""

    def check(outcome: Outcome) -> None:
        assert all(name in outcome.stdout for name in names)

    return check


def check_report(*words: str) -> Check:
    """A report in the folder that the command names, with figures."""

    def check(outcome: Outcome) -> None:
        assert all(word in outcome.stdout for word in words), outcome.stdout
        assert [*(outcome.folder / "runs/evaluate").rglob("report.json")]

    return check


def check_file(path: str, *words: str) -> Check:
    """A text file that holds words."""

    def check(outcome: Outcome) -> None:
        text = (outcome.folder / path).read_text(encoding="utf-8")
        assert all(word in text for word in words), text[:500]

    return check


def check_image(path: str) -> Check:
    """An image that opens, and is no blank."""

    def check(outcome: Outcome) -> None:
        with Image.open(outcome.folder / path) as image:
            assert len(image.convert("RGB").getcolors(2**24) or ()) > 10

    return check


def check_engine(outcome: Outcome) -> None:
    """The table of a round, as shards, and its report."""
    from florence2.datasets.shards import ShardDataset

    folder = outcome.folder / "runs/engine/round-00"
    assert len(ShardDataset(folder / "shards")) == len(PHOTOS)
    assert (folder / "report.md").is_file() and (folder / "report.json").is_file()


def check_export(*precisions: str) -> Check:
    """Graphs that ONNX Runtime opens, in the precisions asked for."""

    def check(outcome: Outcome) -> None:
        import onnxruntime

        ending = {"fp32": "", "fp16": "_fp16", "int8": "_int8"}
        for precision in precisions:
            path = outcome.folder / f"exported/onnx/vision_encoder{ending[precision]}.onnx"
            onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
            assert f"{precision}: " in outcome.stdout

    return check


def check_comparison(outcome: Outcome) -> None:
    """Paired differences of two runs."""
    assert "B minus A" in outcome.stdout or "difference" in outcome.stdout, outcome.stdout


def check_rows(outcome: Outcome) -> None:
    """One row of the paper's tables is scored, the others say which files they lack."""
    assert "refcoco" in outcome.stdout.lower()
    assert [*(outcome.folder / "runs/evaluate").rglob("report.json")]
