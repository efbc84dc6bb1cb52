from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from PIL import Image

from florence2.cli.demo import bundled_requests
from florence2.results.contact_sheet import (
    COLUMNS,
    TILE_WIDTH,
    ContactTile,
    make_contact_sheet,
)
from florence2.results.tasks import TASKS

Command = Callable[..., Any]


def test_all_tasks_are_answered_on_one_sheet(command: Command, model: Any, tmp_path: Path) -> None:
    result = command("demo", "--out", tmp_path / "sheet")
    assert result.exit_code == 0, result.stderr
    assert [request[1] for request in model.requests] == [task.token for task in TASKS]
    assert all(task.token in result.stdout for task in TASKS)
    assert "outputs are random" in result.stderr
    with Image.open(tmp_path / "sheet" / "demo.png") as sheet:
        assert sheet.width > COLUMNS * TILE_WIDTH


def test_sheets_take_any_number_of_any_shape() -> None:
    tall, wide = Image.new("RGB", (10, 40), "red"), Image.new("L", (40, 10))
    tiles = [ContactTile(tall, "<OD>", "word " * 500), ContactTile(wide, "<OCR>", "")]
    sheet = make_contact_sheet(tiles * 4)
    assert sheet.height > 2 * 4 * TILE_WIDTH
    assert sheet.getpixel((20, 20)) == (255, 0, 0)


def test_the_bundled_picture_is_held_out_and_every_task_has_what_it_needs() -> None:
    nano = files("florence2") / "nano"
    assert json.loads((nano / "demo.json").read_text("utf-8"))["scene"].startswith("scene-test-")
    with as_file(nano / "demo.png") as path:
        assert path.stat().st_size < 150_000
        with Image.open(path) as picture:
            assert (picture.size, picture.mode) == ((256, 256), "RGB")
    requests = bundled_requests()
    assert [request.task for request in requests] == list(TASKS)
    for request in requests:
        if request.task.input in ("text", "region"):
            assert request.input is not None, request.task.token
        elif request.task.input == "none":
            assert request.input is None, request.task.token
