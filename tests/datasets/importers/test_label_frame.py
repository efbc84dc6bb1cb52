from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from florence2.datasets import LabelError
from florence2.datasets.importers.image_files import decode_image_record
from florence2.datasets.importers.label_frame import find_frame
from florence2.processing.image import load_image


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["jpeg", "tiff"])
def test_labels_of_the_stored_image_turn_with_it(orientation: int, format: str) -> None:
    pixels = np.zeros((60, 100, 3), np.uint8)
    pixels[10:20, 70:90] = 255
    stream = io.BytesIO()
    if format == "jpeg":
        exif = Image.Exif()
        exif[274] = orientation
        Image.fromarray(pixels).save(stream, "jpeg", exif=exif, quality=100)
    else:
        Image.fromarray(pixels).save(stream, "tiff", tiffinfo={274: orientation})
    record, info = decode_image_record(stream.getvalue(), "a")
    frame = find_frame(record, info, (100, 60))
    upright = np.asarray(load_image(stream.getvalue()))[..., 0] > 128
    rows, columns = np.nonzero(upright)
    box = frame.turn_box((70, 10, 90, 20))
    if orientation < 5:  # the size does not tell, so the labels are for the upright image
        assert box == (70, 10, 90, 20)
    else:
        found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert record.image_size == (60, 100)
        assert box == pytest.approx(found, abs=1)
        assert find_frame(record, info, (60, 100)).turn_box(box) == box
        assert find_frame(record, info, ("60", "100.0")).orientation == 1
    with pytest.raises(LabelError, match="at 50 x 100"):
        find_frame(record, info, (50, 100))


def test_sizes_that_say_nothing() -> None:
    stream = io.BytesIO()
    Image.new("L", (4, 3)).save(stream, "png")
    record, info = decode_image_record(stream.getvalue(), "a")
    for size in ((0, 0), (None, None), (True, "x"), (float("nan"), [1]), (10**400, -1)):
        assert find_frame(record, info, size).size == (4, 3)
