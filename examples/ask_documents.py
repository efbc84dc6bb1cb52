"""Read the pages of PDF files and scans, and ask a question about each page.

    python examples/ask_documents.py report.pdf scan.png
    python examples/ask_documents.py report.pdf --question "What is the date?" --model my-docvqa

Without a question the text is printed in reading order. A question needs a checkpoint that was
fine-tuned to answer questions (``<DocVQA>``): the released weights and nano were not. PDF files
need ``pip install 'florence2[formats]'``.
"""

import argparse
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

import florence2
from florence2.processing.containers import list_units, load_unit
from florence2.results.reading_order import join_text


def draw_page(path: Path) -> Path:
    """Write a page with two lines of text, and return its path."""
    page = Image.new("RGB", (320, 320), "white")
    font = ImageFont.load_default(40)
    for top, line in ((60, "OPEN NOW"), (180, "please wait")):
        ImageDraw.Draw(page).text((30, top), line, "black", font)
    page.save(path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="*")
    parser.add_argument("--question", help="needs a checkpoint trained on <DocVQA>")
    parser.add_argument("--model", default="nano")
    arguments = parser.parse_args()

    model = florence2.load(arguments.model)
    for path in arguments.files or [draw_page(Path("page.png"))]:
        # A page of a PDF or TIFF is one unit; a plain image is one too.
        for unit in list_units(path):
            # Encoded once, whatever number of tasks follow.
            page = model.encode_image(load_unit(unit))
            print(f"--- {unit.name}")
            print(join_text(page("ocr-with-region").answer))
            if arguments.question:
                result = page(f"<DocVQA>{arguments.question}")
                print(f"{arguments.question} {result.answer.text}")


if __name__ == "__main__":
    main()
