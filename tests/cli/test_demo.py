from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from florence2.cli.sheet import COLUMNS, TILE_WIDTH, Tile, make_sheet
from florence2.tasks import TASKS

Command = Callable[..., Any]


def test_all_tasks_are_answered_on_one_sheet(command: Command, model: Any, tmp_path: Path) -> None:
    result = command("demo", "--out", tmp_path / "sheet")
    assert result.exit_code == 0, result.stderr
    assert [request[1] for request in model.requests] == [task.token for task in TASKS]
    assert all(task.token in result.stdout for task in TASKS)
    assert "its answers are noise" in result.stderr
    with Image.open(tmp_path / "sheet" / "demo.png") as sheet:
        assert sheet.width > COLUMNS * TILE_WIDTH


def test_sheets_take_any_number_of_any_shape() -> None:
    tall, wide = Image.new("RGB", (10, 40), "red"), Image.new("L", (40, 10))
    sheet = make_sheet([Tile(tall, "<OD>", "word " * 500), Tile(wide, "<OCR>", "")] * 4)
    assert sheet.height > 2 * 4 * TILE_WIDTH
    assert sheet.getpixel((20, 20)) == (255, 0, 0)
