"""The scripts of ``examples/`` run as they are, with the bundled model."""

from __future__ import annotations

import runpy
import shutil
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
DEMO = Path(str(files("florence2") / "nano" / "demo.png"))


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_example(name: str, *arguments: str | Path) -> None:
    """Run the script as ``python examples/NAME ARGUMENTS``, in this process."""
    before = sys.argv
    sys.argv = [name, *map(str, arguments)]
    try:
        runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")
    finally:
        sys.argv = before


def test_the_picture_of_the_readme_is_what_the_example_draws(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_example("example.py", "drawn.png")
    with Image.open("drawn.png") as drawn, Image.open(ROOT / "docs/images/example.png") as shown:
        assert drawn.size == shown.size
        difference = np.abs(np.asarray(drawn, np.int16) - np.asarray(shown, np.int16))
    # Another version of the font library may move the edges of letters.
    assert (difference.max(axis=2) > 16).mean() < 0.02
    printed = capsys.readouterr().out.strip()
    assert printed in (ROOT / "README.md").read_text("utf-8")


def test_captions_are_written_beside_images_and_a_second_run_writes_none(
    working_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (working_directory / "photos").mkdir()
    for name in ("a.png", "b.PNG"):
        shutil.copyfile(DEMO, working_directory / "photos" / name)
    (working_directory / "photos/c.jpg").write_bytes(b"not an image")
    run_example("caption_a_folder.py", "photos", "--trigger", "ohwx", "--out", "captioned")
    texts = sorted((working_directory / "captioned").rglob("*.txt"))
    assert {path.stem for path in texts} == {"a", "b"}
    assert all(path.read_text("utf-8").startswith("ohwx, ") for path in texts)
    assert "c.jpg" in capsys.readouterr().out
    before = [path.read_bytes() for path in texts]
    run_example("caption_a_folder.py", "photos", "--trigger", "ohwx", "--out", "captioned")
    assert [path.read_bytes() for path in texts] == before


def test_labels_are_a_yolo_data_set(working_directory: Path) -> None:
    (working_directory / "photos").mkdir()
    shutil.copyfile(DEMO, working_directory / "photos/a.png")
    run_example("prelabel_for_yolo.py", "photos", "teapot,cake", "--out", "labeled")
    (labels,) = (working_directory / "labeled").rglob("a.txt")
    rows = [line.split() for line in labels.read_text().splitlines()]
    assert {row[0] for row in rows} <= {"0", "1"} and "0" in {row[0] for row in rows}
    assert all(0 <= float(value) <= 1 for row in rows for value in row[1:])
    assert [*(working_directory / "labeled").rglob("data.yaml")]


def test_fine_tuning_writes_a_checkpoint_that_predicts(
    working_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_example("finetune_on_boxes.py", "--images", "4", "--epochs", "1")
    assert (working_directory / "runs/boxes/last/model.safetensors").is_file()
    printed = capsys.readouterr().out
    assert "1 steps" in printed and "'<OD>'" in printed


def test_pages_are_read_in_reading_order(capsys: pytest.CaptureFixture[str]) -> None:
    run_example("ask_documents.py")
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    assert lines == ["--- page.png", "OPEN NOW", "please wait"]


def test_the_server_gives_a_caption_and_boxes(capfd: pytest.CaptureFixture[str]) -> None:
    run_example("serve_and_request.py", DEMO)
    printed = capfd.readouterr().out
    assert '"<CAPTION>"' in printed and '"bboxes"' in printed
