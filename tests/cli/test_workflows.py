"""``florence2 run`` on pages, videos, tiles and cascades, and its formats."""

from __future__ import annotations

import json
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from florence2.cli import app

DEMO = Path(str(files("florence2") / "nano" / "demo.png"))
QUICK = ("--beams", "1", "--max-new-tokens", "40", "--runtime", "torch")


def command(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_pages_of_a_pdf(tmp_path: Path) -> None:
    pages = [Image.open(DEMO).convert("RGB"), Image.new("RGB", (64, 64))]
    pages[0].save(tmp_path / "two.pdf", save_all=True, append_images=pages[1:])
    done = command("run", tmp_path / "two.pdf", "-t", "od", "--out", tmp_path / "out", "--draw",
                   "--format", "pdf", *QUICK)  # fmt: skip
    assert done.exit_code == 0, done.stderr
    found = lines((tmp_path / "out/answers.jsonl").read_text())
    assert [each["page"] for each in found] == [1, 2]
    assert found[0]["image"].endswith("two.pdf#page=1") and found[0]["answer"]["labels"]
    assert len(list((tmp_path / "out/pictures").rglob("*.jpg"))) == 2


def test_a_broken_pdf_or_video_fails_by_itself(tmp_path: Path) -> None:
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 no more")
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    shutil.copy(DEMO, tmp_path / "a.png")
    done = command("run", tmp_path, "-t", "caption", *QUICK)
    assert done.exit_code == 1
    errors = {Path(each["image"]).name: each.get("error", "") for each in lines(done.stdout)}
    assert set(errors) == {"a.png", "broken.pdf", "broken.mp4"} and not errors["a.png"]
    assert "as a PDF" in errors["broken.pdf"] and "video" in errors["broken.mp4"]


def test_frames_of_a_video(tmp_path: Path) -> None:
    import av
    import numpy as np

    pixels = np.asarray(Image.open(DEMO).convert("RGB"))
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 256, 256, "yuv420p"
        for _ in range(10):
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    done = command("run", tmp_path, "-t", "caption", "--frame-interval", "0.8", *QUICK)
    assert done.exit_code == 0, done.stderr
    found = lines(done.stdout)
    assert [each["seconds"] for each in found] == [0.0, 0.8, 1.6]
    assert all(len(each["answer"].split()) > 3 for each in found)


def test_a_frame_that_is_not_there_fails_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import PurePosixPath

    import florence2
    from florence2.processing.containers import UnitReader
    from florence2.results.types import Failure
    from florence2.workflows.labeling.label_config import LabelConfig
    from florence2.workflows.labeling.label_requests import build_requests
    from florence2.workflows.labeling.predict_images import predict_images
    from florence2.workflows.labeling.sources import Source

    def load_unit(self: UnitReader, unit: object) -> str:
        raise ValueError("no such page")

    monkeypatch.setattr(UnitReader, "load_unit", load_unit)
    good = Source(str(DEMO), PurePosixPath("a"))
    bad = Source("b.pdf#page=7", PurePosixPath("b"), "b.pdf", page=7)
    requests = build_requests(["od", "caption"])
    config = LabelConfig(beams=1, max_new_tokens=5)
    model = florence2.load("nano", runtime="torch")
    for order in ([good, bad, good], [bad, good], [good, bad], [bad, bad]):
        work = [(source, requests) for source in order]
        outcomes = list(predict_images(model, work, config))
        expected = [source is bad for source in order for _ in requests]
        assert [isinstance(each, Failure) for each in outcomes] == expected


def test_tiles_and_cascades(tmp_path: Path) -> None:
    done = command("run", DEMO, tmp_path / "none.png", "-t", "od", "-t", "caption", "--tiles",
                   "2x2", *QUICK)  # fmt: skip
    assert done.exit_code == 2 and "no such file" in done.stderr
    (tmp_path / "broken.png").write_bytes(b"no picture")
    done = command("run", DEMO, tmp_path / "broken.png", "-t", "od", "-t", "caption-then-ground",
                   "--tiles", "2x2", "--out", tmp_path / "out", "--draw", *QUICK)  # fmt: skip
    assert done.exit_code == 1
    found = lines((tmp_path / "out/answers.jsonl").read_text())
    assert [("error" in each, each["task"]) for each in found] == [
        (False, "<OD>"), (False, "<CAPTION_THEN_GROUND>"), (True, "<OD>"),
        (True, "<CAPTION_THEN_GROUND>"),
    ]  # fmt: skip
    assert len(list((tmp_path / "out/pictures").glob("*.jpg"))) == 2
    wrong = command("run", DEMO, "-t", "od", "--tiles", "two")
    assert wrong.exit_code == 2 and "2x2" in wrong.stderr


@pytest.mark.parametrize("format", ["coco", "yolo", "label-studio", "sidecars"])
def test_formats_are_written_at_the_end_and_again_by_convert(tmp_path: Path, format: str) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        shutil.copy(DEMO, folder / name)
    classes = ("--classes", "cake=food, teapot=dish, kite")
    done = command("run", folder, "-t", "ovd", "--out", tmp_path / "out", "--format", format,
                   *classes, *QUICK)  # fmt: skip
    assert done.exit_code == 0, done.stderr
    (line, _) = lines((tmp_path / "out/answers.jsonl").read_text())
    assert line["text"] == ["cake", "teapot", "kite"]
    again = command("convert", tmp_path / "out", "--to", format, "--out", tmp_path / "again",
                    *classes)  # fmt: skip
    assert again.exit_code == 0, again.stderr
    first, second = (
        {
            path.relative_to(root): path.read_bytes().replace(bytes(root), b"")
            for path in root.rglob("*")
            if path.is_file()
        }
        for root in (tmp_path / "out" / format, tmp_path / "again")
    )
    assert first == second and first
    if format == "coco":
        names = json.loads((tmp_path / "again/annotations/instances.json").read_text())
        assert [each["name"] for each in names["categories"]] == ["food", "dish", "kite"]


def test_answers_become_shards_to_train_on(tmp_path: Path) -> None:
    command("run", DEMO, "-t", "od", "--out", tmp_path / "out", *QUICK)
    done = command("convert", tmp_path / "out", "--out", tmp_path / "shards")
    assert done.exit_code == 0, done.stderr
    from florence2.datasets.shards import ShardDataset

    (record,) = ShardDataset(tmp_path / "shards")
    assert record.annotations[0].task == "<OD>" and record.image == DEMO.read_bytes()
    assert command("convert", tmp_path / "shards", "--out", tmp_path / "x").exit_code == 2
    exported = command("convert", tmp_path / "shards", "--to", "voc", "--out", tmp_path / "voc")
    assert exported.exit_code == 0 and list((tmp_path / "voc/Annotations").glob("*.xml"))


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    for arguments, words in (
        (("--format", "tfrecord", "--out", tmp_path / "x"), "available: coco"),
        (("--format", "coco"), "add --out DIR"),
        (("--classes", "a,,b", "--out", tmp_path / "x"), "prompt=class"),
    ):
        done = command("run", DEMO, "-t", "od", *arguments)
        assert done.exit_code == 2 and words in done.stderr
    done = command("convert", tmp_path, "--out", tmp_path / "y")
    assert done.exit_code == 2 and "--format" in done.stderr


def test_export(tmp_path: Path) -> None:
    done = command("export", "nano", "--out", tmp_path, "--precision", "fp32")
    assert done.exit_code == 0, done.stderr
    assert "fp32: 4 of 4 outputs equal those of PyTorch" in done.stdout
    wrong = command("export", "nano", "--out", tmp_path, "--to", "gguf")
    assert wrong.exit_code == 2 and "not one of onnx, openvino" in wrong.stderr
