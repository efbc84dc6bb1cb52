"""How answers are read and drawn, without a model: ``python examples/draw_answers.py OUT.png``.

The answers are written by hand, in the form a Florence-2 gives them, about the bundled picture.
"""

from __future__ import annotations

import sys
from importlib.resources import as_file, files

from PIL import Image

import florence2
from florence2.processing.image import load_image
from florence2.results.draw import draw_answer
from florence2.results.locations import quantize

CAR = (62, 308, 274, 409)
HOUSE = (130, 108, 396, 333)
BALLS = ((372, 410, 433, 470), (492, 426, 532, 466))
SIGN = (401, 289, 472, 289, 472, 314, 401, 314)
CROWN = (548, 110, 590, 128, 604, 158, 630, 186, 622, 222, 600, 236, 574, 234, 548, 252, 520, 236,
         494, 234, 470, 214, 468, 178, 500, 154, 512, 124)  # fmt: skip
SIZE = (640, 480)


def located(*coordinates: float) -> str:
    """Pixels as the location tokens a model writes."""
    return "".join(f"<loc_{index}>" for index in quantize(coordinates, SIZE))


ANSWERS = (
    ("object-detection",
     f"car{located(*CAR)}house{located(*HOUSE)}ball" + "".join(located(*each) for each in BALLS)),
    ("ocr-with-region", f"OPEN{located(*SIGN)}"),
    ("referring-expression-segmentation", located(*CROWN)),
    ("caption", "A red car parked in front of a house with a sign that says open."),
)  # fmt: skip


def main() -> None:
    """Draw the four answers as a sheet of two by two."""
    with as_file(files("florence2") / "nano" / "demo.png") as path:
        picture = load_image(path)
    drawn = [draw_answer(picture, florence2.parse(text, task, SIZE).answer)
             for task, text in ANSWERS]  # fmt: skip
    rows = [drawn[:2], drawn[2:]]
    heights = [max(each.height for each in row) for row in rows]
    sheet = Image.new("RGB", (2 * SIZE[0] + 8, sum(heights) + 8), "white")
    for top, row in zip((0, heights[0] + 8), rows, strict=True):
        for left, each in zip((0, SIZE[0] + 8), row, strict=True):
            sheet.paste(each, (left, top))
    sheet.save(sys.argv[1] if len(sys.argv) > 1 else "answers.png", optimize=True)


if __name__ == "__main__":
    main()
