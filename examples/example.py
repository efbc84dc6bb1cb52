"""Objects, lines of text and a caption of one image: ``python examples/example.py OUT.png``.

The model is the bundled one, nano, and the image is bundled too: a synthetic image that nano was
not trained on. For a photo of your own, change the first two lines.
"""

import sys
from importlib.resources import files

from PIL import Image

import florence2

model = florence2.load("nano")  # for photos: "microsoft/Florence-2-base-ft"
image = Image.open(str(files("florence2") / "nano" / "demo.png")).resize((480, 480))
objects, lines, caption = model.batch(
    [(image, "object-detection"), (image, "ocr-with-region"), (image, "caption")]
)
print(objects.answer.labels, lines.answer.labels, caption.answer.text, sep="\n")
drawing = Image.new("RGB", (960, 480))
drawing.paste(objects.draw(), (0, 0))
drawing.paste(lines.draw(), (480, 0))
drawing.save(sys.argv[1] if len(sys.argv) > 1 else "example.png")
