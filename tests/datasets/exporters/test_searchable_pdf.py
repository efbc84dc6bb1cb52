"""PDF files with text: pages of the size of the paper, images as they are, own pages kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pypdfium2
import pytest
from PIL import Image, ImageDraw

from florence2.datasets import ImportContext
from florence2.datasets.exporters import write_records
from florence2.datasets.importers.prediction_lines import read_predictions
from florence2.processing.containers import list_units, load_unit


def write(tmp_path: Path, images: dict[str, tuple[int, int]], quad: list[float]) -> Any:
    """The PDF files of answers that read TOTAL at ``quad`` (parts of width and height)."""
    lines = []
    for image, size in images.items():
        corners = [part * size[index % 2] for index, part in enumerate(quad)]
        answer = {"quad_boxes": [corners], "labels": ["TOTAL"]}
        line = {"image": image, "task": "<OCR_WITH_REGION>", "image_size": list(size),
                "answer": answer}  # fmt: skip
        lines.append(json.dumps(line))
    (tmp_path / "answers.jsonl").write_text("\n".join(lines) + "\n")
    records = read_predictions(tmp_path / "answers.jsonl", ImportContext(lambda problem: None))
    return write_records(records, "pdf", tmp_path / "out")


QUAD = [0.1, 0.2, 0.6, 0.2, 0.6, 0.25, 0.1, 0.25]


def place_of_text(page: Any) -> tuple[float, float]:
    """Where the text begins, as parts of the page from its top left."""
    text = page.get_textpage()
    at = text.get_text_range().index("TOTAL")
    left, bottom, _, _ = text.get_charbox(at)
    width, height = page.get_size()
    return left / width, 1 - bottom / height


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_is_kept_and_shown_upright(tmp_path: Path, orientation: int) -> None:
    upright = Image.new("RGB", (200, 300), "white")
    ImageDraw.Draw(upright).rectangle((10, 20, 60, 50), fill="red")
    back = {
        1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[274] = orientation
    stored = upright if back is None else upright.transpose(back)
    path = tmp_path / "a.jpg"
    stored.save(path, exif=exif, quality=95, dpi=(100, 100))
    written = write(tmp_path, {str(path): (200, 300)}, QUAD)
    assert not written.problems
    content = (tmp_path / "out/a.pdf").read_bytes()
    assert path.read_bytes()[-300:] in content
    page = pypdfium2.PdfDocument(content)[0]
    assert page.get_size() == pytest.approx((144, 216), abs=0.1)
    drawn = np.asarray(page.render(scale=200 / 144).to_pil().convert("RGB"))
    assert drawn[35, 35, 1] < 90 and drawn[150, 150, 1] > 200 and drawn[35, 150, 1] > 200
    assert place_of_text(page) == pytest.approx((0.1, 0.25), abs=0.02)


@pytest.mark.parametrize("dpi", [None, (0, 0), (1, 1), (65535, 65535)])
def test_a_resolution_that_is_no_statement(tmp_path: Path, dpi: Any) -> None:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (300, 150)).save(path, **({} if dpi is None else {"dpi": dpi}))
    write(tmp_path, {str(path): (300, 150)}, QUAD)
    page = pypdfium2.PdfDocument(tmp_path / "out/a.pdf")[0]
    assert page.get_size() == pytest.approx((144, 72), abs=0.1)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16", "CMYK"])
def test_images_of_any_mode(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.tif" if mode in ("CMYK", "I;16") else "a.png")
    Image.new("RGB", (300, 150), "white").convert("L" if mode == "I;16" else mode).convert(
        mode
    ).save(path, dpi=(300, 300))
    written = write(tmp_path, {str(path): (300, 150)}, QUAD)
    assert not written.problems
    page = pypdfium2.PdfDocument(tmp_path / "out/a.pdf")[0]
    assert page.get_size() == pytest.approx((72, 36), abs=0.1)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_pdf_keeps_its_pages_under_the_text(tmp_path: Path, rotation: int) -> None:
    from reportlab.pdfgen.canvas import Canvas

    path = tmp_path / "report.pdf"
    canvas = Canvas(str(path), pagesize=(300, 500))
    for number in range(3):
        canvas.drawString(50, 400, f"own words {number}")
        canvas.showPage()
    canvas.save()
    turned = pypdfium2.PdfDocument(path.read_bytes())
    for page in turned:
        page.set_rotation(rotation)
    turned.save(path)
    images = {unit.name: load_unit(unit).size for unit in list_units(path)[1:]}
    written = write(tmp_path, images, QUAD)
    assert written.images == 2 and not written.problems
    (made,) = (tmp_path / "out").rglob("*.pdf")
    document = pypdfium2.PdfDocument(made)
    assert made.name == "report.pdf" and len(document) == 3
    for number, page in enumerate(document):
        words = page.get_textpage().get_text_range()
        assert f"own words {number}" in words and ("TOTAL" in words) == (number > 0)
        assert page.get_size() == ((300, 500) if rotation % 180 == 0 else (500, 300))
    width, height = images[f"{path}#page=2"]
    shown = document[1].render(scale=150 / 72).to_pil()
    assert abs(shown.width - width) <= 1 and abs(shown.height - height) <= 1
    text = document[1].get_textpage()
    left, bottom, right, top = text.get_charbox(text.get_text_range().index("TOTAL"))
    x, y = (left + right) / 2, (bottom + top) / 2
    across, up = {0: (x, y), 90: (y, 300 - x), 180: (300 - x, 500 - y), 270: (500 - y, x)}[rotation]
    shown_width, shown_height = document[1].get_size()
    assert (across / shown_width, 1 - up / shown_height) == pytest.approx((0.13, 0.23), abs=0.03)


def test_pages_of_one_tiff_become_one_pdf(tmp_path: Path) -> None:
    pages = [Image.new("1", (300, 150), 1) for _ in range(3)]
    path = tmp_path / "scan.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:], dpi=(300, 300))
    Image.new("RGB", (300, 150)).save(tmp_path / "scan.png")
    images = {f"{path}#page={number}": (300, 150) for number in (2, 1, 3, 9)}
    written = write(tmp_path, {**images, str(tmp_path / "scan.png"): (300, 150)}, QUAD)
    assert list(written.problems) == ["scan.tif-page-0009.png"]
    sizes = sorted(len(pypdfium2.PdfDocument(each)) for each in (tmp_path / "out").rglob("*.pdf"))
    assert sizes == [1, 3]
    document = max(
        (pypdfium2.PdfDocument(each) for each in (tmp_path / "out").rglob("*.pdf")), key=len
    )
    assert all(page.get_size() == pytest.approx((72, 36), abs=0.2) for page in document)


def test_what_is_no_jpeg_inside_starts_no_program(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")
    written = write(tmp_path, {str(path): (300, 150)}, QUAD)
    assert "a.jpg" in written.problems and not list((tmp_path / "out").rglob("*.pdf"))
