"""Options that cannot apply are refused by name before a model is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

Command = Callable[..., Any]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-t", "caption", "--trigger", "zwx"], "--trigger is not used"),
        (["-t", "caption", "--prefix", "a "], "--prefix is not used"),
        (["-t", "caption", "--suffix", "!", "--out", "{}/o", "--format", "yolo"], "--suffix"),
        (["-t", "caption", "--caption", "caption"], "--caption is not used"),
        (
            ["-t", "caption", "--out", "{}/o", "--format", "sidecars", "--caption", "captain"],
            "did you mean 'caption'",
        ),
        (
            ["-t", "caption", "--out", "{}/o", "--format", "sidecars", "--caption", "od"],
            "is not a caption task",
        ),
        (
            [
                "-t",
                "caption",
                "--out",
                "{}/o",
                "--format",
                "sidecars",
                "--caption",
                "detailed-caption",
            ],
            "is not a task of this run",
        ),
        (["-t", "od", "--classes", "cat,dog"], "--classes is not used"),
        (["-t", "od", "--classes", "cat", "--out", "{}/o", "--format", "pdf"], "--classes"),
        (
            ["-t", "caption", "--out", "{}/o", "--format", "csv", "--no-copy-images"],
            "--no-copy-images is not used",
        ),
        (
            ["-t", "caption", "--out", "{}/o", "--sidecars", "--format", "sidecars"],
            "write the same files",
        ),
        (
            ["-t", "od", "--out", "{}/o", "--format", "yolo,yaml"],
            "unknown format 'yaml' (--format)",
        ),
        (["-t", "od", "--out", "{}/o", "--format", "yollo"], "did you mean 'yolo'"),
        (["-t", "caption", "--out", "{}/o", "--format", "yolo"], "--format yolo holds regions"),
        (["-t", "ocr", "--out", "{}/o", "--format", "coco"], "holds regions and captions"),
        (["-t", "od", "--out", "{}/o", "--format", "csv,hocr"], "add --task ocr-with-region"),
        (["-t", "od", "--frame-interval", "2"], "--frame-interval 2 is not used"),
        (["-t", "caption", "--tiles", "2x2"], "--tiles is not used"),
        (["-t", "detect-then-segment", "--tiles", "2x2"], "--tiles is not used"),
        (["-t", "caption", "--min-score", "0.5"], "--min-score is not used"),
        (["-t", "caption", "--nms-iou", "0.5"], "--nms-iou is not used"),
        (["-t", "caption", "--clip"], "--clip is not used"),
        (["-t", "od", "--beams", "3", "--temperature", "1"], "sampling has no beams"),
        (["-t", "od", "--temperature", "0"], "temperature must be above 0"),
        (["-t", "od", "--max-new-tokens", "1"], "must be at least 2"),
        (["-t", "<CAPTOIN>"], "did you mean '<CAPTION>'"),
        (["-t", "<detailed_captions>"], "did you mean '<DETAILED_CAPTION>'"),
        (["-t", "captoin"], "did you mean 'caption'"),
        (["-t", "region-to-ocr", "--region", "5,5,5,5"], "a point has none"),
        (["-t", "region-to-ocr", "--region", "9,9,1,1"], "x0 <= x1"),
        (["-t", "region-to-ocr", "--region=-9,-9,-1,-1"], "inside the image"),
    ],
)
def test_what_cannot_apply_is_refused_before_any_work(
    command: Command, model: Any, pictures: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    words = [each.replace("{}", str(tmp_path)) for each in arguments]
    result = command("run", pictures, *words)
    assert result.exit_code == 2, result.stderr
    assert message in result.stderr
    assert not model.loaded and not model.requests and not (tmp_path / "o").exists()


def test_prompts_of_fine_tuned_models_pass(command: Command, model: Any, pictures: Path) -> None:
    for prompt in ("<VQA>", "<DocVQA>What is the date?", "Describe this, please"):
        model.requests.clear()
        assert command("run", pictures / "a.png", "-t", prompt).exit_code == 0
        assert model.requests[0][1] == prompt


def test_several_formats(command: Command, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = command("run", pictures, "-t", "od", "--out", out, "--format", "csv,sidecars",
                     "--format", "csv", "--format", "jsonl")  # fmt: skip
    # The stand-in's image sizes are not those of the files, so that only the files matter here.
    assert (out / "csv/answers.csv").is_file(), result.stderr
    assert list((out / "sidecars").rglob("*.txt"))


def test_a_format_that_wrote_nothing_ends_with_status_1(
    command: Command, pictures: Path, tmp_path: Path
) -> None:
    listing = f"{pictures / 'gone.png'}\n"
    result = command("run", "-", "-t", "od", "--out", tmp_path / "out", "--format", "yolo",
                     input=listing)  # fmt: skip
    assert result.exit_code == 1
    assert "nothing was written as yolo" in result.stderr


def test_what_is_not_read_is_counted_and_named(command: Command, pictures: Path) -> None:
    for name in ("p.heic", "q.HEIC", "r.tga", "s.tar", "._hidden.heic", "t.json"):
        (pictures / name).write_bytes(b"x")
    result = command("run", pictures, "-t", "caption")
    assert result.exit_code == 0
    assert "3 files skipped: .heic (2), .tga (1); convert them" in result.stderr
    assert "1 file skipped: .tar (1); extract" in result.stderr
    refused = command("run", pictures / "s.tar", "-t", "caption")
    assert refused.exit_code == 2 and "extract it" in refused.stderr


def test_what_earlier_runs_wrote_is_passed_over(command: Command, pictures: Path) -> None:
    arguments = ("run", pictures, "-t", "caption", "--draw")
    assert command(*arguments, "--out", pictures / "results").exit_code == 0
    Image.new("RGB", (4, 3)).save(pictures / "results" / "mine.png")
    result = command(*arguments, "--out", pictures / "others")
    assert result.exit_code == 0 and "6 images" in result.stderr
    assert "skipped the output of earlier runs" in result.stderr


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
def test_lists_as_other_programs_write_them(
    command: Command, pictures: Path, encoding: str
) -> None:
    names = [str(pictures / "a.png"), f"file://{pictures}/b.png"]
    separator = "\0" if encoding == "utf-8" else "\r\n"
    listing = separator.join([*names, ""]).encode(encoding)
    result = command("run", "-", "-t", "caption", input=listing)
    assert result.exit_code == 0, result.stderr
    answers = [json.loads(line)["answer"] for line in result.stdout.splitlines()]
    assert answers == ["a.png", "b.png"]


def test_the_region_shows_on_the_drawing(command: Command, pictures: Path, tmp_path: Path) -> None:
    result = command("run", pictures / "a.png", "-t", "region-to-ocr", "--region", "5,5,30,20",
                     "--out", tmp_path / "out", "--draw")  # fmt: skip
    assert result.exit_code == 0, result.stderr
    (drawn,) = (tmp_path / "out/pictures").glob("*.jpg")
    pixels = Image.open(drawn).convert("L")
    assert pixels.getpixel((5, 12)) < 128 < pixels.getpixel((35, 25))  # type: ignore[operator]


def test_what_the_default_model_knows_is_said_once(
    command: Command, model: Any, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    model.trained = True
    notice = "nano knows synthetic images only"
    monkeypatch.setattr(
        sys.modules["florence2.inference.predictor"], "NANO_NOTICE", notice, raising=False
    )
    assert command("run", pictures, "-t", "caption").stderr.count(notice) == 1
    assert notice not in command("run", pictures, "-t", "caption", "--model", "nano").stderr


def test_options_of_release_0_1_work_with_a_warning(
    command: Command, model: Any, pictures: Path, tmp_path: Path
) -> None:
    result = command(
        "run", pictures, "-t", "od", "--order-corners", "--memory", 0.5, "--no-pictures",
        "--format", "coco", "--out", tmp_path / "out",
    )  # fmt: skip
    for old, new in (
        ("--order-corners", "--fix-inverted-boxes"),
        ("--memory", "--max-kv-memory"),
        ("--no-pictures", "--no-copy-images"),
    ):
        assert f"florence2: {old} is now {new}; the old name will be removed" in result.stderr
    assert model.options == {"fix_inverted_boxes": True, "memory": 2**29}
    assert not (tmp_path / "out/coco/images").exists()
    result = command(
        "run", pictures, "-t", "od", "--format", "yolo-corners", "--out", tmp_path / "yolo"
    )
    assert "'yolo-corners' is now 'yolo-obb'" in result.stderr
    assert (tmp_path / "yolo/yolo-obb/data.yaml").is_file()
    wrong = command("run", pictures, "-t", "od", "--every", 2)
    assert "--frame-interval 2 is not used" in wrong.stderr


def test_settings_of_release_0_1_are_read(
    command: Command, model: Any, pictures: Path, tmp_path: Path
) -> None:
    arguments = ("run", pictures, "-t", "od", "--fix-inverted-boxes", "--out", tmp_path / "out")
    assert command(*arguments).exit_code == 0
    settings = tmp_path / "out/run.json"
    stored = json.loads(settings.read_text())
    stored["order_corners"] = stored.pop("fix_inverted_boxes")
    settings.write_text(json.dumps(stored))
    assert command(*arguments, "--resume").exit_code == 0
    assert "order_corners" not in json.loads(settings.read_text())
