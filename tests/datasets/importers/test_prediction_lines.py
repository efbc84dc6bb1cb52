"""Answer lines about pages and frames: each record has the image of its own page."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from florence2.datasets import ImportContext, ImportProblem
from florence2.datasets.exporters import EXPORTERS, write_records
from florence2.datasets.importers.prediction_lines import read_predictions

QUAD = {"quad_boxes": [[2, 2, 60, 2, 60, 12, 2, 12]], "labels": ["TOTAL"]}
BOXES = {"bboxes": [[1, 2, 20, 21]], "labels": ["cat"], "scores": [0.5]}


@pytest.fixture
def answered(tmp_path: Path) -> Path:
    """A file of answers about the pages of a PDF and of a TIFF, and one page that is not there."""
    pages = [Image.new("RGB", (144, 72), color) for color in ("red", "lime")]
    pages[0].save(tmp_path / "two.pdf", resolution=72, save_all=True, append_images=pages[1:])
    pages = [page.copy() for page in pages]
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:])
    lines = []
    for name, size in (("two.pdf", [300, 150]), ("scan.tif", [144, 72])):
        for page in (1, 2, 9):
            image = f"{tmp_path / name}#page={page}"
            for task, answer in (("<OCR_WITH_REGION>", QUAD), ("<OD>", BOXES)):
                line = {"image": image, "page": page, "task": task, "image_size": size,
                        "answer": answer}  # fmt: skip
                lines.append(json.dumps(line))
    (tmp_path / "answers.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path / "answers.jsonl"


def test_records_of_pages_have_their_own_image(
    answered: Path, problems: list[ImportProblem]
) -> None:
    records = list(read_predictions(answered, ImportContext(problems.append)))
    assert not problems
    assert [each.id for each in records[:2]] == [
        "two.pdf-page-0001.png", "two.pdf-page-0002.png",
    ]  # fmt: skip
    assert len({each.sha256 for each in records}) == 6
    for record, color in zip(records[:2], ((255, 0, 0), (0, 255, 0)), strict=True):
        image = Image.open(io.BytesIO(record.image_bytes()))
        assert image.size == record.image_size == (300, 150)
        assert image.convert("RGB").getpixel((5, 5)) == pytest.approx(color, abs=3)
    with pytest.raises(ValueError, match="pages 1 to 2, not 9"):
        records[2].image_bytes()


@pytest.mark.parametrize("format", sorted(set(EXPORTERS) - {"jsonl", "csv"}))
def test_every_writer_writes_pages(answered: Path, tmp_path: Path, format: str) -> None:
    records = read_predictions(answered, ImportContext(lambda problem: None))
    written = write_records(records, format, tmp_path / "out")
    # The pages that are not there are named, and the others are written.
    named = " ".join(written.problems)
    assert written.images == 4 and "two.pdf" in named and "scan.tif" in named
    images = list((tmp_path / "out").rglob("*.png"))
    assert len(images) == (0 if format == "pdf" else 4)
    for path in images:
        assert Image.open(path).size in ((300, 150), (144, 72))


def test_names_from_another_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    out = tmp_path / "out"
    out.mkdir()
    line = {"image": "a.png", "task": "<OD>", "image_size": [40, 30], "answer": BOXES}
    (out / "answers.jsonl").write_text(json.dumps(line) + "\n")
    (out / "run.json").write_text(json.dumps({"directory": str(tmp_path)}))
    monkeypatch.chdir(out)
    (record,) = read_predictions(out / "answers.jsonl", ImportContext(lambda problem: None))
    assert Image.open(io.BytesIO(record.image_bytes())).size == (40, 30)
